//! Engines: interpreters of a plan. [`cpu`] is the reference text; `gpu` runs the same plan on a device.

use ndarray::Array3;

use crate::error::Result;
use crate::lanes::{Job, LaneState};
use crate::program::{Limits, Plan, Precision};

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;

/// How a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
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
pub struct Slot {
    /// Index into the sweep.
    pub lane: usize,
    /// Iterations it had done before the chunk.
    pub first: usize,
    /// Where it stands at the end of the chunk.
    pub outcome: LaneOutcome,
}

impl Slot {
    /// Iterations it did in the chunk.
    pub fn iterations(&self) -> usize {
        self.outcome.iterations - self.first
    }
}

/// What an engine hands over after every chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The lanes.
    pub slots: Vec<Slot>,
    /// `[iterations, slots, fields]`, as many iterations as the longest lane did, laid out by
    /// [`RecordLayout`](crate::program::RecordLayout): row `i` of a slot describes iterate `first + i + 1`,
    /// as long as the lane was going. In any memory order.
    pub records: Array3<f64>,
    /// Frames of the chunk.
    pub frames: Vec<Frame>,
    /// Coefficients left out because they provably rest at zero: summed over lanes and iterations, in units
    /// of all of a lane's.
    pub skipped: f64,
}

impl Chunk {
    /// Lanes still going at its end.
    pub fn running(&self) -> usize {
        self.slots.iter().filter(|s| s.outcome.status == Status::Running).count()
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
    /// The same of the derivatives, `‖dx − DT(x, dx)‖ / max(‖dx‖, ‖DT‖)`, the largest over the tangents;
    /// those by a step or a momentum vanish at the solution and are left out.
    pub derivative_residual: f64,
}

impl LaneOutcome {
    /// Of a lane that is still going after `iterations`.
    pub(crate) fn open(iterations: usize) -> Self {
        let nan = f64::NAN;
        LaneOutcome {
            status: Status::Running,
            iterations,
            gap: None,
            stationarity: nan,
            derivative_residual: nan,
        }
    }
}

/// What ran: named in every report.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct EngineInfo {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// The adapter, or the processor's name and threads.
    pub adapter: String,
    /// Driver, or the product library.
    pub driver: String,
    /// True if the adapter is a software one.
    pub software: bool,
}

mod sealed {
    /// Engines are made in this crate alone, so that what they are asked to do may change.
    pub trait Sealed {}
}
#[cfg(not(feature = "testing"))]
pub(crate) use sealed::Sealed;
#[cfg(feature = "testing")]
pub use sealed::Sealed;

/// An interpreter of plans. Sealed: the engines are [`cpu::CpuEngine`] and, with the feature `gpu`,
/// `gpu::GpuEngine`.
pub trait Engine: Sealed + Send {
    /// What runs.
    fn info(&self) -> EngineInfo;

    /// What it can do, for planning.
    ///
    /// # Errors
    /// A precision the engine does not have.
    fn limits(&self, precision: Precision) -> Result<Limits>;

    /// Allocates what a plan counts. No lane is active yet.
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

/// A plan in progress: lanes come and go between chunks. Lanes that ended rest until they are evicted.
pub trait Run {
    /// Lanes that can still be active.
    fn free(&self) -> usize;

    /// Loads lanes, each with what it needs to go on; at most [`free`](Self::free) of them.
    ///
    /// # Errors
    /// A device that failed.
    fn load(&mut self, lanes: Vec<LaneState>) -> Result<()>;

    /// Frees the slots of lanes.
    fn evict(&mut self, lanes: &[usize]);

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

    /// An active lane as of the last chunk collected, or as it was loaded.
    fn state(&self, lane: usize) -> LaneState;
}
