//! The run loop: one submit a chunk, step tables uploaded before it, results of the chunk before read back while it runs.

use std::ops::{ControlFlow, Range};

use ndarray::Array3;

use super::compose::{Partials, ShaderSpec, directive_fields, memory_fields};
use super::context::GpuContext;
use super::kernels::{Kernels, PARAMS_BYTES, PARAMS_STRIDE, STATUS_CODES};
use super::layout::{columns, initial_state, lane_fields, padded, row_fields, stride};
use super::product::GROUP;
use super::readback::{Pending, decode, encode};
use crate::engine::{Chunk, Finish, Frame, Job, LaneNumbers, LaneOutcome, MetricSource, Sink, Status};
use crate::error::Result;
use crate::plan::{Plan, Precision, ROW_BLOCK};
use crate::schedule::Row;

/// Runs a batch.
pub(super) fn run(
    context: &GpuContext,
    plan: &Plan,
    job: &Job<'_>,
    batch: Range<usize>,
    sink: &mut Sink<'_>,
) -> Result<Finish> {
    let run = Run::new(context, plan, job, batch)?;
    context.check()?;
    run.drive(sink)
}

struct Run<'a> {
    context: &'a GpuContext,
    plan: &'a Plan,
    job: &'a Job<'a>,
    batch: Range<usize>,
    numbers: LaneNumbers,
    kernels: Kernels,
    buffers: Buffers,
    bound: Bound,
    precision: Precision,
    /// Bytes of the device's buffers, staging left out.
    held_bytes: u64,
    /// Columns of the device's matrices and rows of its state, both in whole vec4s.
    columns: usize,
    state_rows: usize,
}

/// Device buffers. Pairs alternate: by parity of the iterate, or by chunk.
struct Buffers {
    x: [wgpu::Buffer; 2],
    records: [wgpu::Buffer; 2],
    tables: [wgpu::Buffer; 2],
    metric_tables: Option<[wgpu::Buffer; 2]>,
    params: [wgpu::Buffer; 2],
    outcomes: wgpu::Buffer,
    measures: wgpu::Buffer,
}

/// Bind groups: `[parity]`, `[slot]` or `[parity][slot]`.
struct Bound {
    params: [wgpu::BindGroup; 2],
    control: [wgpu::BindGroup; 2],
    metric: Option<HessianMetric>,
    metric_table: Option<[wgpu::BindGroup; 2]>,
    residual: [wgpu::BindGroup; 2],
    gradient: wgpu::BindGroup,
    step: [wgpu::BindGroup; 2],
    predict: [wgpu::BindGroup; 2],
    observe: [wgpu::BindGroup; 2],
    held_out: Option<([wgpu::BindGroup; 2], wgpu::BindGroup)>,
    criterion: [wgpu::BindGroup; 2],
    gap_loss: [wgpu::BindGroup; 2],
    gap_penalty: [wgpu::BindGroup; 2],
    status: [wgpu::BindGroup; 2],
}

/// Bind groups of a metric made of curvatures.
struct HessianMetric {
    curvatures: [wgpu::BindGroup; 2],
    gradient: wgpu::BindGroup,
    invert: wgpu::BindGroup,
}

/// A chunk whose results are on their way.
struct InFlight {
    first: usize,
    count: usize,
    frames: Vec<usize>,
    pending: Pending,
}

