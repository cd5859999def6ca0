//! Huber's loss (Huber 1964), quadratic to `delta` and linear beyond. WGSL twin: `shaders/loss/huber.wgsl`.

use super::{
    Coupling, Curvature, CurvatureBounds, LossCapabilities, LossDual, LossFunction, Real, TargetDomain,
};
use crate::error::Result;

/// `½ r²` for `|r| ≤ delta`, `delta (|r| − delta/2)` beyond, `r = z − y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    /// The threshold, in units of the target.
    pub delta: f64,
}

impl Default for Huber {
    /// 1.35, Huber's choice for a target of unit noise.
    fn default() -> Self {
        Huber { delta: 1.35 }
    }
}

impl super::Loss {
    /// Huber's loss with threshold `delta > 0`, in units of the target.
    ///
    /// # Errors
    /// `delta` that is not a positive finite number.
    pub fn huber(delta: f64) -> Result<Self> {
        Huber::default().with_parameters(&[delta]).map(super::Loss::Huber)
    }
}

impl LossFunction for Huber {
    type Dual = Self;
    const CAPABILITIES: LossCapabilities = LossCapabilities {
        formula: "1/2 r^2 for |r| <= delta, else delta (|r| - delta/2), r = z - y",
        convex: true,
        target: TargetDomain::Real,
        curvature: Curvature::Bounded(CurvatureBounds { d2_max: 1.0, d2_min: 0.0, d3_max: f64::INFINITY }),
        least_squares: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
    };

    fn dual(self) -> Self {
        self
    }
    #[inline(always)]
    fn value<T: Real>(self, z: T, y: T) -> T {
        let (r, d) = ((z - y).abs(), T::of(self.delta));
        if r <= d { T::of(0.5) * r * r } else { d * (r - T::of(0.5) * d) }
    }
    #[inline(always)]
    fn d1<T: Real>(self, z: T, y: T) -> T {
        let d = T::of(self.delta);
        (z - y).min(d).max(-d)
    }
    #[inline(always)]
    fn d2<T: Real>(self, z: T, y: T) -> T {
        if (z - y).abs() < T::of(self.delta) { T::one() } else { T::zero() }
    }
    #[inline(always)]
    fn d3<T: Real>(self, _z: T, _y: T) -> T {
        T::zero()
    }
    #[inline(always)]
    fn d1_by_target<T: Real>(self, z: T, y: T) -> T {
        -self.d2(z, y)
    }
    fn kinks(self, y: f64) -> Vec<f64> {
        vec![y - self.delta, y + self.delta]
    }
    fn examples() -> Vec<Self> {
        vec![Huber { delta: 1.35 }, Huber { delta: 0.4 }]
    }
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![("delta", self.delta)]
    }
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        match values {
            [] => Ok(self),
            [delta] if *delta > 0.0 && delta.is_finite() => Ok(Huber { delta: *delta }),
            _ => Err(crate::objective::catalog::bad_parameters("huber:DELTA with a positive DELTA")),
        }
    }
}

impl LossDual for Huber {
    #[inline(always)]
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let (r, d) = ((z - y).abs(), T::of(self.delta));
        let (half, miss) = (T::of(0.5), T::one() - scale);
        if r <= d { half * miss * miss * r * r } else { miss * d * (r - half * d * (T::one() + scale)) }
    }
    fn divergence(self, z: f64, y: f64, u: f64) -> f64 {
        let (r, d) = (z - y, self.delta);
        if u.abs() > d {
            f64::INFINITY
        } else if r.abs() <= d {
            0.5 * (r - u) * (r - u)
        } else {
            let along = u * r.signum();
            (d - along) * (r.abs() - 0.5 * (d + along))
        }
    }
}
