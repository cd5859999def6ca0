//! Builds an [`Objective`] from data and settings.

use ndarray::Array1;

use super::{HeldOut, Intercept, Loss, Need, Objective, Penalty, classes};
use crate::data::Dataset;
use crate::design::Design;
use crate::error::{Error, Result};

/// Settings of an [`Objective`].
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
    /// True if an unpenalised intercept is fitted; default true.
    pub fn intercept(mut self, intercept: bool) -> Self {
        self.intercept = intercept;
        self
    }
    /// Per-feature factors on the penalty, `[p]`, each finite and ≥ 0; default 1.
    pub fn penalty_factors(mut self, factors: Array1<f64>) -> Self {
        self.penalty_factors = Some(factors);
        self
    }
    /// Rows held out of the fit; their loss and its derivative are recorded in the trace.
    pub fn validation(mut self, held_out: Dataset) -> Self {
        self.validation = Some(held_out);
        self
    }

    /// Validates the settings and prepares the objective.
    ///
    /// # Errors
    /// A loss or penalty that no engine supports, a target that is not two-valued for a loss on classes,
    /// penalty factors of the wrong length or negative, or held-out rows with a different number of features.
    pub fn build(self) -> Result<Objective> {
        let ObjectiveBuilder { data, validation, loss, penalty, .. } = self;
        Need::Iterations.check(&loss, &penalty).map_err(|missing| missing.at("objective"))?;
        let curvature = loss.capabilities().curvature.bounds();
        let p = data.features();
        let penalty_factors = self.penalty_factors.unwrap_or_else(|| Array1::ones(p));
        check_factors(&penalty_factors, &data)?;
        if let Some(v) = validation.as_ref().filter(|v| v.features() != p) {
            return Err(Error::data(
                "validation rows",
                format!("{} features", v.features()),
                format!("{p}, as in the training rows"),
                "Hold out rows of the same data set.",
            ));
        }
        let classes = if loss.classes() { Some(classes::two_classes(&data, &loss)?) } else { None };
        let encode = |data: &Dataset| match classes {
            None => Ok(data.target().to_owned()),
            Some(pair) => classes::encode(data, pair),
        };
        let y = encode(&data)?;
        let weight = &data.sample_weight() / data.sample_weight().sum();
        let intercept = if !self.intercept {
            Intercept::Absent
        } else if loss.capabilities().least_squares {
            Intercept::Centred { x_mean: data.design().apply_t_vector(weight.view()), y_mean: weight.dot(&y) }
        } else {
            Intercept::Column
        };
        let (design, target) = intercept.coordinates(data.design().clone(), y);
        let held_out = match &validation {
            None => None,
            Some(v) => {
                let (design, target) = intercept.coordinates(v.design().clone(), encode(v)?);
                let weight = &v.sample_weight() / v.sample_weight().sum();
                Some(HeldOut { design, target, weight })
            }
        };
        let spectrum = design.spectral_bound(weight.view(), (curvature.d2_max, curvature.d2_min));
        let class_names = classes.map(|(low, high)| match data.class_names() {
            Some(names) => names.clone(),
            None => [low.to_string(), high.to_string()],
        });
        Ok(Objective {
            design,
            target,
            weight,
            penalty_factors,
            intercept,
            held_out,
            loss,
            penalty,
            curvature,
            spectrum,
            feature_names: data.feature_names().to_vec(),
            classes: class_names,
            source: data.source().to_string(),
            target_name: data.target_name().to_string(),
            standardization: data.standardization().cloned(),
        })
    }
}

impl Objective {
    /// Starts an objective on `data`: squared loss, l1 penalty, with intercept.
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
            Intercept::Column => (x.with_ones(), y),
        }
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
