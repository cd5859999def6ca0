//! Data sets: validated once, at construction, so that no later code sees a NaN or a ragged row.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::design::Design;
use crate::error::{Error, ErrorKind, Result};

mod bundled;
#[cfg(feature = "readers")]
mod csv;
mod folds;
#[cfg(feature = "readers")]
mod matrix_market;
#[cfg(feature = "readers")]
mod npy;
#[cfg(feature = "readers")]
mod read;
#[cfg(feature = "readers")]
mod scipy;
mod split;
mod standardize;
#[cfg(feature = "readers")]
mod svmlight;
mod synthetic;

pub use bundled::{BUNDLED, bundled};
pub use folds::{Fold, FoldRule, Folds};
#[cfg(feature = "readers")]
pub use npy::read_array;
#[cfg(feature = "readers")]
pub use read::{Header, Missing, ReadOptions, parse, read, read_features, read_text};
pub use split::Validation;
pub use standardize::Standardization;
pub use synthetic::Synthetic;

/// A design with its target, sample weights and names.
///
/// Shapes: the design is `[n, p]`, `target` and `sample_weight` are `[n]`, `feature_names` has `p` entries.
/// Every number is finite and every weight positive: a row of weight 0 is left out when the data set is made,
/// before anything else of it is looked at. Errors still name rows by their place in the data as given.
#[derive(Debug, Clone)]
pub struct Dataset {
    design: Design,
    target: Array1<f64>,
    sample_weight: Array1<f64>,
    /// Place of every row in the data as given, `[n]`.
    given_rows: Vec<usize>,
    feature_names: Vec<String>,
    target_name: String,
    class_names: Option<[String; 2]>,
    standardization: Option<Standardization>,
    /// Group of every row, `[n]`, if the data have a column of them.
    groups: Option<Vec<String>>,
    source: String,
}

impl Dataset {
    /// A data set from a design `[n, p]`, an array or a [`Sparse`](crate::design::Sparse) matrix, and a
    /// target `[n]`, with unit weights and names `x0, x1, …`.
    ///
    /// # Errors
    /// An empty design, lengths that differ, or a value that is not finite (its row and column are named).
    pub fn new(x: impl Into<Design>, target: Array1<f64>) -> Result<Self> {
        let x = x.into();
        let weight = Array1::ones(x.rows());
        Self::weighted(x, target, weight)
    }

    /// The same with sample weights `[n]`. Unlike [`with_sample_weight`](Self::with_sample_weight) it accepts
    /// values that are not finite in rows of weight 0.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`with_sample_weight`](Self::with_sample_weight).
    pub fn weighted(x: impl Into<Design>, target: Array1<f64>, weight: Array1<f64>) -> Result<Self> {
        let x = x.into();
        let (n, p) = (x.rows(), x.columns());
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
        let given_rows = weighted_rows(weight.view(), n, |i| i)?;
        let feature_names: Vec<String> = (0..p).map(|j| format!("x{j}")).collect();
        check_finite(&x, &target, &feature_names, &given_rows)?;
        let (x, target, sample_weight) = if given_rows.len() == n {
            (x, target, weight)
        } else {
            let rows = |v: &Array1<f64>| v.select(Axis(0), &given_rows);
            (x.select_rows(&given_rows), rows(&target), rows(&weight))
        };
        Ok(Dataset {
            sample_weight,
            design: x,
            target,
            given_rows,
            feature_names,
            target_name: "y".into(),
            class_names: None,
            standardization: None,
            groups: None,
            source: "memory".into(),
        })
    }

