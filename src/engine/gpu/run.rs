//! A plan under way on a device: one submit a chunk; the results of one come back while the next runs.

use std::collections::{HashMap, VecDeque};

use ndarray::{Array2, Array3, Axis};

use super::commands::{Clock, Commands};
use super::compose::{CHECKED, CLOSES, CONTROLS};
use super::context::GpuContext;
use super::kernels::{Library, PARAMS_STRIDE, STATUS_CODES};
use super::layout::{BOOK_DONE, BOOK_MEASURED, BOOK_MEMORY, BOOK_STATUS, Layout, gram_target};
use super::product::Tiles;
use super::readback::{Pending, decode, encode, number};
use super::resources::Resources;
use crate::engine::{
    Chunk, Frame, Job, LaneOutcome, LaneState, MetricSource, Run, RunNumbers, Seat, Status, memory_fields,
};
use crate::error::Result;
use crate::plan::{Form, Plan, Precision};

/// A run on a device.
pub(super) struct GpuRun<'a> {
    context: &'a GpuContext,
    plan: &'a Plan,
    job: Job<'a>,
    numbers: RunNumbers,
    pub(super) held: Resources,
    precision: Precision,
    /// Who sits where.
    seats: Vec<Option<Occupant>>,
    /// Image of the buffer of lanes.
    lanes: Vec<f64>,
    /// Iterations submitted: their parity says which of a pair of buffers is the iterate's.
    pub(super) submitted: usize,
    /// Which of a pair of buffers the next chunk uses.
    pub(super) slot: usize,
    /// What chunks bring back.
    pub(super) brings: Brings,
    /// Times dispatches, where they are timed.
    pub(super) clock: Option<Clock>,
    /// Whether the residual of the iteration to come is there already.
    residual_ready: bool,
    in_flight: VecDeque<(Order, Pending)>,
    staging: Vec<wgpu::Buffer>,
    /// What the last chunk collected left.
    snapshot: Option<Snapshot>,
    /// Lanes that no snapshot has yet, as they were admitted.
    arrived: HashMap<usize, LaneState>,
}

/// A seated lane.
#[derive(Debug, Clone, Copy)]
struct Occupant {
    lane: usize,
    /// Iterations done as of the last chunk collected.
    known: usize,
    /// Iterations done after all that was submitted, if it goes on.
    next: usize,
    has_gap: bool,
}

/// What chunks bring back besides the book.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brings {
    pub(super) records: bool,
    pub(super) frames: bool,
    /// All that is needed to seat lanes again elsewhere.
    pub(super) snapshot: bool,
}

/// What a chunk is to do.
pub(super) struct Ahead {
    /// By iteration: (seat, iterate) of each frame.
    frames: Vec<Vec<(usize, usize)>>,
    /// By iteration: whether the stop rule is tested.
    checks: Vec<bool>,
    /// First iteration and number of those that are dispatched together.
    dispatched: Vec<(usize, usize)>,
}

/// What a chunk was submitted for.
pub(super) struct Order {
    pub(super) iterations: usize,
    /// Lane of each seat.
    lanes: Vec<Option<usize>>,
    /// (seat, iterate) of each frame.
    frames: Vec<Vec<(usize, usize)>>,
}

/// The bytes of a chunk's end.
struct Snapshot {
    lanes: Vec<Option<usize>>,
    /// `[fields, lanes4]`.
    book: Vec<f64>,
    /// The state, the one before, and a metric of curvatures, in device order.
    bytes: Vec<u8>,
}

impl<'a> GpuRun<'a> {
    pub(super) fn new(
        context: &'a GpuContext,
        library: &mut Library,
        plan: &'a Plan,
        job: &Job<'a>,
        tiles: Tiles,
    ) -> Result<Self> {
        let numbers = RunNumbers::new(job);
        let held = Resources::new(context, library, plan, job, &numbers, tiles)?;
        context.check()?;
        log::debug!("{} bytes of device buffers besides staging", held.held_bytes);
        let mut lanes = vec![0.0; held.layout.lane_buffer()];
        held.layout.put_shared(&mut lanes, 0, &numbers.factors);
        if held.layout.gram {
            held.layout.put_shared(&mut lanes, held.layout.state_rows, &gram_target(job, &numbers).0);
        }
        Ok(GpuRun {
            context,
            plan,
            job: *job,
            numbers,
            held,
            precision: plan.request.precision,
            seats: vec![None; plan.seats],
            lanes,
            submitted: 0,
            slot: 0,
            brings: Brings { records: true, frames: true, snapshot: true },
            clock: None,
            residual_ready: false,
            in_flight: VecDeque::new(),
            staging: Vec::new(),
            snapshot: None,
            arrived: HashMap::new(),
        })
    }

