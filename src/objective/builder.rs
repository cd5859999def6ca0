//! Builds an [`Objective`] from data and settings.

use std::sync::Arc;

use ndarray::Array1;

use super::{FoldWeights, HeldOut, Intercept, Loss, Need, Objective, Penalty, classes, robust_scale};
use crate::data::{Dataset, Folds};
use crate::design::{Design, Spectrum, is_constant};
use crate::error::{Error, Result};

/// Settings of an [`Objective`].
#[derive(Debug, Clone)]
pub struct ObjectiveBuilder {
    data: Dataset,
    validation: Option<Dataset>,
    folds: Option<Folds>,
    loss: Loss,
    huber_scale: Option<f64>,
    penalty: Penalty,
    intercept: bool,
    penalty_factors: Option<Array1<f64>>,
    centre: bool,
}

impl ObjectiveBuilder {
    /// The loss; default [`Loss::squared`].
    pub fn loss(mut self, loss: Loss) -> Self {
        (self.loss, self.huber_scale) = (loss, None);
        self
    }
    /// Huber's loss with a threshold of `multiple` robust standard deviations of the target about its median
    /// (about 0 without intercept): of the median absolute deviation over 0.6745. The objective has the
    /// resulting number.
    pub fn huber_scaled(mut self, multiple: f64) -> Self {
        self.huber_scale = Some(multiple);
        self
    }
    /// The penalty; default [`Penalty::l1`].
    pub fn penalty(mut self, penalty: Penalty) -> Self {
        self.penalty = penalty;
        self
    }
    /// True if an unpenalised intercept is fitted; default true.
    pub fn intercept(mut self, intercept: bool) -> Self {
        self.intercept = intercept;
        self
    }
    /// Per-feature factors on the penalty, `[p]`, each finite and ≥ 0; default 1. A feature of factor 0 is
    /// not penalised.
    pub fn penalty_factors(mut self, factors: Array1<f64>) -> Self {
        self.penalty_factors = Some(factors);
        self
    }
    /// True if the columns are centred when there is an intercept, and the target of a loss on numbers is
    /// shifted by a round number near its median; default true. Both are undone in every result; they change
    /// the conditioning, not the objective. Squared loss is always centred, because its intercept follows
    /// from the means.
    pub fn centre(mut self, centre: bool) -> Self {
        self.centre = centre;
        self
    }
    /// Rows held out of the fit; their loss and its derivative are recorded in the trace.
    pub fn validation(mut self, held_out: Dataset) -> Self {
        self.validation = Some(held_out);
        self
    }

    /// Fits every alpha once for each fold, on the fold's rows; the loss of those that it holds out, and its
    /// derivative, are recorded in the trace. The intercept is then a column of the design for every loss.
    pub fn folds(mut self, folds: Folds) -> Self {
        self.folds = Some(folds);
        self
    }

    /// Validates the settings and prepares the objective.
    ///
    /// # Errors
    /// A loss or penalty that no engine supports, a target that is not two-valued for a loss on classes,
    /// penalty factors of the wrong length or negative, held-out rows with a different number of features, or
    /// folds of other data, beside held-out rows, or with one class.
    pub fn build(self) -> Result<Objective> {
        let ObjectiveBuilder { data, validation, penalty, .. } = self;
        let loss = match self.huber_scale {
            None => self.loss,
            Some(multiple) => Loss::huber(multiple * robust_scale::of(&data, self.intercept)?)?,
        };
        Need::Iterations.check(&loss, &penalty).map_err(|missing| missing.at("objective"))?;
        let curvature = loss.capabilities().curvature.bounds();
        let p = data.features();
        let penalty_factors = self.penalty_factors.unwrap_or_else(|| Array1::ones(p));
        check_factors(&penalty_factors, &data)?;
        validation.iter().try_for_each(|v| check_held_out(v, &data))?;
        if !loss.classes() {
            classes::check_numbers(&data, &loss)?;
        }
        let classes = if loss.classes() { Some(classes::two_classes(&data, &loss)?) } else { None };
        let encode = |data: &Dataset| match classes {
            None => Ok(data.target().to_owned()),
            Some(pair) => classes::encode(data, pair),
        };
        let y = encode(&data)?;
        let weight = &data.sample_weight() / data.sample_weight().sum();
        let (intercept, design, target) = if !self.intercept {
            (Intercept::Absent, data.design().clone(), y)
        } else if loss.capabilities().least_squares && self.folds.is_none() {
            let (design, x_mean) = data.design().clone().centred(weight.view());
            let (target, y_mean) = centred(y, &weight);
            (Intercept::Centred { x_mean, y_mean }, design, target)
        } else {
            column(&data, y, &weight, (self.centre, &loss))
        };
        let held_out = match &validation {
            None => None,
            Some(v) => {
                let (held_out, target) = intercept.coordinates(v.design().clone(), encode(v)?);
                let held_out = held_out.in_format_of(&design);
                let weight = &v.sample_weight() / v.sample_weight().sum();
                Some(HeldOut { design: held_out, target, weight, rows: v.given_rows().to_vec() })
            }
        };
        let folds = match &self.folds {
            Some(_) if held_out.is_some() => {
                return Err(Error::usage("folds", "folds and held-out rows", "one of them", ""));
            }
            Some(folds) => FoldWeights::all(folds, &data, &loss)?,
            None => Vec::new(),
        };
        let class_names = classes.map(|(low, high)| match data.class_names() {
            Some(names) => names.clone(),
            None => [low.to_string(), high.to_string()],
        });
        let objective = Objective {
            design,
            target,
            weight,
            penalty_factors,
            intercept,
            held_out,
            folds: Arc::new(folds),
            repeats: self.folds.as_ref().map_or(1, Folds::repeats),
            loss,
            penalty,
            curvature,
            spectrum: Spectrum::default(),
            feature_names: data.feature_names().to_vec(),
            classes: class_names,
            source: data.source().to_string(),
            target_name: data.target_name().to_string(),
            standardization: data.standardization().cloned(),
        };
        Ok(objective.with_spectrum())
    }
}