impl<'a> Run<'a> {
    fn new(context: &'a GpuContext, plan: &'a Plan, job: &'a Job<'a>, batch: Range<usize>) -> Result<Self> {
        let numbers = LaneNumbers::new(job, batch.clone());
        let problem = job.problem;
        let spec = ShaderSpec::new(plan, &numbers, job);
        let kernels = Kernels::new(context, &spec)?;
        let (n, q) = problem.design().dim();
        let (b, d) = (batch.len(), job.derivatives.len());
        let (columns, state_rows) = (columns(b, d), stride(q));
        let precision = plan.request.precision;
        let real = precision.bytes();
        let device = &context.device;
        let sizes = std::cell::Cell::new(8 * b as u64 + 4 * plan.chunk as u64 * PARAMS_STRIDE);
        let create = |label: &str, count: usize| {
            sizes.set(sizes.get() + count as u64 * real);
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: (count as u64 * real).max(16),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let filled = |label: &str, values: Vec<f64>| {
            let buffer = create(label, values.len());
            context.queue.write_buffer(&buffer, 0, &encode(values, precision));
            buffer
        };
        let pair = |label: &str, count: usize| [create(label, count), create(label, count)];

        let design = filled("design", padded(problem.design().rows(), q));
        let rows = filled("rows", row_fields(job, &numbers, n, d));
        let state = initial_state(&numbers, columns, state_rows, 1 + d);
        let x = [filled("state", state.clone()), filled("state_previous", state)];
        let z = pair("prediction", n * columns);
        let r = create("residual", n * columns);
        let g = create("gradient", state_rows * columns);
        let blocks = n.max(q).max(plan.request.validation_rows).div_ceil(ROW_BLOCK);
        let partials = create("partials", blocks * Partials::new(d).fields() * b);
        let lanes = filled("lanes", lane_fields(&numbers));
        let table_numbers = job.schedule.stages() * (2 + 2 * d) * b;
        let tables = pair("step_tables", plan.chunk * table_numbers);
        let constants = filled("constants", at_least_one(job.schedule.constants()));
        let mut remembered = vec![0.0; memory_fields(d) * b];
        // Backtracking has not shrunk anything yet.
        remembered.iter_mut().skip(3).step_by(memory_fields(d)).for_each(|scale| *scale = 1.0);
        let memory = filled("memory", remembered);
        let directives = create("directives", directive_fields(d) * b);
        let extrapolated = create("extrapolated", if job.schedule.uses_secant() { n * columns } else { 1 });
        let diagonal = match job.metric {
            MetricSource::None => vec![1.0],
            source => start_metric(source, columns, state_rows, q, (b, 1 + d)),
        };
        let metric = filled("metric", diagonal);
        let metric_lanes = spec.metric_lanes;
        let metric_tables = match job.metric {
            MetricSource::Table(_) => Some(pair("metric_tables", plan.chunk * q * metric_lanes)),
            _ => None,
        };
        let hessian = match job.metric {
            MetricSource::Hessian { bound, .. } => {
                let squares = problem.design().mapv(|v| v * v);
                Some((filled("design_squares", padded(squares.rows(), q)), filled("curvature_bound", bound.to_vec())))
            }
            _ => None,
        };
        let records = pair("records", plan.chunk * plan.record_fields * b);
        // NaN: not measured yet.
        let measures = filled("measures", vec![f64::NAN; 3 * b]);
        let outcomes = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("outcomes"),
            size: (8 * b as u64).max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let params = [0, 1].map(|_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size: 2 * plan.chunk as u64 * PARAMS_STRIDE,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });

        let bind = |name: &str, list: &[&wgpu::Buffer]| kernels.bind(device, name, list);
        let held_out = problem.held_out.as_ref().map(|h| {
            let (target, weight) = (&h.target, &h.weight);
            let design = filled("validation_design", padded(h.design.rows(), q));
            let pairs = target.iter().zip(weight).flat_map(|(y, w)| [*y, *w]).collect();
            let rows = filled("validation_rows", pairs);
            let z = create("validation_prediction", target.len() * columns);
            let predict = [0, 1].map(|p| bind("predict_validation", &[&design, &x[p], &z]));
            (predict, bind("validate", &[&z, &rows, &partials]))
        });
        let bound = Bound {
            params: [0, 1].map(|s: usize| {
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("params"),
                    layout: &kernels.params,
                    entries: &[wgpu::BindGroupEntry {
                        binding: 0,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &params[s],
                            offset: 0,
                            size: wgpu::BufferSize::new(PARAMS_BYTES),
                        }),
                    }],
                })
            }),
            control: [0, 1].map(|s: usize| bind("control", &[&tables[s], &constants, &memory, &directives])),
            metric: hessian.as_ref().map(|(squares, bound)| HessianMetric {
                curvatures: [0, 1].map(|p: usize| bind("curvatures", &[&z[p], &rows, &r])),
                gradient: bind("gradient", &[squares, &r, &g]),
                invert: bind("metric_hessian", &[&g, bound, &metric]),
            }),
            metric_table: metric_tables
                .as_ref()
                .map(|t| [0, 1].map(|s: usize| bind("metric_table", &[&t[s], &metric]))),
            residual: [0, 1].map(|p| bind("residual", &[&z[p], &z[1 - p], &rows, &directives, &r, &extrapolated])),
            gradient: bind("gradient", &[&design, &r, &g]),
            step: [0, 1]
                .map(|p| bind("step", &[&x[p], &x[1 - p], &g, &lanes, &directives, &outcomes, &partials, &metric])),
            predict: [0, 1].map(|p| bind("predict", &[&design, &x[p], &z[p]])),
            observe: [0, 1].map(|p: usize| bind("observe", &[&z[p], &rows, &partials, &r, &extrapolated])),
            held_out,
            criterion: [0, 1].map(|p: usize| bind("criterion", &[&x[p], &g, &lanes, &partials])),
            gap_loss: [0, 1].map(|p: usize| bind("gap_loss", &[&z[p], &rows, &partials])),
            gap_penalty: [0, 1].map(|p: usize| bind("gap_penalty", &[&x[p], &g, &lanes, &partials])),
            status: [0, 1].map(|s: usize| {
                bind("status", &[&partials, &lanes, &records[s], &outcomes, &measures, &directives, &memory])
            }),
        };
        let buffers = Buffers { x, records, tables, metric_tables, params, outcomes, measures };
        let held_bytes = sizes.get();
        Ok(Run {
            held_bytes,
            context,
            plan,
            job,
            batch,
            numbers,
            kernels,
            buffers,
            bound,
            precision,
            columns,
            state_rows,
        })
    }

    fn drive(self, sink: &mut Sink<'_>) -> Result<Finish> {
        log::debug!("{} bytes of device buffers besides staging", self.held_bytes);
        let mut outcomes = vec![self.unmeasured(); self.batch.len()];
        let mut start_frame = Some(self.start_frame());
        let mut staging: Vec<wgpu::Buffer> = Vec::new();
        let mut in_flight: Option<InFlight> = None;
        let (mut submitted, mut slot, mut open) = (0, 0, true);
        loop {
            let next = if open && submitted < self.plan.request.iterations {
                let count = self.plan.chunk.min(self.plan.request.iterations - submitted);
                let target = staging.pop().unwrap_or_else(|| self.staging());
                let chunk = self.submit(submitted, count, slot, target);
                submitted += count;
                slot = 1 - slot;
                Some(chunk)
            } else {
                None
            };
            if let Some(done) = in_flight.take() {
                let (bytes, buffer) = done.pending.take(self.context)?;
                staging.push(buffer);
                let (mut chunk, ends) = self.unpack(&bytes, done.first, done.count, &done.frames);
                outcomes = ends;
                if let Some(frame) = start_frame.take() {
                    chunk.frames.insert(0, frame);
                }
                let running = chunk.running;
                let cancelled = sink(chunk) == ControlFlow::Break(());
                open &= !cancelled && running > 0;
                if cancelled && next.is_none() {
                    break;
                }
            }
            in_flight = next;
            if in_flight.is_none() {
                break;
            }
        }
        for outcome in outcomes.iter_mut().filter(|o| o.status == Status::Running) {
            outcome.status = Status::Cancelled;
        }
        Ok(Finish { outcomes, state: self.final_state(submitted % 2)? })
    }

    /// Encodes and submits the iterations `first .. first + count`.
    fn submit(&self, first: usize, count: usize, slot: usize, target: wgpu::Buffer) -> InFlight {
        let context = self.context;
        let lanes: Vec<usize> = self.batch.clone().collect();
        let rows = self.job.schedule.rows(first, count, &lanes);
        let values = rows.iter().flat_map(|row| row.numbers.iter().copied());
        context.queue.write_buffer(&self.buffers.tables[slot], 0, &encode(values, self.precision));
        context.queue.write_buffer(&self.buffers.params[slot], 0, &self.params(first, &rows));
        if let Some(tables) = &self.buffers.metric_tables {
            context.queue.write_buffer(&tables[slot], 0, &encode(self.metric_rows(first, count), self.precision));
        }

        let mut encoder =
            context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("chunk") });
        let mut frames = Vec::new();
        let mut k = first;
        while k < first + count {
            // A pass reaches to the next frame, which is copied between passes.
            let end = (k + 1..=first + count).find(|k| self.plan.is_frame(*k)).unwrap_or(first + count);
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                if k == 0 {
                    // X x of both copies of the start.
                    pass.set_bind_group(0, &self.bound.params[slot], &[0]);
                    self.dispatch_product(&mut pass, "predict", &self.bound.predict[0], self.plan.request.rows);
                    self.dispatch_product(&mut pass, "predict", &self.bound.predict[1], self.plan.request.rows);
                }
                (k..end).for_each(|k| self.iterate(&mut pass, k, k - first, slot));
            }
            if self.plan.is_frame(end) {
                let bytes = self.state_bytes();
                let offset = self.frame_offset() + frames.len() as u64 * bytes;
                encoder.copy_buffer_to_buffer(&self.buffers.x[end % 2], 0, &target, offset, bytes);
                frames.push(end);
            }
            k = end;
        }
        let (records, outcomes, measures) = self.small_bytes();
        encoder.copy_buffer_to_buffer(&self.buffers.records[slot], 0, &target, 0, records);
        encoder.copy_buffer_to_buffer(&self.buffers.outcomes, 0, &target, records, outcomes);
        encoder.copy_buffer_to_buffer(&self.buffers.measures, 0, &target, records + outcomes, measures);
        let submission = context.queue.submit([encoder.finish()]);
        InFlight { first, count, frames, pending: Pending::new(target, submission) }
    }

    /// One iteration: the same calls as in the CPU engine's loop.
    fn iterate(&self, pass: &mut wgpu::ComputePass<'_>, k: usize, row: usize, slot: usize) {
        let (old, new) = (k % 2, 1 - k % 2);
        let r = &self.plan.request;
        let b = &self.bound;
        let at = |probe: usize| [((2 * row + probe) as u64 * PARAMS_STRIDE) as u32];
        pass.set_bind_group(0, &b.params[slot], &at(0));
        self.dispatch_rows(pass, "control", &b.control[slot], 1);
        if self.job.metric.refreshes(k) {
            self.refresh_metric(pass, old, slot);
        }
        self.dispatch_rows(pass, "residual", &b.residual[old], r.rows);
        self.dispatch_product(pass, "gradient", &b.gradient, self.state_rows);
        self.dispatch_rows(pass, "step", &b.step[old], r.state_rows);
        self.dispatch_product(pass, "predict", &b.predict[new], r.rows);
        self.dispatch_rows(pass, "observe", &b.observe[new], r.rows);
        if let Some((predict, validate)) = &b.held_out {
            self.dispatch_product(pass, "predict_validation", &predict[new], r.validation_rows);
            self.dispatch_rows(pass, "validate", validate, r.validation_rows);
        }
        if self.plan.is_check(k + 1) {
            pass.set_bind_group(0, &b.params[slot], &at(1));
            self.dispatch_rows(pass, "residual", &b.residual[new], r.rows);
            self.dispatch_product(pass, "gradient", &b.gradient, self.state_rows);
            self.dispatch_rows(pass, "criterion", &b.criterion[new], r.state_rows);
            self.dispatch_rows(pass, "gap_loss", &b.gap_loss[new], r.rows);
            self.dispatch_rows(pass, "gap_penalty", &b.gap_penalty[new], r.state_rows);
        }
        self.dispatch_rows(pass, "status", &b.status[slot], 1);
    }

    /// Sets the metric that this iteration uses.
    fn refresh_metric(&self, pass: &mut wgpu::ComputePass<'_>, old: usize, slot: usize) {
        let r = &self.plan.request;
        if let Some(metric) = &self.bound.metric {
            self.dispatch_rows(pass, "curvatures", &metric.curvatures[old], r.rows);
            self.dispatch_product(pass, "gradient", &metric.gradient, self.state_rows);
            self.dispatch_rows(pass, "metric_hessian", &metric.invert, r.state_rows);
        }
        if let Some(table) = &self.bound.metric_table {
            self.dispatch_rows(pass, "metric_table", &table[slot], r.state_rows);
        }
    }

    /// `[count, q, lanes or 1]`: the metric's table of a chunk.
    fn metric_rows(&self, first: usize, count: usize) -> Vec<f64> {
        let q = self.plan.request.state_rows;
        let per_lane = matches!(self.job.metric, MetricSource::Table(table) if table.ndim() == 3);
        let lanes = if per_lane { self.batch.clone() } else { self.batch.start..self.batch.start + 1 };
        let rows = (first..first + count).flat_map(|k| (0..q).map(move |j| (k, j)));
        rows.flat_map(|(k, j)| lanes.clone().map(move |lane| self.job.metric.entry(k, lane, j))).collect()
    }

    /// One invocation per lane and block of rows.
    fn dispatch_rows(&self, pass: &mut wgpu::ComputePass<'_>, name: &str, group: &wgpu::BindGroup, rows: usize) {
        pass.set_pipeline(&self.kernels.get(name).pipeline);
        pass.set_bind_group(1, group, &[]);
        pass.dispatch_workgroups(self.batch.len().div_ceil(64) as u32, rows.div_ceil(ROW_BLOCK) as u32, 1);
    }

    /// One invocation per tile of the output.
    fn dispatch_product(&self, pass: &mut wgpu::ComputePass<'_>, name: &str, group: &wgpu::BindGroup, rows: usize) {
        pass.set_pipeline(&self.kernels.get(name).pipeline);
        pass.set_bind_group(1, group, &[]);
        pass.dispatch_workgroups(self.columns.div_ceil(GROUP) as u32, rows.div_ceil(GROUP) as u32, 1);
    }

    /// Parameters of the chunk: two entries an iteration, the second for the stop rule.
    fn params(&self, first: usize, rows: &[Row]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * rows.len() * PARAMS_STRIDE as usize];
        for (row, numbers) in rows.iter().enumerate() {
            let k = first + row;
            let check = u32::from(self.plan.is_check(k + 1));
            let code = |stage: usize| numbers.codes[stage.min(numbers.codes.len() - 1)];
            let codes = [code(0), code(1)].map(|c| [c.bits, c.base, 0, 0]);
            for (probe, ahead) in [1, 0].into_iter().enumerate() {
                let at = (2 * row + probe) * PARAMS_STRIDE as usize;
                let values = [[(k + 1) as u32, row as u32, check, ahead], codes[0], codes[1]];
                bytes[at..at + PARAMS_BYTES as usize].copy_from_slice(bytemuck::cast_slice(&values));
            }
        }
        // The status kernel runs under the entry bound last: both name the same iteration and row.
        bytes
    }

    fn state_bytes(&self) -> u64 {
        (self.state_rows * self.columns) as u64 * self.precision.bytes()
    }

    /// Bytes of records, outcomes and measures in the staging buffer, in this order; frames follow.
    fn small_bytes(&self) -> (u64, u64, u64) {
        let (b, real) = (self.batch.len() as u64, self.precision.bytes());
        let records = (self.plan.chunk * self.plan.record_fields) as u64 * b * real;
        (records, 8 * b, 3 * b * real)
    }

    fn frame_offset(&self) -> u64 {
        let (records, outcomes, measures) = self.small_bytes();
        (records + outcomes + measures).next_multiple_of(8)
    }

    fn staging_bytes(&self) -> u64 {
        self.frame_offset() + self.plan.frames_per_chunk as u64 * self.state_bytes()
    }

    fn staging(&self) -> wgpu::Buffer {
        self.context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: self.staging_bytes(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn unmeasured(&self) -> LaneOutcome {
        LaneOutcome {
            status: Status::Running,
            iterations: 0,
            gap: None,
            stationarity: f64::NAN,
            derivative_residual: f64::NAN,
        }
    }

    fn unpack(&self, bytes: &[u8], first: usize, count: usize, frames: &[usize]) -> (Chunk, Vec<LaneOutcome>) {
        let (b, fields) = (self.batch.len(), self.plan.record_fields);
        let (records, outcomes, measures) = self.small_bytes();
        let used = count * fields * b * self.precision.bytes() as usize;
        let flat = decode(&bytes[..used], self.precision);
        let codes: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes[records as usize..(records + outcomes) as usize]);
        let end = (records + outcomes + measures) as usize;
        let measured = decode(&bytes[(records + outcomes) as usize..end], self.precision);
        let ends: Vec<LaneOutcome> = (0..b)
            .map(|i| LaneOutcome {
                status: STATUS_CODES.iter().find(|c| c.2 == codes[2 * i]).map_or(Status::NotFinite, |c| c.1),
                iterations: codes[2 * i + 1] as usize,
                gap: Some(measured[3 * i]).filter(|v| self.numbers.has_gap[i] && !v.is_nan()),
                stationarity: measured[3 * i + 1],
                derivative_residual: measured[3 * i + 2],
            })
            .collect();
        let size = self.state_bytes() as usize;
        let frames = frames
            .iter()
            .enumerate()
            .map(|(i, k)| {
                let from = self.frame_offset() as usize + i * size;
                Frame { iteration: *k, lanes: self.batch.clone(), state: self.state(&bytes[from..from + size]) }
            })
            .collect();
        let chunk = Chunk {
            lanes: self.batch.clone(),
            first,
            records: Array3::from_shape_fn((count, b, fields), |(k, i, f)| flat[(k * fields + f) * b + i]),
            frames,
            running: ends.iter().filter(|o| o.status == Status::Running).count(),
        };
        (chunk, ends)
    }

    /// Device rows `[state_rows, columns]` as `[lanes, 1 + d, q]`.
    fn state(&self, bytes: &[u8]) -> Array3<f64> {
        let flat = decode(bytes, self.precision);
        let width = 1 + self.job.derivatives.len();
        let q = self.plan.request.state_rows;
        Array3::from_shape_fn((self.batch.len(), width, q), |(i, t, j)| flat[j * self.columns + i * width + t])
    }

    fn start_frame(&self) -> Frame {
        let shape = (self.batch.len(), 1 + self.job.derivatives.len(), self.plan.request.state_rows);
        let state = Array3::from_shape_fn(shape, |(i, t, j)| if t == 0 { self.numbers.start[[i, j]] } else { 0.0 });
        Frame { iteration: 0, lanes: self.batch.clone(), state }
    }

    fn final_state(&self, parity: usize) -> Result<Array3<f64>> {
        let bytes = self.state_bytes();
        let target = self.context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("final state"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.buffers.x[parity], 0, &target, 0, bytes);
        let submission = self.context.queue.submit([encoder.finish()]);
        let (bytes, _) = Pending::new(target, submission).take(self.context)?;
        Ok(self.state(&bytes))
    }
}

