//! Folds of an objective: weights of the rows that a lane is fitted on, and of those that it holds out.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1};
use rayon::prelude::*;

use super::{HeldOut, Loss, Objective};
use crate::data::{Dataset, Folds};
use crate::design::Spectrum;
use crate::error::{Error, Result};

/// Weights `[n]` of a fold, each normalised; zero in the other rows.
#[derive(Debug, Clone)]
pub(crate) struct FoldWeights {
    pub(crate) fitted: Array1<f64>,
    pub(crate) held_out: Array1<f64>,
}

impl FoldWeights {
    /// The weights of every fold.
    pub(super) fn all(folds: &Folds, data: &Dataset, loss: &Loss) -> Result<Vec<FoldWeights>> {
        if folds.rows() != data.rows() {
            let expected = format!("{}, as the data have", data.rows());
            let remedy = "Make the folds after rows are selected.";
            return Err(Error::data("folds", format!("{} rows", folds.rows()), expected, remedy));
        }
        let weights = |rows: &[usize]| {
            let mut weight = Array1::zeros(data.rows());
            rows.iter().for_each(|i| weight[*i] = data.sample_weight()[*i]);
            let sum: f64 = weight.sum();
            weight / sum
        };
        let of = |(f, fold): (usize, &crate::data::Fold)| {
            let first = data.target()[fold.fitted[0]];
            if loss.classes() && fold.fitted.iter().all(|i| data.target()[*i] == first) {
                let found = format!("one class, {first}, among the fitted rows");
                let remedy = "Use fewer folds, or stratified ones.";
                return Err(Error::data(format!("fold {f}"), found, "rows of both classes", remedy));
            }
            Ok(FoldWeights { fitted: weights(&fold.fitted), held_out: weights(&fold.held_out) })
        };
        folds.folds().iter().enumerate().map(of).collect()
    }
}

impl Objective {
    /// Number of folds; 0 without.
    pub fn folds(&self) -> usize {
        self.folds.len()
    }

    /// `[repeats, n]`: the fold, from 0, that holds out each row; −1 if none does. `None` without folds.
    pub fn fold_ids(&self) -> Option<Array2<i64>> {
        let of_one = self.folds.len() / self.repeats;
        let mut ids = Array2::from_elem((self.repeats, self.weight.len()), -1);
        for (f, fold) in self.folds.iter().enumerate() {
            let held_out = fold.held_out.iter().enumerate().filter(|(_, weight)| **weight > 0.0);
            held_out.for_each(|(i, _)| ids[[f / of_one, i]] = f as i64);
        }
        (of_one > 0).then_some(ids)
    }

    /// True if the loss of held-out rows is recorded.
    pub(crate) fn holds_out(&self) -> bool {
        self.held_out.is_some() || !self.folds.is_empty()
    }

    /// The objective of one fold, which shares the design.
    pub(crate) fn of_fold(&self, fold: usize) -> Objective {
        let FoldWeights { fitted, held_out } = self.folds[fold].clone();
        let held_out = HeldOut {
            design: self.design.clone(),
            target: self.target.clone(),
            weight: held_out,
            rows: Vec::new(),
        };
        Objective {
            weight: fitted,
            held_out: Some(held_out),
            folds: Arc::default(),
            repeats: 1,
            ..self.clone()
        }
    }

    /// The same objective on all rows, of which folds may have left some out.
    pub(crate) fn without_folds(&self) -> Objective {
        Objective { folds: Arc::default(), repeats: 1, ..self.clone() }.with_spectrum()
    }

    /// The same with the bounds on its curvature, over the rows that lanes are fitted on.
    pub(super) fn with_spectrum(mut self) -> Objective {
        let curvature = (self.curvature.d2_max, self.curvature.d2_min);
        self.spectrum = self.over_folds(|weight| self.design.spectral_bound(weight, curvature));
        self
    }

    /// The weights of the rows that lanes are fitted on: those of every fold, or of all rows.
    fn fitted_weights(&self) -> impl Iterator<Item = ArrayView1<'_, f64>> {
        let all = self.folds.is_empty().then(|| self.weight.view());
        self.folds.iter().map(|fold| fold.fitted.view()).chain(all)
    }

    /// A bound that holds for every fold.
    pub(super) fn over_folds(&self, of: impl Fn(ArrayView1<'_, f64>) -> Spectrum + Sync + Send) -> Spectrum {
        let worse = |a: Spectrum, b: Spectrum| Spectrum {
            lipschitz: a.lipschitz.max(b.lipschitz),
            strong_convexity: a.strong_convexity.min(b.strong_convexity),
            margin: a.margin.max(b.margin),
        };
        let weights: Vec<_> = self.fitted_weights().collect();
        weights.into_par_iter().map(of).reduce_with(worse).expect("there are rows")
    }

    /// `[q]`: the largest of a quantity of columns over the folds.
    pub(super) fn most_over_folds(&self, of: impl Fn(ArrayView1<'_, f64>) -> Array1<f64>) -> Array1<f64> {
        let larger = |mut a: Array1<f64>, b: Array1<f64>| {
            a.zip_mut_with(&b, |a, b| *a = a.max(*b));
            a
        };
        self.fitted_weights().map(of).reduce(larger).expect("there are rows")
    }
}
