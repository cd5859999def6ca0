//! The plan: plain data from a pure function. Both engines interpret it; `--dry-run` prints it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, bytes};

pub use form::{Form, ResidentTile};

mod counted;
mod form;

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
    pub flops_resident: f64,
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
    /// Storage buffers that a kernel may bind.
    pub storage_buffers: u32,
    /// Whether sums can be taken in f64 whatever the precision of the run.
    pub wide: bool,
}

/// How a metric comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricForm {
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
    /// The execution form, where one is asked for; otherwise the plan chooses.
    pub form: Option<Form>,
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
    pub metric: MetricForm,
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
    /// Execution form.
    pub form: Form,
    /// Why this form.
    pub form_reason: String,
    /// How workgroups are cut in the resident form.
    pub resident: Option<ResidentTile>,
    /// The request this plan answers, with the form chosen.
    pub request: Request,
    /// Lanes that run at the same time. A lane that ended makes room for one that waits.
    pub seats: usize,
    /// Whether lanes are seated as soon as there is room, or only when all seats are free.
    pub refills: bool,
    /// Coefficients that a working set may have (CPU engine); 0: there are none.
    pub working_set: usize,
    /// Whether predictions leave out coefficients that are zero in a group of lanes (GPU engine).
    pub support: bool,
    /// Iterations of a chunk at most: one submit, one upload, one readback. Lanes come and go between chunks.
    pub chunk: usize,
    /// Frames of a chunk at most.
    pub frames_per_chunk: usize,
    /// Numbers recorded per lane and iteration.
    pub record_fields: usize,
    /// Kernels of an iteration.
    pub kernels: Vec<Kernel>,
    /// Buffers for all seats.
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
    pub const OBJECTIVE: usize = 0;
    /// `‖x⁺ − x‖₂`.
    pub const CHANGE: usize = 1;
    /// Number of non-zero coefficients.
    pub const SUPPORT: usize = 2;
    /// Mean loss over the held-out rows.
    pub const VALIDATION: usize = 3;
    /// Coefficients that became active or inactive.
    pub const ACTIVE_CHANGE: usize = 4;
    /// Step size of the update.
    pub const STEP: usize = 5;
    /// Momentum of the update; −1 where it takes the step before it back.
    pub const MOMENTUM: usize = 6;
    /// `‖dx⁺ − dx‖₂` of tangent `t`.
    pub fn derivative_change(self, t: usize) -> usize {
        7 + t
    }
    /// Derivative of the validation loss in the direction of tangent `t`.
    pub fn hypergradient(self, t: usize) -> usize {
        7 + self.tangents + t
    }
    /// Numbers of a record.
    pub fn fields(self) -> usize {
        7 + 2 * self.tangents
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
        if limits.engine == "gpu" && request.precision == Precision::F32 && request.iterations > MOST_COUNTED {
            return Err(Error::usage(
                "--iterations",
                request.iterations.to_string(),
                format!("at most {MOST_COUNTED}, which a GPU can count in f32"),
                "Use --precision f64, or --engine cpu.",
            ));
        }
        let budget = request.memory_budget - host_bytes;
        let (form, form_reason) = form::choose(&request, limits)?;
        let request = Request { form: Some(form), ..request };
        let seats = most_seats(&request, limits, budget)?;
        let (chunk, frames_per_chunk) = chunk(&request, limits, seats);
        let buffers = buffers(&request, limits, seats, chunk, frames_per_chunk);
        let rounds = request.lanes.div_ceil(seats);
        let kernels = kernels(&request, request.lanes);
        let flops = kernels.iter().map(|k| k.flops / k.every as f64).sum::<f64>() * request.iterations as f64;
        Ok(Plan {
            engine: limits.engine,
            form,
            form_reason,
            resident: if form == Form::Resident { ResidentTile::of(&request, limits) } else { None },
            chunk,
            frames_per_chunk,
            record_fields: layout.fields(),
            kernels,
            device_bytes: buffers.iter().map(|b| b.bytes).sum(),
            buffers,
            host_bytes,
            flops,
            seconds: (form.iteration(&request, limits, request.lanes) + limits.overhead * rounds as f64)
                * request.iterations as f64
                + form.once(&request, limits),
            seats,
            working_set: working_set(&request, limits, seats),
            support: support(&request, limits),
            // A metric that changes in time is uploaded for lanes that go in step.
            refills: !matches!(request.metric, MetricForm::Table { .. }),
            request,
        })
    }

    /// Whether a frame is kept at iterate `k`.
    pub fn is_frame(&self, k: usize) -> bool {
        k.is_multiple_of(self.request.every)
    }

    /// Whether the stop rule is tested at iterate `k`.
    pub fn is_check(&self, k: usize) -> bool {
        k == self.request.iterations || (self.request.check_every > 0 && k.is_multiple_of(self.request.check_every))
    }
}

