//! The plan: plain data from a pure function. Both engines interpret it; `--dry-run` prints it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, bytes};
use crate::lanes::fields::{self, record};

pub use strategy::{PersistentTile, Strategy};

use kernels::kernels;
pub use memory::GROUP_LANES;
use memory::{active_sets, buffers, chunk, host_bytes, most_slots, over_budget, working_set};

mod counted;
mod kernels;
mod memory;
mod strategy;

/// Arithmetic of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
            _ => Err(Error::unknown(ErrorKind::Usage, "--precision", text, Precision::NAMES)),
        }
    }
}

/// What an engine can do; asked once, before planning.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// Largest single buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroups of one dimension of a dispatch.
    pub max_workgroups: u64,
    /// Lanes that may run at the same time.
    pub max_lanes: usize,
    /// Assumed speed of the products, in floating-point operations per second: for estimates only.
    pub flops: f64,
    /// The same of sums in f64.
    pub flops_wide: f64,
    /// Assumed seconds for each entry of a matrix that the steps between products touch: for estimates only.
    pub element: f64,
    /// The same of products within a workgroup's memory.
    pub flops_persistent: f64,
    /// Fixed cost of one iteration, in seconds: for estimates only.
    pub overhead: f64,
    /// Fixed cost of a dispatch, in seconds: for estimates only.
    pub dispatch: f64,
    /// Assumed seconds that it takes to close an iteration of a lane and to decide what comes: for estimates only.
    pub lane: f64,
    /// Bytes of a workgroup's memory.
    pub workgroup_bytes: u64,
    /// Invocations of a workgroup.
    pub max_invocations: u64,
    /// Whether the invocations of a workgroup work at the same time.
    pub parallel: bool,
    /// Storage buffers that a kernel may bind.
    pub storage_buffers: u32,
    /// Whether sums can be taken in f64 whatever the precision of the run.
    pub wide: bool,
}

/// How a metric comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// The identity.
    None,
    /// One diagonal for the run.
    Fixed,
    /// A diagonal per iteration, uploaded with the step table.
    Table {
        /// One for each lane.
        per_lane: bool,
    },
    /// From the Hessian.
    Hessian {
        /// Iterations between refreshes.
        every: usize,
    },
}

/// Sizes and settings of a run, from which the plan follows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Request {
    /// Rows `n`.
    pub rows: usize,
    /// Rows of the state: features `p`, and one more for an intercept column.
    pub state_rows: usize,
    /// Held-out rows.
    pub validation_rows: usize,
    /// Lanes `b` of the sweep.
    pub lanes: usize,
    /// Whether all of them run at the same time if they fit, however long an iteration takes, and the host keeps no trace.
    pub together: bool,
    /// Tangents `d` per lane.
    pub tangents: usize,
    /// Iterations `K` at most.
    pub iterations: usize,
    /// A frame is kept every so many iterations.
    pub every: usize,
    /// The stop rule is tested every so many iterations; 0: at the end only.
    pub check_every: usize,
    /// Rows of the step table per iteration: two where a phase ends with identification.
    pub stages: usize,
    /// The execution strategy, where one is asked for; otherwise the plan chooses.
    pub strategy: Option<Strategy>,
    /// Whether the loss is the squared one.
    pub quadratic: bool,
    /// Whether a step follows from the curvature along the last one.
    pub measures_curvature: bool,
    /// Numbers of phases that adapt.
    pub constants: usize,
    /// Whether coefficients that provably rest at zero may be left out.
    pub sparsity: bool,
    /// Phases of the schedule.
    pub phases: usize,
    /// Whether steps and momenta are products of a factor of the iteration and one of the lane, rather than tabulated.
    pub factored: bool,
    /// The metric.
    pub metric: MetricKind,
    /// Arithmetic.
    pub precision: Precision,
    /// Iterations of a chunk at most, where they are asked for.
    pub chunk: Option<usize>,
    /// Memory budget, in bytes: the device's buffers and the host's trace must fit.
    pub memory_budget: u64,
}