impl Objective {
    /// Starts an objective on `data`: squared loss, l1 penalty, with intercept.
    pub fn builder(data: Dataset) -> ObjectiveBuilder {
        ObjectiveBuilder {
            data,
            validation: None,
            folds: None,
            loss: Loss::squared(),
            huber_scale: None,
            penalty: Penalty::l1(),
            intercept: true,
            penalty_factors: None,
            centre: true,
        }
    }
}

impl Intercept {
    /// Design `[n, p]` and target `[n]` as the solver sees them: centred, or with a last column of ones.
    fn coordinates(&self, x: Design, mut y: Array1<f64>) -> (Design, Array1<f64>) {
        match self {
            Intercept::Absent => (x, y),
            Intercept::Centred { x_mean, y_mean } => {
                y -= *y_mean;
                (x.shifted(x_mean), y)
            }
            Intercept::Column { x_mean, shift, .. } => {
                y -= *shift;
                (x.shifted(x_mean).with_ones(), y)
            }
        }
    }
}

/// Checks that held-out rows have the columns and the units of the fitted ones.
fn check_held_out(held_out: &Dataset, fitted: &Dataset) -> Result<()> {
    if held_out.features() != fitted.features() {
        return Err(Error::data(
            "validation rows",
            format!("{} features", held_out.features()),
            format!("{}, as in the training rows", fitted.features()),
            "Hold out rows of the same data set.",
        ));
    }
    if held_out.standardization() != fitted.standardization() {
        let of = |set: &Dataset| if set.standardization().is_some() { "standardised" } else { "as given" };
        return Err(Error::data(
            "validation rows",
            format!("rows {} beside fitted rows {}, by other means and deviations", of(held_out), of(fitted)),
            "the means and deviations of the fitted rows",
            "Use `held_out.standardize_like(&fitted)`.",
        ));
    }
    Ok(())
}

/// The intercept as a column, with the design and the target of the solver.
fn column(
    data: &Dataset,
    y: Array1<f64>,
    weight: &Array1<f64>,
    (centre, loss): (bool, &Loss),
) -> (Intercept, Design, Array1<f64>) {
    if !centre {
        let intercept = Intercept::Column { x_mean: Array1::zeros(data.features()), shift: 0.0, start: 0.0 };
        return (intercept, data.design().clone().with_ones(), y);
    }
    let (design, x_mean) = data.design().clone().centred(weight.view());
    let at = |shift: f64| y.iter().zip(weight).map(|(y, w)| w * loss.value(shift, *y)).sum::<f64>();
    let centre = if loss.classes() { 0.0 } else { robust_scale::centre_of(data) };
    // The loss of zero coefficients is the unit of the tolerance, which no shift may loosen.
    let shift = if at(centre) < at(0.0) { centre } else { 0.0 };
    let start = if loss.classes() { log_odds(&y, weight) } else { 0.0 };
    (Intercept::Column { x_mean, shift, start }, design.with_ones(), y - shift)
}

/// The constant prediction of least logistic loss: the log-odds of the classes, `±1`. A convex loss of other
/// form has its start there, too.
fn log_odds(y: &Array1<f64>, weight: &Array1<f64>) -> f64 {
    let share = |class: f64| y.iter().zip(weight).filter(|(y, _)| **y == class).map(|(_, w)| w).sum::<f64>();
    (share(1.0) / share(-1.0)).ln()
}

/// The target with its weighted mean subtracted, and the mean. A target that is constant to rounding becomes
/// exactly zero.
fn centred(mut y: Array1<f64>, weight: &Array1<f64>) -> (Array1<f64>, f64) {
    let low = y.iter().copied().fold(f64::INFINITY, f64::min);
    let high = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if is_constant(low, high) {
        return (Array1::zeros(y.len()), low);
    }
    let mean = weight.dot(&y);
    y -= mean;
    // The second pass removes the rounding of the first sum.
    let rest = weight.dot(&y);
    (y - rest, mean + rest)
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
    let Some((j, f)) = factors.indexed_iter().find(|(_, f)| !f.is_finite() || **f < 0.0) else {
        return Ok(());
    };
    let name = &data.feature_names()[j];
    let remedy = if *f == f64::INFINITY {
        format!("An infinite factor keeps a coefficient at zero: leave the feature out with `drop {name}`.")
    } else {
        "Use factor 0 to leave a feature unpenalised.".into()
    };
    let at = format!("penalty factor of feature {j} ('{name}')");
    Err(Error::data(at, f.to_string(), "a finite number, zero or larger", remedy))
}
