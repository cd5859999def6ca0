//! The problem: a loss, a penalty and a data set, prepared once for every lane.
//!
//! `minimise  Σ_i ω_i φ(z_i, y_i) + Σ_j g(coef_j; alpha, l1_ratio, factor_j)`, `z = X coef + intercept`, with the
//! weights normalised to `Σ ω = 1`. The intercept is never penalised.

use ndarray::{Array1, ArrayView1, Axis, Zip};

use crate::data::{Dataset, Standardization};
use crate::design::Design;
use crate::error::{Error, Result};

pub(crate) mod catalog;
mod derivative;
mod loss;
mod penalty;

pub use crate::design::{Real, Spectrum};
pub use derivative::Derivative;
pub(crate) use loss::with_loss;
pub use loss::{Loss, LossFunction};
pub(crate) use penalty::with_penalty;
pub use penalty::{Penalty, PenaltyFunction, Prox};

/// How the intercept is carried.
#[derive(Debug, Clone)]
pub(crate) enum Intercept {
    /// None.
    Absent,
    /// Squared loss: design and target are centred, and the intercept follows from their means.
    Centred { x_mean: Array1<f64>, y_mean: f64 },
    /// Otherwise: a last column of ones, exempt from the penalty.
    Column,
}

/// Rows held out of the fit, in the coordinates of the fitted design.
#[derive(Debug, Clone)]
pub(crate) struct HeldOut {
    pub(crate) design: Design,
    pub(crate) target: Array1<f64>,
    pub(crate) weight: Array1<f64>,
}

/// A prepared problem. Built by [`Objective::builder`]; immutable.
#[derive(Debug, Clone)]
pub struct Objective {
    /// `[n, q]`: the design as the solver sees it; `q = p`, or `p + 1` with an intercept column.
    pub(crate) design: Design,
    /// `[n]`: centred, or encoded as ±1 for classes.
    pub(crate) target: Array1<f64>,
    /// `[n]`, sums to 1.
    pub(crate) weight: Array1<f64>,
    /// `[p]`.
    pub(crate) penalty_factors: Array1<f64>,
    pub(crate) intercept: Intercept,
    pub(crate) held_out: Option<HeldOut>,
    loss: Loss,
    penalty: Penalty,
    spectrum: Spectrum,
    feature_names: Vec<String>,
    classes: Option<[String; 2]>,
    source: String,
    target_name: String,
    standardization: Option<Standardization>,
}

/// Settings of a [`Objective`].
#[derive(Debug, Clone)]
pub struct ObjectiveBuilder {
    data: Dataset,
    validation: Option<Dataset>,
    loss: Loss,
    penalty: Penalty,
    intercept: bool,
    penalty_factors: Option<Array1<f64>>,
}

