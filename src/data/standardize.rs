//! Centring and scaling of columns.

use ndarray::{Array1, ArrayViewMut1};

use super::Dataset;
use crate::error::{Error, Result};

/// The transformation of [`Dataset::standardize`]: column `j` became `(x_j - mean_j) / scale_j`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Standardization {
    /// Weighted column means, `[p]`.
    pub mean: Vec<f64>,
    /// Weighted standard deviations (divisor: the sum of weights), `[p]`; 1 for a constant column.
    pub scale: Vec<f64>,
}

impl Standardization {
    /// Converts coefficients `[p]` of standardised columns to the units of the original data, and returns the
    /// resulting change of the intercept: `X' coef = X coef_given + added`.
    pub(crate) fn to_given_units(&self, coef: ArrayViewMut1<'_, f64>) -> f64 {
        let columns = coef.into_iter().zip(&self.scale).zip(&self.mean);
        let added = columns.map(|((c, scale), mean)| {
            *c /= scale;
            -*c * mean
        });
        added.sum()
    }
}

impl Dataset {
    /// Centres and scales every column to weighted mean 0 and weighted standard deviation 1; a column that is
    /// constant to rounding becomes zero. The transformation is recorded in
    /// [`standardization`](Self::standardization).
    ///
    /// Split off held-out rows first, and transform them to the same units by
    /// [`standardize_like`](Self::standardize_like); otherwise they influence the means and deviations of the
    /// fit.
    pub fn standardize(mut self) -> Self {
        let weight = &self.sample_weight / self.sample_weight.sum();
        let (centred, mean) = self.design.centred(weight.view());
        let mut scale = centred.column_squares(weight.view()).mapv_into(f64::sqrt);
        for (j, scale) in scale.indexed_iter_mut().filter(|(_, s)| !s.is_normal()) {
            // A constant column, or squares that overflow or underflow.
            let column = centred.column(j);
            let largest = column.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let unit = column.mapv_into(|v| (v / largest).powi(2));
            *scale = if largest > 0.0 { largest * unit.dot(&weight).sqrt() } else { 1.0 };
        }
        self.design = centred.scaled(&scale);
        self.standardization = Some(Standardization { mean: mean.to_vec(), scale: scale.to_vec() });
        self
    }

    /// Standardises held-out rows by the means and deviations of the fitted data. Does nothing if those are
    /// not standardised.
    ///
    /// # Errors
    /// A different number of features.
    pub fn standardize_like(mut self, fitted: &Dataset) -> Result<Self> {
        if self.features() != fitted.features() {
            let expected = format!("{}, as in the data that are fitted", fitted.features());
            return Err(Error::data("held-out data", format!("{} features", self.features()), expected, ""));
        }
        if let Some(s) = fitted.standardization() {
            let (mean, scale) = (Array1::from(s.mean.clone()), Array1::from(s.scale.clone()));
            self.design = self.design.shifted(&mean).scaled(&scale);
            self.standardization = Some(s.clone());
        }
        Ok(self)
    }
}