impl Request {
    /// Whether the form has `XᵀX`.
    fn is_gram(&self) -> bool {
        matches!(self.form, Some(Form::Gram | Form::Resident))
    }

    /// Parts into which the sums of predictions and of gradients are split on a device, where they are long and so few that they
    /// would not keep it busy. The same however many lanes there are, as it decides the order of the sums.
    pub fn splits(&self) -> [usize; 2] {
        if self.is_gram() {
            return [1, 1];
        }
        [splits(self.rows, self.state_rows), splits(self.state_rows, self.rows)]
    }
}

/// The same of one product: `rows` sums over `inner` terms each.
pub fn splits(rows: usize, inner: usize) -> usize {
    (inner / 1024).min(inner / (8 * rows)).clamp(1, 32)
}

fn over_budget(what: &str, needed: u64, budget: u64, remedy: &str) -> Error {
    Error::new(
        ErrorKind::Memory,
        "memory plan",
        format!("{} for the {what}", bytes(needed)),
        format!("at most {}", bytes(budget)),
        remedy,
    )
}

fn host_bytes(r: &Request, layout: RecordLayout) -> u64 {
    let (k, b) = (r.iterations as u64, r.lanes as u64);
    let frames = (r.iterations / r.every + 2) as u64;
    let frame = b.saturating_mul(1 + r.tangents as u64).saturating_mul(r.state_rows as u64);
    let records = k.saturating_mul(b).saturating_mul(layout.fields() as u64 + 1);
    // Twice: the chunks as they came, and the trace made of them.
    frames.saturating_mul(frame).saturating_add(records).saturating_mul(16)
}

/// Seconds that an iteration may take, so that a run can be cancelled in the middle of many lanes.
const ITERATION_SECONDS: f64 = 0.1;
/// Lanes that are run together however long an iteration takes: fewer would use the products badly.
const FEWEST_LANES: f64 = 64.0;

/// Lanes whose iteration is short enough.
fn by_speed(r: &Request, limits: &Limits) -> usize {
    let form = r.form.unwrap_or(Form::Direct);
    // Of a lane, and what there is besides.
    let (one, two) = (form.iteration(r, limits, 1), form.iteration(r, limits, 2));
    ((ITERATION_SECONDS - (2.0 * one - two)) / (two - one)).clamp(FEWEST_LANES, 1e9) as usize
}