/// A buffer of a batch: name, shape and bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buffer {
    /// Name, as in the engines.
    pub name: &'static str,
    /// How many of them there are.
    pub copies: usize,
    /// Shape of each, row-major.
    pub shape: Vec<usize>,
    /// Bytes of all.
    pub bytes: u64,
}

impl Buffer {
    fn bytes_of_one(&self) -> u64 {
        self.bytes / self.copies.max(1) as u64
    }
}

/// A kernel (or, on the CPU engine, a pass) of an iteration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kernel {
    /// Name, as in `shaders/kernel`.
    pub name: &'static str,
    /// Floating-point operations of one dispatch.
    pub flops: f64,
    /// One dispatch every so many iterations.
    pub every: usize,
}

/// Everything an engine needs to know of a run besides its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// Execution strategy.
    pub strategy: Strategy,
    /// Why this strategy.
    pub strategy_reason: String,
    /// How workgroups are cut in the persistent strategy.
    pub persistent: Option<PersistentTile>,
    /// The request this plan answers, with the strategy chosen.
    pub request: Request,
    /// Lanes that run at the same time. A lane that ended makes room for one that waits.
    pub slots: usize,
    /// Whether lanes are loaded as soon as there is room, or only when all slots are free.
    pub refills: bool,
    /// Coefficients that a working set may have (CPU engine); 0: there are none.
    pub working_set: usize,
    /// Whether predictions, and the tangents of gradients, leave out coefficients that are zero in a group of lanes (GPU engine).
    pub active_sets: bool,
    /// Iterations of a chunk at most: one submit, one upload, one readback. Lanes come and go between chunks.
    pub chunk: usize,
    /// Frames of a chunk at most.
    pub frames_per_chunk: usize,
    /// Numbers recorded per lane and iteration.
    pub record_fields: usize,
    /// Kernels of an iteration.
    pub kernels: Vec<Kernel>,
    /// Buffers for all slots.
    pub buffers: Vec<Buffer>,
    /// Bytes of the buffers.
    pub device_bytes: u64,
    /// Bytes of the trace that the host collects.
    pub host_bytes: u64,
    /// Floating-point operations of the whole run, if every lane runs to the end.
    pub flops: f64,
    /// Estimated seconds of the whole run, if every lane runs to the end.
    pub seconds: f64,
}

/// Numbers recorded at every iteration, per lane: where each is found in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLayout {
    tangents: usize,
}

impl RecordLayout {
    /// The layout for `tangents` tangents per lane.
    pub fn new(tangents: usize) -> Self {
        RecordLayout { tangents }
    }
    /// Objective at the new iterate.
    pub const OBJECTIVE: usize = record::RECORD_OBJECTIVE.scalar();
    /// `‖x⁺ − x‖₂`.
    pub const CHANGE: usize = record::RECORD_CHANGE.scalar();
    /// Number of non-zero coefficients.
    pub const SUPPORT: usize = record::RECORD_SUPPORT.scalar();
    /// Mean loss over the held-out rows.
    pub const VALIDATION: usize = record::RECORD_VALIDATION.scalar();
    /// Coefficients that became active or inactive.
    pub const ACTIVE_CHANGE: usize = record::RECORD_ACTIVE_CHANGE.scalar();
    /// Step size of the update.
    pub const STEP: usize = record::RECORD_STEP.scalar();
    /// Momentum of the update; −1 where it takes the step before it back.
    pub const MOMENTUM: usize = record::RECORD_MOMENTUM.scalar();
    /// `‖dx⁺ − dx‖₂` of tangent `t`.
    pub fn derivative_change(self, t: usize) -> usize {
        record::RECORD_DCHANGE.at(self.tangents) + t
    }
    /// Derivative of the validation loss in the direction of tangent `t`.
    pub fn hypergradient(self, t: usize) -> usize {
        record::RECORD_HYPERGRADIENT.at(self.tangents) + t
    }
    /// Numbers of a record.
    pub fn fields(self) -> usize {
        record::TABLE.len(self.tangents)
    }
}

