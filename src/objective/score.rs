//! The score of a model, as scikit-learn defines it: R² for numbers, accuracy for classes. For equal targets
//! R² is not defined here.

use ndarray::Array1;

use super::{HeldOut, Intercept, Objective};
use crate::design::Threads;

/// True if all rows of positive weight have the same target.
fn is_constant(y: &Array1<f64>, weight: &Array1<f64>) -> bool {
    let mut counted = y.iter().zip(weight).filter(|(_, w)| **w > 0.0).map(|(v, _)| *v);
    counted.next().is_none_or(|first| counted.all(|v| v == first))
}

impl Objective {
    /// The name of a model's score: `"accuracy"` for classes, else `"r2"`.
    pub fn score_name(&self) -> &'static str {
        if self.loss.classes() { "accuracy" } else { "r2" }
    }

    /// The scores of states, `[q]` each, over the held-out rows, or over the fitted rows if there are none:
    /// `1 − Σ w (y − z)² / Σ w (y − ȳ)²`, or the weighted share of rows on the right side of zero. `None` if
    /// it is not defined.
    pub(crate) fn scores(&self, states: &[Array1<f64>]) -> Vec<Option<f64>> {
        let (design, y, w) = match &self.held_out {
            Some(HeldOut { design, target, weight, .. }) => (design, target, weight),
            None => (&self.design, &self.target, &self.weight),
        };
        let mut predictions = vec![0.0; states.len() * y.len()];
        let states: Vec<f64> = states.iter().flatten().copied().collect();
        design.apply(&mut predictions, &states, Threads::One);
        predictions.chunks_exact(y.len()).map(|z| self.score(z, y, w)).collect()
    }

    fn score(&self, z: &[f64], y: &Array1<f64>, w: &Array1<f64>) -> Option<f64> {
        let score = if self.loss.classes() {
            (0..z.len()).filter(|i| (z[*i] > 0.0) == (y[*i] > 0.0)).map(|i| w[i]).sum()
        } else if is_constant(y, w) {
            return None;
        } else {
            let mean = w.dot(y);
            let squares =
                |from: &dyn Fn(usize) -> f64| (0..y.len()).map(|i| w[i] * from(i).powi(2)).sum::<f64>();
            1.0 - squares(&|i| y[i] - z[i]) / squares(&|i| y[i] - mean)
        };
        z.iter().all(|z| z.is_finite()).then_some(score).filter(|score| score.is_finite())
    }

    /// `[p]`: the standard deviation of each feature over the fitted rows, its root mean square without an
    /// intercept, in the units of the data.
    pub fn feature_scales(&self) -> Array1<f64> {
        if let Some(standardization) = &self.standardization {
            return standardization.scale.iter().copied().collect();
        }
        let squares = self.design.column_squares(self.weight.view());
        let mean = match self.has_intercept() {
            true => self.design.apply_t_vector(self.weight.view()),
            false => Array1::zeros(squares.len()),
        };
        let of = |j: usize| (squares[j] - mean[j] * mean[j]).max(0.0).sqrt();
        (0..self.features()).map(of).collect()
    }

    /// `[p]`: the weighted mean of each feature over the fitted rows, in the units of the data.
    pub fn feature_means(&self) -> Array1<f64> {
        let mut mean = match &self.intercept {
            Intercept::Absent => self.design.apply_t_vector(self.weight.view()),
            Intercept::Centred { x_mean, .. } | Intercept::Column { x_mean, .. } => x_mean.clone(),
        };
        if let Some(given) = &self.standardization {
            let units = given.scale.iter().zip(&given.mean);
            mean.iter_mut().zip(units).for_each(|(of, (scale, mean))| *of = *of * scale + mean);
        }
        mean
    }

    /// The rows that are held out, by their numbers in the data as given; `None` without any.
    pub fn held_out_rows(&self) -> Option<&[usize]> {
        self.held_out.as_ref().map(|held_out| &held_out.rows[..])
    }
}
