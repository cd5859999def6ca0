//! The model of a lane, in the units of the original data.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::{Model, Polish, Trace};
use crate::data::Standardization;
use crate::design::Design;
use crate::error::{Error, Result};
use crate::objective::Objective;

/// The names and the standardisation of the features, which the coefficients refer to.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    standardization: Option<Standardization>,
}

impl Columns {
    pub(crate) fn new(objective: &Objective) -> Self {
        Columns {
            names: objective.feature_names().to_vec(),
            standardization: objective.standardization().cloned(),
        }
    }

    /// `[p]`: a gradient by the coefficients in given units as one by those of the fit.
    pub(crate) fn gradient_of_fit(&self, mut gradient: Array1<f64>) -> Array1<f64> {
        if let Some(standardization) = &self.standardization {
            gradient.iter_mut().zip(&standardization.scale).for_each(|(g, scale)| *g /= scale);
        }
        gradient
    }

    pub(crate) fn is_standardized(&self) -> bool {
        self.standardization.is_some()
    }

    /// The final model of a lane in the units of the fit: the polished one, if there is one.
    pub(crate) fn model(&self, trace: &Trace, polished: &Polish, lane: usize) -> Model {
        let end = trace.iteration.len() - 1;
        polished[lane].clone().unwrap_or_else(|| Model {
            coef: trace.coef.index_axis(Axis(0), end).row(lane).to_owned(),
            intercept: trace.intercept[[end, lane]],
            dcoef: trace.dcoef.index_axis(Axis(0), end).index_axis(Axis(0), lane).to_owned(),
            dintercept: trace.dintercept.index_axis(Axis(0), end).row(lane).to_owned(),
        })
    }

    /// The same in the units of the original data.
    pub(crate) fn fit(&self, trace: &Trace, polished: &Polish, lane: usize) -> Fit<'_> {
        self.in_given_units(self.model(trace, polished, lane))
    }

    /// A model in the units of the original data.
    pub(crate) fn in_given_units(&self, model: Model) -> Fit<'_> {
        let Model { coef, intercept, dcoef, dintercept } = model;
        let mut fit = Fit { names: &self.names, coef, intercept, dcoef, dintercept };
        if let Some(standardization) = &self.standardization {
            fit.intercept += standardization.to_given_units(fit.coef.view_mut());
            for (dcoef, dintercept) in fit.dcoef.rows_mut().into_iter().zip(&mut fit.dintercept) {
                *dintercept += standardization.to_given_units(dcoef);
            }
        }
        fit
    }
}

/// The final model of a lane: a linear function of the features, and its derivatives.
///
/// Everything is in the units of the original data, even if they were
/// [standardised](crate::data::Dataset::standardize) before the fit; [`Trace`] has the units of the fit. A
/// model without an intercept on standardised features has one in these units, which compensates for the
/// means.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit<'a> {
    names: &'a [String],
    coef: Array1<f64>,
    intercept: f64,
    dcoef: Array2<f64>,
    dintercept: Array1<f64>,
}

impl<'a> Fit<'a> {
    /// `[p]`: names of the features.
    pub fn names(&self) -> &'a [String] {
        self.names
    }
    /// `[p]`: coefficients.
    pub fn coef(&self) -> ArrayView1<'_, f64> {
        self.coef.view()
    }
    /// The intercept.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }
    /// `[d, p]`: derivatives of the coefficients, in the order of
    /// [`RunInfo::derivative`](crate::solve::RunInfo::derivative).
    pub fn dcoef(&self) -> ArrayView2<'_, f64> {
        self.dcoef.view()
    }
    /// `[d]`: derivatives of the intercept.
    pub fn dintercept(&self) -> ArrayView1<'_, f64> {
        self.dintercept.view()
    }

    /// `X coef + intercept` for a design of the same features, `[n]`: the predicted target, for logistic loss
    /// the log-odds of the second class. The columns are in the order of [`names`](Self::names); a matrix
    /// becomes a design by `Design::dense(rows)`.
    ///
    /// # Errors
    /// A different number of columns.
    pub fn predict(&self, x: &Design) -> Result<Array1<f64>> {
        self.check(x)?;
        Ok(x.apply_vector(self.coef()) + self.intercept)
    }

    /// `[d, n]`: derivatives of [`predict`](Self::predict).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn dpredict(&self, x: &Design) -> Result<Array2<f64>> {
        self.check(x)?;
        let mut out = Array2::zeros((self.dcoef.nrows(), x.rows()));
        for ((mut row, dcoef), dintercept) in
            out.rows_mut().into_iter().zip(self.dcoef.rows()).zip(&self.dintercept)
        {
            row.assign(&(x.apply_vector(dcoef) + *dintercept));
        }
        Ok(out)
    }

    fn check(&self, x: &Design) -> Result<()> {
        if x.columns() == self.coef.len() {
            return Ok(());
        }
        let expected = format!("{}, one per feature of the fit", self.coef.len());
        let named: Vec<&str> = self.names.iter().take(20).map(String::as_str).collect();
        let more = if named.len() < self.names.len() { ", …" } else { "" };
        let remedy = format!("The columns are {}{more}.", named.join(", "));
        Err(Error::data("x", format!("{} columns", x.columns()), expected, remedy))
    }
}