/// The most lanes that fit the budget and, buffer by buffer, the engine.
fn most_seats(r: &Request, limits: &Limits, budget: u64) -> Result<usize> {
    let by_speed = if r.together { usize::MAX } else { by_speed(r, limits) };
    let wanted = r.lanes.min(limits.max_lanes.max(1)).min(by_speed);
    // As few rounds as that takes, all of them about as full.
    let wanted = r.lanes.div_ceil(r.lanes.div_ceil(wanted));
    // Whole tiles of products, where that is not all.
    let wanted = if wanted < r.lanes && limits.engine == "gpu" {
        wanted.next_multiple_of(32).min(limits.max_lanes.max(1))
    } else {
        wanted
    };
    let fits = |lanes: usize| {
        let (chunk, frames) = chunk(r, limits, lanes);
        let list = buffers(r, limits, lanes, chunk, frames);
        let widest = list.iter().map(Buffer::bytes_of_one).max().unwrap_or(0);
        // A workgroup serves some rows, some columns, or the decisions of some lanes; parts of split sums are gathered row by row.
        let rows = r.rows.max(r.state_rows).max(r.validation_rows);
        let by_rows = if r.splits() == [1, 1] { rows.div_ceil(8) } else { rows };
        let of_lanes =
            ResidentTile::of(r, limits).filter(|_| r.form == Some(Form::Resident)).map_or(16, |t| 4 * t.quads);
        let columns = (lanes as u64).saturating_mul(1 + r.tangents as u64).div_ceil(32);
        let groups = (by_rows as u64).max(columns).max(lanes.div_ceil(of_lanes) as u64);
        list.iter().map(|b| b.bytes).sum::<u64>() <= budget
            && widest <= limits.max_buffer_bytes
            && groups <= limits.max_workgroups
    };
    if fits(wanted) {
        return Ok(wanted);
    }
    let (mut good, mut bad) = (0, wanted);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    if good > 0 {
        return Ok(good);
    }
    let (chunk, frames) = chunk(r, limits, 1);
    let list = buffers(r, limits, 1, chunk, frames);
    let total: u64 = list.iter().map(|b| b.bytes).sum();
    if total > budget {
        let remedy = "Raise --memory-budget, or use fewer rows or features.";
        return Err(over_budget("buffers of a single lane, design included", total, budget, remedy));
    }
    let widest = list.iter().max_by_key(|b| b.bytes_of_one()).expect("a plan has buffers");
    Err(Error::new(
        ErrorKind::Memory,
        "memory plan",
        format!("buffer '{}' of {}", widest.name, bytes(widest.bytes_of_one())),
        format!("at most {} in one buffer on this {} engine", bytes(limits.max_buffer_bytes), limits.engine),
        "Use --engine cpu, which has no such limit.",
    ))
}

/// Iterations of a chunk, and frames among them at most. A chunk holds whole periods of frames and tests where it can, so that
/// lanes which are seated later have theirs at the same iterations.
fn chunk(r: &Request, limits: &Limits, lanes: usize) -> (usize, usize) {
    let seconds = r.form.unwrap_or(Form::Direct).iteration(r, limits, lanes) + limits.overhead;
    let by_time = (CHUNK_SECONDS / seconds) as usize;
    let columns = (lanes as u64).saturating_mul(1 + r.tangents as u64);
    let frame = columns.saturating_mul(r.state_rows as u64).saturating_mul(r.precision.bytes());
    let frames = (FRAME_BYTES / frame.max(1)).max(1) as usize;
    let by_tables = match r.metric {
        MetricForm::Table { per_lane: true } => {
            let row = (lanes as u64).saturating_mul(r.state_rows as u64).saturating_mul(r.precision.bytes());
            (FRAME_BYTES / row.max(1)).max(1) as usize
        }
        _ => usize::MAX,
    };
    let asked = r.chunk.unwrap_or(usize::MAX);
    let most =
        asked.min(by_time).min(CHUNK_MAX).min(by_tables).min(frames.saturating_mul(r.every)).min(r.iterations).max(1);
    let periods = [lcm(r.every, r.check_every.max(1)), r.check_every.max(1)];
    let chunk = periods.into_iter().find(|p| *p <= most).map_or(most, |period| most / period * period);
    (chunk, chunk.div_ceil(r.every))
}

/// Coefficients that the working sets of groups of lanes may have: half of all, and in sum no more than two designs.
fn working_set(r: &Request, limits: &Limits, seats: usize) -> usize {
    if !r.sparsity || limits.engine != "cpu" || r.state_rows < FEWEST_COEFFICIENTS {
        return 0;
    }
    (r.state_rows / 2).min(2 * r.state_rows / seats.div_ceil(GROUP_LANES))
}

/// Whether predictions of a GPU leave out coefficients that are zero: in the direct form, where the lists can be bound as well, and where a
/// prediction is so long that making the lists is little beside it.
fn support(r: &Request, limits: &Limits) -> bool {
    let able = r.form == Some(Form::Direct) && r.splits() == [1, 1] && r.tangents <= FUSED_TANGENTS;
    r.sparsity
        && limits.engine == "gpu"
        && able
        && limits.storage_buffers > 8
        && r.state_rows.min(r.rows) >= 4 * FEWEST_COEFFICIENTS
}

