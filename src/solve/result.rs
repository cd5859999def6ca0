//! What a sweep found.

use crate::certificate::{Certificate, PolishedNumbers};
use crate::engine::{EngineInfo, Status};
use crate::objective::Shape;
use crate::program::{Precision, Strategy};
use crate::result::{Columns, Fit, Polish, Trace};
use crate::schedule::ScheduleInfo;

use super::path::Path;

/// What a sweep found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SweepResult {
    /// Every lane, in the order of the alphas.
    pub lanes: Vec<LaneResult>,
    /// The recorded sequence, in the units of the fit.
    pub trace: Trace,
    /// The settings and the device of the run.
    pub info: RunInfo,
    pub(super) columns: Columns,
    pub(super) polished: Polish,
}

impl SweepResult {
    /// The final model of a lane, in the units of the original data: polished, if the lane's certificate has
    /// a polished result, else the last iterate.
    ///
    /// # Panics
    /// A lane that the sweep does not have.
    pub fn lane(&self, lane: usize) -> Fit<'_> {
        self.columns.fit(&self.trace, &self.polished, lane)
    }

    /// True if the features were standardised.
    pub fn is_standardized(&self) -> bool {
        self.columns.is_standardized()
    }

    /// The lane with the lowest loss over the held-out rows, among those that [ended](LaneResult::ended);
    /// `None` without such rows or lanes, and for folds, which have
    /// [`cross_validation`](Self::cross_validation).
    pub fn best(&self) -> Option<usize> {
        let whole = |lane: &LaneResult| lane.ended() && lane.fold.is_none();
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| whole(lane));
        let losses = lanes.filter_map(|(i, lane)| Some((i, lane.validation_loss?)));
        losses.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
    }
}

/// The held-out losses of a candidate over its folds.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CrossValidated {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// Mean over the folds of the mean loss of held-out rows; absent if a fold has none.
    pub mean: Option<f64>,
    /// Its standard error: the standard deviation over the folds (divisor `k − 1`) over the square root of
    /// the number of folds, not counting repeats, which have the same rows; absent for a single fold.
    pub standard_error: Option<f64>,
    /// `[d]`: derivatives of the mean.
    pub hypergradient: Option<Vec<f64>>,
    /// `[k]`: the loss of each fold.
    pub losses: Vec<Option<f64>>,
}

impl SweepResult {
    /// The candidates' losses over their folds, in the order of the alphas; `None` without folds. The folds
    /// of a candidate count alike, whatever their rows.
    pub fn cross_validation(&self) -> Option<Vec<CrossValidated>> {
        let folds = self.lanes.iter().filter_map(|lane| lane.fold).max()? + 1;
        let of_one = folds / self.info.data_shape.repeats.max(1);
        Some(self.lanes.chunks(folds).map(|lanes| CrossValidated::of(lanes, of_one)).collect())
    }
}

impl CrossValidated {
    /// The index of the candidate of the lowest mean; `None` if none has a mean.
    pub fn best(candidates: &[CrossValidated]) -> Option<usize> {
        let means = candidates.iter().enumerate().filter_map(|(i, c)| Some((i, c.mean?)));
        means.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
    }

    /// Of the lanes of a candidate, and the number of folds without repeats.
    fn of(lanes: &[LaneResult], folds: usize) -> Self {
        let k = lanes.len() as f64;
        let loss = |lane: &LaneResult| lane.validation_loss.filter(|_| lane.ended());
        let losses: Vec<Option<f64>> = lanes.iter().map(loss).collect();
        let all: Option<Vec<f64>> = losses.iter().copied().collect();
        let mean = all.as_ref().map(|all| all.iter().sum::<f64>() / k);
        let spread = |all: &Vec<f64>, mean: f64| {
            let squares: f64 = all.iter().map(|v| (v - mean).powi(2)).sum();
            (squares / (k - 1.0) / folds as f64).sqrt()
        };
        let gradients: Option<Vec<&Vec<f64>>> = lanes.iter().map(|l| l.hypergradient.as_ref()).collect();
        let mean_gradient = |list: Vec<&Vec<f64>>| {
            (0..list[0].len()).map(|t| list.iter().map(|g| g[t]).sum::<f64>() / k).collect()
        };
        CrossValidated {
            alpha: lanes[0].alpha,
            l1_ratio: lanes[0].l1_ratio,
            mean,
            standard_error: all.as_ref().zip(mean).filter(|_| k > 1.0).map(|(all, mean)| spread(all, mean)),
            hypergradient: gradients.filter(|_| mean.is_some()).map(mean_gradient),
            losses,
        }
    }
}

