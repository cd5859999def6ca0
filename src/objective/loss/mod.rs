//! Losses `φ(z, y)` of a prediction `z` and a target `y`: one file each, with a WGSL twin of the same name.

use super::capabilities::{Coupling, Curvature, CurvatureBounds, LossCapabilities, TargetDomain};
use super::dual::LossDual;
use crate::design::Real;
use crate::error::Result;
use crate::objective::catalog::catalog;

mod huber;
mod logistic;
mod squared;

/// A loss of one sample: kernels apply weights and the chain rule.
pub trait LossFunction: Copy + Default + Send + Sync + 'static {
    /// The capabilities of the loss.
    const CAPABILITIES: LossCapabilities;
    /// Its dual function: the loss itself, or [`NoDual`](super::NoDual).
    type Dual: LossDual;

    /// The dual.
    fn dual(self) -> Self::Dual;
    /// `φ(z, y)`.
    fn value<T: Real>(self, z: T, y: T) -> T;
    /// `∂φ/∂z`.
    fn d1<T: Real>(self, z: T, y: T) -> T;
    /// `∂²φ/∂z²`; at a kink, the value on the side of the smaller curvature.
    fn d2<T: Real>(self, z: T, y: T) -> T;
    /// `∂³φ/∂z³`, for derivatives of a Hessian metric; 0 if the curvature is piecewise constant.
    fn d3<T: Real>(self, z: T, y: T) -> T;
    /// `∂²φ/∂z∂y`, for derivatives with respect to the target; not called for classes.
    fn d1_by_target<T: Real>(self, z: T, y: T) -> T;
    /// The kinks: every `z` where `φ(·, y)` is not three times differentiable.
    fn kinks(self, y: f64) -> Vec<f64>;
    /// The loss with representative parameters, for the tests that all entries share.
    fn examples() -> Vec<Self>;

    /// Parameters as (name, value).
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![]
    }
    /// The same loss with other parameters, in the order of [`parameters`](Self::parameters); none given
    /// keeps them.
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
    /// The capabilities of the loss.
    pub fn capabilities(&self) -> LossCapabilities {
        fn of<F: LossFunction>(_: F) -> LossCapabilities {
            F::CAPABILITIES
        }
        with_loss!(*self, f => of(f))
    }
    /// True if it has a dual function.
    pub fn has_dual(&self) -> bool {
        fn of<F: LossFunction>(_: F) -> bool {
            F::Dual::PRESENT
        }
        with_loss!(*self, f => of(f))
    }
    /// True if the target is a class label.
    pub fn classes(&self) -> bool {
        self.capabilities().target == TargetDomain::Classes
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
    /// Every `z` where `φ(·, y)` is not three times differentiable.
    pub fn kinks(&self, y: f64) -> Vec<f64> {
        with_loss!(*self, f => f.kinks(y))
    }
    /// The Fenchel–Young term at `scale · φ'(z)`, in f64.
    pub fn gap(&self, z: f64, y: f64, scale: f64) -> f64 {
        with_loss!(*self, f => f.dual().gap(z, y, scale))
    }
    /// The Fenchel–Young term `φ(z) + φ*(u) − u z` at any `u`; infinite where `φ*(u)` is, NaN without a dual.
    pub fn divergence(&self, z: f64, y: f64, u: f64) -> f64 {
        with_loss!(*self, f => f.dual().divergence(z, y, u))
    }
}
