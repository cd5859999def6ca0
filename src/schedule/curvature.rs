//! Curvature bounds of a lane, the input of step and momentum rules.

use num_dual::{Dual64, DualNum};

/// Curvature bounds of a lane's smooth loss and of its proximal part, in the metric of the run; as numbers,
/// or as dual numbers with a derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneCurvature<D = f64> {
    /// Lipschitz constant `L` of `∇f`.
    pub lipschitz: D,
    /// Strong convexity `m` of `f`.
    pub strong_convexity: D,
    /// Strong convexity of the proximal part.
    pub prox_strong_convexity: D,
}

impl LaneCurvature {
    /// The bounds with the derivative `tangent`.
    pub(crate) fn with_tangent(&self, tangent: &LaneCurvature) -> LaneCurvature<Dual64> {
        LaneCurvature {
            lipschitz: Dual64::new(self.lipschitz, tangent.lipschitz),
            strong_convexity: Dual64::new(self.strong_convexity, tangent.strong_convexity),
            prox_strong_convexity: Dual64::new(self.prox_strong_convexity, tangent.prox_strong_convexity),
        }
    }
}

/// Numbers that rules compute with: f64, or dual numbers.
pub(super) trait Number: DualNum<Primitive = f64> + Copy {}
impl<D: DualNum<Primitive = f64> + Copy> Number for D {}
