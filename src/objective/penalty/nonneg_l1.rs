//! Non-negative lasso, `l1 x` for `x ≥ 0`. WGSL twin: `shaders/penalty/nonneg_l1.wgsl`.

use super::{PenaltyFunction, Prox, Real};

/// `l1 x` with the constraint `x ≥ 0`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NonnegL1;

impl PenaltyFunction for NonnegL1 {
    const USES_ALPHA: bool = true;
    const L1_RATIO: Option<f64> = Some(1.0);
    const RIDGE_IN_LOSS: bool = false;
    const RESTS_AT_ZERO: bool = true;
    const FORMULA: &'static str = "alpha sum_j factor_j coef_j, coef_j >= 0";

    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        l1 * x
    }
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let over = w - step * l1;
        if over > T::zero() {
            Prox { value: over, by_input: T::one(), by_l1: -step, by_l2: T::zero() }
        } else {
            Prox { value: T::zero(), by_input: T::zero(), by_l1: T::zero(), by_l2: T::zero() }
        }
    }
    fn dual_ratio<T: Real>(self, v: T, l1: T, _l2: T) -> T {
        if v > T::zero() { v / l1 } else { T::zero() }
    }
    fn gap<T: Real>(self, x: T, v: T, l1: T, _l2: T) -> T {
        x * (l1 - v)
    }
    fn is_active<T: Real>(self, x: T) -> bool {
        x > T::zero()
    }
    fn dual_slack(self, v: f64, l1: f64) -> f64 {
        v.max(0.0) / l1
    }
}
