//! Non-negative lasso, `l1 x` for `x ≥ 0`. WGSL twin: `shaders/penalty/nonneg_l1.wgsl`.

use super::{
    Coupling, PenaltyCapabilities, PenaltyDerivatives, PenaltyDual, PenaltyFunction, Prox, Real, Ridge, Zeros,
};

/// `l1 x` with the constraint `x ≥ 0`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NonnegL1;

impl super::Penalty {
    /// `alpha Σ coef` over non-negative coefficients.
    pub fn nonneg_l1() -> Self {
        super::Penalty::NonnegL1(NonnegL1)
    }
}

impl PenaltyFunction for NonnegL1 {
    type Dual = Self;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "alpha sum_j factor_j coef_j, coef_j >= 0",
        convex: true,
        linear: true,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: Some(1.0),
        ridge: Ridge::Absent,
        zeros: Zeros::Below,
        step_limit: None,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        l1 * x
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let over = w - step * l1;
        if over > T::zero() {
            Prox { value: over, by_input: T::one(), by_l1: -step, by_l2: T::zero() }
        } else {
            Prox::constant(T::zero())
        }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x > T::zero()
    }
    fn derivatives(self, x: f64, l1: f64, _l2: f64) -> PenaltyDerivatives {
        PenaltyDerivatives { d1: l1, d1_by_l1: 1.0, by_l1: x, ..PenaltyDerivatives::default() }
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![0.0]
    }
    fn domain(self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        vec![NonnegL1]
    }
}

impl PenaltyDual for NonnegL1 {
    #[inline(always)]
    fn dual_ratio<T: Real>(self, v: T, l1: T, _l2: T) -> T {
        if v > T::zero() { v / l1 } else { T::zero() }
    }
    #[inline(always)]
    fn gap<T: Real>(self, x: T, v: T, l1: T, _l2: T) -> T {
        x * (l1 - v)
    }
}
