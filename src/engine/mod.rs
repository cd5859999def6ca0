//! Engines: interpreters of a plan. [`cpu`] is the reference text; `gpu` runs the same plan on a device.

use std::ops::{ControlFlow, Range};

use ndarray::{Array1, Array2, Array3, ArrayD};
use serde::Serialize;

use crate::error::Result;
use crate::plan::{Limits, Plan, Precision};
use crate::problem::{Derivative, Problem};
use crate::schedule::LaneSchedule;

mod control;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
mod lanes;

pub(crate) use control::{Control, ControlRules, Directive, Seen};
pub(crate) use lanes::LaneNumbers;

/// One candidate: a point in hyperparameter space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lane {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
}

/// How a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Still going; never in a result.
    Running,
    /// The stop rule holds for the iterate and for its derivatives.
    Converged,
    /// Every iteration was done before the stop rule held.
    MaxIterations,
    /// The objective grew beyond [`DIVERGED`] times that of the start or of zero coefficients.
    Diverged,
    /// A number that is not finite appeared in the iterate or a derivative.
    NotFinite,
    /// The run was cancelled while this lane was going.
    Cancelled,
}

impl Status {
    /// The name in JSON and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Converged => "converged",
            Status::MaxIterations => "max_iterations",
            Status::Diverged => "diverged",
            Status::NotFinite => "not_finite",
            Status::Cancelled => "cancelled",
        }
    }
}

/// Growth of the objective at which a lane counts as diverged.
pub const DIVERGED: f64 = 1e10;

/// Everything a run computes on: the numbers to go with a plan.
#[derive(Debug)]
pub struct Job<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// The lanes of the whole sweep.
    pub lanes: &'a [Lane],
    /// The schedule of the whole sweep.
    pub schedule: &'a LaneSchedule,
    /// Where the metric comes from.
    pub metric: &'a MetricSource,
    /// What the tangents are derivatives with respect to, `d` of them.
    pub derivatives: &'a [Derivative],
    /// Start of every lane, `[q]`-columns as rows: `[1, q]` for all, or `[b, q]`; zeros where absent.
    pub start: Option<&'a Array2<f64>>,
    /// Tolerance of the stop rule; 0 for exactly the planned iterations.
    pub tol: f64,
}

/// Where the diagonal of the metric comes from; every diagonal has one entry per state row, `[q]`.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricSource {
    /// The identity.
    None,
    /// One diagonal for the whole run.
    Fixed(Array1<f64>),
    /// `[iterations, q]` or `[iterations, b, q]`.
    Table(ArrayD<f64>),
    /// From the Hessian at the iterate, `[q]` bounds of its diagonal.
    Hessian {
        /// Iterations between refreshes.
        every: usize,
        /// Largest multiple of `1/bound`.
        gain: f64,
        /// The largest curvature along each state row.
        bound: Array1<f64>,
    },
}

impl MetricSource {
    /// The diagonal that a lane begins iteration `k` with, where it does not depend on the iterate.
    pub(crate) fn entry(&self, k: usize, lane: usize, j: usize) -> f64 {
        match self {
            MetricSource::None | MetricSource::Hessian { .. } => 1.0,
            MetricSource::Fixed(d) => d[j],
            MetricSource::Table(table) if table.ndim() == 2 => table[[k, j]],
            MetricSource::Table(table) => table[[k, lane, j]],
        }
    }

    /// The diagonal's entry `j` for a lane at a solution, given the curvature along it; `None` where the table varies.
    pub(crate) fn entry_at_solution(&self, lane: usize, j: usize, curvature: impl FnOnce() -> f64) -> Option<f64> {
        match self {
            MetricSource::None | MetricSource::Fixed(_) => Some(self.entry(0, lane, j)),
            MetricSource::Table(table) => {
                let constant = (0..table.shape()[0]).all(|k| self.entry(k, lane, j) == self.entry(0, lane, j));
                constant.then(|| self.entry(0, lane, j))
            }
            MetricSource::Hessian { gain, bound, .. } => {
                let most = if bound[j] > 0.0 { bound[j] } else { 1.0 };
                Some(1.0 / curvature().max(most / gain).min(most))
            }
        }
    }

    /// Whether the metric is set anew at the start of iteration `k`.
    pub(crate) fn refreshes(&self, k: usize) -> bool {
        match self {
            MetricSource::None => false,
            MetricSource::Fixed(_) => k == 0,
            MetricSource::Table(_) => true,
            MetricSource::Hessian { every, .. } => k.is_multiple_of(*every),
        }
    }
}

/// The state of a batch at one iterate.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Index of the iterate; 0 is the start.
    pub iteration: usize,
    /// Lanes of the batch, as indices into the sweep.
    pub lanes: Range<usize>,
    /// `[lanes, 1 + d, q]`: the iterate, then its tangents.
    pub state: Array3<f64>,
}

/// What an engine hands over after every chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Lanes of the batch, as indices into the sweep.
    pub lanes: Range<usize>,
    /// The first iteration of the chunk; record row `i` describes iterate `first + i + 1`.
    pub first: usize,
    /// `[iterations, lanes, fields]`, laid out by [`RecordLayout`](crate::plan::RecordLayout).
    pub records: Array3<f64>,
    /// Frames of the chunk.
    pub frames: Vec<Frame>,
    /// Lanes still going at its end.
    pub running: usize,
}

/// How a lane ended, with the measures of the stop rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneOutcome {
    /// Status.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// Duality gap relative to the loss of zero coefficients; `None` where the dual is not available.
    pub gap: Option<f64>,
    /// `‖x − T(x)‖ / max(‖x‖, ‖T(x)‖)`, `T` the proximal gradient step of size `1/L` (without a metric).
    pub stationarity: f64,
    /// The same of the derivatives, `‖dx − DT(x, dx)‖ / max(‖dx‖, ‖DT‖)`, the largest over the tangents; those by a step or a
    /// momentum vanish at the solution and are left out.
    pub derivative_residual: f64,
}

/// How a batch ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Outcome of every lane of the batch.
    pub outcomes: Vec<LaneOutcome>,
    /// Final state, `[lanes, 1 + d, q]`.
    pub state: Array3<f64>,
}

/// What ran: named in every report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineInfo {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// The adapter, or the processor's name and threads.
    pub adapter: String,
    /// Driver, or the product library.
    pub driver: String,
    /// Whether the adapter is a software one.
    pub software: bool,
}

/// Receives chunks; `Break` cancels the lanes still going. A chunk that was in flight by then still comes.
pub type Sink<'a> = dyn FnMut(Chunk) -> ControlFlow<()> + 'a;

/// An interpreter of plans.
pub trait Engine: Send {
    /// What runs.
    fn info(&self) -> EngineInfo;

    /// What it can do, for planning.
    ///
    /// # Errors
    /// A precision the engine does not have.
    fn limits(&self, precision: Precision) -> Result<Limits>;

    /// Runs the lanes `batch` of a job: iterates, records, and reports every chunk to `sink`.
    ///
    /// # Errors
    /// A device that failed. Divergence is a status.
    fn run(&mut self, plan: &Plan, job: &Job<'_>, batch: Range<usize>, sink: &mut Sink<'_>) -> Result<Finish>;
}
