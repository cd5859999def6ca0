//! The request of a run, and the limits of an engine.

use super::{DeviceKind, Strategy};
use crate::design::SparseSizes;
use crate::error::{Error, ErrorKind, Result};

/// Arithmetic of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Precision {
    /// 32-bit.
    F32,
    /// 64-bit.
    F64,
}

impl Precision {
    /// Every name, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] = &["f32", "f64"];
    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Precision::F32 => 4,
            Precision::F64 => 8,
        }
    }
    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Precision::F32),
            "f64" => Ok(Precision::F64),
            _ => Err(Error::unknown(ErrorKind::Usage, "precision", text, Precision::NAMES)),
        }
    }
}

/// Capabilities and speed of an engine, read once before planning.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Limits {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// Largest single buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Most workgroups along one dimension of a dispatch.
    pub max_workgroups: u64,
    /// Most lanes that may run at the same time.
    pub max_lanes: usize,
    /// Assumed speed of the products, in floating-point operations per second: for estimates only.
    pub flops: f64,
    /// The same for sums in f64.
    pub flops_wide: f64,
    /// Assumed seconds for each matrix entry of the element-wise work between products: for estimates only.
    pub element: f64,
    /// The same for products within a workgroup's memory.
    pub flops_persistent: f64,
    /// Fixed cost of one iteration, in seconds: for estimates only.
    pub overhead: f64,
    /// Fixed cost of a dispatch, in seconds: for estimates only.
    pub dispatch: f64,
    /// Assumed seconds to finalize an iteration of a lane and to decide the next one: for estimates only.
    pub lane: f64,
    /// Bytes of a workgroup's memory.
    pub workgroup_bytes: u64,
    /// Most invocations of a workgroup.
    pub max_invocations: u64,
    /// Kind of the device.
    pub device: DeviceKind,
    /// Most storage buffers that a kernel may bind.
    pub storage_buffers: u32,
    /// True if sums can be computed in f64 whatever the precision of the run.
    pub wide: bool,
    /// True if the device has a clock of its own.
    pub timestamps: bool,
}

impl Limits {
    /// Estimates for a kind of GPU, and the limits that every device of wgpu has by default.
    pub fn of_gpu(device: DeviceKind, precision: Precision) -> Self {
        // Operations per second of products, of sums in f64, and of products within workgroups; then seconds
        // per entry of element-wise work, per dispatch, and per lane for decisions. Those of the software
        // driver are measured on two cores (docs/gpu.md), the speeds of discrete GPUs on an NVIDIA H100.
        let (single, wide, persistent, element, dispatch, lane) = match device {
            DeviceKind::Software => (2.5e10, 1.2e10, 7e9, 5e-9, 6e-5, 3e-7),
            DeviceKind::Discrete => (3e13, 5e12, 4e12, 1e-11, 5e-6, 1e-9),
            DeviceKind::Integrated => (2e11, 1e10, 1e11, 2e-10, 1e-5, 1e-8),
        };
        let (flops, flops_persistent) = match precision {
            Precision::F32 => (single, persistent),
            Precision::F64 => (wide, persistent * wide / single),
        };
        Limits {
            engine: "gpu",
            max_buffer_bytes: 128 << 20,
            max_workgroups: 65535,
            max_lanes: usize::MAX,
            flops,
            flops_wide: wide / 3.0,
            element,
            flops_persistent,
            overhead: 2e-5,
            dispatch,
            lane,
            workgroup_bytes: 16 << 10,
            max_invocations: 256,
            device,
            storage_buffers: 8,
            wide: true,
            timestamps: false,
        }
    }
}

/// The source of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum MetricKind {
    /// The identity.
    None,
    /// One diagonal for the run.
    Fixed,
    /// A diagonal per iteration, uploaded with the step table.
    Table {
        /// True if each lane has its own.
        per_lane: bool,
    },
    /// From the Hessian.
    Hessian {
        /// Iterations between refreshes.
        every: usize,
    },
}

