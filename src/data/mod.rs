//! Data sets: validated once, at construction, so that no later code sees a NaN or a ragged row.

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis};

use crate::design::Design;
use crate::error::{Error, Result};

mod bundled;
#[cfg(feature = "readers")]
mod csv;
#[cfg(feature = "readers")]
mod npy;
#[cfg(feature = "readers")]
mod read;
mod split;
#[cfg(feature = "readers")]
mod svmlight;
mod synthetic;

pub use bundled::{BUNDLED, bundled};
#[cfg(feature = "readers")]
pub use npy::read_array;
#[cfg(feature = "readers")]
pub use read::{ReadOptions, parse, read, read_features, read_text};
pub use split::Validation;
pub use synthetic::Synthetic;

/// A design with its target, sample weights and names.
///
/// Shapes: the design is `[n, p]`, `target` and `sample_weight` are `[n]`, `feature_names` has `p` entries.
/// Every number is finite, weights are non-negative and not all zero.
#[derive(Debug, Clone)]
pub struct Dataset {
    design: Design,
    target: Array1<f64>,
    sample_weight: Array1<f64>,
    feature_names: Vec<String>,
    target_name: String,
    class_names: Option<[String; 2]>,
    standardization: Option<Standardization>,
    source: String,
}

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
    /// A data set from a design `[n, p]` and a target `[n]`, with unit weights and names `x0, x1, …`.
    ///
    /// # Errors
    /// An empty design, lengths that differ, or a value that is not finite (its row and column are named).
    pub fn new(x: Array2<f64>, target: Array1<f64>) -> Result<Self> {
        let (n, p) = x.dim();
        if n == 0 || p == 0 {
            return Err(Error::data(
                "design matrix",
                format!("{n} rows and {p} columns"),
                "at least one row and one column",
                "Check the file for data below its header.",
            ));
        }
        if target.len() != n {
            return Err(Error::data(
                "target",
                format!("{} values", target.len()),
                format!("{n}, one per row of the design"),
                "Give one target value per row.",
            ));
        }
        let feature_names: Vec<String> = (0..p).map(|j| format!("x{j}")).collect();
        check_finite(&x, &target, &feature_names)?;
        Ok(Dataset {
            sample_weight: Array1::ones(n),
            design: Design::dense(x),
            target,
            feature_names,
            target_name: "y".into(),
            class_names: None,
            standardization: None,
            source: "memory".into(),
        })
    }

    /// Sets the sample weights, `[n]`.
    ///
    /// # Errors
    /// A wrong length, a negative or non-finite weight (its row is named), or weights that are all zero.
    pub fn with_sample_weight(mut self, weight: Array1<f64>) -> Result<Self> {
        if weight.len() != self.rows() {
            return Err(Error::data(
                "sample_weight",
                format!("{} values", weight.len()),
                format!("{}, one per row", self.rows()),
                "Give one weight per row.",
            ));
        }
        if let Some((i, w)) = weight.indexed_iter().find(|(_, w)| !w.is_finite() || **w < 0.0) {
            return Err(Error::data(
                format!("sample_weight, row {i}"),
                w.to_string(),
                "a finite number, zero or larger",
                "Use weight 0 to leave a row out.",
            ));
        }
        if weight.iter().all(|w| *w == 0.0) {
            return Err(Error::data(
                "sample_weight",
                "weights that are all zero",
                "at least one positive weight",
                "Leave the weights out to weigh all rows alike.",
            ));
        }
        self.sample_weight = weight;
        Ok(self)
    }

    /// Sets the feature names, one per column.
    ///
    /// # Errors
    /// A number of names that differs from the number of columns.
    pub fn with_feature_names(mut self, names: Vec<String>) -> Result<Self> {
        if names.len() != self.features() {
            return Err(Error::data(
                "feature_names",
                format!("{} names", names.len()),
                format!("{}, one per column", self.features()),
                "Give one name per column, or none.",
            ));
        }
        self.feature_names = names;
        Ok(self)
    }

    /// Names the target column (for reports).
    pub fn with_target_name(mut self, name: impl Into<String>) -> Self {
        self.target_name = name.into();
        self
    }

    /// Names the two classes behind a target of 0 and 1 (for reports); the second is the positive one.
    pub fn with_class_names(mut self, names: [String; 2]) -> Self {
        self.class_names = Some(names);
        self
    }

    /// Sets the source of the data (for reports).
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Number of rows `n`.
    pub fn rows(&self) -> usize {
        self.design.rows()
    }
    /// Number of features `p`.
    pub fn features(&self) -> usize {
        self.design.columns()
    }
    /// The design, `[n, p]`.
    pub fn design(&self) -> &Design {
        &self.design
    }
    /// A copy of the entries of the design, `[n, p]`.
    pub fn x(&self) -> Array2<f64> {
        self.design.to_dense()
    }
    /// Target `[n]`.
    pub fn target(&self) -> ArrayView1<'_, f64> {
        self.target.view()
    }
    /// Sample weights `[n]`, as given (not normalised).
    pub fn sample_weight(&self) -> ArrayView1<'_, f64> {
        self.sample_weight.view()
    }
    /// Feature names, `p` of them.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }
    /// Name of the target column.
    pub fn target_name(&self) -> &str {
        &self.target_name
    }
    /// Names of the two classes, if the target was given as text.
    pub fn class_names(&self) -> Option<&[String; 2]> {
        self.class_names.as_ref()
    }
    /// The standardisation, if the data are standardised.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardization.as_ref()
    }
    /// The source of the data.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Centres and scales every column to weighted mean 0 and weighted standard deviation 1; a constant
    /// column is only centred. The transformation is recorded in [`standardization`](Self::standardization).
    ///
    /// Split off held-out rows first, and transform them to the same units by
    /// [`standardize_like`](Self::standardize_like); otherwise they influence the means and deviations of the
    /// fit.
    pub fn standardize(mut self) -> Self {
        let total = self.sample_weight.sum();
        let mean = self.design.apply_t_vector(self.sample_weight.view()) / total;
        let centred = self.design.shifted(&mean);
        let variance = centred.column_squares(self.sample_weight.view()) / total;
        // A constant column is not exactly zero after centring, because of rounding: compare with the size of
        // its mean.
        let scale: Array1<f64> = variance
            .iter()
            .zip(&mean)
            .map(|(v, m)| if v.sqrt() > 1e-12 * m.abs().max(f64::MIN_POSITIVE) { v.sqrt() } else { 1.0 })
            .collect();
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
        if let Some(s) = &fitted.standardization {
            let (mean, scale) = (Array1::from(s.mean.clone()), Array1::from(s.scale.clone()));
            self.design = self.design.shifted(&mean).scaled(&scale);
            self.standardization = Some(s.clone());
        }
        Ok(self)
    }

    /// The rows `index`, in that order, with their weights and all names.
    ///
    /// # Errors
    /// Rows whose weights are all zero, no rows, or a row that does not exist.
    pub fn select(&self, index: &[usize]) -> Result<Self> {
        if index.is_empty() {
            return Err(Error::data("rows", "none", "at least one row", ""));
        }
        if let Some(row) = index.iter().find(|row| **row >= self.rows()) {
            let expected = format!("rows below {}, counted from 0", self.rows());
            return Err(Error::data("rows", format!("row {row}"), expected, ""));
        }
        let part = Dataset {
            design: self.design.select_rows(index),
            target: self.target.select(Axis(0), index),
            ..self.clone()
        };
        part.with_sample_weight(self.sample_weight.select(Axis(0), index))
    }
}

fn check_finite(x: &Array2<f64>, target: &Array1<f64>, names: &[String]) -> Result<()> {
    let remedy = "Remove or impute the row; missing values are not supported.";
    if let Some(((i, j), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        let at = format!("design matrix, row {i}, column {j} ('{}')", names[j]);
        return Err(Error::data(at, v.to_string(), "a finite number", remedy));
    }
    if let Some((i, v)) = target.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::data(format!("target, row {i}"), v.to_string(), "a finite number", remedy));
    }
    Ok(())
}
