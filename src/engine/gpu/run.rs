//! A plan under way on a device: one submit a chunk; the results of one come back while the next runs.

mod record;
mod results;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use ndarray::{Array2, Array3, Axis};

use super::commands::{Clock, Commands};
use super::context::GpuContext;
use super::kernels::{Library, PARAMS_STRIDE, STATUS_CODES};
use super::layout::{
    Layout, OBJECTIVE_LIMIT, STATE_DONE, STATE_MEASURED, STATE_MEMORY, STATE_STATUS, gram_target,
};
use super::product::Tiles;
use super::readback::{Pending, decode, encode, number};
use super::resources::Resources;
use super::spec::{CHECKED, CONTROLS, FINALIZES};
use crate::engine::{Chunk, Frame, LaneOutcome, Run, Slot, Status};
use crate::error::Result;
use crate::lanes::{Job, LaneState, MetricSource, RunNumbers, memory_fields};
use crate::program::{Plan, Precision, Strategy};

/// A run on a device.
pub(super) struct GpuRun<'a> {
    context: &'a GpuContext,
    plan: &'a Plan,
    job: Job<'a>,
    numbers: RunNumbers,
    pub(super) held: Resources,
    precision: Precision,
    /// Who sits where.
    slots: Vec<Option<ActiveLane>>,
    /// Image of the buffer of lanes.
    lanes: Vec<f64>,
    /// Iterations submitted: their parity says which of a pair of buffers is the iterate's.
    pub(super) submitted: usize,
    /// Which of a pair of buffers the next chunk uses.
    pub(super) chunk_parity: usize,
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
    /// Lanes that no snapshot has yet, as they were loaded.
    arrived: HashMap<usize, LaneState>,
}

/// A active lane.
#[derive(Debug, Clone, Copy)]
struct ActiveLane {
    lane: usize,
    /// Iterations done as of the last chunk collected.
    known: usize,
    /// Iterations done after all that was submitted, if it goes on.
    next: usize,
    has_gap: bool,
}

/// What chunks bring back besides the lane state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brings {
    pub(super) records: bool,
    pub(super) frames: bool,
    /// All that is needed to load lanes again elsewhere.
    pub(super) snapshot: bool,
}

/// What a chunk is to do.
pub(super) struct ChunkSteps {
    /// By iteration: (slot, iterate) of each frame.
    frames: Vec<Vec<(usize, usize)>>,
    /// By iteration: whether the stop rule is tested.
    checks: Vec<bool>,
    /// First iteration and number of those that are dispatched together.
    dispatched: Vec<(usize, usize)>,
}

/// What a chunk was submitted for.
pub(super) struct Order {
    pub(super) iterations: usize,
    /// Lane of each slot.
    lanes: Vec<Option<usize>>,
    /// (slot, iterate) of each frame.
    frames: Vec<Vec<(usize, usize)>>,
}

/// The bytes of a chunk's end.
struct Snapshot {
    lanes: Vec<Option<usize>>,
    /// `[fields, padded_lanes]`.
    lane_state: Vec<f64>,
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
            slots: vec![None; plan.slots],
            lanes,
            submitted: 0,
            chunk_parity: 0,
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

    fn active_lanes(&self) -> impl Iterator<Item = &ActiveLane> {
        self.slots.iter().flatten()
    }