/// What a sweep keeps of its sequence, and a session on an application's device of a finished chunk. The
/// status of lanes is always read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Keep {
    /// Nothing but the last iterates with their records, in a session not even those: the application reads
    /// the device's buffers.
    Nothing,
    /// A frame every `every` iterations, and the records of these iterations, of those at which the stop rule
    /// is tested, and of every hundredth.
    Frames,
    /// The records of every iteration.
    Records,
    /// A frame every `every` iterations, and the records of every iteration.
    All,
    /// As [`Nothing`](Keep::Nothing), but chunks have a frame of every iterate, and a record of its step and
    /// momentum: the other numbers of a record are those of the last iteration that was measured. For a
    /// caller who watches the sequence go by.
    Iterates,
}

/// Iterations after which one is recorded at the latest, so that divergence is noticed.
pub(super) const MOST_UNRECORDED: usize = 100;

impl std::str::FromStr for Keep {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nothing" => Ok(Keep::Nothing),
            "frames" => Ok(Keep::Frames),
            "records" => Ok(Keep::Records),
            "all" => Ok(Keep::All),
            _ => {
                Err(Error::unknown(ErrorKind::Usage, "keep", text, &["nothing", "frames", "records", "all"]))
            }
        }
    }
}

impl Keep {
    /// True if frames are kept.
    pub(crate) fn has_frames(self) -> bool {
        matches!(self, Keep::Frames | Keep::All)
    }

    /// True if chunks have frames.
    pub(crate) fn brings_frames(self) -> bool {
        self.has_frames() || self == Keep::Iterates
    }

    /// True if records are kept, other than the last.
    pub(crate) fn has_records(self) -> bool {
        !matches!(self, Keep::Nothing | Keep::Iterates)
    }

    /// True if every iteration is recorded.
    pub(crate) fn records_all(self) -> bool {
        matches!(self, Keep::Records | Keep::All | Keep::Iterates)
    }
}

/// Sizes and settings of a run, from which the plan is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Request {
    /// Rows `n`.
    pub rows: usize,
    /// Rows of the state: features `p`, and one more for an intercept column.
    pub state_rows: usize,
    /// Rows of the state that may differ from zero: the CPU engine leaves the others out.
    pub moving_rows: usize,
    /// Held-out rows.
    pub validation_rows: usize,
    /// Sizes of a sparse design, and of its held-out rows; `None` if the design is dense.
    pub stored: Option<[SparseSizes; 2]>,
    /// Lanes `b` of the sweep.
    pub lanes: usize,
    /// Most lanes that can run at the same time, as others wait for them.
    pub together: usize,
    /// What a session keeps; `None` for a sweep. All lanes of a session run at the same time if they fit,
    /// however long an iteration takes, and the host keeps no trace.
    pub session: Option<Keep>,
    /// What the host keeps of a sweep.
    pub keep: Keep,
    /// Tangents `d` per lane.
    pub tangents: usize,
    /// Most iterations `K`.
    pub iterations: usize,
    /// Iterations between two frames.
    pub every: usize,
    /// Folds of the rows, of which each lane is fitted on one; 0 without.
    pub folds: usize,
    /// True if a tangent changes the target.
    pub target_tangents: bool,
    /// Iterations between two tests of the stop rule; 0: tested only at the end.
    pub check_every: usize,
    /// Rows of the step table per iteration: two if a phase ends with identification.
    pub stages: usize,
    /// The requested execution strategy; `None`: the plan chooses.
    pub strategy: Option<Strategy>,
    /// True if the loss is the squared one.
    pub quadratic: bool,
    /// True if the objective has a dual, whose gap the stop rule can test.
    pub has_dual: bool,
    /// True if a step is computed from the curvature along the last one.
    pub measures_curvature: bool,
    /// True if the schedule adapts at run time (restart, backtracking, identification).
    pub adaptive: bool,
    /// Number of constants of adaptive phases.
    pub constants: usize,
    /// True if coefficients that provably stay zero may be left out.
    pub sparsity: bool,
    /// True if they are left out also where that is usually slower.
    pub asks_sparsity: bool,
    /// Phases of the schedule.
    pub phases: usize,
    /// True if steps and momenta are products of a factor of the iteration and one of the lane, false
    /// if they are tabulated.
    pub factored: bool,
    /// The metric.
    pub metric: MetricKind,
    /// Arithmetic.
    pub precision: Precision,
    /// Most iterations of a chunk, if requested.
    pub chunk: Option<usize>,
    /// Memory budget, in bytes: the device's buffers and the host's trace must fit.
    pub memory_budget: u64,
}

