//! Bounds on the curvature of loss and penalty.

use ndarray::Array1;

use super::{Intercept, Objective, Ridge, Spectrum};

/// Ratio of the scales of columns from which a diagonal metric pays: below it, the strategies that have no
/// metric gain more.
const SCALES: f64 = 4.0;

impl Objective {
    /// (Lipschitz constant of ∇f, strong convexity of f) for a lane of strength `l2`: of the loss, and of the
    /// ridge of penalty `l2` if it belongs to `f`.
    pub fn lipschitz(&self, l2: f64) -> (f64, f64) {
        let ridge = if self.penalty.ridge_in_loss() { l2 } else { 0.0 };
        let largest = self.penalty_factors.iter().copied().fold(0.0, f64::max);
        // An intercept column carries no ridge, so it adds nothing to the strong convexity.
        let smallest = match self.intercept {
            Intercept::Column { .. } => 0.0,
            _ => self.penalty_factors.iter().copied().fold(f64::INFINITY, f64::min),
        };
        (self.spectrum.lipschitz + ridge * largest, self.spectrum.strong_convexity + ridge * smallest)
    }

    /// (Upper bound on the largest curvature, median curvature along a feature) of the loss, features in
    /// units of their penalty factors and centred if there is an intercept. A ridge far above the first
    /// leaves nothing but the unpenalised terms; one far below the second penalises nothing.
    pub(crate) fn ridge_scales(&self) -> (f64, f64) {
        let squares = match self.intercept {
            Intercept::Column { .. } => {
                self.design.clone().centred(self.weight.view()).0.column_squares(self.weight.view())
            }
            _ => self.design.column_squares(self.weight.view()),
        };
        let along = squares.iter().zip(&self.penalty_factors).map(|(s, f)| self.curvature.d2_max * s / f);
        let mut along: Vec<f64> = along.filter(|c| *c > 0.0 && c.is_finite()).collect();
        along.sort_by(f64::total_cmp);
        let median = along.get(along.len() / 2).copied().unwrap_or(1.0);
        let all: f64 = along.iter().sum();
        let smallest =
            self.penalty_factors.iter().copied().filter(|f| *f > 0.0).fold(f64::INFINITY, f64::min);
        let largest = f64::min(all, self.spectrum.lipschitz / smallest);
        (if largest > 0.0 { largest } else { 1.0 }, median)
    }

    /// Strong convexity of the penalty's proximal part for strength `l2` (0 if the ridge belongs to `f`).
    pub(crate) fn prox_strong_convexity(&self, l2: f64) -> f64 {
        let in_prox = self.penalty.capabilities().ridge == Ridge::InProx;
        let whole = in_prox && !matches!(self.intercept, Intercept::Column { .. });
        if whole { l2 * self.penalty_factors.iter().copied().fold(f64::INFINITY, f64::min) } else { 0.0 }
    }

    /// The step at which stationarity is measured: `1/L`, or half the penalty's step limit if that is
    /// smaller.
    pub(crate) fn probe_step(&self, l2: f64) -> f64 {
        let step = 1.0 / self.lipschitz(l2).0;
        self.penalty.step_limit().map_or(step, |(_, limit)| step.min(0.5 * limit))
    }

    /// `ĥ_j = sup φ'' · Σ_i ω_i X_ij²`, `[q]`: the largest curvature of the loss along each state row.
    pub(crate) fn curvature_bound(&self) -> Array1<f64> {
        self.most_over_folds(|weight| self.design.column_squares(weight)) * self.curvature.d2_max
    }

    /// True if the root mean squares of columns differ so much that a diagonal metric pays.
    pub(crate) fn scales_differ(&self) -> bool {
        let bound = self.curvature_bound();
        let used = || bound.iter().copied().filter(|h| *h > 0.0);
        used().fold(0.0, f64::max) > SCALES.powi(2) * used().fold(f64::INFINITY, f64::min)
    }

    /// Bounds on the curvature of the loss in a metric whose diagonal lies between `lower` and `upper`, `[q]`
    /// each.
    pub(crate) fn spectrum_in_metric(&self, lower: &Array1<f64>, upper: &Array1<f64>) -> Spectrum {
        let of = |d: &Array1<f64>| {
            let curvature = (self.curvature.d2_max, self.curvature.d2_min);
            let scaled = self.design.times_diagonal(&d.mapv(f64::sqrt));
            self.over_folds(|weight| scaled.spectral_bound(weight, curvature))
        };
        let top = of(upper);
        let bottom = if lower == upper { top } else { of(lower) };
        Spectrum { strong_convexity: bottom.strong_convexity, ..top }
    }
}
