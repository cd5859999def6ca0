//! Huber's loss (Huber 1964), quadratic to `delta` and linear beyond. WGSL twin: `shaders/loss/huber.wgsl`.

use super::{LossFunction, Real};
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

impl LossFunction for Huber {
    const D2_MAX: f64 = 1.0;
    const D2_MIN: f64 = 0.0;
    const D3_MAX: f64 = f64::INFINITY;
    const CLASSES: bool = false;
    const FORMULA: &'static str = "1/2 r^2 for |r| <= delta, else delta (|r| - delta/2), r = z - y";

    fn value<T: Real>(self, z: T, y: T) -> T {
        let (r, d) = ((z - y).abs(), T::of(self.delta));
        if r <= d { T::of(0.5) * r * r } else { d * (r - T::of(0.5) * d) }
    }
    fn d1<T: Real>(self, z: T, y: T) -> T {
        let d = T::of(self.delta);
        (z - y).min(d).max(-d)
    }
    fn d2<T: Real>(self, z: T, y: T) -> T {
        if (z - y).abs() < T::of(self.delta) { T::one() } else { T::zero() }
    }
    fn d3<T: Real>(self, _z: T, _y: T) -> T {
        T::zero()
    }
    fn d1_by_target<T: Real>(self, z: T, y: T) -> T {
        -self.d2(z, y)
    }
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let (r, d) = ((z - y).abs(), T::of(self.delta));
        let (half, miss) = (T::of(0.5), T::one() - scale);
        if r <= d { half * miss * miss * r * r } else { miss * d * (r - half * d * (T::one() + scale)) }
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
