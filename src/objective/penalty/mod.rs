//! Penalties and their proximal maps: one file each, with a WGSL twin of the same name.
//!
//! A penalty acts on each coefficient alone, with the strengths `l1 = alpha·l1_ratio·factor_j` and
//! `l2 = alpha·(1−l1_ratio)·factor_j`.

use super::capabilities::{Coupling, PenaltyCapabilities, Ridge, StepLimit, Zeros};
use super::dual::{NoDual, PenaltyDual};
use crate::design::Real;
use crate::error::Result;
use crate::objective::catalog::catalog;

mod r#box;
mod elastic_net;
mod l1;
mod l2;
mod mcp;
mod none;
mod nonneg_l1;
mod scad;

/// `x = prox_{step·g}(w)` with its partial derivatives. By the step: `∂x/∂step = −by_input (w − x)/step` for
/// every penalty, so it is not stored.
#[derive(Debug, Clone, Copy)]
pub struct Prox<T> {
    /// `x`.
    pub value: T,
    /// `∂x/∂w`.
    pub by_input: T,
    /// `∂x/∂l1`.
    pub by_l1: T,
    /// `∂x/∂l2`.
    pub by_l2: T,
}

impl<T: Real> Prox<T> {
    /// The proximal map of an unpenalised coefficient.
    #[inline(always)]
    pub fn identity(w: T) -> Self {
        Prox { value: w, by_input: T::one(), by_l1: T::zero(), by_l2: T::zero() }
    }
    /// The proximal map if the result does not depend on its input.
    #[inline(always)]
    pub fn constant(value: T) -> Self {
        Prox { value, by_input: T::zero(), by_l1: T::zero(), by_l2: T::zero() }
    }
}

/// Derivatives of `g` at a point where it is smooth: the penalty's part of the implicit solution on the
/// manifold of the active coefficients, and of the objective's own derivative.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PenaltyDerivatives {
    /// `g'(x)`.
    pub d1: f64,
    /// `g''(x)`; negative where `g` is concave.
    pub d2: f64,
    /// `∂g'(x)/∂l1`.
    pub d1_by_l1: f64,
    /// `∂g'(x)/∂l2`.
    pub d1_by_l2: f64,
    /// `∂g(x)/∂l1`.
    pub by_l1: f64,
    /// `∂g(x)/∂l2`.
    pub by_l2: f64,
}

/// A penalty `g(x; l1, l2)` of one coefficient.
pub trait PenaltyFunction: Copy + Default + Send + Sync + 'static {
    /// The capabilities of the penalty.
    const CAPABILITIES: PenaltyCapabilities;
    /// Its dual functions: the penalty itself, or [`NoDual`].
    type Dual: PenaltyDual;
    /// True if the ridge term belongs to the smooth function `f`.
    const RIDGE_IN_LOSS: bool = matches!(Self::CAPABILITIES.ridge, Ridge::InLoss);

    /// The dual.
    fn dual(self) -> Self::Dual;
    /// `g(x)`, including the ridge term even if it belongs to `f`.
    fn value<T: Real>(self, x: T, l1: T, l2: T) -> T;
    /// The proximal map and its partials; the identity if the penalty is smooth and part of `f`.
    fn prox<T: Real>(self, w: T, step: T, l1: T, l2: T) -> Prox<T>;
    /// True if `x` is in the active set: it depends on its input (`∂prox ≠ 0`).
    fn is_active<T: Real>(self, x: T) -> bool;
    /// Derivatives of `g` at an active `x` that is not a kink.
    fn derivatives(self, x: f64, l1: f64, l2: f64) -> PenaltyDerivatives;
    /// The kinks: every `x` where `g` is not twice differentiable, ascending.
    fn kinks(self, l1: f64) -> Vec<f64>;
    /// The interval `[lower, upper]` where `g` is finite.
    fn domain(self) -> (f64, f64);
    /// The penalty with representative parameters, for the tests that all entries share.
    fn examples() -> Vec<Self>;

    /// Parameters as (name, value).
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![]
    }
    /// The same penalty with other parameters, in the order of [`parameters`](Self::parameters); none given
    /// keeps them.
    ///
    /// # Errors
    /// A wrong number of parameters, or one out of range.
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        if values.is_empty() { Ok(self) } else { Err(super::catalog::bad_parameters("no parameters")) }
    }
}

catalog! {
    /// The penalties. To add one: its file here, its twin in `shaders/penalty`, one line below.
    Penalty, "penalty", with_penalty,
    None(none, "none"),
    L2(l2, "l2"),
    L1(l1, "l1"),
    ElasticNet(elastic_net, "elastic_net"),
    NonnegL1(nonneg_l1, "nonneg_l1"),
    Box(r#box, "box"),
    Mcp(mcp, "mcp"),
    Scad(scad, "scad"),
}

impl Penalty {
    /// The capabilities of the penalty.
    pub fn capabilities(&self) -> PenaltyCapabilities {
        fn of<F: PenaltyFunction>(_: F) -> PenaltyCapabilities {
            F::CAPABILITIES
        }
        with_penalty!(*self, f => of(f))
    }
    /// True if it has dual functions.
    pub fn has_dual(&self) -> bool {
        fn of<F: PenaltyFunction>(_: F) -> bool {
            F::Dual::PRESENT
        }
        with_penalty!(*self, f => of(f))
    }
    /// True if the penalty depends on `alpha`.
    pub fn uses_alpha(&self) -> bool {
        self.capabilities().alpha
    }
    /// The `l1_ratio` that the penalty fixes; `None` if the lane's is used.
    pub fn l1_ratio(&self) -> Option<f64> {
        self.capabilities().l1_ratio
    }
    /// True if the ridge term belongs to the smooth loss.
    pub fn ridge_in_loss(&self) -> bool {
        self.capabilities().ridge == Ridge::InLoss
    }
    /// The limit that steps must stay below, with its value.
    pub fn step_limit(&self) -> Option<(StepLimit, f64)> {
        let limit = self.capabilities().step_limit?;
        let (_, value) = self.parameters().into_iter().find(|(name, _)| *name == limit.parameter)?;
        Some((limit, value + limit.offset))
    }
    /// `g(x)` in f64.
    pub fn value(&self, x: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.value(x, l1, l2))
    }
    /// The proximal map and its partials in f64.
    pub fn prox(&self, w: f64, step: f64, l1: f64, l2: f64) -> Prox<f64> {
        with_penalty!(*self, f => f.prox(w, step, l1, l2))
    }
    /// True if `x` is in the active set: it depends on its input.
    pub fn is_active(&self, x: f64) -> bool {
        with_penalty!(*self, f => f.is_active(x))
    }
    /// Derivatives of `g` at an active `x` that is not a kink.
    pub fn derivatives(&self, x: f64, l1: f64, l2: f64) -> PenaltyDerivatives {
        with_penalty!(*self, f => f.derivatives(x, l1, l2))
    }
    /// Every `x` where `g` is not twice differentiable, ascending.
    pub fn kinks(&self, l1: f64) -> Vec<f64> {
        with_penalty!(*self, f => f.kinks(l1))
    }
    /// The interval `[lower, upper]` where `g` is finite.
    pub fn domain(&self) -> (f64, f64) {
        with_penalty!(*self, f => f.domain())
    }
    /// The dual shrinkage of `v` in f64.
    pub fn dual_ratio(&self, v: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.dual().dual_ratio(v, l1, l2))
    }
    /// The Fenchel–Young term in f64.
    pub fn gap(&self, x: f64, v: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.dual().gap(x, v, l1, l2))
    }
}