impl Request {
    /// A run with default settings: one factored phase, no metric, no held-out rows, a frame
    /// and a test at the end.
    pub fn plain(
        (rows, state_rows): (usize, usize),
        lanes: usize,
        tangents: usize,
        iterations: usize,
        precision: Precision,
    ) -> Self {
        Request {
            rows,
            state_rows,
            moving_rows: state_rows,
            validation_rows: 0,
            stored: None,
            lanes,
            together: lanes,
            session: None,
            keep: Keep::Frames,
            tangents,
            iterations,
            every: iterations,
            folds: 0,
            target_tangents: false,
            check_every: 0,
            stages: 1,
            strategy: None,
            quadratic: true,
            has_dual: true,
            measures_curvature: false,
            adaptive: false,
            constants: 0,
            sparsity: false,
            asks_sparsity: false,
            phases: 1,
            factored: true,
            metric: MetricKind::None,
            precision,
            chunk: None,
            memory_budget: u64::MAX,
        }
    }

    /// Entries of the design, and of its held-out rows, that a product reads.
    pub(crate) fn entries(&self) -> [usize; 2] {
        let dense = [self.rows, self.validation_rows].map(|rows| rows.saturating_mul(self.state_rows));
        self.stored.map_or(dense, |stored| stored.map(|s| s.entries))
    }

    /// Rows of the state that the CPU engine has: those of the triangular factor are all.
    pub(crate) fn own_rows(&self) -> usize {
        if self.is_gram() { self.state_rows } else { self.moving_rows }
    }

    /// Lanes of a group of the CPU engine, which share a working set and, if the design is small, all work:
    /// so many that products with their columns are efficient.
    pub(crate) fn group_lanes(&self) -> usize {
        let (columns, fewest) = if self.is_sparse() { (8, 1) } else { (32, 8) };
        (columns / (1 + self.tangents)).clamp(fewest, 16)
    }

    /// True if the CPU engine's design is sparse: the triangular factor of the Gram strategy is not.
    pub(crate) fn is_sparse(&self) -> bool {
        self.stored.is_some() && !self.is_gram()
    }

    /// True if the strategy has `XᵀX`.
    pub(crate) fn is_gram(&self) -> bool {
        matches!(self.strategy, Some(Strategy::Gram | Strategy::Persistent))
    }

    /// Parts into which the sums of predictions and of gradients are split on a device (split-K), if they
    /// are long and too few to keep it busy. Independent of the number of lanes, since the split determines
    /// the order of the sums.
    pub fn split_k(&self) -> [usize; 2] {
        if self.is_gram() || self.stored.is_some() {
            return [1, 1];
        }
        [split_k(self.rows, self.state_rows), split_k(self.state_rows, self.rows)]
    }

    /// What a session keeps, or else the host.
    pub(crate) fn kept(&self) -> Keep {
        self.session.unwrap_or(self.keep)
    }

    /// Iterations of which one is recorded, besides frames and tests of the stop rule.
    pub(crate) fn record_period(&self) -> usize {
        if self.kept().records_all() { 1 } else { MOST_UNRECORDED }
    }

    /// Iterations between two tests of the stop rule.
    pub(crate) fn check_period(&self) -> usize {
        if self.check_every == 0 { self.iterations.max(1) } else { self.check_every }
    }
}

/// The same for one product: `rows` sums over `inner` terms each.
pub fn split_k(rows: usize, inner: usize) -> usize {
    (inner / 1024).min(inner / (8 * rows)).clamp(1, 32)
}
