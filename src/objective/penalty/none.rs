//! No penalty. WGSL twin: `shaders/penalty/none.wgsl`.

use super::{PenaltyFunction, Prox, Real};

/// No penalty: the proximal map is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct None;

impl PenaltyFunction for None {
    const USES_ALPHA: bool = false;
    const L1_RATIO: Option<f64> = Option::None;
    const RIDGE_IN_LOSS: bool = false;
    const RESTS_AT_ZERO: bool = false;
    const FORMULA: &'static str = "0";

    fn value<T: Real>(self, _x: T, _l1: T, _l2: T) -> T {
        T::zero()
    }
    fn prox<T: Real>(self, w: T, _step: T, _l1: T, _l2: T) -> Prox<T> {
        Prox::identity(w)
    }
    /// `g*` is finite at 0 alone, which no scaling reaches.
    fn dual_ratio<T: Real>(self, _v: T, _l1: T, _l2: T) -> T {
        T::infinity()
    }
    fn gap<T: Real>(self, _x: T, _v: T, _l1: T, _l2: T) -> T {
        T::zero()
    }
    fn is_active<T: Real>(self, _x: T) -> bool {
        true
    }
}