/// Iterations that f32 can count one by one.
const MOST_COUNTED: usize = 1 << 24;
/// Seconds of device time a chunk should take: short enough for desktop watchdogs, for cancelling and for progress.
pub const CHUNK_SECONDS: f64 = 0.05;
/// Iterations of a chunk at most: bounds the tables and records in flight.
const CHUNK_MAX: usize = 256;
/// Bytes of frames in flight at most.
const FRAME_BYTES: u64 = 64 << 20;

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// A run that does not fit the budget or the engine's buffers even lane by lane; the error has the numbers.
    pub fn new(request: Request, limits: &Limits) -> Result<Plan> {
        let layout = RecordLayout::new(request.tangents);
        let host_bytes = if request.together { 0 } else { host_bytes(&request, layout) };
        if host_bytes > request.memory_budget {
            return Err(over_budget(
                "trace kept by the host",
                host_bytes,
                request.memory_budget,
                "Record less often (--every), use fewer --iterations or lanes, or raise --memory-budget.",
            ));
        }
        if limits.engine == "gpu" && request.precision == Precision::F32 && request.iterations > MOST_COUNTED
        {
            return Err(Error::usage(
                "--iterations",
                request.iterations.to_string(),
                format!("at most {MOST_COUNTED}, which a GPU can count in f32"),
                "Use --precision f64, or --engine cpu.",
            ));
        }
        let budget = request.memory_budget - host_bytes;
        let (strategy, strategy_reason) = strategy::choose(&request, limits)?;
        let request = Request { strategy: Some(strategy), ..request };
        let slots = most_slots(&request, limits, budget)?;
        let (chunk, frames_per_chunk) = chunk(&request, limits, slots);
        let buffers = buffers(&request, limits, slots, chunk, frames_per_chunk);
        let rounds = request.lanes.div_ceil(slots);
        let kernels = kernels(&request, request.lanes);
        let flops = kernels.iter().map(|k| k.flops / k.every as f64).sum::<f64>() * request.iterations as f64;
        Ok(Plan {
            engine: limits.engine,
            strategy,
            strategy_reason,
            persistent: if strategy == Strategy::Persistent {
                PersistentTile::of(&request, limits)
            } else {
                None
            },
            chunk,
            frames_per_chunk,
            record_fields: layout.fields(),
            kernels,
            device_bytes: buffers.iter().map(|b| b.bytes).sum(),
            buffers,
            host_bytes,
            flops,
            seconds: (strategy.iteration(&request, limits, request.lanes) + limits.overhead * rounds as f64)
                * request.iterations as f64
                + strategy.once(&request, limits),
            slots,
            working_set: working_set(&request, limits, slots),
            active_sets: active_sets(&request, limits),
            // A metric that changes in time is uploaded for lanes that go in step.
            refills: !matches!(request.metric, MetricKind::Table { .. }),
            request,
        })
    }

    /// Whether a frame is kept at iterate `k`.
    pub fn is_frame(&self, k: usize) -> bool {
        k.is_multiple_of(self.request.every)
    }

    /// Whether the stop rule is tested at iterate `k`.
    pub fn is_check(&self, k: usize) -> bool {
        k == self.request.iterations
            || (self.request.check_every > 0 && k.is_multiple_of(self.request.check_every))
    }
}

