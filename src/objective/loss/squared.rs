//! Squared loss, `φ(z, y) = ½ (z − y)²`. WGSL twin: `shaders/loss/squared.wgsl`.

use super::{LossFunction, Real};

/// `½ (z − y)²`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Squared;

impl LossFunction for Squared {
    const D2_MAX: f64 = 1.0;
    const D2_MIN: f64 = 1.0;
    const D3_MAX: f64 = 0.0;
    const CLASSES: bool = false;
    const FORMULA: &'static str = "1/2 (y - z)^2";

    fn value<T: Real>(self, z: T, y: T) -> T {
        let r = z - y;
        T::of(0.5) * r * r
    }
    fn d1<T: Real>(self, z: T, y: T) -> T {
        z - y
    }
    fn d2<T: Real>(self, _z: T, _y: T) -> T {
        T::one()
    }
    fn d3<T: Real>(self, _z: T, _y: T) -> T {
        T::zero()
    }
    fn d1_by_target<T: Real>(self, _z: T, _y: T) -> T {
        -T::one()
    }
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T {
        let miss = (T::one() - scale) * (z - y);
        T::of(0.5) * miss * miss
    }
}
