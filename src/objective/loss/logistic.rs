//! Logistic loss, `φ(z, y) = log(1 + exp(−y z))`, `y = ±1`. WGSL twin: `shaders/loss/logistic.wgsl`.

use super::{LossFunction, Real};

/// `log(1 + exp(−y z))`, `y = ±1`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Logistic;

/// `1 / (1 + exp(−t))` without overflow.
fn sigmoid<T: Real>(t: T) -> T {
    let e = (-t.abs()).real_exp();
    let big = T::one() / (T::one() + e);
    if t >= T::zero() { big } else { e * big }
}

impl LossFunction for Logistic {
    const D2_MAX: f64 = 0.25;
    const D2_MIN: f64 = 0.0;
    const D3_MAX: f64 = 0.096_225_044_864_937_63; // 1/(6√3)
    const CLASSES: bool = true;
    const FORMULA: &'static str = "log(1 + exp(-y z)), y = +-1";

    fn value<T: Real>(self, z: T, y: T) -> T {
        let m = y * z;
        (-m.abs()).real_exp().real_log1p() + (-m).max(T::zero())
    }
    fn d1<T: Real>(self, z: T, y: T) -> T {
        -y * sigmoid(-y * z)
    }
    fn d2<T: Real>(self, z: T, y: T) -> T {
        let e = (-(-y * z).abs()).real_exp(); // as in the slope, so that the compiler computes it once
        e / ((T::one() + e) * (T::one() + e))
    }
    fn d3<T: Real>(self, z: T, y: T) -> T {
        let e = (-z.abs()).real_exp();
        -self.d2(z, y) * z.signum() * (T::one() - e) / (T::one() + e)
    }
    fn d1_by_target<T: Real>(self, _z: T, _y: T) -> T {
        T::nan() // a class label has no derivative; `Objective` refuses the direction
    }
    /// The Kullback–Leibler divergence between Bernoulli(scale·q) and Bernoulli(q), `q = σ(−y z)`.
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let m = (-y * z).min(T::of(80.0)); // exp(80) is finite in f32
        let t = scale * sigmoid(m);
        t * scale.ln() + (T::one() - t) * ((T::one() - scale) * m.exp()).ln_1p()
    }
}
