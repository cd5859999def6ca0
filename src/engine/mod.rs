//! Engines: interpreters of a plan. [`cpu`] is the reference text; `gpu` runs the same plan on a device.

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

pub(crate) use control::{Control, ControlRules, Directive, Numbers};
#[cfg(feature = "gpu")]
pub(crate) use control::{MEMORY, memory_fields};
pub(crate) use lanes::{LaneNumbers, RunNumbers};

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
    /// The run's time was over while this lane was going.
    Deadline,
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
            Status::Deadline => "deadline",
        }
    }
}

/// Growth of the objective at which a lane counts as diverged.
pub const DIVERGED: f64 = 1e10;

/// Everything a run computes on: the numbers to go with a plan.
#[derive(Debug, Clone, Copy)]
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

/// A job that owns its numbers, for a run that outlives who began it.
#[derive(Debug, Clone)]
pub struct OwnedJob {
    /// The problem.
    pub problem: Problem,
    /// The lanes of the whole sweep.
    pub lanes: Vec<Lane>,
    /// The schedule of the whole sweep.
    pub schedule: LaneSchedule,
    /// Where the metric comes from.
    pub metric: MetricSource,
    /// What the tangents are derivatives with respect to.
    pub derivatives: Vec<Derivative>,
    /// Start of the lanes, as in [`Job`].
    pub start: Option<Array2<f64>>,
    /// Tolerance of the stop rule.
    pub tol: f64,
}

impl OwnedJob {
    /// The job.
    pub fn job(&self) -> Job<'_> {
        Job {
            problem: &self.problem,
            lanes: &self.lanes,
            schedule: &self.schedule,
            metric: &self.metric,
            derivatives: &self.derivatives,
            start: self.start.as_ref(),
            tol: self.tol,
        }
    }
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

/// A lane between two iterations: all that an engine needs to go on with it, whichever engine brought it here.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneState {
    /// Index into the sweep.
    pub lane: usize,
    /// Iterations done.
    pub iteration: usize,
    /// `[1 + d, q]`: the iterate and its tangents.
    pub state: Array2<f64>,
    /// `[1 + d, q]`: those before.
    pub previous: Array2<f64>,
    /// `[1 + d, q]`: a metric made of curvatures, which was refreshed some iterations ago.
    pub(crate) metric: Option<Array2<f64>>,
    /// What the schedule's decisions depend on.
    pub(crate) memory: Vec<f64>,
}

/// States of some lanes, each at an iterate of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// (lane as an index into the sweep, index of its iterate).
    pub lanes: Vec<(usize, usize)>,
    /// `[lanes, 1 + d, q]`: the iterates, then their tangents.
    pub state: Array3<f64>,
}

/// A lane of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seat {
    /// Index into the sweep.
    pub lane: usize,
    /// Iterations it had done before the chunk.
    pub first: usize,
    /// Where it stands at the end of the chunk.
    pub outcome: LaneOutcome,
}

impl Seat {
    /// Iterations it did in the chunk.
    pub fn iterations(&self) -> usize {
        self.outcome.iterations - self.first
    }
}

/// What an engine hands over after every chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The lanes.
    pub seats: Vec<Seat>,
    /// `[iterations, seats, fields]`, as many iterations as the longest lane did, laid out by [`RecordLayout`](crate::plan::RecordLayout): row `i` of a seat describes iterate
    /// `first + i + 1`, as long as the lane was going. In any memory order.
    pub records: Array3<f64>,
    /// Frames of the chunk.
    pub frames: Vec<Frame>,
    /// Coefficients left out because they provably rest at zero: summed over lanes and iterations, in units of all of a lane's.
    pub spared: f64,
}

impl Chunk {
    /// Lanes still going at its end.
    pub fn running(&self) -> usize {
        self.seats.iter().filter(|s| s.outcome.status == Status::Running).count()
    }
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

impl LaneOutcome {
    /// Of a lane that is still going after `iterations`.
    pub(crate) fn open(iterations: usize) -> Self {
        let nan = f64::NAN;
        LaneOutcome { status: Status::Running, iterations, gap: None, stationarity: nan, derivative_residual: nan }
    }
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

/// An interpreter of plans.
pub trait Engine: Send {
    /// What runs.
    fn info(&self) -> EngineInfo;

    /// What it can do, for planning.
    ///
    /// # Errors
    /// A precision the engine does not have.
    fn limits(&self, precision: Precision) -> Result<Limits>;

    /// Allocates what a plan counts. No lane is seated yet.
    ///
    /// # Errors
    /// A device that failed.
    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>>;

    /// Replaces a device that failed by a fresh one.
    ///
    /// # Errors
    /// There is none, or it is not the engine's to replace.
    fn recover(&mut self) -> Result<()>;
}

/// A plan under way: lanes come and go between chunks. Lanes that ended rest until they are released.
pub trait Run {
    /// Lanes that can still be seated.
    fn free(&self) -> usize;

    /// Seats lanes, each with what it needs to go on; at most [`free`](Self::free) of them.
    ///
    /// # Errors
    /// A device that failed.
    fn admit(&mut self, lanes: Vec<LaneState>) -> Result<()>;

    /// Frees the seats of lanes.
    fn release(&mut self, lanes: &[usize]);

    /// Begins at most `iterations` of every lane, no more than the plan's chunk, and says how many.
    ///
    /// # Errors
    /// A device that failed.
    fn submit(&mut self, iterations: usize) -> Result<usize>;

    /// Chunks submitted and not collected; an engine takes at most [`depth`](Self::depth) of them.
    fn in_flight(&self) -> usize;

    /// Chunks that may be in flight.
    fn depth(&self) -> usize;

    /// Waits for the oldest chunk in flight.
    ///
    /// # Errors
    /// A device that failed: what was in flight is lost, what was collected is not.
    fn collect(&mut self) -> Result<Chunk>;

    /// A seated lane as of the last chunk collected, or as it was admitted.
    fn state(&self, lane: usize) -> LaneState;
}
