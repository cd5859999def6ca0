//! Engines: interpreters of a plan. [`cpu`] is the reference implementation; `gpu` runs the
//! same plan on a device.

use std::time::Duration;

use ndarray::Array3;

use crate::error::Result;
use crate::lanes::{Job, LaneState};
use crate::program::{Limits, Plan, Precision};

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;

/// The status of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Status {
    /// Still running; never in a result.
    Running,
    /// The iterate and its derivatives are certified to be within the tolerance.
    Converged,
    /// All iterations were done before the stop rule held.
    MaxIterations,
    /// The objective grew beyond [`DIVERGED`](crate::lanes::DIVERGED) times that of the start or of zero
    /// coefficients.
    Diverged,
    /// A value that is not finite appeared in the iterate or a derivative.
    NotFinite,
    /// The objective has no minimiser: it decreases without end in some direction.
    Unbounded,
    /// The tolerance is finer than the precision of the arithmetic resolves.
    PrecisionLimit,
    /// The run was cancelled before this lane ended.
    Cancelled,
    /// The run's deadline passed before this lane ended.
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
            Status::Unbounded => "unbounded",
            Status::PrecisionLimit => "precision_limit",
            Status::Cancelled => "cancelled",
            Status::Deadline => "deadline",
        }
    }
}

/// States of some lanes, each at its own iterate.
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
    /// Iterations done before the chunk.
    pub first: usize,
    /// The outcome at the end of the chunk.
    pub outcome: LaneOutcome,
    /// True if the lane rests after the chunk, and goes on from its iterate without momentum: its previous
    /// iterate is forgotten.
    pub rests: bool,
}

impl Slot {
    /// Iterations done in the chunk.
    pub fn iterations(&self) -> usize {
        self.outcome.iterations - self.first
    }
}

/// The results of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The lanes.
    pub slots: Vec<Slot>,
    /// Iterations of the chunk, from 0, that have a record, ascending: those that are recorded for some lane,
    /// and the last one.
    pub recorded: Vec<usize>,
    /// `[recorded, slots, fields]`, laid out by [`RecordLayout`](crate::program::RecordLayout): the row of
    /// iteration `i` describes iterate `first + i + 1` of a slot, if the lane did so many and
    /// [records](crate::program::Plan::is_recorded) it, or it is the lane's last. In any memory order.
    pub records: Array3<f64>,
    /// Frames of the chunk: those of a lane ascend, and an iterate of many lanes may have several, each of
    /// lanes that the engine computed together.
    pub frames: Vec<Frame>,
    /// Coefficients left out because they provably stay zero: summed over lanes and iterations, in units of
    /// all coefficients of a lane.
    pub skipped: f64,
}

impl Chunk {
    /// Iterations of the lane that did most.
    pub fn iterations(&self) -> usize {
        self.slots.iter().map(Slot::iterations).max().unwrap_or(0)
    }
    /// Lanes still running at its end.
    pub fn running(&self) -> usize {
        self.slots.iter().filter(|s| s.outcome.status == Status::Running).count()
    }
}

/// The status of a lane, with the measures of the stop rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneOutcome {
    /// Status.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// Duality gap relative to the loss of zero coefficients; `None` if the dual is not available.
    pub gap: Option<f64>,
    /// `‖x − T(x)‖ / max(‖x‖, ‖T(x)‖)`, `T` the proximal gradient step of size `1/L` (without a metric).
    pub stationarity: f64,
    /// The same for the derivatives, `‖dx − DT(x, dx)‖ / max(‖dx‖, ‖DT‖)`, the largest over the tangents;
    /// derivatives by a step or a momentum vanish at the solution and are left out.
    pub derivative_residual: f64,
}

impl LaneOutcome {
    /// The outcome of a lane that is still running after `iterations`.
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

/// The engine and device of a run: named in every report.
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

/// A device that does not answer for this long has failed.
pub(crate) const DEVICE_TIMEOUT: Duration = Duration::from_secs(120);

/// Engines are defined in this crate and its tests only, so that [`Engine`] may change.
#[doc(hidden)]
pub trait Sealed {}

/// An interpreter of plans. Sealed: the engines are [`cpu::CpuEngine`] and, with the feature
/// `gpu`, `gpu::GpuEngine`.
pub trait Engine: Sealed + Send {
    /// The engine and its device.
    fn info(&self) -> EngineInfo;

    /// The limits of the engine, for planning.
    ///
    /// # Errors
    /// The engine does not support the precision.
    fn limits(&self, precision: Precision) -> Result<Limits>;

    /// Allocates the buffers of a plan. No lane is active yet.
    ///
    /// # Errors
    /// The device failed.
    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>>;

    /// Replaces a failed device by a new one.
    ///
    /// # Errors
    /// There is no device, or the engine does not own it.
    fn recover(&mut self) -> Result<()>;
}

/// A plan in progress: lanes are loaded and evicted between chunks. Lanes that ended stay idle
/// until they are evicted.
pub trait Run {
    /// The number of lanes that can still be loaded.
    fn free(&self) -> usize;

    /// Loads lanes from their states; at most [`free`](Self::free) of them.
    ///
    /// # Errors
    /// The device failed.
    fn load(&mut self, lanes: &[LaneState]) -> Result<()>;

    /// Frees the slots of lanes.
    fn evict(&mut self, lanes: &[usize]);

    /// Begins at most `iterations` of every lane, no more than the plan's chunk, and returns their number.
    ///
    /// # Errors
    /// The device failed.
    fn submit(&mut self, iterations: usize) -> Result<usize>;

    /// Chunks submitted but not collected; at most [`depth`](Self::depth).
    fn in_flight(&self) -> usize;

    /// Most chunks in flight.
    fn depth(&self) -> usize;

    /// Waits for the oldest chunk in flight, but no longer than `limit`; true if the chunk can be collected.
    ///
    /// # Errors
    /// The device failed.
    fn wait(&mut self, limit: Duration) -> Result<bool> {
        let _ = limit;
        Ok(true)
    }

    /// Gives up the chunks in flight, which will not be waited for: the device may never finish them.
    fn abandon(&mut self) {}

    /// Waits for the oldest chunk in flight and returns its results.
    ///
    /// # Errors
    /// The device failed: chunks in flight are lost, collected ones are not.
    fn collect(&mut self) -> Result<Chunk>;

    /// The state of an active lane as of the last collected chunk, or as it was loaded.
    fn state(&self, lane: usize) -> LaneState;
}
