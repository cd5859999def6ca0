//! Lasso penalty `l1 |x|` (Tibshirani 1996). WGSL twin: `shaders/penalty/l1.wgsl`.

use super::{PenaltyFunction, Prox, Real};

/// `l1 |x|`: soft thresholding.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct L1;

impl PenaltyFunction for L1 {
    const USES_ALPHA: bool = true;
    const L1_RATIO: Option<f64> = Some(1.0);
    const RIDGE_IN_LOSS: bool = false;
    const RESTS_AT_ZERO: bool = true;
    const FORMULA: &'static str = "alpha sum_j factor_j |coef_j|";

    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        l1 * x.abs()
    }
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let over = w.abs() - step * l1;
        if over > T::zero() {
            let sign = w.signum();
            Prox { value: sign * over, by_input: T::one(), by_l1: -step * sign, by_l2: T::zero() }
        } else {
            Prox { value: T::zero(), by_input: T::zero(), by_l1: T::zero(), by_l2: T::zero() }
        }
    }
    fn dual_ratio<T: Real>(self, v: T, l1: T, _l2: T) -> T {
        v.abs() / l1
    }
    fn gap<T: Real>(self, x: T, v: T, l1: T, _l2: T) -> T {
        l1 * x.abs() - x * v
    }
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn dual_slack(self, v: f64, l1: f64) -> f64 {
        v.abs() / l1
    }
}
