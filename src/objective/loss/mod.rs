//! Losses `φ(z, y)` of a prediction `z` and a target `y`: one file each, the twin of the WGSL fragment of its name.

use crate::design::Real;
use crate::error::Result;
use crate::objective::catalog::catalog;

mod huber;
mod logistic;
mod squared;

/// A pointwise convex loss. All functions are of one sample; kernels apply weights and the chain rule.
pub trait LossFunction: Copy + Default + Send + Sync + 'static {
    /// Largest curvature `sup φ''`: the data part of the Lipschitz constant is `D2_MAX · λ_max(Xᵀ diag(ω) X)`.
    const D2_MAX: f64;
    /// Smallest curvature `inf φ''`.
    const D2_MIN: f64;
    /// `sup |∂³φ/∂z³|`, a Lipschitz constant of the curvature; infinite where the curvature jumps.
    const D3_MAX: f64;
    /// Whether the target is a class label, encoded as −1 and +1.
    const CLASSES: bool;
    /// The loss in words, for the objective in result files.
    const FORMULA: &'static str;

    /// `φ(z, y)`.
    fn value<T: Real>(self, z: T, y: T) -> T;
    /// `∂φ/∂z`.
    fn d1<T: Real>(self, z: T, y: T) -> T;
    /// `∂²φ/∂z²`; at a kink, the value on the side of the smaller curvature.
    fn d2<T: Real>(self, z: T, y: T) -> T;
    /// `∂³φ/∂z³`, for derivatives of a metric made of curvatures; 0 where the curvature is piecewise constant.
    fn d3<T: Real>(self, z: T, y: T) -> T;
    /// `∂²φ/∂z∂y`, for derivatives with respect to the target; not called for classes.
    fn d1_by_target<T: Real>(self, z: T, y: T) -> T;
    /// The Fenchel–Young term `φ(z) + φ*(u) − u z ≥ 0` at `u = scale · ∂φ/∂z`, `0 < scale ≤ 1`: the loss's part of the
    /// duality gap, written without cancellation.
    fn gap<T: Real>(self, z: T, y: T, scale: T) -> T;

    /// Parameters as (name, value).
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![]
    }
    /// The same loss with other parameters, in the order of [`parameters`](Self::parameters); none given keeps them.
    ///
    /// # Errors
    /// A wrong number of parameters, or one out of range.
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        if values.is_empty() { Ok(self) } else { Err(super::catalog::bad_parameters("no parameters")) }
    }
}

catalog! {
    /// The losses. To add one: its file here, its twin in `shaders/loss`, one line below.
    Loss, "loss", with_loss,
    Squared(squared, "squared"),
    Logistic(logistic, "logistic"),
    Huber(huber, "huber"),
}

impl Loss {
    /// `½ (z − y)²`.
    pub fn squared() -> Self {
        Loss::Squared(squared::Squared)
    }
    /// `log(1 + exp(−y z))`, `y = ±1`.
    pub fn logistic() -> Self {
        Loss::Logistic(logistic::Logistic)
    }
    /// Huber's loss with threshold `delta > 0`, in units of the target.
    ///
    /// # Errors
    /// `delta` that is not a positive finite number.
    pub fn huber(delta: f64) -> Result<Self> {
        huber::Huber::default().with_parameters(&[delta]).map(Loss::Huber)
    }
    /// Whether the target is a class label.
    pub fn classes(&self) -> bool {
        fn of<F: LossFunction>(_: F) -> bool {
            F::CLASSES
        }
        with_loss!(*self, f => of(f))
    }
    /// (`sup φ''`, `inf φ''`).
    pub fn curvature(&self) -> (f64, f64) {
        fn of<F: LossFunction>(_: F) -> (f64, f64) {
            (F::D2_MAX, F::D2_MIN)
        }
        with_loss!(*self, f => of(f))
    }
    /// `sup |∂³φ/∂z³|`.
    pub fn d3_max(&self) -> f64 {
        fn of<F: LossFunction>(_: F) -> f64 {
            F::D3_MAX
        }
        with_loss!(*self, f => of(f))
    }
    /// The loss of one sample in words.
    pub fn formula(&self) -> &'static str {
        fn of<F: LossFunction>(_: F) -> &'static str {
            F::FORMULA
        }
        with_loss!(*self, f => of(f))
    }
    /// `φ(z, y)` in f64.
    pub fn value(&self, z: f64, y: f64) -> f64 {
        with_loss!(*self, f => f.value(z, y))
    }
    /// `∂φ/∂z` in f64.
    pub fn d1(&self, z: f64, y: f64) -> f64 {
        with_loss!(*self, f => f.d1(z, y))
    }
    /// `∂²φ/∂z²` in f64.
    pub fn d2(&self, z: f64, y: f64) -> f64 {
        with_loss!(*self, f => f.d2(z, y))
    }
    /// `∂³φ/∂z³` in f64.
    pub fn d3(&self, z: f64, y: f64) -> f64 {
        with_loss!(*self, f => f.d3(z, y))
    }
    /// `∂²φ/∂z∂y` in f64.
    pub fn d1_by_target(&self, z: f64, y: f64) -> f64 {
        with_loss!(*self, f => f.d1_by_target(z, y))
    }
    /// The Fenchel–Young term at `scale · slope`, in f64.
    pub fn gap(&self, z: f64, y: f64, scale: f64) -> f64 {
        with_loss!(*self, f => f.gap(z, y, scale))
    }
}
