//! Penalties and their proximal maps: one file each, the twin of the WGSL fragment of its name.
//!
//! A penalty acts on each coefficient alone, with the strengths `l1 = alpha·l1_ratio·factor_j` and
//! `l2 = alpha·(1−l1_ratio)·factor_j`.

use crate::design::Real;
use crate::error::Result;
use crate::objective::catalog::catalog;

mod r#box;
mod elastic_net;
mod l1;
mod l2;
mod none;
mod nonneg_l1;

/// `x = prox_{step·g}(w)` with its partial derivatives. By the step: `∂x/∂step = −by_input (w − x)/step` for every
/// penalty, so it is not stored.
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
    pub fn identity(w: T) -> Self {
        Prox { value: w, by_input: T::one(), by_l1: T::zero(), by_l2: T::zero() }
    }
}

/// A convex penalty `g(x; l1, l2)` of one coefficient.
pub trait PenaltyFunction: Copy + Default + Send + Sync + 'static {
    /// Whether `alpha` enters at all.
    const USES_ALPHA: bool;
    /// The mix this penalty fixes; `None` where the lane's `l1_ratio` decides.
    const L1_RATIO: Option<f64>;
    /// Whether the ridge term `½ l2 x²` belongs to the smooth loss `f` instead of the proximal map.
    const RIDGE_IN_LOSS: bool;
    /// Whether `prox_{step·g}(w) = 0` wherever `|w| ≤ step·l1`: coefficients can rest at zero.
    const RESTS_AT_ZERO: bool;
    /// The penalty in words, for the objective in result files.
    const FORMULA: &'static str;

    /// `g(x)`; the ridge term is included wherever it is evaluated.
    fn value<T: Real>(self, x: T, l1: T, l2: T) -> T;
    /// The proximal map and its partials; the identity where the penalty is smooth and part of `f`.
    fn prox<T: Real>(self, w: T, step: T, l1: T, l2: T) -> Prox<T>;
    /// By how much the dual point `v` must shrink to be feasible: `g*(v / ratio) < ∞`; at most 1 where it is.
    fn dual_ratio<T: Real>(self, v: T, l1: T, l2: T) -> T;
    /// The Fenchel–Young term `g(x) + g*(v) − x v ≥ 0` at a feasible `v`: the penalty's part of the duality gap.
    fn gap<T: Real>(self, x: T, v: T, l1: T, l2: T) -> T;
    /// Whether `x` moves with its input (`∂prox ≠ 0`): the active set.
    fn is_active<T: Real>(self, x: T) -> bool;

    /// How near an inactive coefficient is to becoming active, from 0 (far) to 1 (at the kink), given `v = −∇_j f`; 0 where
    /// the penalty has no scale to measure it by.
    fn dual_slack(self, _v: f64, _l1: f64) -> f64 {
        0.0
    }

    /// Parameters as (name, value).
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![]
    }
    /// The same penalty with other parameters, in the order of [`parameters`](Self::parameters); none given keeps them.
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
}

impl Penalty {
    /// No penalty.
    pub fn none() -> Self {
        Penalty::None(none::None)
    }
    /// `½ alpha ‖coef‖²`, part of the smooth loss.
    pub fn l2() -> Self {
        Penalty::L2(l2::L2)
    }
    /// `alpha ‖coef‖₁`.
    pub fn l1() -> Self {
        Penalty::L1(l1::L1)
    }
    /// `alpha·l1_ratio ‖coef‖₁ + ½ alpha (1−l1_ratio) ‖coef‖²`, both in the proximal map.
    pub fn elastic_net() -> Self {
        Penalty::ElasticNet(elastic_net::ElasticNet)
    }
    /// `alpha Σ coef` over non-negative coefficients.
    pub fn nonneg_l1() -> Self {
        Penalty::NonnegL1(nonneg_l1::NonnegL1)
    }
    /// The constraint `lower ≤ coef ≤ upper`.
    ///
    /// # Errors
    /// Bounds that are not numbers with `lower < upper`.
    pub fn bounds(lower: f64, upper: f64) -> Result<Self> {
        r#box::Box::default().with_parameters(&[lower, upper]).map(Penalty::Box)
    }
    /// Whether `alpha` enters.
    pub fn uses_alpha(&self) -> bool {
        fn of<F: PenaltyFunction>(_: F) -> bool {
            F::USES_ALPHA
        }
        with_penalty!(*self, f => of(f))
    }
    /// The mix this penalty fixes; `None` where the lane's `l1_ratio` decides.
    pub fn l1_ratio(&self) -> Option<f64> {
        fn of<F: PenaltyFunction>(_: F) -> Option<f64> {
            F::L1_RATIO
        }
        with_penalty!(*self, f => of(f))
    }
    /// Whether the ridge term belongs to the smooth loss.
    pub fn ridge_in_loss(&self) -> bool {
        fn of<F: PenaltyFunction>(_: F) -> bool {
            F::RIDGE_IN_LOSS
        }
        with_penalty!(*self, f => of(f))
    }
    /// Whether coefficients can rest at zero.
    pub fn rests_at_zero(&self) -> bool {
        fn of<F: PenaltyFunction>(_: F) -> bool {
            F::RESTS_AT_ZERO
        }
        with_penalty!(*self, f => of(f))
    }
    /// The penalty in words.
    pub fn formula(&self) -> &'static str {
        fn of<F: PenaltyFunction>(_: F) -> &'static str {
            F::FORMULA
        }
        with_penalty!(*self, f => of(f))
    }
    /// `g(x)` in f64.
    pub fn value(&self, x: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.value(x, l1, l2))
    }
    /// The proximal map and its partials in f64.
    pub fn prox(&self, w: f64, step: f64, l1: f64, l2: f64) -> Prox<f64> {
        with_penalty!(*self, f => f.prox(w, step, l1, l2))
    }
    /// The dual shrinkage of `v` in f64.
    pub fn dual_ratio(&self, v: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.dual_ratio(v, l1, l2))
    }
    /// The Fenchel–Young term in f64.
    pub fn gap(&self, x: f64, v: f64, l1: f64, l2: f64) -> f64 {
        with_penalty!(*self, f => f.gap(x, v, l1, l2))
    }
    /// How near an inactive coefficient is to becoming active.
    pub fn dual_slack(&self, v: f64, l1: f64) -> f64 {
        with_penalty!(*self, f => f.dual_slack(v, l1))
    }
    /// Whether `x` moves with its input.
    pub fn is_active(&self, x: f64) -> bool {
        with_penalty!(*self, f => f.is_active(x))
    }
}