    /// Uploads some lanes and slots them.
    fn slot(&mut self, arrivals: &[(usize, LaneState)]) {
        let layout = self.layout();
        let blank =
            |s: &LaneState| s.metric.is_none() && s.state.iter().chain(&s.previous).all(|v| *v == 0.0);
        let has_metric = *self.job.metric != MetricSource::None;
        let all_blank = !has_metric && arrivals.iter().all(|(_, s)| blank(s));
        let width = 3 * (1 + layout.d) * layout.state_rows;
        let mut image = Vec::new();
        for (slot, state) in arrivals {
            image.extend([*slot as f64, f64::from(u8::from(all_blank))]);
            let mut lane_state = vec![0.0; layout.lane_state_fields()];
            lane_state[STATE_STATUS] = f64::from(STATUS_CODES[0].2);
            lane_state[STATE_DONE] = state.iteration as f64;
            lane_state[STATE_MEASURED..STATE_MEASURED + 3].fill(f64::MAX);
            lane_state[STATE_MEMORY..STATE_MEMORY + state.memory.len()].copy_from_slice(&state.memory);
            image.extend(lane_state);
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
                        image.extend(
                            (0..=layout.d).flat_map(|t| (0..layout.state_rows).map(move |j| entry(t, j))),
                        );
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
            context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("load") });
        let mut commands = Commands::new(&mut encoder, None);
        self.held.dispatch_load(&mut commands, self.submitted % 2, arrivals.len());
        if !all_blank {
            // The products of all columns anew: those of lanes under way come out the same.
            let carried = if layout.gram { ("gram_product", "none") } else { ("predict", "reduce_z") };
            if !self.held.kernels.has("persistent") {
                [0, 1].into_iter().for_each(|parity| self.product(&mut commands, carried, parity, 0));
            }
        }
        commands.finish();
        context.queue.submit([encoder.finish()]);
        self.residual_ready = false;
    }

    /// Encodes and submits a chunk.
    fn submit_chunk(&mut self, iterations: usize) -> usize {
        let ahead = self.prepare_chunk(iterations);
        for (name, bytes) in self.tables(&ahead) {
            self.context.queue.write_buffer(self.held.buffers.get(name, self.chunk_parity), 0, &bytes);
        }
        let target = self.staging.pop().unwrap_or_else(|| self.staging());
        let mut encoder = self
            .context
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("chunk") });
        let order = self.encode_chunk(&mut encoder, ahead, &target);
        let submission = self.context.queue.submit([encoder.finish()]);
        let iterations = order.iterations;
        self.in_flight.push_back((order, Pending::new(target, submission)));
        iterations
    }
}

impl Run for GpuRun<'_> {
    fn free(&self) -> usize {
        self.slots.iter().filter(|s| s.is_none()).count()
    }

    fn load(&mut self, lanes: Vec<LaneState>) -> Result<()> {
        let layout = self.layout();
        let mut arrivals = Vec::new();
        let mut places = (0..self.slots.len())
            .filter(|place| self.slots[*place].is_none())
            .collect::<Vec<_>>()
            .into_iter();
        for state in lanes {
            let Some(place) = places.next() else {
                return Err(self.context.error("more lanes than slots"));
            };
            let numbers = self.numbers.lane(&self.job, &state);
            let (lane, known, next) = (state.lane, state.iteration, state.iteration);
            self.slots[place] = Some(ActiveLane { lane, known, next, has_gap: numbers.has_gap });
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
            self.slot(piece);
        }
        self.context.check()
    }

    fn evict(&mut self, lanes: &[usize]) {
        for slot in &mut self.slots {
            if slot.is_some_and(|o| lanes.contains(&o.lane)) {
                *slot = None;
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
        let snapshot = self.snapshot.as_ref().expect("a lane that is active");
        let slot = snapshot.lanes.iter().position(|l| *l == Some(lane)).expect("a lane that is active");
        let size = self.state_bytes() as usize;
        let image = |i: usize| self.columns(&snapshot.bytes[i * size..(i + 1) * size], slot);
        let at = |field: usize| snapshot.lane_state[field * self.layout().padded_lanes() + slot];
        LaneState {
            lane,
            iteration: at(STATE_DONE) as usize,
            state: image(0),
            previous: image(1),
            metric: self.keeps_metric().then(|| image(2)),
            memory: (0..memory_fields(self.layout().d)).map(|i| at(STATE_MEMORY + i)).collect(),
            objective_limit: self.lanes[OBJECTIVE_LIMIT * self.layout().padded_lanes() + slot],
        }
    }
}
