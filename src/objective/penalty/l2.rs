//! Ridge penalty `½ l2 x²`, smooth and therefore part of `f`. WGSL twin: `shaders/penalty/l2.wgsl`.

use super::{
    Coupling, PenaltyCapabilities, PenaltyDerivatives, PenaltyDual, PenaltyFunction, Prox, Real, Ridge, Zeros,
};

/// `½ l2 x²`; its gradient enters with the loss, the proximal map is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct L2;

impl super::Penalty {
    /// `½ alpha ‖coef‖²`, part of the smooth loss.
    pub fn l2() -> Self {
        super::Penalty::L2(L2)
    }
}

impl PenaltyFunction for L2 {
    type Dual = Self;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "1/2 alpha sum_j factor_j coef_j^2",
        convex: true,
        linear: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: Some(0.0),
        ridge: Ridge::InLoss,
        zeros: Zeros::Absent,
        step_limit: None,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, _l1: T, l2: T) -> T {
        T::of(0.5) * l2 * x * x
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, _step: T, _l1: T, _l2: T) -> Prox<T> {
        Prox::identity(w)
    }
    #[inline(always)]
    fn is_active<T: Real>(self, _x: T) -> bool {
        true
    }
    fn derivatives(self, x: f64, _l1: f64, l2: f64) -> PenaltyDerivatives {
        PenaltyDerivatives {
            d1: l2 * x,
            d2: l2,
            d1_by_l2: x,
            by_l2: 0.5 * x * x,
            ..PenaltyDerivatives::default()
        }
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        vec![L2]
    }
}

impl PenaltyDual for L2 {
    #[inline(always)]
    fn dual_ratio<T: Real>(self, _v: T, _l1: T, l2: T) -> T {
        if l2 > T::zero() { T::zero() } else { T::infinity() }
    }
    #[inline(always)]
    fn gap<T: Real>(self, x: T, v: T, _l1: T, l2: T) -> T {
        let miss = l2 * x - v;
        T::of(0.5) * miss * miss / l2
    }
}