    pub(super) fn layout(&self) -> Layout {
        self.held.layout
    }

    fn occupants(&self) -> impl Iterator<Item = &Occupant> {
        self.seats.iter().flatten()
    }

    /// Uploads some lanes and seats them.
    fn seat(&mut self, arrivals: &[(usize, LaneState)]) {
        let layout = self.layout();
        let blank = |s: &LaneState| s.metric.is_none() && s.state.iter().chain(&s.previous).all(|v| *v == 0.0);
        let has_metric = *self.job.metric != MetricSource::None;
        let all_blank = !has_metric && arrivals.iter().all(|(_, s)| blank(s));
        let width = 3 * (1 + layout.d) * layout.state_rows;
        let mut image = Vec::new();
        for (seat, state) in arrivals {
            image.extend([*seat as f64, f64::from(u8::from(all_blank))]);
            let mut book = vec![0.0; layout.book_fields()];
            book[BOOK_STATUS] = f64::from(STATUS_CODES[0].2);
            book[BOOK_DONE] = state.iteration as f64;
            book[BOOK_MEASURED..BOOK_MEASURED + 3].fill(f64::MAX);
            book[BOOK_MEMORY..BOOK_MEMORY + state.memory.len()].copy_from_slice(&state.memory);
            image.extend(book);
        }
        if !all_blank {
            for (_, state) in arrivals {
                image.extend(state.state.iter().chain(&state.previous));
                match &state.metric {
                    Some(metric) => image.extend(metric),
                    None => {
                        let entry = |t: usize, j: usize| match t {
                            0 => self.job.metric.entry(state.iteration, state.lane, j),
                            _ => 0.0,
                        };
                        image.extend((0..=layout.d).flat_map(|t| (0..layout.state_rows).map(move |j| entry(t, j))));
                    }
                }
            }
        }
        let (context, buffers) = (self.context, &self.held.buffers);
        context.queue.write_buffer(buffers.get("arrivals", 0), 0, &encode(image, self.precision));
        let columns = if all_blank { 0 } else { width as u32 };
        let params = [arrivals.len() as u32, columns, 0, 0];
        context.queue.write_buffer(buffers.get("arrival_params", 0), 0, bytemuck::cast_slice(&params));
        let mut encoder =
            context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("admit") });
        let mut commands = Commands::new(&mut encoder, None);
        self.held.dispatch_admit(&mut commands, self.submitted % 2, arrivals.len());
        if !all_blank {
            // The products of all columns anew: those of lanes under way come out the same.
            let carried = if layout.gram { ("gram_product", "none") } else { ("predict", "gather_z") };
            if !self.held.kernels.has("resident") {
                [0, 1].into_iter().for_each(|parity| self.product(&mut commands, carried, parity, 0));
            }
        }
        commands.finish();
        context.queue.submit([encoder.finish()]);
        self.residual_ready = false;
    }

    /// Encodes and submits a chunk.
    fn submit_chunk(&mut self, iterations: usize) -> usize {
        let ahead = self.look_ahead(iterations);
        for (name, bytes) in self.tables(&ahead) {
            self.context.queue.write_buffer(self.held.buffers.get(name, self.slot), 0, &bytes);
        }
        let target = self.staging.pop().unwrap_or_else(|| self.staging());
        let mut encoder =
            self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("chunk") });
        let order = self.encode_chunk(&mut encoder, ahead, &target);
        let submission = self.context.queue.submit([encoder.finish()]);
        let iterations = order.iterations;
        self.in_flight.push_back((order, Pending::new(target, submission)));
        iterations
    }

    /// What the next iterations are to do, as many as one chunk has room for.
    pub(super) fn look_ahead(&self, iterations: usize) -> Ahead {
        let (iterations, frames) = self.frames_ahead(iterations);
        let checks: Vec<bool> =
            (0..iterations).map(|i| self.occupants().any(|o| self.plan.is_check(o.next + i + 1))).collect();
        let dispatched = self.dispatched(&checks, &frames);
        Ahead { frames, checks, dispatched }
    }

    /// What a chunk needs on the device before it begins: buffers of its slot, and what they are to hold (of all their bytes at most).
    pub(super) fn tables(&self, ahead: &Ahead) -> Vec<(&'static str, Vec<u8>)> {
        let iterations = ahead.checks.len();
        let mut tables = vec![("params", self.params(&ahead.checks, &ahead.dispatched))];
        if !self.job.schedule.is_factored() {
            // One more, as a prediction's end looks ahead.
            tables.push(("rules", encode(self.rule_table(iterations + 1), self.precision)));
        }
        if let MetricSource::Table(_) = self.job.metric {
            tables.push(("metric_table", encode(self.metric_rows(iterations), self.precision)));
        }
        tables
    }

    /// Bytes that the tables of a chunk take at most, each from a multiple of eight on.
    pub(super) fn tables_bytes(&self) -> u64 {
        let mut names = vec!["params"];
        if !self.job.schedule.is_factored() {
            names.push("rules");
        }
        if let MetricSource::Table(_) = self.job.metric {
            names.push("metric_table");
        }
        names.iter().map(|name| self.held.buffers.get(name, 0).size().next_multiple_of(8)).sum()
    }

    /// Records a chunk, whose tables are on the device by the time it runs; its results go to `target`.
    pub(super) fn encode_chunk(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        ahead: Ahead,
        target: &wgpu::Buffer,
    ) -> Order {
        let slot = self.slot;
        let buffers = &self.held.buffers;
        let Ahead { mut frames, checks, dispatched } = ahead;
        let iterations = checks.len();
        // A clock is the run's, but is written while commands are recorded.
        let mut clock = self.clock.take();
        if self.held.listed_groups > 0 {
            encoder.clear_buffer(buffers.get("listed", 0), 0, None);
        }
        let mut commands = Commands::new(encoder, clock.as_mut());
        let mut taken = Vec::new();
        let mut ready = self.residual_ready;
        for (first, count) in dispatched {
            let i = first + count - 1;
            if self.held.kernels.has("resident") {
                self.reside(&mut commands, first, count, &checks);
            } else {
                ready = self.iterate(&mut commands, i, &checks, ready);
            }
            let due = std::mem::take(&mut frames[i]);
            if self.brings.frames && !due.is_empty() {
                let to = self.frame_offset() + taken.len() as u64 * self.state_bytes();
                let parity = (self.submitted + i + 1) % 2;
                commands.copy(buffers.get("x", parity), (target, to), self.state_bytes());
                taken.push(due);
            }
        }
        self.held.dispatch(&mut commands, "turn", (0, slot), offset(iterations, 0));
        let parity = (self.submitted + iterations) % 2;
        let state = self.state_bytes();
        let (records, book, listed) = self.small_bytes();
        if self.brings.records {
            commands.copy(buffers.get("records", slot), (target, 0), records);
        }
        commands.copy(buffers.get("book", 0), (target, records), book);
        if listed > 0 {
            commands.copy(buffers.get("listed", 0), (target, records + book), listed);
        }
        if self.brings.snapshot {
            let at = self.snapshot_offset();
            commands.copy(buffers.get("x", parity), (target, at), state);
            commands.copy(buffers.get("x", 1 - parity), (target, at + state), state);
            if self.keeps_metric() {
                commands.copy(buffers.get("metric", 0), (target, at + 2 * state), state);
            }
        }
        commands.finish();
        self.clock = clock;
        let lanes = self.seats.iter().map(|s| s.map(|o| o.lane)).collect();
        self.submitted += iterations;
        self.residual_ready = ready;
        self.slot = 1 - slot;
        self.seats.iter_mut().flatten().for_each(|o| o.next += iterations);
        Order { iterations, lanes, frames: taken }
    }

    /// Frames that lanes under way have in the next iterations: for each, (seat, iterate). As many iterations as the staging
    /// buffer has room for frames.
    fn frames_ahead(&self, iterations: usize) -> (usize, Vec<Vec<(usize, usize)>>) {
        let mut frames = Vec::new();
        let mut taken = 0;
        for i in 0..iterations {
            let seated = self.seats.iter().enumerate().filter_map(|(seat, o)| o.map(|o| (seat, o.next + i + 1)));
            let due: Vec<(usize, usize)> =
                seated.filter(|(_, k)| self.plan.is_frame(*k) && *k <= self.plan.request.iterations).collect();
            if self.brings.frames && !due.is_empty() {
                if taken == self.plan.frames_per_chunk {
                    return (i, frames);
                }
                taken += 1;
            }
            frames.push(due);
        }
        (iterations, frames)
    }

    /// First iteration and number of the iterations that are dispatched together: one, or, in the resident form, up to the next frame
    /// or test of the stop rule.
    fn dispatched(&self, checks: &[bool], frames: &[Vec<(usize, usize)>]) -> Vec<(usize, usize)> {
        if !self.held.kernels.has("resident") {
            return (0..checks.len()).map(|i| (i, 1)).collect();
        }
        let mut list = Vec::new();
        let mut first = 0;
        for i in 0..checks.len() {
            if checks[i] || !frames[i].is_empty() || i + 1 == checks.len() {
                list.push((first, i + 1 - first));
                first = i + 1;
            }
        }
        list
    }

    /// Iterations of the resident form; the last is closed, and tested, by itself.
    fn reside(&self, commands: &mut Commands<'_>, first: usize, count: usize, checks: &[bool]) {
        let old = (self.submitted + first) % 2;
        self.held.dispatch(commands, "resident", (old, self.slot), offset(first, 1));
        let last = first + count - 1;
        if checks[last] {
            self.check(commands, (self.submitted + last + 1) % 2, offset(last, 1));
        }
        if last + 1 < checks.len() {
            self.held.dispatch(commands, "turn", (0, self.slot), offset(last + 1, 0));
        }
    }

    /// One iteration: the same calls as in the CPU engine's `advance`. Whether the residual is there, before and after.
    fn iterate(&self, commands: &mut Commands<'_>, i: usize, checks: &[bool], mut ready: bool) -> bool {
        let old = (self.submitted + i) % 2;
        let new = 1 - old;
        let held = &self.held;
        let dispatch = |commands: &mut Commands<'_>, name, parity| {
            held.dispatch(commands, name, (parity, self.slot), offset(i, 0));
        };
        dispatch(commands, "turn", old);
        if self.occupants().any(|o| self.job.metric.refreshes(o.next + i)) {
            match self.job.metric {
                MetricSource::Hessian { .. } => {
                    dispatch(commands, "curvatures", old);
                    self.product(commands, ("gradient_squares", "gather_g"), old, offset(i, 0));
                    dispatch(commands, "metric_hessian", old);
                    ready = false;
                }
                MetricSource::Table(_) => dispatch(commands, "metric_table", old),
                MetricSource::None | MetricSource::Fixed(_) => {}
            }
        }
        if self.held.layout.gram {
            dispatch(commands, "gram_step", old);
            if held.kernels.has("gram_fit") {
                dispatch(commands, "gram_fit", new);
            } else {
                dispatch(commands, "gram_product", new);
                dispatch(commands, "fit", new);
            }
        } else {
            self.step_and_predict(commands, i, ready);
        }
        if self.plan.request.validation_rows > 0 {
            if held.kernels.has("predict_validate") {
                dispatch(commands, "predict_validate", new);
            } else {
                dispatch(commands, "predict_validation", new);
                dispatch(commands, "validate", new);
            }
        }
        if !checks[i] {
            return held.looks_ahead;
        }
        self.check(commands, new, offset(i, 1));
        false
    }

    /// What the stop rule measures, at the iterate itself.
    fn check(&self, commands: &mut Commands<'_>, parity: usize, at: u32) {
        let kernels: &[&'static str] = match self.plan.form {
            Form::Direct => {
                self.held.dispatch(commands, "residual", (parity, self.slot), at);
                self.product(commands, ("gradient", "gather_g"), parity, at);
                &["criterion", "gap_loss", "gap_penalty"]
            }
            Form::Gram => &["gram_gradient", "criterion", "gap_fit", "gap_penalty"],
            Form::Resident => &["gram_product", "gram_gradient", "criterion", "gap_fit", "gap_penalty"],
        };
        for kernel in kernels {
            self.held.dispatch(commands, kernel, (parity, self.slot), at);
        }
    }

    /// A step and the predictions of where it leads, by products with the design.
    fn step_and_predict(&self, commands: &mut Commands<'_>, i: usize, ready: bool) {
        let old = (self.submitted + i) % 2;
        let new = 1 - old;
        let held = &self.held;
        let dispatch = |commands: &mut Commands<'_>, name, parity| {
            held.dispatch(commands, name, (parity, self.slot), offset(i, 0));
        };
        if !ready {
            dispatch(commands, "residual", old);
        }
        let waits = held.kernels.has("gradient_tangents");
        if waits {
            dispatch(commands, "gradient_iterate", old);
        } else if held.kernels.has("gradient_step") {
            dispatch(commands, "gradient_step", old);
        } else {
            self.product(commands, ("gradient", "gather_g"), old, offset(i, 0));
            dispatch(commands, "step", old);
        }
        if held.kernels.has("support") {
            dispatch(commands, "support", new);
        }
        if waits {
            dispatch(commands, "gradient_tangents", old);
            dispatch(commands, "step_tangents", old);
        }
        if held.kernels.has("predict_observe") {
            dispatch(commands, "predict_observe", new);
        } else {
            self.product(commands, ("predict", "gather_z"), new, offset(i, 0));
            dispatch(commands, "observe", new);
        }
    }

    /// A product that is stored, put together where it is split.
    fn product(
        &self,
        commands: &mut Commands<'_>,
        (name, gather): (&'static str, &'static str),
        parity: usize,
        at: u32,
    ) {
        self.held.dispatch(commands, name, (parity, self.slot), at);
        if self.held.kernels.has(gather) {
            self.held.dispatch(commands, gather, (parity, self.slot), at);
        }
    }

    /// Parameters of a chunk: two entries an iteration, the second for the stop rule or for the iterations of a dispatch, and one to
    /// close the last.
    fn params(&self, checks: &[bool], dispatched: &[(usize, usize)]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * (checks.len() + 1) * PARAMS_STRIDE as usize];
        for i in 0..=checks.len() {
            let last = i.checked_sub(1);
            let closes = if last.is_some() { CLOSES } else { 0 };
            let checked = if last.is_some_and(|i| checks[i]) { CHECKED } else { 0 };
            let resident = self.held.kernels.has("resident");
            let controls = if i < checks.len() && !resident { CONTROLS } else { 0 };
            let together =
                dispatched.iter().find(|(first, _)| resident && *first == i).map_or(0, |(_, count)| *count as u32);
            for (probe, (flags, ahead)) in [(closes | checked | controls, 1), (0, together)].into_iter().enumerate() {
                let at = offset(i, probe) as usize;
                let values = [last.unwrap_or(0) as u32, i as u32, flags, ahead];
                bytes[at..at + 16].copy_from_slice(bytemuck::cast_slice(&values));
            }
        }
        bytes
    }

    /// `[iterations, stages, 2 + rule fields, lanes4]`: codes, steps and momenta of every seat.
    fn rule_table(&self, iterations: usize) -> Vec<f64> {
        let (layout, schedule) = (self.layout(), self.job.schedule);
        let (fields, lanes4) = (2 + layout.rule_fields(), layout.lanes4());
        let mut table = vec![0.0; iterations * layout.stages * fields * lanes4];
        let mut row = vec![0.0; layout.rule_fields()];
        for (seat, occupant) in self.seats.iter().enumerate().filter_map(|(seat, o)| o.map(|o| (seat, o))) {
            // A lane that ends on the way reads nothing more.
            for i in 0..iterations.min(self.plan.request.iterations.saturating_sub(occupant.next)) {
                let k = occupant.next + i;
                for stage in 0..layout.stages {
                    schedule.entry(stage, k, occupant.lane, &mut row);
                    let code = schedule.unit(stage, k).code;
                    let codes = [f64::from(code.bits), f64::from(code.base)];
                    for (field, v) in codes.iter().chain(&row).enumerate() {
                        table[((i * layout.stages + stage) * fields + field) * lanes4 + seat] = *v;
                    }
                }
            }
        }
        table
    }

    /// `[iterations, q, lanes or 1]`: the metric's table of a chunk, in which all lanes go in step.
    fn metric_rows(&self, iterations: usize) -> Vec<f64> {
        let q = self.layout().state_rows;
        let per_lane = matches!(self.job.metric, MetricSource::Table(table) if table.ndim() == 3);
        let first = self.occupants().map(|o| o.next).max().unwrap_or(0);
        let lanes: Vec<usize> =
            if per_lane { self.seats.iter().map(|s| s.map_or(0, |o| o.lane)).collect() } else { vec![0] };
        // Beyond the table nobody reads.
        let last = self.plan.request.iterations - 1;
        let rows = (first..first + iterations).flat_map(|k| (0..q).map(move |j| (k.min(last), j)));
        rows.flat_map(|(k, j)| lanes.iter().map(move |lane| self.job.metric.entry(k, *lane, j))).collect()
    }

    fn keeps_metric(&self) -> bool {
        matches!(self.job.metric, MetricSource::Hessian { .. })
    }

    pub(super) fn state_bytes(&self) -> u64 {
        (self.layout().stride() * self.layout().columns()) as u64 * self.precision.bytes()
    }

    /// Bytes of records, book and counts of what was listed in the staging buffer, in this order; the snapshot and frames follow.
    fn small_bytes(&self) -> (u64, u64, u64) {
        let (layout, real) = (self.layout(), self.precision.bytes());
        let of = |fields: usize| (fields * layout.lanes4()) as u64 * real;
        let records = if self.brings.records { self.plan.chunk * self.plan.record_fields } else { 0 };
        (of(records), of(layout.book_fields()), 4 * self.held.listed_groups as u64)
    }

    fn snapshot_offset(&self) -> u64 {
        let (records, book, listed) = self.small_bytes();
        (records + book + listed).next_multiple_of(8)
    }

    fn frame_offset(&self) -> u64 {
        let states = match (self.brings.snapshot, self.keeps_metric()) {
            (false, _) => 0,
            (true, false) => 2,
            (true, true) => 3,
        };
        self.snapshot_offset() + states * self.state_bytes()
    }

    pub(super) fn staging_bytes(&self) -> u64 {
        let frames = if self.brings.frames { self.plan.frames_per_chunk } else { 0 };
        self.frame_offset() + frames as u64 * self.state_bytes()
    }

    fn staging(&self) -> wgpu::Buffer {
        self.context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: self.staging_bytes(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// How a seat's lane stands, by the book.
    fn outcome(&self, book: &[f64], seat: usize, has_gap: bool) -> LaneOutcome {
        let at = |field: usize| book[field * self.layout().lanes4() + seat];
        let code = at(BOOK_STATUS) as u32;
        let measured = |field: usize| Some(at(BOOK_MEASURED + field)).filter(|v| *v < 1e30);
        LaneOutcome {
            status: STATUS_CODES.iter().find(|c| c.2 == code).map_or(Status::NotFinite, |c| c.1),
            iterations: at(BOOK_DONE) as usize,
            gap: measured(0).filter(|_| has_gap),
            stationarity: measured(1).unwrap_or(f64::NAN),
            derivative_residual: measured(2).unwrap_or(f64::NAN),
        }
    }

    /// A seat's columns of a matrix in device order, `[1 + d, q]`.
    pub(super) fn columns(&self, bytes: &[u8], seat: usize) -> Array2<f64> {
        let layout = self.layout();
        Array2::from_shape_fn((1 + layout.d, layout.state_rows), |(t, j)| {
            number(bytes, j * layout.columns() + t * layout.lanes4() + seat, self.precision)
        })
    }

    /// The share of the coefficients that each group of lanes had listed in a chunk, by the device's count.
    fn listed(&self, counts: &[u8], iterations: usize) -> Vec<f64> {
        let all = (iterations * self.layout().stride() / 4) as f64;
        counts.chunks_exact(4).map(|count| f64::from(bytemuck::pod_read_unaligned::<u32>(count)) / all).collect()
    }

    pub(super) fn unpack(&mut self, order: Order, bytes: &[u8]) -> Chunk {
        let Order { iterations, lanes, frames } = order;
        let layout = self.layout();
        let (lanes4, fields) = (layout.lanes4(), self.plan.record_fields);
        let (record_bytes, book_bytes, listed_bytes) = self.small_bytes();
        let kept = if self.brings.records { iterations } else { 0 };
        let used = kept * fields * lanes4 * self.precision.bytes() as usize;
        let flat = Array3::from_shape_vec((kept, fields, lanes4), decode(&bytes[..used], self.precision));
        let flat = flat.expect("as many numbers as were brought").permuted_axes([0, 2, 1]);
        let book = decode(&bytes[record_bytes as usize..(record_bytes + book_bytes) as usize], self.precision);
        let mut seats = Vec::new();
        let mut places = Vec::new();
        for (place, lane) in lanes.iter().enumerate().filter_map(|(place, lane)| lane.map(|lane| (place, lane))) {
            // Who was seated anew meanwhile is not of this chunk.
            let Some(occupant) = self.seats[place].filter(|o| o.lane == lane) else { continue };
            let outcome = self.outcome(&book, place, occupant.has_gap);
            seats.push(Seat { lane, first: occupant.known, outcome });
            places.push(place);
            self.seats[place] = Some(Occupant { known: outcome.iterations, ..occupant });
            self.arrived.remove(&lane);
        }
        let rows = seats.iter().map(Seat::iterations).max().unwrap_or(0).min(kept);
        let mut records =
            if places.iter().enumerate().all(|(i, place)| i == *place) { flat } else { flat.select(Axis(1), &places) };
        records.slice_axis_inplace(Axis(0), (..rows).into());
        records.slice_axis_inplace(Axis(1), (..seats.len()).into());
        let size = self.state_bytes() as usize;
        let frames = frames.iter().enumerate().map(|(i, due)| {
            let from = self.frame_offset() as usize + i * size;
            let image = &bytes[from..from + size];
            // A lane that ended before has no such iterate.
            let reached = |(place, k): &&(usize, usize)| book[BOOK_DONE * lanes4 + *place] as usize >= *k;
            let reached: Vec<(usize, usize)> = due.iter().filter(reached).copied().collect();
            let shape = (reached.len(), 1 + layout.d, layout.state_rows);
            let state = Array3::from_shape_fn(shape, |(i, t, j)| {
                number(image, j * layout.columns() + t * lanes4 + reached[i].0, self.precision)
            });
            let at = reached.iter().filter_map(|(place, k)| lanes[*place].map(|lane| (lane, *k)));
            Frame { lanes: at.collect(), state }
        });
        let frames = frames.collect();
        let mut spared = 0.0;
        if self.plan.support {
            let from = (record_bytes + book_bytes) as usize;
            let listed = self.listed(&bytes[from..from + listed_bytes as usize], iterations);
            // Predictions have half of an iteration's terms, and tangents most of the rest.
            let d = layout.d as f64;
            let share = (1.0 + 2.0 * d) / (2.0 + 2.0 * d);
            let left_out = |place: usize| share * (1.0 - listed[place / (4 * self.held.support_quads)]);
            spared = places.iter().zip(&seats).map(|(place, s)| left_out(*place) * s.iterations() as f64).sum();
        }
        if self.brings.snapshot {
            let from = self.snapshot_offset() as usize;
            let brought = &bytes[from..self.frame_offset() as usize];
            // In the memory of the last one, as there is one a chunk.
            let mut bytes = self.snapshot.take().map_or_else(Vec::new, |last| last.bytes);
            bytes.clear();
            bytes.extend_from_slice(brought);
            self.snapshot = Some(Snapshot { lanes, book, bytes });
        }
        Chunk { seats, records, frames, spared }
    }
}

/// Offset of the parameters of iteration `i` of a chunk.
fn offset(i: usize, probe: usize) -> u32 {
    ((2 * i + probe) as u64 * PARAMS_STRIDE) as u32
}

impl Run for GpuRun<'_> {
    fn free(&self) -> usize {
        self.seats.iter().filter(|s| s.is_none()).count()
    }

    fn admit(&mut self, lanes: Vec<LaneState>) -> Result<()> {
        let layout = self.layout();
        let mut arrivals = Vec::new();
        let mut places =
            (0..self.seats.len()).filter(|place| self.seats[*place].is_none()).collect::<Vec<_>>().into_iter();
        for state in lanes {
            let Some(place) = places.next() else {
                return Err(self.context.error("more lanes than seats"));
            };
            let numbers = self.numbers.lane(&self.job, state.lane);
            let (lane, known, next) = (state.lane, state.iteration, state.iteration);
            self.seats[place] = Some(Occupant { lane, known, next, has_gap: numbers.has_gap });
            layout.put_lane(&mut self.lanes, place, &numbers);
            self.arrived.insert(state.lane, state.clone());
            arrivals.push((place, state));
        }
        self.context.queue.write_buffer(
            self.held.buffers.get("lanes", 0),
            0,
            &encode(self.lanes.iter().copied(), self.precision),
        );
        for piece in arrivals.chunks(self.held.arrivals) {
            self.seat(piece);
        }
        self.context.check()
    }

    fn release(&mut self, lanes: &[usize]) {
        for seat in &mut self.seats {
            if seat.is_some_and(|o| lanes.contains(&o.lane)) {
                *seat = None;
            }
        }
    }

    fn submit(&mut self, iterations: usize) -> Result<usize> {
        let iterations = self.submit_chunk(iterations);
        self.context.check()?;
        Ok(iterations)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn depth(&self) -> usize {
        2
    }

    fn collect(&mut self) -> Result<Chunk> {
        let Some((order, pending)) = self.in_flight.pop_front() else {
            return Err(self.context.error("no chunk in flight"));
        };
        let (chunk, buffer) = pending.take(self.context, |bytes| self.unpack(order, bytes))?;
        self.staging.push(buffer);
        Ok(chunk)
    }

    fn state(&self, lane: usize) -> LaneState {
        if let Some(state) = self.arrived.get(&lane) {
            return state.clone();
        }
        let snapshot = self.snapshot.as_ref().expect("a lane that is seated");
        let seat = snapshot.lanes.iter().position(|l| *l == Some(lane)).expect("a lane that is seated");
        let size = self.state_bytes() as usize;
        let image = |i: usize| self.columns(&snapshot.bytes[i * size..(i + 1) * size], seat);
        let at = |field: usize| snapshot.book[field * self.layout().lanes4() + seat];
        LaneState {
            lane,
            iteration: at(BOOK_DONE) as usize,
            state: image(0),
            previous: image(1),
            metric: self.keeps_metric().then(|| image(2)),
            memory: (0..memory_fields(self.layout().d)).map(|i| at(BOOK_MEMORY + i)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bundled;
    use crate::engine::gpu::{GpuEngine, Pick};
    use crate::engine::{Engine, Lane};
    use crate::plan::{MetricForm, Request};
    use crate::problem::{Derivative, Problem};
    use crate::schedule::{Algorithm, LaneCurvature, LaneSchedule, Metric, Phase, Schedule, Step};

    #[test]
    fn buffers_are_as_large_as_the_plan_says() {
        let Ok(engine) = GpuEngine::request(Pick::Any) else {
            assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
            return eprintln!("SKIPPED, no adapter");
        };
        let (fitted, held_out) = bundled("digits").unwrap().split("0.2:1".parse().unwrap()).unwrap();
        let plain = Problem::builder(fitted.clone()).build().unwrap();
        let validated = Problem::builder(fitted).validation(held_out).build().unwrap();
        let lanes = vec![Lane { alpha: 0.1, l1_ratio: 1.0 }; 100];
        let curvature = LaneCurvature { lipschitz: 1.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };
        let still = LaneCurvature { lipschitz: 0.0, ..curvature };
        let derivatives = [Derivative::LogAlpha];
        let pgd = || Phase::new(Algorithm::Pgd);
        let hessian = MetricSource::Hessian { every: 5, gain: 1.5, bound: ndarray::Array1::ones(64) };
        let table = Step::Table(ndarray::ArrayD::from_elem(vec![500, 100], 0.5));
        for (problem, schedule, metric, form) in [
            (&plain, Schedule::from(pgd()), MetricSource::None, Some(Form::Direct)),
            (&plain, Schedule::from(pgd()), MetricSource::None, Some(Form::Gram)),
            (&plain, Schedule::from(pgd()), MetricSource::None, Some(Form::Resident)),
            (&validated, Schedule::from(pgd()).metric(Metric::Hessian { every: 5, gain: 1.5 }), hessian, None),
            (&plain, pgd().step(table).into(), MetricSource::None, None),
            (&plain, pgd().step(Step::Backtracking { start: 4.0, shrink: 0.5 }).into(), MetricSource::None, None),
        ] {
            let curvatures = (vec![curvature; 100], vec![vec![still]; 100]);
            let schedule = LaneSchedule::new(schedule, 500, curvatures.0, curvatures.1, &derivatives).unwrap();
            let shape = problem.shape();
            let request = Request {
                validation_rows: shape.validation_rows,
                every: 10,
                check_every: 10,
                measures_curvature: schedule.uses_secant(),
                constants: schedule.constants().len(),
                factored: schedule.is_factored(),
                metric: if metric == MetricSource::None { MetricForm::None } else { MetricForm::Hessian { every: 5 } },
                memory_budget: 1 << 30,
                form,
                ..Request::plain((shape.rows, 64), 100, 1, 500, Precision::F32)
            };
            let plan = Plan::new(request, &engine.limits(Precision::F32).unwrap()).unwrap();
            let job = Job {
                problem,
                lanes: &lanes,
                schedule: &schedule,
                metric: &metric,
                derivatives: &derivatives,
                start: None,
                tol: 0.0,
            };
            let run = GpuRun::new(&engine.context, &mut Library::default(), &plan, &job, engine.tiles(&plan)).unwrap();
            let held = run.held.held_bytes + 2 * run.staging_bytes();
            assert!(held.abs_diff(plan.device_bytes) * 20 <= held, "{held} held, {} planned", plan.device_bytes);
        }
    }
}
