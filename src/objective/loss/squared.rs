//! Squared loss, `φ(z, y) = ½ (z − y)²`. WGSL twin: `shaders/loss/squared.wgsl`.

use super::{
    Coupling, Curvature, CurvatureBounds, LossCapabilities, LossDual, LossFunction, Real, TargetDomain,
};

/// `½ (z − y)²`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Squared;

impl super::Loss {
    /// `½ (z − y)²`.
    pub fn squared() -> Self {
        super::Loss::Squared(Squared)
    }
}

impl LossFunction for Squared {
    type Dual = Self;
    const CAPABILITIES: LossCapabilities = LossCapabilities {
        formula: "1/2 (y - z)^2",
        convex: true,
        target: TargetDomain::Real,
        curvature: Curvature::Bounded(CurvatureBounds { d2_max: 1.0, d2_min: 1.0, d3_max: 0.0 }),
        least_squares: true,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, z: T, y: T) -> T {
        let r = z - y;
        T::of(0.5) * r * r
    }
    #[inline(always)]
    fn d1<T: Real>(self, z: T, y: T) -> T {
        z - y
    }
    #[inline(always)]
    fn d2<T: Real>(self, _z: T, _y: T) -> T {
        T::one()
    }
    #[inline(always)]
    fn d3<T: Real>(self, _z: T, _y: T) -> T {
        T::zero()
    }
    #[inline(always)]
    fn d1_by_target<T: Real>(self, _z: T, _y: T) -> T {
        -T::one()
    }
    fn kinks(self, _y: f64) -> Vec<f64> {
        vec![]
    }
    fn examples() -> Vec<Self> {
        vec![Squared]
    }
}

impl LossDual for Squared {
    #[inline(always)]
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let miss = (T::one() - scale) * (z - y);
        T::of(0.5) * miss * miss
    }
    fn divergence(self, z: f64, y: f64, u: f64) -> f64 {
        0.5 * (z - y - u) * (z - y - u)
    }
}