impl Request {
    /// A run with none of the settings that are left out here: one phase in factors, no metric, no held-out rows, all recorded at the end.
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
            validation_rows: 0,
            lanes,
            together: false,
            tangents,
            iterations,
            every: iterations,
            check_every: 0,
            stages: 1,
            strategy: None,
            quadratic: true,
            measures_curvature: false,
            constants: 0,
            sparsity: false,
            phases: 1,
            factored: true,
            metric: MetricKind::None,
            precision,
            chunk: None,
            memory_budget: u64::MAX,
        }
    }

    /// Whether the strategy has `XᵀX`.
    fn is_gram(&self) -> bool {
        matches!(self.strategy, Some(Strategy::Gram | Strategy::Persistent))
    }

    /// Parts into which the sums of predictions and of gradients are split on a device, where they are long and so few that they
    /// would not keep it busy. The same however many lanes there are, as it decides the order of the sums.
    pub fn split_k(&self) -> [usize; 2] {
        if self.is_gram() {
            return [1, 1];
        }
        [split_k(self.rows, self.state_rows), split_k(self.state_rows, self.rows)]
    }
}

/// The same of one product: `rows` sums over `inner` terms each.
pub fn split_k(rows: usize, inner: usize) -> usize {
    (inner / 1024).min(inner / (8 * rows)).clamp(1, 32)
}

/// Rows that an invocation of an element-wise kernel adds up before partial sums are combined.
pub const ROW_BLOCK: usize = 32;

/// Tangents that a lane may have for the step to be the end of the gradient's product, and the loss that of the prediction's.
pub const FUSED_TANGENTS: usize = 7;

/// Rows that one invocation of a product computes of all columns of a lane, and adds up.
pub fn rows_per_sum(tangents: usize) -> usize {
    match tangents {
        0 | 1 => 8,
        _ if tangents <= FUSED_TANGENTS => 4,
        _ => ROW_BLOCK,
    }
}

