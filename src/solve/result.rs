//! What a sweep found.

use crate::engine::{EngineInfo, Status};
use crate::objective::Shape;
use crate::program::{Precision, Strategy};
use crate::result::{Columns, Fit, Trace};
use crate::schedule::ScheduleInfo;

/// What a sweep found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SweepResult {
    /// Every lane, in the order of the alphas.
    pub lanes: Vec<LaneResult>,
    /// The recorded sequence, in the units of the fit.
    pub trace: Trace,
    /// What ran and how.
    pub info: RunInfo,
    pub(super) columns: Columns,
}

impl SweepResult {
    /// The model of a lane at its end, in the units of the data as they were given.
    ///
    /// # Panics
    /// A lane that the sweep does not have.
    pub fn lane(&self, lane: usize) -> Fit<'_> {
        self.columns.fit(&self.trace, lane)
    }

    /// The lane with the lowest loss over the held-out rows; `None` without such rows.
    pub fn best(&self) -> Option<usize> {
        let losses = self.lanes.iter().enumerate().filter_map(|(i, lane)| Some((i, lane.validation_loss?)));
        losses.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
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
    /// How it ended.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// Objective at the end.
    pub objective: Option<f64>,
    /// Duality gap at the end, relative to the loss of zero coefficients; absent where the dual is not
    /// available.
    pub gap: Option<f64>,
    /// Fixed-point residual of the iterate, relative.
    pub stationarity: Option<f64>,
    /// Fixed-point residual of the derivatives by hyperparameters, relative, the largest of them.
    pub derivative_residual: Option<f64>,
    /// Non-zero coefficients.
    pub support: usize,
    /// The iterate from which on the active set did not change any more; absent where it still changed at the
    /// last one.
    pub identified: Option<usize>,
    /// Mean loss over the held-out rows.
    pub validation_loss: Option<f64>,
    /// Its derivatives, in the order of [`RunInfo::derivative`].
    pub hypergradient: Option<Vec<Option<f64>>>,
    /// Lipschitz constant of the smooth part of this lane's objective.
    pub lipschitz: f64,
    /// Its strong convexity.
    pub strong_convexity: f64,
}

/// What ran and how: every report prints it.
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
    /// Engine, adapter, driver; of the first device where there are several.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub engine: EngineInfo,
    /// The other devices.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub further_devices: Vec<EngineInfo>,
    /// Arithmetic.
    pub precision: Precision,
    /// Execution strategy.
    pub strategy: Strategy,
    /// What varied with the iteration.
    pub schedule: ScheduleInfo,
    /// Iterations at most.
    pub iterations: usize,
    /// Tolerance.
    pub tol: f64,
    /// Names of the derivatives, in order.
    pub derivative: Vec<String>,
    /// Share, over all lanes and iterations, that was left out because it is zero: of the coefficients (CPU
    /// engine), or of the terms of both products (GPU engine).
    pub skipped_work: f64,
    /// Devices that failed on the way, and what was done about it.
    pub faults: Vec<String>,
    /// What to be wary of: steps and momenta that the theory does not cover, phases that never ran.
    pub warnings: Vec<String>,
    /// Seconds of the run, planning and upload included.
    pub seconds: f64,
}