/// The outcome of a lane.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LaneResult {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// The fold whose rows it was fitted on; absent for all rows.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fold: Option<usize>,
    /// Why the lane ended.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// Objective of the delivered model.
    pub objective: Option<f64>,
    /// Final duality gap, relative to the loss of zero coefficients; absent if there is no dual.
    pub gap: Option<f64>,
    /// Fixed-point residual of the iterate, relative.
    pub stationarity: Option<f64>,
    /// The largest relative fixed-point residual of the derivatives by hyperparameters.
    pub derivative_residual: Option<f64>,
    /// Non-zero coefficients.
    pub support: usize,
    /// The iterate from which on the active set did not change; absent if it changed at the last iterate, or
    /// if the trace does not keep the records ([`Sweep::keep`](crate::solve::Sweep::keep)).
    pub identified: Option<usize>,
    /// Mean loss over the held-out rows.
    pub validation_loss: Option<f64>,
    /// `[d]`: its derivatives, in the order of [`RunInfo::derivative`]; NaN where there is none.
    pub hypergradient: Option<Vec<f64>>,
    /// R² of the delivered model, for classes its accuracy: over the held-out rows, or over the fitted rows
    /// if there are none. Absent if it is not defined.
    pub score: Option<f64>,
    /// How far the lane is from the solution; absent if it was stopped, diverged or is not
    /// finite, and with `tol` 0.
    pub certificate: Option<Certificate>,
    /// Lipschitz constant of the smooth part of this lane's objective.
    pub lipschitz: f64,
    /// Its strong convexity.
    pub strong_convexity: f64,
}

/// A number, or NaN for infinities.
pub(super) fn finite_or_nan(v: f64) -> f64 {
    if v.is_finite() { v } else { f64::NAN }
}

impl LaneResult {
    /// True if the lane came to its end: it was not stopped, and did not diverge.
    pub fn ended(&self) -> bool {
        use Status::{Cancelled, Deadline, Diverged, NotFinite};
        !matches!(self.status, Cancelled | Deadline | Diverged | NotFinite)
    }

    /// False if the lane was stopped before it had a model: its coefficients are those of the start.
    pub fn is_fitted(&self) -> bool {
        self.iterations > 0 || self.certificate.is_some()
    }

    /// Takes the numbers of the polished model.
    pub(super) fn deliver(&mut self, polished: PolishedNumbers) {
        self.objective = Some(polished.objective);
        self.support = polished.support;
        if let Some((loss, gradient)) = polished.held_out {
            self.validation_loss = Some(loss);
            self.hypergradient = Some(gradient.into_iter().map(finite_or_nan).collect());
        }
    }
}

/// The settings and the device of a run, for every report.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RunInfo {
    /// The objective in words.
    pub objective: String,
    /// Sizes of the data.
    pub data_shape: Shape,
    /// Lipschitz constant of the loss's gradient, margin included.
    pub lipschitz: f64,
    /// Strong convexity of the loss.
    pub strong_convexity: f64,
    /// Relative margin in `lipschitz`.
    pub lipschitz_margin: f64,
    /// Engine, adapter and driver of the first device.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub engine: EngineInfo,
    /// The other devices.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub further_devices: Vec<EngineInfo>,
    /// Arithmetic.
    pub precision: Precision,
    /// Execution strategy.
    pub strategy: Strategy,
    /// How the lanes of the path started. Under `newton` the schedule is that of lanes which Newton's method
    /// did not solve.
    pub path: Path,
    /// The schedule.
    pub schedule: ScheduleInfo,
    /// What the lanes' score is: `"r2"` or `"accuracy"`.
    pub score: &'static str,
    /// Maximum number of iterations.
    pub iterations: usize,
    /// Tolerance.
    pub tol: f64,
    /// Names of the derivatives, in order.
    pub derivative: Vec<String>,
    /// Share of the skipped work over all lanes and iterations: of the coefficients (CPU engine), or of the
    /// terms of both products (GPU engine), because they are zero.
    pub skipped_work: f64,
    /// Device failures during the run, and how the run continued.
    pub faults: Vec<String>,
    /// Warnings: steps and momenta that the theory does not cover, and phases that never ran.
    pub warnings: Vec<String>,
    /// Seconds of the run, planning and upload included.
    pub seconds: f64,
}
