//! Lasso penalty `l1 |x|` (Tibshirani 1996). WGSL twin: `shaders/penalty/l1.wgsl`.

use super::{
    Coupling, PenaltyCapabilities, PenaltyDerivatives, PenaltyDual, PenaltyFunction, Prox, Real, Ridge, Zeros,
};

/// `l1 |x|`: soft thresholding.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct L1;

impl super::Penalty {
    /// `alpha ‖coef‖₁`.
    pub fn l1() -> Self {
        super::Penalty::L1(L1)
    }
}

impl PenaltyFunction for L1 {
    type Dual = Self;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "alpha sum_j factor_j |coef_j|",
        convex: true,
        linear: true,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: Some(1.0),
        ridge: Ridge::Absent,
        zeros: Zeros::BothSides,
        step_limit: None,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        l1 * x.abs()
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let over = w.abs() - step * l1;
        if over > T::zero() {
            let sign = w.signum();
            Prox { value: sign * over, by_input: T::one(), by_l1: -step * sign, by_l2: T::zero() }
        } else {
            Prox::constant(T::zero())
        }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn derivatives(self, x: f64, l1: f64, _l2: f64) -> PenaltyDerivatives {
        let sign = x.signum();
        PenaltyDerivatives { d1: l1 * sign, d1_by_l1: sign, by_l1: x.abs(), ..PenaltyDerivatives::default() }
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![0.0]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        vec![L1]
    }
}

impl PenaltyDual for L1 {
    #[inline(always)]
    fn dual_ratio<T: Real>(self, v: T, l1: T, _l2: T) -> T {
        v.abs() / l1
    }
    #[inline(always)]
    fn gap<T: Real>(self, x: T, v: T, l1: T, _l2: T) -> T {
        l1 * x.abs() - x * v
    }
}
