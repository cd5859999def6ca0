//! The objective: a loss, a penalty and a data set, prepared once for every lane.
//!
//! `minimise  Σ_i ω_i φ(z_i, y_i) + Σ_j g(coef_j; alpha, l1_ratio, factor_j)`, `z = X coef + intercept`, with
//! the weights normalised to `Σ ω = 1`. The intercept is never penalised.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::data::Standardization;
use crate::design::{Design, SparseSizes};

mod bounds;
mod builder;
mod capabilities;
pub(crate) mod catalog;
mod classes;
mod derivative;
mod dual;
mod folds;
mod loss;
mod null_model;
mod penalty;
mod requirements;
mod robust_scale;
mod score;
mod triangle;

pub use crate::design::{Real, Spectrum};
pub use builder::ObjectiveBuilder;
pub use capabilities::{
    Coupling, Curvature, CurvatureBounds, LossCapabilities, PenaltyCapabilities, Ridge, StepLimit,
    TargetDomain, Zeros,
};
pub use derivative::Derivative;
pub use dual::{LossDual, NoDual, PenaltyDual};
pub(crate) use folds::FoldWeights;
pub(crate) use loss::with_loss;
pub use loss::{Loss, LossFunction};
pub(crate) use penalty::with_penalty;
pub use penalty::{Penalty, PenaltyDerivatives, PenaltyFunction, Prox};
pub use requirements::{Missing, Need};

/// The handling of the intercept.
#[derive(Debug, Clone)]
pub(crate) enum Intercept {
    /// None.
    Absent,
    /// Squared loss: design and target are centred, and the intercept follows from their means.
    Centred { x_mean: Array1<f64>, y_mean: f64 },
    /// Otherwise: a last column of ones, exempt from the penalty. The other columns are centred by `x_mean`,
    /// and the target is shifted by `shift`; iterations start at `start` (zeros if the design is used as
    /// given).
    Column { x_mean: Array1<f64>, shift: f64, start: f64 },
}

/// Rows held out of the fit, in the coordinates of the fitted design.
#[derive(Debug, Clone)]
pub(crate) struct HeldOut {
    pub(crate) design: Design,
    pub(crate) target: Array1<f64>,
    pub(crate) weight: Array1<f64>,
    /// Numbers of the rows in the data as given.
    pub(crate) rows: Vec<usize>,
}

/// The minimised function. Built by [`Objective::builder`]; immutable.
#[derive(Debug, Clone)]
pub struct Objective {
    /// `[n, q]`: the solver's design; `q = p`, or `p + 1` with an intercept column.
    pub(crate) design: Design,
    /// `[n]`: centred, or encoded as ±1 for classes.
    pub(crate) target: Array1<f64>,
    /// `[n]`, sums to 1.
    pub(crate) weight: Array1<f64>,
    /// `[p]`.
    pub(crate) penalty_factors: Array1<f64>,
    pub(crate) intercept: Intercept,
    pub(crate) held_out: Option<HeldOut>,
    /// Empty unless lanes are fitted on folds of the rows.
    pub(crate) folds: Arc<Vec<FoldWeights>>,
    /// Times that they are repeated.
    pub(crate) repeats: usize,
    loss: Loss,
    penalty: Penalty,
    curvature: CurvatureBounds,
    spectrum: Spectrum,
    feature_names: Vec<String>,
    classes: Option<[String; 2]>,
    source: String,
    target_name: String,
    standardization: Option<Standardization>,
}

/// Sizes of the data, for result files.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Shape {
    /// Rows `n`.
    pub rows: usize,
    /// Features `p`.
    pub features: usize,
    /// Held-out rows; 0 without a validation split.
    pub validation_rows: usize,
    /// Folds of all repeats; 0 without.
    pub folds: usize,
    /// Times that the folds are repeated; 1 without folds.
    pub repeats: usize,
}