impl ObjectiveBuilder {
    /// The loss; default [`Loss::squared`].
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }
    /// The penalty; default [`Penalty::l1`].
    pub fn penalty(mut self, penalty: Penalty) -> Self {
        self.penalty = penalty;
        self
    }
    /// Whether an unpenalised intercept is fitted; default true.
    pub fn intercept(mut self, intercept: bool) -> Self {
        self.intercept = intercept;
        self
    }
    /// Per-feature factors on the penalty, `[p]`, each finite and ≥ 0; default 1.
    pub fn penalty_factors(mut self, factors: Array1<f64>) -> Self {
        self.penalty_factors = Some(factors);
        self
    }
    /// Rows held out of the fit; their loss and its derivative are traced.
    pub fn validation(mut self, held_out: Dataset) -> Self {
        self.validation = Some(held_out);
        self
    }

    /// Validates and prepares the problem.
    ///
    /// # Errors
    /// A target that is not two-valued for a loss on classes, penalty factors of the wrong length or negative, or
    /// held-out rows of another width.
    pub fn build(self) -> Result<Objective> {
        let (n, p) = (self.data.rows(), self.data.features());
        let penalty_factors = self.penalty_factors.unwrap_or_else(|| Array1::ones(p));
        check_factors(&penalty_factors, &self.data)?;
        if let Some(v) = &self.validation
            && v.features() != p
        {
            return Err(Error::data(
                "validation rows",
                format!("{} features", v.features()),
                format!("{p}, as in the training rows"),
                "Hold out rows of the same data set.",
            ));
        }
        let classes = if self.loss.classes() { Some(two_classes(&self.data, &self.loss)?) } else { None };
        let encode = |data: &Dataset| match classes {
            None => Ok(data.target().to_owned()),
            Some(pair) => encode(data, pair),
        };
        let mut design = self.data.design().clone();
        let mut target = encode(&self.data)?;
        let weight = &self.data.sample_weight() / self.data.sample_weight().sum();
        let intercept = if !self.intercept {
            Intercept::Absent
        } else if matches!(self.loss, Loss::Squared(_)) {
            let (x_mean, y_mean) = (design.apply_t_vector(weight.view()), weight.dot(&target));
            design = design.shifted(&x_mean);
            target -= y_mean;
            Intercept::Centred { x_mean, y_mean }
        } else {
            design = design.with_ones();
            Intercept::Column
        };
        let held_out = match &self.validation {
            None => None,
            Some(v) => {
                let (mut x, mut y) = (v.design().clone(), encode(v)?);
                match &intercept {
                    Intercept::Absent => {}
                    Intercept::Centred { x_mean, y_mean } => {
                        x = x.shifted(x_mean);
                        y -= *y_mean;
                    }
                    Intercept::Column => x = x.with_ones(),
                }
                let weight = &v.sample_weight() / v.sample_weight().sum();
                Some(HeldOut { design: x, target: y, weight })
            }
        };
        let spectrum = design.spectral_bound(weight.view(), self.loss.curvature());
        let class_names = classes.map(|(low, high)| match self.data.class_names() {
            Some(names) => names.clone(),
            None => [low.to_string(), high.to_string()],
        });
        debug_assert_eq!(design.rows(), n);
        Ok(Objective {
            design,
            target,
            weight,
            penalty_factors,
            intercept,
            held_out,
            loss: self.loss,
            penalty: self.penalty,
            spectrum,
            feature_names: self.data.feature_names().to_vec(),
            classes: class_names,
            source: self.data.source().to_string(),
            target_name: self.data.target_name().to_string(),
            standardization: self.data.standardization().cloned(),
        })
    }
}

/// Sizes of the data, as they appear in result files.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Shape {
    /// Rows `n`.
    pub rows: usize,
    /// Features `p`.
    pub features: usize,
    /// Held-out rows; 0 without a validation split.
    pub validation_rows: usize,
}

impl Objective {
    /// Starts a problem on `data`: squared loss, l1 penalty, with intercept.
    pub fn builder(data: Dataset) -> ObjectiveBuilder {
        ObjectiveBuilder {
            data,
            validation: None,
            loss: Loss::squared(),
            penalty: Penalty::l1(),
            intercept: true,
            penalty_factors: None,
        }
    }