    /// Sets the sample weights, `[n]`. Rows of weight 0 are left out.
    ///
    /// # Errors
    /// A wrong length, a negative or non-finite weight (its row is named), or weights that are all zero.
    pub fn with_sample_weight(mut self, weight: Array1<f64>) -> Result<Self> {
        let rows = weighted_rows(weight.view(), self.rows(), |i| self.given_rows[i])?;
        if rows.len() < self.rows() {
            self = self.select(&rows)?;
        }
        self.sample_weight = weight.select(Axis(0), &rows);
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

    /// The same data without the features of these names.
    ///
    /// # Errors
    /// A name that no feature has, or no feature left.
    pub fn without_features(mut self, names: &[String]) -> Result<Self> {
        let known: Vec<&str> = self.feature_names.iter().map(String::as_str).collect();
        if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
            return Err(Error::unknown(ErrorKind::Data, "drop", name, &known));
        }
        let kept: Vec<usize> =
            (0..known.len()).filter(|j| !names.contains(&self.feature_names[*j])).collect();
        if kept.is_empty() {
            return Err(Error::usage("drop", "every feature", "at least one that is kept", ""));
        }
        self.design = self.design.with_columns(&kept);
        self.feature_names = kept.iter().map(|j| self.feature_names[*j].clone()).collect();
        let of = |v: &[f64]| kept.iter().map(|j| v[*j]).collect();
        let standardization = self.standardization.as_ref();
        self.standardization =
            standardization.map(|s| Standardization { mean: of(&s.mean), scale: of(&s.scale) });
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
    /// Sample weights `[n]`, as given (not normalised), all positive.
    pub fn sample_weight(&self) -> ArrayView1<'_, f64> {
        self.sample_weight.view()
    }
    /// Place of every row in the data as given, `[n]`.
    pub fn given_rows(&self) -> &[usize] {
        &self.given_rows
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
    /// The group of every row, `[n]`, if the data have a column of them.
    pub fn groups(&self) -> Option<&[String]> {
        self.groups.as_deref()
    }
    /// The source of the data.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The features of these names, in this order; those that there are not are columns of zeros if `absent`
    /// says so of their name. Other features are left out.
    ///
    /// # Errors
    /// A name that no feature has.
    pub fn with_features(mut self, names: &[String], absent: impl Fn(&str) -> bool) -> Result<Self> {
        let place: HashMap<&str, usize> =
            self.feature_names.iter().enumerate().map(|(j, name)| (name.as_str(), j)).collect();
        let found: Vec<Option<usize>> = names.iter().map(|name| place.get(name.as_str()).copied()).collect();
        let missing = names.iter().zip(&found).find(|(name, at)| at.is_none() && !absent(name));
        if let Some((name, _)) = missing {
            let known: Vec<&str> = self.feature_names.iter().map(String::as_str).collect();
            return Err(Error::unknown(ErrorKind::Data, "features", name, &known));
        }
        self.design = self.design.with_columns_or_zeros(&found);
        self.feature_names = names.to_vec();
        // A column of zeros is its own standardisation.
        let of = |v: &[f64], instead: f64| found.iter().map(|j| j.map_or(instead, |j| v[j])).collect();
        let standardization = self.standardization.as_ref();
        self.standardization =
            standardization.map(|s| Standardization { mean: of(&s.mean, 0.0), scale: of(&s.scale, 1.0) });
        Ok(self)
    }

    /// `[p]`: weighted means of the features.
    pub fn feature_means(&self) -> Array1<f64> {
        let weight = &self.sample_weight / self.sample_weight.sum();
        self.design.apply_t_vector(weight.view())
    }

    /// The rows `index`, in that order, with their weights and all names.
    ///
    /// # Errors
    /// No rows, or a row that there is not.
    pub fn select(&self, index: &[usize]) -> Result<Self> {
        if index.is_empty() {
            return Err(Error::data("rows", "none", "at least one row", ""));
        }
        if let Some(i) = index.iter().find(|i| **i >= self.rows()) {
            return Err(Error::data("rows", format!("row {i}"), format!("rows below {}", self.rows()), ""));
        }
        Ok(Dataset {
            design: self.design.select_rows(index),
            target: self.target.select(Axis(0), index),
            sample_weight: self.sample_weight.select(Axis(0), index),
            given_rows: index.iter().map(|i| self.given_rows[*i]).collect(),
            groups: self.groups.as_ref().map(|g| index.iter().map(|i| g[*i].clone()).collect()),
            ..self.clone()
        })
    }
}

/// The rows of positive weight. `given` is the place of a row in the data as given.
fn weighted_rows(
    weight: ArrayView1<'_, f64>,
    n: usize,
    given: impl Fn(usize) -> usize,
) -> Result<Vec<usize>> {
    if weight.len() != n {
        return Err(Error::data(
            "sample_weight",
            format!("{} values", weight.len()),
            format!("{n}, one per row"),
            "Give one weight per row.",
        ));
    }
    if let Some((i, w)) = weight.indexed_iter().find(|(_, w)| !w.is_finite() || **w < 0.0) {
        return Err(Error::data(
            format!("sample_weight, row {}", given(i)),
            w.to_string(),
            "a finite number, zero or larger",
            "Use weight 0 to leave a row out.",
        ));
    }
    let rows: Vec<usize> = (0..n).filter(|i| weight[*i] > 0.0).collect();
    if rows.is_empty() {
        return Err(Error::data(
            "sample_weight",
            "weights that are all zero",
            "at least one positive weight",
            "Leave the weights out to weigh all rows alike.",
        ));
    }
    Ok(rows)
}

/// Checks the values of `rows`.
fn check_finite(x: &Design, target: &Array1<f64>, names: &[String], rows: &[usize]) -> Result<()> {
    let remedy = "Remove or impute the row, or give it weight 0; missing values are not supported.";
    if let Some((i, j, v)) = x.first_not_finite(rows) {
        let at = format!("design matrix, row {i}, column {j} ('{}')", names[j]);
        return Err(Error::data(at, v.to_string(), "a finite number", remedy));
    }
    for i in rows {
        if !target[*i].is_finite() {
            let found = target[*i].to_string();
            return Err(Error::data(format!("target, row {i}"), found, "a finite number", remedy));
        }
    }
    Ok(())
}