/// Fewer coefficients are not worth leaving any out.
const FEWEST_COEFFICIENTS: usize = 64;
/// Lanes that share a working set.
pub const GROUP_LANES: usize = 16;

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}

/// The buffers of a run with this many seats.
fn buffers(r: &Request, limits: &Limits, lanes: usize, chunk: usize, frames: usize) -> Vec<Buffer> {
    let real = r.precision.bytes();
    let d = r.tangents;
    let fields = RecordLayout::new(d).fields();
    let on_device = limits.engine == "gpu";
    let mut list = Vec::new();
    let mut add = |name, copies: usize, shape: &[usize]| {
        let count = shape.iter().fold(copies as u64, |n, s| n.saturating_mul(*s as u64));
        list.push(Buffer { name, copies, shape: shape.to_vec(), bytes: count.saturating_mul(real) });
    };
    // Rows of the design and lanes are whole vec4s on a device.
    let whole = |count: usize| if on_device { count.div_ceil(4).saturating_mul(4) } else { count };
    let (stride, seats) = (whole(r.state_rows), whole(lanes));
    let wide = seats.saturating_mul(1 + d);
    add("design", 1, &[r.rows, stride]);
    add("rows", 1, &[r.rows, 2 + d]);
    add("state", 2, &[stride, wide]);
    add("gradient", 1, &[stride, wide]);
    if r.is_gram() {
        add("gram", 1, &[stride, stride]);
        add("carried", if r.form == Some(Form::Gram) { 2 } else { 1 }, &[stride, wide]);
    } else {
        add("prediction", 2, &[r.rows, wide]);
        add("residual", 1, &[r.rows, wide]);
    }
    if r.validation_rows > 0 {
        add("validation_design", 1, &[r.validation_rows, stride]);
        add("validation_rows", 1, &[r.validation_rows, 2]);
        if !on_device || d > FUSED_TANGENTS {
            add("validation_prediction", 1, &[r.validation_rows, wide]);
        }
    }
    if r.measures_curvature {
        add("extrapolated", 1, &[r.rows, wide]);
    }
    if r.metric != MetricForm::None {
        add("metric", 1, &[stride, wide]);
    }
    if matches!(r.metric, MetricForm::Hessian { .. }) {
        add("design_squares", 1, &[r.rows, stride]);
    }
    if on_device {
        if let MetricForm::Table { per_lane } = r.metric {
            add("metric_tables", 2, &[chunk, r.state_rows, if per_lane { lanes } else { 1 }]);
        }
        let [of_predictions, of_gradients] = r.splits();
        let split = |parts: usize, rows: usize| if parts > 1 { parts * rows } else { 0 };
        if support(r, limits) {
            // As many lists as workgroups, of at least 32 lanes, along the lanes.
            add("support", 1, &[lanes.div_ceil(32), stride / 4 + 1]);
        }
        let shares = split(of_predictions, r.rows).max(split(of_gradients, stride));
        if shares > 0 {
            add("shares", 1, &[shares, wide]);
        }
        let (own, curvature) = (rows_per_sum(d), usize::from(r.measures_curvature));
        let blocks = |rows: usize| match (r.form, ResidentTile::of(r, limits)) {
            (Some(Form::Resident), Some(tile)) => tile.groups,
            _ => rows.div_ceil(own),
        };
        let carried = if r.is_gram() { r.state_rows } else { r.rows };
        let of_state = (5 + d + curvature * (2 + 2 * d)) * blocks(r.state_rows);
        let of_rows = (1 + curvature * (1 + d)) * blocks(carried) + (1 + d) * blocks(r.validation_rows);
        let of_loss = if r.is_gram() { 1 } else { r.rows.div_ceil(ROW_BLOCK) };
        let of_check = (5 + 3 * d) * r.state_rows.div_ceil(ROW_BLOCK) + of_loss;
        add("partials", 1, &[of_state + of_rows + of_check, seats]);
        let bases = if r.factored { r.phases * (2 + 2 * d) } else { 0 };
        add("lanes", 1, &[5 + 2 * d + bases, seats]);
        add("factors", 1, &[r.state_rows, if r.is_gram() { 2 + d } else { 1 }, 4]);
        add("book", 1, &[book_fields(d), seats]);
        add("constants", 1, &[r.constants.max(1)]);
        if r.factored {
            add("step_factors", 1, &[r.iterations, r.stages, 5]);
        } else {
            add("step_tables", 2, &[chunk + 1, r.stages, 4 + 2 * d, seats]);
        }
        // Two entries an iteration, 256 bytes apart.
        add("params", 2, &[2 * (chunk + 1), 256 / real as usize]);
        let arriving = 2 + book_fields(d) + 3 * (1 + d) * r.state_rows;
        add("arrivals", 1, &[((4 << 20) / real as usize / arriving).clamp(1, lanes.max(1)), arriving]);
        add("records", 2, &[chunk, fields, seats]);
        // On their way back: records, the book, the states at the end of the chunk, and its frames.
        let states = if matches!(r.metric, MetricForm::Hessian { .. }) { 3 } else { 2 };
        add("staging", 2, &[chunk * fields * seats + book_fields(d) * seats + (states + frames) * stride * wide]);
    } else {
        let set = working_set(r, limits, lanes);
        if set > 0 {
            add("working_sets", lanes.div_ceil(GROUP_LANES), &[set, r.rows + 3 * GROUP_LANES * (1 + d)]);
            add("working_set_references", 1, &[r.rows, lanes]);
        }
        add("records", 1, &[chunk, lanes, fields]);
        add("frames", frames, &[r.state_rows, wide]);
    }
    list
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
fn book_fields(tangents: usize) -> usize {
    23 + 6 * tangents
}

/// Iterations between events that end a dispatch of the resident form: a frame, a test of the stop rule.
fn segment(r: &Request) -> usize {
    let check = if r.check_every == 0 { r.iterations } else { r.check_every };
    check.min(r.every).min(r.iterations).max(1)
}

fn kernels(r: &Request, lanes: usize) -> Vec<Kernel> {
    let columns = lanes as f64 * (1 + r.tangents) as f64;
    let (n, q, v) = (r.rows as f64, r.state_rows as f64, r.validation_rows as f64);
    let product = |rows: f64| 2.0 * rows * q * columns;
    let mut list = if r.is_gram() {
        vec![
            Kernel { name: "step", flops: 16.0 * q * columns, every: 1 },
            Kernel { name: "gram", flops: product(q), every: 1 },
        ]
    } else {
        vec![
            Kernel { name: "residual", flops: 10.0 * n * columns, every: 1 },
            Kernel { name: "gradient", flops: product(n), every: 1 },
            Kernel { name: "step", flops: 12.0 * q * columns, every: 1 },
            Kernel { name: "predict", flops: product(n), every: 1 },
        ]
    };
    list.push(Kernel { name: "turn", flops: 20.0 * columns, every: 1 });
    if r.validation_rows > 0 {
        list.push(Kernel { name: "predict (validation)", flops: product(v), every: 1 });
        list.push(Kernel { name: "validate", flops: 4.0 * v * columns, every: 1 });
    }
    if let MetricForm::Hessian { every } = r.metric {
        list.push(Kernel { name: "gradient (metric)", flops: product(n), every });
        list.push(Kernel { name: "metric", flops: 8.0 * (n + q) * columns, every });
    }
    let every = if r.check_every == 0 { r.iterations.max(1) } else { r.check_every };
    match r.form {
        Some(Form::Gram) => {}
        Some(Form::Resident) => list.push(Kernel { name: "gram (stop rule)", flops: product(q), every }),
        _ => list.push(Kernel { name: "gradient (stop rule)", flops: product(n), every }),
    }
    let rows = if r.is_gram() { q } else { n + q };
    list.push(Kernel { name: "criterion", flops: 20.0 * rows * columns, every });
    list
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.request;
        writeln!(f, "plan: {} engine, {}, {} form", self.engine, r.precision.name(), self.form)?;
        writeln!(f, "  form: {}", self.form_reason)?;
        writeln!(
            f,
            "  {} rows x {} state rows; {} lanes, {} of them at a time, each with {} tangents: {} columns",
            r.rows,
            r.state_rows,
            r.lanes,
            self.seats,
            r.tangents,
            self.seats * (1 + r.tangents)
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
        Request {
            rows: 442,
            state_rows: 10,
            validation_rows: 0,
            lanes: 100,
            together: false,
            tangents: 1,
            iterations: 500,
            every: 10,
            check_every: 10,
            stages: 1,
            form: None,
            quadratic: true,
            measures_curvature: false,
            constants: 0,
            sparsity: false,
            phases: 1,
            factored: true,
            metric: MetricForm::None,
            precision: Precision::F64,
            chunk: None,
            memory_budget: 1 << 30,
        }
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
            flops_resident: 2e9,
            overhead: 1e-4,
            dispatch: 0.0,
            lane: 0.0,
            workgroup_bytes: 32 << 10,
            max_invocations: 256,
            storage_buffers: 16,
            wide: true,
        }
    }

    #[test]
    fn a_plan_that_fits_seats_all_lanes_within_its_own_count() {
        let plan = Plan::new(request(), &limits()).unwrap();
        assert_eq!(plan.seats, 100);
        assert_eq!(plan.device_bytes, plan.buffers.iter().map(|b| b.bytes).sum::<u64>());
        assert!(plan.device_bytes + plan.host_bytes < 1 << 30);
        assert!(plan.is_frame(0) && plan.is_frame(20) && !plan.is_frame(21));
        assert!(plan.is_check(500) && plan.is_check(20) && !plan.is_check(21));
        assert!(plan.to_string().contains("100 lanes"));
    }

    #[test]
    fn the_form_is_the_fastest_of_those_that_can_and_says_why() {
        let gpu = Limits { engine: "gpu", ..limits() };
        let chosen = |r: Request, l: &Limits| Plan::new(r, l).map(|p| (p.form, p.form_reason));
        let tall = Request { rows: 5000, state_rows: 50, ..request() };
        let wide = Request { rows: 50, state_rows: 5000, lanes: 4, ..request() };
        assert_eq!(chosen(tall, &gpu).unwrap().0, Form::Gram);
        assert_eq!(chosen(wide, &gpu).unwrap().0, Form::Direct);
        // A single lane of few iterations does not pay for the matrix.
        let short = Request { state_rows: 500, lanes: 1, iterations: 10, ..tall };
        assert_eq!(chosen(short, &gpu).unwrap().0, Form::Direct);
        // Where dispatches are dear, fewer of them win, as long as a lane fits a workgroup.
        let dear = Limits { dispatch: 1e-3, ..gpu.clone() };
        let small = Request { state_rows: 10, ..tall };
        assert_eq!(chosen(small, &dear).unwrap().0, Form::Resident);
        let (form, reason) = chosen(Request { state_rows: 4000, ..small }, &dear).unwrap();
        assert!(form != Form::Resident && reason.contains("workgroup's memory"), "{reason}");
        let (form, reason) = chosen(Request { validation_rows: 5, ..small }, &dear).unwrap();
        assert!(form != Form::Resident && reason.contains("held-out"), "{reason}");
        for (r, l, why) in [
            (tall, &limits(), "CPU engine"),
            (Request { quadratic: false, ..tall }, &gpu, "quadratic"),
            (Request { measures_curvature: true, ..tall }, &gpu, "curvature"),
            (Request { metric: MetricForm::Hessian { every: 1 }, ..tall }, &gpu, "metric"),
            (tall, &Limits { wide: false, ..gpu.clone() }, "f64"),
        ] {
            let (form, reason) = chosen(r, l).unwrap();
            assert!(form == Form::Direct && reason.contains(why), "{reason}");
            let refused = chosen(Request { form: Some(Form::Gram), ..r }, l).unwrap_err();
            assert!(refused.kind == ErrorKind::Usage && refused.to_string().contains(why), "{refused}");
        }
    }

    #[test]
    fn lanes_take_turns_when_a_buffer_is_too_small_for_all() {
        let narrow = Limits { max_buffer_bytes: 300_000, ..limits() };
        let plan = Plan::new(request(), &narrow).unwrap();
        assert!(plan.seats > 0 && plan.seats < 100);
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
