//! Ridge penalty `½ l2 x²`, smooth and therefore part of `f`. WGSL twin: `shaders/penalty/l2.wgsl`.

use super::{PenaltyFunction, Prox, Real};

/// `½ l2 x²`; its gradient enters with the loss, the proximal map is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct L2;

impl PenaltyFunction for L2 {
    const USES_ALPHA: bool = true;
    const L1_RATIO: Option<f64> = Some(0.0);
    const RIDGE_IN_LOSS: bool = true;
    const RESTS_AT_ZERO: bool = false;
    const FORMULA: &'static str = "1/2 alpha sum_j factor_j coef_j^2";

    fn value<T: Real>(self, x: T, _l1: T, l2: T) -> T {
        T::of(0.5) * l2 * x * x
    }
    fn prox<T: Real>(self, w: T, _step: T, _l1: T, _l2: T) -> Prox<T> {
        Prox::identity(w)
    }
    fn dual_ratio<T: Real>(self, _v: T, _l1: T, l2: T) -> T {
        if l2 > T::zero() { T::zero() } else { T::infinity() }
    }
    fn gap<T: Real>(self, x: T, v: T, _l1: T, l2: T) -> T {
        let miss = l2 * x - v;
        T::of(0.5) * miss * miss / l2
    }
    fn is_active<T: Real>(self, _x: T) -> bool {
        true
    }
}
