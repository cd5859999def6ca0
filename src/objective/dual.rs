//! The dual functions of losses and penalties, for the duality gap. An entry without a dual declares
//! [`NoDual`] and needs no dual functions, in Rust or in WGSL.

use crate::design::Real;

/// The dual part of a loss.
pub trait LossDual: Copy + Send + Sync + 'static {
    /// True if there is one.
    const PRESENT: bool = true;
    /// The Fenchel–Young term `φ(z) + φ*(u) − u z ≥ 0` at `u = scale · φ'(z)`, `0 < scale ≤ 1`: the loss's
    /// part of the duality gap, written without cancellation.
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T;
    /// The Fenchel–Young term `φ(z) + φ*(u) − u z ≥ 0` at any `u`, in f64; infinite where `φ*(u)` is.
    fn divergence(self, z: f64, y: f64, u: f64) -> f64;
}

/// The dual part of a penalty.
pub trait PenaltyDual: Copy + Send + Sync + 'static {
    /// True if there is one.
    const PRESENT: bool = true;
    /// The factor by which the dual point `v` must shrink to be feasible: `g*(v / ratio) < ∞`; at most 1 if
    /// it is feasible. Infinite if no scaling makes it feasible.
    fn dual_ratio<T: Real>(self, v: T, l1: T, l2: T) -> T;
    /// The Fenchel–Young term `g(x) + g*(v) − x v ≥ 0` at a feasible `v`: the penalty's part of the duality
    /// gap.
    fn gap<T: Real>(self, x: T, v: T, l1: T, l2: T) -> T;
}

/// The dual of an entry that has none: no scaling makes a point feasible, and there is no gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDual;

impl LossDual for NoDual {
    const PRESENT: bool = false;
    fn gap<T: Real>(self, _z: T, _y: T, _scale: T) -> T {
        T::nan()
    }
    fn divergence(self, _z: f64, _y: f64, _u: f64) -> f64 {
        f64::NAN
    }
}

impl PenaltyDual for NoDual {
    const PRESENT: bool = false;
    fn dual_ratio<T: Real>(self, _v: T, _l1: T, _l2: T) -> T {
        T::infinity()
    }
    fn gap<T: Real>(self, _x: T, _v: T, _l1: T, _l2: T) -> T {
        T::nan()
    }
}
