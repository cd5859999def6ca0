//! The run loop: one submit a chunk, step tables uploaded before it, results of the chunk before read back while it runs.

use std::ops::{ControlFlow, Range};

use ndarray::Array3;

use super::context::GpuContext;
use super::kernels::{PARAMS_BYTES, PARAMS_STRIDE, STATUS_CODES};
use super::product::GROUP;
use super::readback::{Pending, decode, encode};
use super::resources::Resources;
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
    held: Resources,
    precision: Precision,
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
        let held = Resources::new(context, plan, job, &numbers)?;
        Ok(Run { context, plan, job, batch, numbers, held, precision: plan.request.precision })
    }

    fn drive(self, sink: &mut Sink<'_>) -> Result<Finish> {
        log::debug!("{} bytes of device buffers besides staging", self.held.held_bytes);
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
        context.queue.write_buffer(&self.held.buffers.tables[slot], 0, &encode(values, self.precision));
        context.queue.write_buffer(&self.held.buffers.params[slot], 0, &self.params(first, &rows));
        if let Some(tables) = &self.held.buffers.metric_tables {
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
                    pass.set_bind_group(0, &self.held.bound.params[slot], &[0]);
                    self.dispatch_product(&mut pass, "predict", &self.held.bound.predict[0], self.plan.request.rows);
                    self.dispatch_product(&mut pass, "predict", &self.held.bound.predict[1], self.plan.request.rows);
                }
                (k..end).for_each(|k| self.iterate(&mut pass, k, k - first, slot));
            }
            if self.plan.is_frame(end) {
                let bytes = self.state_bytes();
                let offset = self.frame_offset() + frames.len() as u64 * bytes;
                encoder.copy_buffer_to_buffer(&self.held.buffers.x[end % 2], 0, &target, offset, bytes);
                frames.push(end);
            }
            k = end;
        }
        let (records, outcomes, measures) = self.small_bytes();
        encoder.copy_buffer_to_buffer(&self.held.buffers.records[slot], 0, &target, 0, records);
        encoder.copy_buffer_to_buffer(&self.held.buffers.outcomes, 0, &target, records, outcomes);
        encoder.copy_buffer_to_buffer(&self.held.buffers.measures, 0, &target, records + outcomes, measures);
        let submission = context.queue.submit([encoder.finish()]);
        InFlight { first, count, frames, pending: Pending::new(target, submission) }
    }

    /// One iteration: the same calls as in the CPU engine's loop.
    fn iterate(&self, pass: &mut wgpu::ComputePass<'_>, k: usize, row: usize, slot: usize) {
        let (old, new) = (k % 2, 1 - k % 2);
        let r = &self.plan.request;
        let b = &self.held.bound;
        let at = |probe: usize| [((2 * row + probe) as u64 * PARAMS_STRIDE) as u32];
        pass.set_bind_group(0, &b.params[slot], &at(0));
        self.dispatch_rows(pass, "control", &b.control[slot], 1);
        if self.job.metric.refreshes(k) {
            self.refresh_metric(pass, old, slot);
        }
        self.dispatch_rows(pass, "residual", &b.residual[old], r.rows);
        self.dispatch_product(pass, "gradient", &b.gradient, self.held.state_rows);
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
            self.dispatch_product(pass, "gradient", &b.gradient, self.held.state_rows);
            self.dispatch_rows(pass, "criterion", &b.criterion[new], r.state_rows);
            self.dispatch_rows(pass, "gap_loss", &b.gap_loss[new], r.rows);
            self.dispatch_rows(pass, "gap_penalty", &b.gap_penalty[new], r.state_rows);
        }
        self.dispatch_rows(pass, "status", &b.status[slot], 1);
    }

    /// Sets the metric that this iteration uses.
    fn refresh_metric(&self, pass: &mut wgpu::ComputePass<'_>, old: usize, slot: usize) {
        let r = &self.plan.request;
        if let Some(metric) = &self.held.bound.metric {
            self.dispatch_rows(pass, "curvatures", &metric.curvatures[old], r.rows);
            self.dispatch_product(pass, "gradient", &metric.gradient, self.held.state_rows);
            self.dispatch_rows(pass, "metric_hessian", &metric.invert, r.state_rows);
        }
        if let Some(table) = &self.held.bound.metric_table {
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
        pass.set_pipeline(&self.held.kernels.get(name).pipeline);
        pass.set_bind_group(1, group, &[]);
        pass.dispatch_workgroups(self.batch.len().div_ceil(64) as u32, rows.div_ceil(ROW_BLOCK) as u32, 1);
    }

    /// One invocation per tile of the output.
    fn dispatch_product(&self, pass: &mut wgpu::ComputePass<'_>, name: &str, group: &wgpu::BindGroup, rows: usize) {
        pass.set_pipeline(&self.held.kernels.get(name).pipeline);
        pass.set_bind_group(1, group, &[]);
        pass.dispatch_workgroups(self.held.columns.div_ceil(GROUP) as u32, rows.div_ceil(GROUP) as u32, 1);
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
        (self.held.state_rows * self.held.columns) as u64 * self.precision.bytes()
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
        Array3::from_shape_fn((self.batch.len(), width, q), |(i, t, j)| flat[j * self.held.columns + i * width + t])
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
        encoder.copy_buffer_to_buffer(&self.held.buffers.x[parity], 0, &target, 0, bytes);
        let submission = self.context.queue.submit([encoder.finish()]);
        let (bytes, _) = Pending::new(target, submission).take(self.context)?;
        Ok(self.state(&bytes))
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
        assert!(
            run.held.held_bytes.abs_diff(planned) * 20 <= planned,
            "{} held, {planned} planned",
            run.held.held_bytes
        );
    }
}