/// Numbers that a device keeps of a lane from one iteration to the next.
fn lane_state_fields(tangents: usize) -> usize {
    fields::state::TABLE.len(tangents)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.request;
        writeln!(f, "plan: {} engine, {}, {} strategy", self.engine, r.precision.name(), self.strategy)?;
        writeln!(f, "  strategy: {}", self.strategy_reason)?;
        writeln!(
            f,
            "  {} rows x {} state rows; {} lanes, {} of them at a time, each with {} tangents: {} columns",
            r.rows,
            r.state_rows,
            r.lanes,
            self.slots,
            r.tangents,
            self.slots * (1 + r.tangents)
        )?;
        let check = if r.check_every == 0 { "at the end".into() } else { format!("every {}", r.check_every) };
        writeln!(
            f,
            "  {} iterations in chunks of at most {}, a frame every {}, stop rule {check}",
            r.iterations, self.chunk, r.every
        )?;
        writeln!(f, "  kernels (operations of one dispatch, all lanes):")?;
        for k in &self.kernels {
            writeln!(f, "    {:<22} {:>10.3e}  every {}", k.name, k.flops, k.every)?;
        }
        writeln!(f, "  buffers:")?;
        for b in &self.buffers {
            let copies = if b.copies == 1 { String::new() } else { format!("{} x ", b.copies) };
            writeln!(f, "    {:<22} {:>10}  {copies}{:?}", b.name, bytes(b.bytes), b.shape)?;
        }
        writeln!(
            f,
            "  memory: {} device + {} trace on the host, of a budget of {}",
            bytes(self.device_bytes),
            bytes(self.host_bytes),
            bytes(r.memory_budget)
        )?;
        write!(
            f,
            "  estimate: {:.2e} operations, about {:.2} s if every lane runs to the end",
            self.flops, self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn request() -> Request {
        let plain = Request::plain((442, 10), 100, 1, 500, Precision::F64);
        Request { every: 10, check_every: 10, memory_budget: 1 << 30, ..plain }
    }

    pub(super) fn limits() -> Limits {
        Limits {
            engine: "cpu",
            max_buffer_bytes: u64::MAX,
            max_workgroups: 65535,
            max_lanes: usize::MAX,
            flops: 1e10,
            flops_wide: 1e10,
            element: 1e-9,
            flops_persistent: 2e9,
            overhead: 1e-4,
            dispatch: 0.0,
            lane: 0.0,
            workgroup_bytes: 32 << 10,
            max_invocations: 256,
            parallel: true,
            storage_buffers: 16,
            wide: true,
        }
    }

    #[test]
    fn a_plan_that_fits_seats_all_lanes_within_its_own_count() {
        let plan = Plan::new(request(), &limits()).unwrap();
        assert_eq!(plan.slots, 100);
        assert_eq!(plan.device_bytes, plan.buffers.iter().map(|b| b.bytes).sum::<u64>());
        assert!(plan.device_bytes + plan.host_bytes < 1 << 30);
        assert!(plan.is_frame(0) && plan.is_frame(20) && !plan.is_frame(21));
        assert!(plan.is_check(500) && plan.is_check(20) && !plan.is_check(21));
        assert!(plan.to_string().contains("100 lanes"));
    }

    #[test]
    fn the_form_is_the_fastest_of_those_that_can_and_says_why() {
        let gpu = Limits { engine: "gpu", ..limits() };
        let chosen = |r: Request, l: &Limits| Plan::new(r, l).map(|p| (p.strategy, p.strategy_reason));
        let tall = Request { rows: 5000, state_rows: 50, ..request() };
        let wide = Request { rows: 50, state_rows: 5000, lanes: 4, ..request() };
        assert_eq!(chosen(tall, &gpu).unwrap().0, Strategy::Gram);
        assert_eq!(chosen(wide, &gpu).unwrap().0, Strategy::Direct);
        // A single lane of few iterations does not pay for the matrix.
        let short = Request { state_rows: 500, lanes: 1, iterations: 10, ..tall };
        assert_eq!(chosen(short, &gpu).unwrap().0, Strategy::Direct);
        // Where dispatches are dear, fewer of them win, as long as a lane fits a workgroup.
        let dear = Limits { dispatch: 1e-3, ..gpu.clone() };
        let small = Request { state_rows: 10, ..tall };
        assert_eq!(chosen(small, &dear).unwrap().0, Strategy::Persistent);
        let (strategy, reason) = chosen(Request { state_rows: 4000, ..small }, &dear).unwrap();
        assert!(strategy != Strategy::Persistent && reason.contains("workgroup's memory"), "{reason}");
        let (strategy, reason) = chosen(Request { validation_rows: 5, ..small }, &dear).unwrap();
        assert!(strategy != Strategy::Persistent && reason.contains("held-out"), "{reason}");
        for (r, l, why) in [
            (tall, &limits(), "CPU engine"),
            (Request { quadratic: false, ..tall }, &gpu, "quadratic"),
            (Request { measures_curvature: true, ..tall }, &gpu, "curvature"),
            (Request { metric: MetricKind::Hessian { every: 1 }, ..tall }, &gpu, "metric"),
            (tall, &Limits { wide: false, ..gpu.clone() }, "f64"),
        ] {
            let (strategy, reason) = chosen(r, l).unwrap();
            assert!(strategy == Strategy::Direct && reason.contains(why), "{reason}");
            let refused = chosen(Request { strategy: Some(Strategy::Gram), ..r }, l).unwrap_err();
            assert!(refused.kind == ErrorKind::Usage && refused.to_string().contains(why), "{refused}");
        }
    }

    #[test]
    fn lanes_take_turns_when_a_buffer_is_too_small_for_all() {
        let narrow = Limits { max_buffer_bytes: 300_000, ..limits() };
        let plan = Plan::new(request(), &narrow).unwrap();
        assert!(plan.slots > 0 && plan.slots < 100);
        assert!(plan.buffers.iter().all(|b| b.bytes_of_one() <= narrow.max_buffer_bytes));
    }

    #[test]
    fn a_plan_over_the_budget_is_refused_with_the_numbers() {
        let e = Plan::new(Request { memory_budget: 100_000, ..request() }, &limits()).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Memory);
        assert!(e.to_string().contains("at most 97.7 KiB"), "{e}");
        let huge = Request { lanes: usize::MAX / 64, iterations: 1 << 20, ..request() };
        assert_eq!(Plan::new(huge, &limits()).unwrap_err().kind, ErrorKind::Memory);
    }
}
