//! No penalty. WGSL twin: `shaders/penalty/none.wgsl`.

use super::{
    Coupling, NoDual, PenaltyCapabilities, PenaltyDerivatives, PenaltyFunction, Prox, Real, Ridge, Zeros,
};

/// No penalty: the proximal map is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct None;

impl super::Penalty {
    /// No penalty.
    pub fn none() -> Self {
        super::Penalty::None(None)
    }
}

impl PenaltyFunction for None {
    type Dual = NoDual;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "0",
        convex: true,
        linear: true,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: false,
        l1_ratio: Option::None,
        ridge: Ridge::Absent,
        zeros: Zeros::Absent,
        step_limit: Option::None,
    };

    fn dual(self) -> NoDual {
        NoDual
    }
    #[inline(always)]
    fn value<T: Real>(self, _x: T, _l1: T, _l2: T) -> T {
        T::zero()
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, _step: T, _l1: T, _l2: T) -> Prox<T> {
        Prox::identity(w)
    }
    #[inline(always)]
    fn is_active<T: Real>(self, _x: T) -> bool {
        true
    }
    fn derivatives(self, _x: f64, _l1: f64, _l2: f64) -> PenaltyDerivatives {
        PenaltyDerivatives::default()
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        vec![None]
    }
}