    /// Sizes of the data.
    pub fn shape(&self) -> Shape {
        Shape {
            rows: self.design.rows(),
            features: self.features(),
            validation_rows: self.held_out.as_ref().map_or(0, |v| v.target.len()),
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
    /// Whether an intercept is fitted.
    pub fn has_intercept(&self) -> bool {
        !matches!(self.intercept, Intercept::Absent)
    }
    /// Bounds on the curvature of the loss (without the ridge of penalty `l2`).
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
    /// Where the data came from.
    pub fn source(&self) -> &str {
        &self.source
    }
    /// Name of the target.
    pub fn target_name(&self) -> &str {
        &self.target_name
    }
    /// What was standardised.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardization.as_ref()
    }

    /// The objective in words, as every result file states it.
    pub fn in_words(&self) -> String {
        let parameters =
            |list: Vec<(&str, f64)>| list.iter().map(|(k, v)| format!(", {k} = {v}")).collect::<String>();
        format!(
            "minimise 1/(sum_i w_i) sum_i w_i phi(z_i, y_i) + g(coef), z = X coef{}; phi(z, y) = {}{}; g = {}{}{}",
            if self.has_intercept() { " + intercept (not penalised)" } else { "" },
            self.loss.formula(),
            parameters(self.loss.parameters()),
            self.penalty.formula(),
            parameters(self.penalty.parameters()),
            if self.penalty_factors.iter().all(|f| *f == 1.0) { "; factor_j = 1" } else { "" },
        )
    }

    /// (Lipschitz constant of ∇f, strong convexity of f) for a lane of strength `l2`: the loss, and the ridge of
    /// penalty `l2` where it belongs to `f`.
    pub fn lipschitz(&self, l2: f64) -> (f64, f64) {
        let ridge = if self.penalty.ridge_in_loss() { l2 } else { 0.0 };
        let largest = self.penalty_factors.iter().copied().fold(0.0, f64::max);
        // An intercept column carries no ridge, so it adds nothing to the strong convexity.
        let smallest = match self.intercept {
            Intercept::Column => 0.0,
            _ => self.penalty_factors.iter().copied().fold(f64::INFINITY, f64::min),
        };
        (self.spectrum.lipschitz + ridge * largest, self.spectrum.strong_convexity + ridge * smallest)
    }

    /// Strong convexity of the penalty's proximal part for strength `l2` (0 where the ridge belongs to `f`).
    pub fn prox_strong_convexity(&self, l2: f64) -> f64 {
        let whole =
            !matches!(self.intercept, Intercept::Column) && matches!(self.penalty, Penalty::ElasticNet(_));
        if whole { l2 * self.penalty_factors.iter().copied().fold(f64::INFINITY, f64::min) } else { 0.0 }
    }

    /// `ĥ_j = sup φ'' · Σ_i ω_i X_ij²`, `[q]`: the largest curvature of the loss along each state row.
    pub fn curvature_bound(&self) -> Array1<f64> {
        let (most, _) = self.loss.curvature();
        self.design.column_squares(self.weight.view()) * most
    }

    /// Bounds on the curvature of the loss in a metric whose diagonal lies between `lower` and `upper`, `[q]` each.
    pub fn spectrum_in_metric(&self, lower: &Array1<f64>, upper: &Array1<f64>) -> Spectrum {
        let of = |d: &Array1<f64>| {
            self.design.spectral_bound_scaled(&d.mapv(f64::sqrt), self.weight.view(), self.loss.curvature())
        };
        let top = of(upper);
        let bottom = if lower == upper { top } else { of(lower) };
        Spectrum { strong_convexity: bottom.strong_convexity, ..top }
    }

    /// The smallest `alpha` at which every penalised coefficient of an l1 or elastic-net fit is zero:
    /// `max_j |∂_j loss| / (l1_ratio factor_j)` at the model of intercept only (or at zero). As glmnet does,
    /// `l1_ratio` below 1e-3 counts as 1e-3.
    pub fn alpha_max(&self, l1_ratio: f64) -> f64 {
        let prediction = self.null_prediction();
        let slope: Array1<f64> =
            Zip::from(&self.target).and(&self.weight).map_collect(|y, w| w * self.loss.d1(prediction, *y));
        let gradient = self.design.apply_t_vector(slope.view());
        let share = l1_ratio.max(1e-3);
        Zip::from(&self.penalty_factors).and(gradient.slice_axis(Axis(0), (..self.features()).into())).fold(
            0.0,
            |top, f, g| {
                let pull: f64 = if matches!(self.penalty, Penalty::NonnegL1(_)) { -g } else { g.abs() };
                if *f > 0.0 { f64::max(top, pull / (share * f)) } else { top }
            },
        )
    }

    /// The constant prediction of the model without features: the best intercept where it is a column, else 0.
    fn null_prediction(&self) -> f64 {
        if !matches!(self.intercept, Intercept::Column) {
            return 0.0;
        }
        let slope = |c: f64| {
            Zip::from(&self.target).and(&self.weight).fold(0.0, |sum, y, w| sum + w * self.loss.d1(c, *y))
        };
        let reach = 40.0 + self.target.iter().fold(0.0, |m: f64, y| m.max(y.abs()));
        let (mut low, mut high) = (-reach, reach);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// The loss of zero coefficients and intercept: the unit of the relative duality gap.
    pub(crate) fn null_loss(&self) -> f64 {
        Zip::from(&self.target).and(&self.weight).fold(0.0, |sum, y, w| sum + w * self.loss.value(0.0, *y))
    }

    /// Whether the duality gap serves as the stop rule: every coordinate must be penalised, or the dual point cannot
    /// be made feasible by scaling.
    pub(crate) fn has_gap(&self) -> bool {
        let bounded = match self.penalty {
            Penalty::None(_) => false,
            Penalty::Box(b) => b.lower.is_finite() && b.upper.is_finite(),
            _ => self.penalty_factors.iter().all(|f| *f > 0.0),
        };
        bounded && !matches!(self.intercept, Intercept::Column)
    }

    /// Adds `by` (in units of the given target, `[n]`) to the target.
    pub(crate) fn shift_target(&mut self, by: &Array1<f64>) {
        self.target += by;
        if let Intercept::Centred { y_mean, .. } = &mut self.intercept {
            let mean = self.weight.dot(by);
            self.target -= mean;
            *y_mean += mean;
        }
    }

    /// The intercept of a state column `[q]`. `dy_mean` is the mean of the target's tangent in this direction, and `primal` says whether
    /// the column is the iterate or a tangent.
    pub(crate) fn intercept_of(&self, column: ArrayView1<'_, f64>, primal: bool, dy_mean: f64) -> f64 {
        match &self.intercept {
            Intercept::Absent => 0.0,
            Intercept::Centred { x_mean, y_mean } => {
                let coef = column.slice_axis(Axis(0), (..self.features()).into());
                (if primal { *y_mean } else { dy_mean }) - x_mean.dot(&coef)
            }
            Intercept::Column => column[self.features()],
        }
    }

    /// The design as the solver sees it, `[n, q]`: centred for squared loss with intercept, with a last column of ones
    /// for other losses with intercept.
    pub fn design(&self) -> &Design {
        &self.design
    }
    /// The target as the solver sees it, `[n]`.
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

fn check_factors(factors: &Array1<f64>, data: &Dataset) -> Result<()> {
    if factors.len() != data.features() {
        return Err(Error::data(
            "penalty factors",
            format!("{} values", factors.len()),
            format!("{}, one per feature", data.features()),
            "Give one factor per feature.",
        ));
    }
    match factors.indexed_iter().find(|(_, f)| !f.is_finite() || **f < 0.0) {
        None => Ok(()),
        Some((j, f)) => Err(Error::data(
            format!("penalty factor of feature {j} ('{}')", data.feature_names()[j]),
            f.to_string(),
            "a finite number, zero or larger",
            "Use factor 0 to leave a feature unpenalised.",
        )),
    }
}

/// The two values of the target, the larger one last.
fn two_classes(data: &Dataset, loss: &Loss) -> Result<(f64, f64)> {
    let mut values: Vec<f64> = Vec::new();
    for y in data.target() {
        if !values.contains(y) {
            values.push(*y);
            if values.len() > 2 {
                break;
            }
        }
    }
    values.sort_by(f64::total_cmp);
    let at = format!("target '{}' for loss '{}'", data.target_name(), loss.name());
    match values[..] {
        [low, high] => Ok((low, high)),
        [only] => Err(Error::data(
            at,
            format!("one class only ({only})"),
            "two classes",
            "Use rows of both classes, or a larger training part.",
        )),
        _ => Err(Error::data(
            at,
            format!("more than two values ({}, {}, {}, …)", values[0], values[1], values[2]),
            "two classes, of any two values",
            "Use `loss squared` or huber for a numeric target, or recode the classes as two.",
        )),
    }
}

fn encode(data: &Dataset, (low, high): (f64, f64)) -> Result<Array1<f64>> {
    data.target()
        .iter()
        .enumerate()
        .map(|(i, y)| match *y {
            y if y == low => Ok(-1.0),
            y if y == high => Ok(1.0),
            y => Err(Error::data(
                format!("target '{}', held-out row {i}", data.target_name()),
                y.to_string(),
                format!("{low} or {high}, the classes of the training rows"),
                "Hold out rows of the same data set.",
            )),
        })
        .collect()
}