impl Objective {
    /// Sizes of the data.
    pub fn shape(&self) -> Shape {
        Shape {
            rows: self.design.rows(),
            features: self.features(),
            validation_rows: self.held_out.as_ref().map_or(0, |v| v.target.len()),
            folds: self.folds.len(),
            repeats: self.repeats,
        }
    }
    /// Sizes of a sparse design, and of its held-out rows; `None` if the design is dense.
    pub fn stored(&self) -> Option<[SparseSizes; 2]> {
        let held_out = self.held_out.as_ref().and_then(|h| h.design.stored());
        self.design.stored().map(|design| [design, held_out.unwrap_or_default()])
    }
    /// The columns whose coefficients may differ from zero, if others cannot: a column of a sparse design
    /// that has no entries keeps a coefficient that starts at zero, and its derivatives. `start` is `[_, q]`.
    pub(crate) fn moving_columns(&self, start: Option<&Array2<f64>>) -> Option<Vec<usize>> {
        let Design::Sparse(design) = &self.design else { return None };
        let (lower, upper) = self.penalty().domain();
        let rests = |j: usize| start.is_none_or(|rows| rows.column(j).iter().all(|v| *v == 0.0));
        let filled = design.filled_columns();
        let moving: Vec<usize> = (0..filled.len()).filter(|j| filled[*j] || !rests(*j)).collect();
        // To leave out a few is not worth a copy of the design.
        let pays = !moving.is_empty() && 10 * moving.len() < 9 * filled.len();
        (pays && lower <= 0.0 && upper >= 0.0).then_some(moving)
    }
    /// The objective of these rows of the state, ascending, an intercept column among them; the others are
    /// zero. Names and held-out rows are left out.
    pub(crate) fn of_columns(&self, columns: &[usize]) -> Objective {
        let features = &columns[..columns.partition_point(|j| *j < self.features())];
        let mean = |of: &Array1<f64>| of.select(Axis(0), features);
        let intercept = match &self.intercept {
            Intercept::Absent => Intercept::Absent,
            Intercept::Centred { x_mean, y_mean } => {
                Intercept::Centred { x_mean: mean(x_mean), y_mean: *y_mean }
            }
            Intercept::Column { x_mean, shift, start } => {
                Intercept::Column { x_mean: mean(x_mean), shift: *shift, start: *start }
            }
        };
        Objective {
            design: self.design.with_columns(columns),
            target: self.target.clone(),
            weight: self.weight.clone(),
            penalty_factors: self.penalty_factors.select(Axis(0), features),
            intercept,
            held_out: None,
            folds: Arc::default(),
            repeats: 1,
            loss: self.loss,
            penalty: self.penalty,
            curvature: self.curvature,
            spectrum: self.spectrum,
            feature_names: Vec::new(),
            classes: None,
            source: String::new(),
            target_name: String::new(),
            standardization: None,
        }
    }
    /// Features `p`, without an intercept column.
    pub fn features(&self) -> usize {
        self.penalty_factors.len()
    }
    /// Rows of the state: `p`, or `p + 1` with an intercept column.
    pub fn state_rows(&self) -> usize {
        self.design.columns()
    }
    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }
    /// The penalty.
    pub fn penalty(&self) -> Penalty {
        self.penalty
    }
    /// True if an intercept is fitted.
    pub fn has_intercept(&self) -> bool {
        !matches!(self.intercept, Intercept::Absent)
    }
    /// Bounds on the curvature `φ''` of the loss.
    pub fn curvature(&self) -> CurvatureBounds {
        self.curvature
    }
    /// Bounds on the curvature of the data part `f` (without the ridge of penalty `l2`).
    pub fn spectrum(&self) -> &Spectrum {
        &self.spectrum
    }
    /// Feature names, `p` of them.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }
    /// The two classes, the positive one last, for a loss on classes.
    pub fn classes(&self) -> Option<&[String; 2]> {
        self.classes.as_ref()
    }
    /// The source of the data.
    pub fn source(&self) -> &str {
        &self.source
    }
    /// Name of the target.
    pub fn target_name(&self) -> &str {
        &self.target_name
    }
    /// The standardisation of the data.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardization.as_ref()
    }

    /// The objective in words, for result files.
    pub fn in_words(&self) -> String {
        let parameters =
            |list: Vec<(&str, f64)>| list.iter().map(|(k, v)| format!(", {k} = {v}")).collect::<String>();
        format!(
            "minimise 1/(sum_i w_i) sum_i w_i phi(z_i, y_i) + g(coef), z = X coef{}; \
             phi(z, y) = {}{}; g = {}{}{}",
            if self.has_intercept() { " + intercept (not penalised)" } else { "" },
            self.loss.capabilities().formula,
            parameters(self.loss.parameters()),
            self.penalty.capabilities().formula,
            parameters(self.penalty.parameters()),
            if self.penalty_factors.iter().all(|f| *f == 1.0) { "; factor_j = 1" } else { "" },
        )
    }

    /// Adds `by` (in units of the given target, `[n]`) to the target.
    pub(crate) fn shift_target(&mut self, by: &Array1<f64>) {
        self.target += by;
        if let Intercept::Centred { y_mean, .. } = &mut self.intercept {
            let mean = self.weight.dot(by);
            self.target -= mean;
            *y_mean += mean;
            // Held-out rows stay, but not the origin of their target.
            if let Some(held_out) = &mut self.held_out {
                held_out.target -= mean;
            }
        }
    }

    /// The objective at coefficients `x`, `[q]`, with predictions `z`, for strengths `(l1, l2)`.
    pub(crate) fn value(&self, z: &Array1<f64>, x: ArrayView1<'_, f64>, (l1, l2): (f64, f64)) -> f64 {
        let factors = self.penalty_factors.iter().zip(x);
        self.loss_at(z) + factors.map(|(f, x)| self.penalty.value(*x, l1 * f, l2 * f)).sum::<f64>()
    }

    /// The intercept of a state column `[q]`. `dy_mean` is the mean of the target's tangent in this
    /// direction, and `primal` is true for the iterate and false for a tangent.
    pub(crate) fn intercept_of(&self, column: ArrayView1<'_, f64>, primal: bool, dy_mean: f64) -> f64 {
        match &self.intercept {
            Intercept::Absent => 0.0,
            Intercept::Centred { x_mean, y_mean } => {
                let coef = column.slice_axis(Axis(0), (..self.features()).into());
                (if primal { *y_mean } else { dy_mean }) - x_mean.dot(&coef)
            }
            Intercept::Column { x_mean, shift, .. } => {
                let coef = column.slice_axis(Axis(0), (..self.features()).into());
                column[self.features()] - x_mean.dot(&coef) + if primal { *shift } else { 0.0 }
            }
        }
    }

    /// A state column `[q]` with every coefficient in the penalty's domain, which arithmetic in f32 may leave
    /// by a rounding.
    pub(crate) fn within_domain(&self, state: ArrayView1<'_, f64>) -> Array1<f64> {
        let (lower, upper) = self.penalty.domain();
        let mut state = state.to_owned();
        // A NaN stays one.
        let clamp = |v: f64| {
            if v < lower {
                lower
            } else if v > upper {
                upper
            } else {
                v
            }
        };
        state.iter_mut().take(self.features()).for_each(|v| *v = clamp(*v));
        state
    }

    /// A state column `[q]` at which iterations start: these coefficients, or zeros, and the intercept of
    /// the null model.
    pub(crate) fn start_of(&self, coef: Option<ArrayView1<'_, f64>>) -> Array1<f64> {
        let mut all = coef.map_or_else(|| vec![0.0; self.features()], |coef| coef.to_vec());
        if let Intercept::Column { start, .. } = &self.intercept {
            all.push(*start);
        }
        all.into()
    }

    /// A state column `[q]` with these coefficients and this intercept: the inverse of
    /// [`intercept_of`](Self::intercept_of).
    pub(crate) fn state_of(&self, coef: ArrayView1<'_, f64>, intercept: f64, primal: bool) -> Array1<f64> {
        let mut all = coef.to_vec();
        if let Intercept::Column { x_mean, shift, .. } = &self.intercept {
            all.push(intercept + x_mean.dot(&coef) - if primal { *shift } else { 0.0 });
        }
        all.into()
    }

    /// The solver's design, `[n, q]`: centred for squared loss with intercept, with a last column of ones for
    /// other losses with intercept.
    pub fn design(&self) -> &Design {
        &self.design
    }
    /// The solver's target, `[n]`.
    pub fn target(&self) -> ArrayView1<'_, f64> {
        self.target.view()
    }
    /// Normalised sample weights `[n]`.
    pub fn weight(&self) -> ArrayView1<'_, f64> {
        self.weight.view()
    }
    /// Penalty factors `[p]`.
    pub fn penalty_factors(&self) -> ArrayView1<'_, f64> {
        self.penalty_factors.view()
    }
}
