//! Box constraint `lower ≤ x ≤ upper`. WGSL twin: `shaders/penalty/box.wgsl`.

use super::{
    Coupling, PenaltyCapabilities, PenaltyDerivatives, PenaltyDual, PenaltyFunction, Prox, Real, Ridge, Zeros,
};
use crate::error::Result;

/// The indicator of `[lower, upper]`: projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box {
    /// Lower bound; may be −∞.
    pub lower: f64,
    /// Upper bound; may be +∞.
    pub upper: f64,
}

impl Default for Box {
    /// `[−1, 1]`.
    fn default() -> Self {
        Box { lower: -1.0, upper: 1.0 }
    }
}

impl super::Penalty {
    /// The constraint `lower ≤ coef ≤ upper`.
    ///
    /// # Errors
    /// Bounds that are not numbers with `lower < upper`.
    pub fn bounds(lower: f64, upper: f64) -> Result<Self> {
        Box::default().with_parameters(&[lower, upper]).map(super::Penalty::Box)
    }
}

impl PenaltyFunction for Box {
    type Dual = Self;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "0, lower <= coef_j <= upper",
        convex: true,
        linear: true,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: false,
        l1_ratio: None,
        ridge: Ridge::Absent,
        zeros: Zeros::Absent,
        step_limit: None,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, _x: T, _l1: T, _l2: T) -> T {
        T::zero()
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, _step: T, _l1: T, _l2: T) -> Prox<T> {
        let (lower, upper) = (T::of(self.lower), T::of(self.upper));
        let inside = if w > lower && w < upper { T::one() } else { T::zero() };
        Prox { value: w.max(lower).min(upper), by_input: inside, by_l1: T::zero(), by_l2: T::zero() }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x > T::of(self.lower) && x < T::of(self.upper)
    }
    fn derivatives(self, _x: f64, _l1: f64, _l2: f64) -> PenaltyDerivatives {
        PenaltyDerivatives::default()
    }
    fn kinks(self, _l1: f64) -> Vec<f64> {
        vec![self.lower, self.upper]
    }
    fn domain(self) -> (f64, f64) {
        (self.lower, self.upper)
    }
    fn examples() -> Vec<Self> {
        vec![Box { lower: -1.0, upper: 1.0 }, Box { lower: -0.5, upper: 0.7 }]
    }
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![("lower", self.lower), ("upper", self.upper)]
    }
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        match values {
            [] => Ok(self),
            [lower, upper] if lower < upper => Ok(Box { lower: *lower, upper: *upper }),
            _ => Err(crate::objective::catalog::bad_parameters("box:LOWER:UPPER with LOWER < UPPER")),
        }
    }
}

impl PenaltyDual for Box {
    /// Feasible for every `v` between finite bounds; an infinite bound permits one sign only.
    #[inline(always)]
    fn dual_ratio<T: Real>(self, v: T, _l1: T, _l2: T) -> T {
        let open = (v > T::zero() && self.upper.is_infinite()) || (v < T::zero() && self.lower.is_infinite());
        if open { T::infinity() } else { T::zero() }
    }
    #[inline(always)]
    fn gap<T: Real>(self, x: T, v: T, _l1: T, _l2: T) -> T {
        if v > T::zero() {
            v * (T::of(self.upper) - x)
        } else if v < T::zero() {
            v * (T::of(self.lower) - x)
        } else {
            T::zero()
        }
    }
}
