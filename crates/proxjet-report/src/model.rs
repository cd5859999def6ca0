//! `model.json` and `coefficients.csv`: models in the units of the original data.

use std::io::Write;

use ndarray::{Array1, ArrayView1};
use proxjet::design::Design;
use proxjet::error::{Error, Result};
use proxjet::objective::{Loss, Objective};
use proxjet::result::Fit;
use proxjet::solve::SweepResult;
use serde::{Deserialize, Serialize};

/// Name and version of the format.
const SCHEMA: &str = "proxjet-model 1";

/// The model of one lane, in the units of the original data, even if features were standardised for the fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    schema: String,
    /// The lane of the sweep.
    pub lane: usize,
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// The loss, by its name on the command line.
    pub loss: String,
    /// Target column.
    pub target: String,
    /// The two classes, the positive one last.
    pub classes: Option<[String; 2]>,
    /// `[p]`: names of the features.
    pub features: Vec<String>,
    /// `[p]`: means of the features over the fitted rows, for rows where they are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<Vec<f64>>,
    /// The intercept.
    pub intercept: f64,
    /// `[p]`: coefficients.
    pub coef: Vec<f64>,
    /// `[d]`: names of the derivatives.
    pub derivative: Vec<String>,
    /// `[d]`: derivatives of the intercept.
    pub dintercept: Vec<f64>,
    /// `[d][p]`: derivatives of the coefficients.
    pub dcoef: Vec<Vec<f64>>,
}

impl Model {
    /// The model of a sweep: of its [best](SweepResult::best) lane, or of the only one. `None` if neither
    /// exists, if it was stopped or diverged, or if its numbers are not finite.
    pub fn of(result: &SweepResult, objective: &Objective) -> Option<Model> {
        let only = (result.lanes.len() == 1 && result.lanes[0].ended()).then_some(0);
        let lane = result.best().or(only)?;
        let fit = result.lane(lane);
        let model = Model {
            schema: SCHEMA.into(),
            lane,
            alpha: result.lanes[lane].alpha,
            l1_ratio: result.lanes[lane].l1_ratio,
            loss: objective.loss().to_string(),
            target: objective.target_name().into(),
            classes: objective.classes().cloned(),
            features: fit.names().to_vec(),
            means: Some(objective.feature_means().to_vec()),
            intercept: fit.intercept(),
            coef: fit.coef().to_vec(),
            derivative: result.info.derivative.clone(),
            dintercept: fit.dintercept().to_vec(),
            dcoef: fit.dcoef().rows().into_iter().map(|row| row.to_vec()).collect(),
        };
        let finite = model.numbers().all(|v| v.is_finite());
        finite.then_some(model)
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let tangents = self.dintercept.iter().chain(self.dcoef.iter().flatten());
        self.coef.iter().chain([&self.intercept]).chain(self.means.iter().flatten()).chain(tangents).copied()
    }

    /// Reads a model from the text of the file `name`.
    ///
    /// # Errors
    /// Text that is not such a model.
    pub fn parse(text: &str, name: &str) -> Result<Model> {
        let remedy = "Write it with proxjet sweep.";
        let model: Model = serde_json::from_str(text)
            .map_err(|e| Error::data(name, e.to_string(), "a model.json", remedy).with_source(e))?;
        if model.schema != SCHEMA {
            let found = format!("schema '{}'", model.schema);
            return Err(Error::data(name, found, format!("schema '{SCHEMA}'"), remedy));
        }
        if model.coef.len() != model.features.len() {
            let found = format!("{} coefficients of {} features", model.coef.len(), model.features.len());
            return Err(Error::data(name, found, "one per feature", remedy));
        }
        if let Some(means) = model.means.as_ref().filter(|means| means.len() != model.features.len()) {
            let found = format!("{} means of {} features", means.len(), model.features.len());
            return Err(Error::data(name, found, "one per feature", remedy));
        }
        Ok(model)
    }

    /// `X coef + intercept` for a design whose columns are the model's features.
    pub fn predict(&self, x: &Design) -> Array1<f64> {
        x.apply_vector(ArrayView1::from(&self.coef)) + self.intercept
    }

    /// True if the prediction is the log-odds of the second class.
    pub fn is_logistic(&self) -> bool {
        matches!(self.loss.parse(), Ok(Loss::Logistic(_)))
    }

    /// Writes predictions as CSV: `prediction`, and for a logistic model the probability of the second class
    /// and the likelier one.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn write_predictions(&self, x: &Design, out: impl Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let classes = self.classes.as_ref().filter(|_| self.is_logistic());
        match classes {
            Some(_) => csv.write_record(["prediction", "probability", "class"])?,
            None => csv.write_record(["prediction"])?,
        }
        for z in self.predict(x) {
            match classes {
                Some(names) => {
                    let probability = 1.0 / (1.0 + (-z).exp());
                    let class = &names[usize::from(z > 0.0)];
                    csv.write_record([z.to_string(), probability.to_string(), class.clone()])?;
                }
                None => csv.write_record([z.to_string()])?,
            }
        }
        csv.flush()
    }
}

/// Writes `coefficients.csv`: a row per feature and one for the intercept; coefficient and derivatives of the
/// lane of [`Model::of`], or of every lane if there is no such lane, in the units of the original data.
///
/// # Errors
/// Errors of the writer.
pub fn write_coefficients(
    result: &SweepResult,
    objective: &Objective,
    out: impl Write,
) -> std::io::Result<()> {
    let model = Model::of(result, objective);
    let (lanes, numbered): (Vec<usize>, bool) = match &model {
        Some(model) => (vec![model.lane], false),
        None => ((0..result.lanes.len()).collect(), true),
    };
    let mut csv = csv::Writer::from_writer(out);
    let mut head = vec!["feature".to_string()];
    for lane in &lanes {
        let number = if numbered { format!("_{lane}") } else { String::new() };
        head.push(format!("coef{number}"));
        head.extend(result.info.derivative.iter().map(|name| format!("dcoef{number}_{name}")));
    }
    csv.write_record(&head)?;
    // A lane without a model has empty cells.
    let cell =
        |lane: usize, v: f64| if result.lanes[lane].is_fitted() { v.to_string() } else { String::new() };
    let fits: Vec<_> = lanes.iter().map(|lane| (*lane, result.lane(*lane))).collect();
    for (j, name) in objective.feature_names().iter().enumerate() {
        let of = |(lane, f): &(usize, Fit<'_>)| {
            let numbers = std::iter::once(f.coef()[j]).chain(f.dcoef().column(j).to_vec());
            numbers.map(|v| cell(*lane, v)).collect::<Vec<_>>()
        };
        csv.write_record(std::iter::once(name.clone()).chain(fits.iter().flat_map(of)))?;
    }
    let of = |(lane, f): &(usize, Fit<'_>)| {
        let numbers = std::iter::once(f.intercept()).chain(f.dintercept().to_vec());
        numbers.map(|v| cell(*lane, v)).collect::<Vec<_>>()
    };
    csv.write_record(std::iter::once("(intercept)".to_string()).chain(fits.iter().flat_map(of)))?;
    csv.flush()
}
