//! Logistic loss, `φ(z, y) = log(1 + exp(−y z))`, `y = ±1`. WGSL twin: `shaders/loss/logistic.wgsl`.

use super::{
    Coupling, Curvature, CurvatureBounds, LossCapabilities, LossDual, LossFunction, Real, TargetDomain,
};

/// `log(1 + exp(−y z))`, `y = ±1`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Logistic;

impl super::Loss {
    /// `log(1 + exp(−y z))`, `y = ±1`.
    pub fn logistic() -> Self {
        super::Loss::Logistic(Logistic)
    }
}

/// `sup |φ'''| = 1/(6√3)`.
const D3_MAX: f64 = 0.096_225_044_864_937_63;

/// `1 / (1 + exp(−t))` without overflow.
#[inline(always)]
fn sigmoid<T: Real>(t: T) -> T {
    let e = (-t.abs()).real_exp();
    let big = T::one() / (T::one() + e);
    if t >= T::zero() { big } else { e * big }
}

impl LossFunction for Logistic {
    type Dual = Self;
    const CAPABILITIES: LossCapabilities = LossCapabilities {
        formula: "log(1 + exp(-y z)), y = +-1",
        convex: true,
        target: TargetDomain::Classes,
        curvature: Curvature::Bounded(CurvatureBounds { d2_max: 0.25, d2_min: 0.0, d3_max: D3_MAX }),
        least_squares: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, z: T, y: T) -> T {
        let m = y * z;
        (-m.abs()).real_exp().real_log1p() + (-m).max(T::zero())
    }
    #[inline(always)]
    fn d1<T: Real>(self, z: T, y: T) -> T {
        -y * sigmoid(-y * z)
    }
    #[inline(always)]
    fn d2<T: Real>(self, z: T, y: T) -> T {
        let e = (-(-y * z).abs()).real_exp(); // as in d1, so that the compiler computes it once
        e / ((T::one() + e) * (T::one() + e))
    }
    #[inline(always)]
    fn d3<T: Real>(self, z: T, y: T) -> T {
        let e = (-z.abs()).real_exp();
        -self.d2(z, y) * z.signum() * (T::one() - e) / (T::one() + e)
    }
    #[inline(always)]
    fn d1_by_target<T: Real>(self, _z: T, _y: T) -> T {
        T::nan() // a class label has no derivative; `Objective` refuses the direction
    }
    fn kinks(self, _y: f64) -> Vec<f64> {
        vec![]
    }
    fn examples() -> Vec<Self> {
        vec![Logistic]
    }
}

impl LossDual for Logistic {
    /// The Kullback–Leibler divergence between Bernoulli(scale·q) and Bernoulli(q), `q = σ(−y z)`.
    #[inline(always)]
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let m = (-y * z).min(T::of(80.0)); // exp(80) is finite in f32
        let t = scale * sigmoid(m);
        t * scale.ln() + (T::one() - t) * ((T::one() - scale) * m.exp()).ln_1p()
    }
    /// The Kullback–Leibler divergence between Bernoulli(t) and Bernoulli(q), `t = −y u`.
    fn divergence(self, z: f64, y: f64, u: f64) -> f64 {
        let t = -y * u;
        if !(0.0..=1.0).contains(&t) {
            return f64::INFINITY;
        }
        // `ln q` and `ln (1 − q)` without overflow.
        let ln_q = -self.value(-z, y);
        let ln_rest = -self.value(z, y);
        let term = |t: f64, ln: f64| if t > 0.0 { t * (t.ln() - ln) } else { 0.0 };
        (term(t, ln_q) + term(1.0 - t, ln_rest)).max(0.0)
    }
}
