//! Elastic net `l1 |x| + ½ l2 x²` (Zou & Hastie 2005). WGSL twin: `shaders/penalty/elastic_net.wgsl`.

use super::{
    Coupling, PenaltyCapabilities, PenaltyDerivatives, PenaltyDual, PenaltyFunction, Prox, Real, Ridge, Zeros,
};

/// `l1 |x| + ½ l2 x²`: soft thresholding, then shrinkage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ElasticNet;

impl super::Penalty {
    /// `alpha·l1_ratio ‖coef‖₁ + ½ alpha (1−l1_ratio) ‖coef‖²`, both in the proximal map.
    pub fn elastic_net() -> Self {
        super::Penalty::ElasticNet(ElasticNet)
    }
}

impl PenaltyFunction for ElasticNet {
    type Dual = Self;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "alpha sum_j factor_j (l1_ratio |coef_j| + 1/2 (1 - l1_ratio) coef_j^2)",
        convex: true,
        linear: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: None,
        ridge: Ridge::InProx,
        zeros: Zeros::BothSides,
        step_limit: None,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, l1: T, l2: T) -> T {
        l1 * x.abs() + T::of(0.5) * l2 * x * x
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, step: T, l1: T, l2: T) -> Prox<T> {
        let over = w.abs() - step * l1;
        if over > T::zero() {
            let shrink = T::one() / (T::one() + step * l2);
            let sign = w.signum();
            let value = sign * over * shrink;
            Prox { value, by_input: shrink, by_l1: -step * sign * shrink, by_l2: -step * value * shrink }
        } else {
            Prox::constant(T::zero())
        }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn derivatives(self, x: f64, l1: f64, l2: f64) -> PenaltyDerivatives {
        let sign = x.signum();
        PenaltyDerivatives {
            d1: l1 * sign + l2 * x,
            d2: l2,
            d1_by_l1: sign,
            d1_by_l2: x,
            by_l1: x.abs(),
            by_l2: 0.5 * x * x,
        }
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![0.0]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        vec![ElasticNet]
    }
}

impl PenaltyDual for ElasticNet {
    /// With a ridge part every `v` is feasible.
    #[inline(always)]
    fn dual_ratio<T: Real>(self, v: T, l1: T, l2: T) -> T {
        if l2 > T::zero() { T::zero() } else { v.abs() / l1 }
    }
    #[inline(always)]
    fn gap<T: Real>(self, x: T, v: T, l1: T, l2: T) -> T {
        let clipped = v.min(l1).max(-l1);
        let lasso = l1 * x.abs() - x * clipped;
        if l2 > T::zero() {
            let miss = l2 * x - (v - clipped);
            lasso + T::of(0.5) * miss * miss / l2
        } else {
            lasso
        }
    }
}