/// Some numbers, since a buffer cannot be empty.
fn at_least_one(mut numbers: Vec<f64>) -> Vec<f64> {
    if numbers.is_empty() {
        numbers.push(0.0);
    }
    numbers
}

/// The metric that a run starts with, in the state's layout, tangents zero.
fn start_metric(
    source: &MetricSource,
    columns: usize,
    state_rows: usize,
    q: usize,
    (lanes, width): (usize, usize),
) -> Vec<f64> {
    let mut metric = vec![0.0; columns * state_rows];
    for j in 0..q {
        (0..lanes).for_each(|i| metric[j * columns + i * width] = source.entry(0, i, j));
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bundled;
    use crate::engine::gpu::{GpuEngine, Pick};
    use crate::engine::{Engine, Lane};
    use crate::plan::{MetricForm, Request};
    use crate::problem::{Derivative, Problem};
    use crate::schedule::{LaneCurvature, LaneSchedule, Schedule};

    #[test]
    fn buffers_are_as_large_as_the_plan_says() {
        let Ok(engine) = GpuEngine::request(Pick::Any) else {
            assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
            return eprintln!("SKIPPED, no adapter");
        };
        let problem = Problem::builder(bundled("digits").unwrap()).build().unwrap();
        let lanes = vec![Lane { alpha: 0.1, l1_ratio: 1.0 }; 100];
        let curvature = LaneCurvature { lipschitz: 1.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };
        let derivatives = [Derivative::LogAlpha];
        let still = LaneCurvature { lipschitz: 0.0, ..curvature };
        let curvatures = (vec![curvature; 100], vec![vec![still]; 100]);
        let schedule = LaneSchedule::new(Schedule::default(), 500, curvatures.0, curvatures.1, &derivatives).unwrap();
        let job = Job {
            problem: &problem,
            lanes: &lanes,
            schedule: &schedule,
            metric: &MetricSource::None,
            derivatives: &derivatives,
            start: None,
            tol: 0.0,
        };
        let request = Request {
            rows: 1797,
            state_rows: 64,
            validation_rows: 0,
            lanes: 100,
            tangents: 1,
            iterations: 500,
            every: 10,
            check_every: 10,
            stages: 1,
            measures_curvature: false,
            constants: 0,
            metric: MetricForm::None,
            precision: Precision::F32,
            memory_budget: 1 << 30,
        };
        let plan = Plan::new(request, &engine.limits(Precision::F32).unwrap()).unwrap();
        let run = Run::new(&engine.context, &plan, &job, 0..100).unwrap();
        let planned = plan.device_bytes - 2 * run.staging_bytes();
        assert!(run.held_bytes.abs_diff(planned) * 20 <= planned, "{} held, {planned} planned", run.held_bytes);
    }
}
