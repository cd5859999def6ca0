//! A plan in progress on a device: one submit a chunk; the results of one chunk are read
//! back while the next runs.

mod load;
mod results;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::bind::Resources;
use super::clock::Clock;
use super::compile::Library;
use super::context::GpuContext;
use super::data::{LaneImage, encode};
use super::readback::Pending;
use crate::engine::{Chunk, Run};
use crate::error::Result;
use crate::lanes::fields::{Field, constant, memory_fields, state};
use crate::lanes::{Job, LaneState, RunNumbers};
use crate::program::{BufferId, CHUNKS_IN_FLIGHT, Plan, Precision, Program, Shape, Staging, Tiles};

/// A run on a device.
pub(super) struct GpuRun<'a> {
    context: &'a GpuContext,
    pub(super) plan: &'a Plan,
    pub(super) job: Job<'a>,
    numbers: RunNumbers,
    pub(super) held: Resources,
    /// Places of a chunk's results in a staging buffer.
    pub(super) staging_places: Staging,
    precision: Precision,
    /// Lane of each slot.
    pub(super) slots: Vec<Option<ActiveLane>>,
    lanes: LaneImage,
    /// Iterations submitted: their parity determines which buffer of a pair holds the iterate.
    pub(super) submitted: usize,
    /// The copy of paired buffers that the next chunk uses.
    pub(super) chunk_parity: usize,
    /// Times dispatches, if they are timed.
    pub(super) clock: Option<Clock>,
    /// True if the residual of the next iteration is stored already.
    pub(super) residual_ready: bool,
    in_flight: VecDeque<(Order, Pending)>,
    /// Free staging buffers.
    staging: Vec<wgpu::Buffer>,
    /// The state at the end of the last collected chunk.
    snapshot: Option<Snapshot>,
    /// Lanes that are in no snapshot yet, as they were loaded.
    arrived: HashMap<usize, LaneState>,
}

/// An active lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActiveLane {
    pub(super) lane: usize,
    /// Iterations done as of the last collected chunk.
    known: usize,
    /// Iterations done after all submitted chunks, if the lane keeps running.
    pub(super) next: usize,
    has_gap: bool,
}

/// The description of a submitted chunk.
pub(super) struct Order {
    pub(super) iterations: usize,
    /// Iterations that are recorded.
    pub(super) recorded: Vec<usize>,
    /// Lane of each slot.
    pub(super) lanes: Vec<Option<usize>>,
    /// (slot, iterate) of each frame.
    pub(super) frames: Vec<Vec<(usize, usize)>>,
}

/// The bytes read back at the end of a chunk.
struct Snapshot {
    /// The slot of each lane.
    slots: HashMap<usize, usize>,
    /// `[fields, padded_lanes]`.
    lane_state: Vec<f64>,
    /// The state, the previous one, and a metric of curvatures, in device order.
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
        let program: Program = plan.program.with_tiles(tiles);
        let shape = program.shape;
        let held = Resources::new(context, library, program, job, &numbers)?;
        context.check()?;
        let run = GpuRun {
            context,
            plan,
            job: *job,
            lanes: LaneImage::new(&shape, job, &numbers),
            numbers,
            held,
            staging_places: Staging::new(&shape),
            precision: plan.request.precision,
            slots: vec![None; plan.slots],
            submitted: 0,
            chunk_parity: 0,
            clock: None,
            residual_ready: false,
            in_flight: VecDeque::new(),
            staging: Vec::new(),
            snapshot: None,
            arrived: HashMap::new(),
        };
        run.run_once();
        Ok(run)
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.held.program.shape
    }

    pub(super) fn active_lanes(&self) -> impl Iterator<Item = &ActiveLane> {
        self.slots.iter().flatten()
    }

    /// A new staging buffer.
    pub(super) fn staging(&self) -> Result<wgpu::Buffer> {
        let missing = || self.context.error("a plan without a staging buffer");
        self.held.another(self.context, BufferId::Staging).ok_or_else(missing)
    }
}

impl Run for GpuRun<'_> {
    fn free(&self) -> usize {
        self.slots.iter().filter(|s| s.is_none()).count()
    }

    fn load(&mut self, lanes: &[LaneState]) -> Result<()> {
        let mut arrivals = Vec::new();
        let mut free =
            (0..self.slots.len()).filter(|slot| self.slots[*slot].is_none()).collect::<Vec<_>>().into_iter();
        for state in lanes {
            let Some(slot) = free.next() else {
                return Err(self.context.error("more lanes than slots"));
            };
            let numbers = self.numbers.lane(&self.job, state);
            let (lane, known, next) = (state.lane, state.iteration, state.iteration);
            self.slots[slot] = Some(ActiveLane { lane, known, next, has_gap: numbers.has_gap });
            self.lanes.put(slot, &numbers);
            self.arrived.insert(state.lane, state.clone());
            arrivals.push((slot, state.clone()));
        }
        let image = encode(self.lanes.values.iter().copied(), self.precision);
        self.context.queue.write_buffer(self.held.buffer(BufferId::Lanes, 0), 0, &image);
        for piece in arrivals.chunks(self.shape().arrivals()) {
            self.load_piece(piece);
        }
        self.context.check()
    }

    fn evict(&mut self, lanes: &[usize]) {
        let lanes: HashSet<usize> = lanes.iter().copied().collect();
        for slot in &mut self.slots {
            if slot.is_some_and(|o| lanes.contains(&o.lane)) {
                *slot = None;
            }
        }
    }

    fn submit(&mut self, iterations: usize) -> Result<usize> {
        let ahead = self.prepare_chunk(iterations);
        for (id, bytes) in self.tables(&ahead) {
            self.context.queue.write_buffer(self.held.buffer(id, self.chunk_parity), 0, &bytes);
        }
        let target = match self.staging.pop() {
            Some(buffer) => buffer,
            None => self.staging()?,
        };
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("chunk") };
        let mut encoder = self.context.device.create_command_encoder(&descriptor);
        let order = self.encode_chunk(&mut encoder, ahead, &target);
        let submission = self.context.queue.submit([encoder.finish()]);
        let iterations = order.iterations;
        self.in_flight.push_back((order, Pending::new(target, submission)));
        self.context.check()?;
        Ok(iterations)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn depth(&self) -> usize {
        CHUNKS_IN_FLIGHT
    }

    fn wait(&mut self, limit: Duration) -> Result<bool> {
        self.in_flight.front().map_or(Ok(true), |(_, pending)| pending.is_ready(self.context, limit))
    }

    fn abandon(&mut self) {
        self.context.keep_forever();
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
        let slot = *snapshot.slots.get(&lane).expect("a lane that is active");
        let (s, size) = (self.shape(), self.staging_places.state_bytes);
        let image = |i: usize| self.columns(&snapshot.bytes[i * size..(i + 1) * size], slot);
        let at = |field: usize| snapshot.lane_state[field * s.padded_lanes() + slot];
        let d = s.d();
        let constant = |field: Field| self.lanes.values[field.at(d) * s.padded_lanes() + slot];
        LaneState {
            lane,
            iteration: at(state::DONE.at(d)) as usize,
            state: image(0),
            previous: image(1),
            metric: (snapshot.bytes.len() > 2 * size).then(|| image(2)),
            memory: (0..memory_fields(d)).map(|i| at(state::MEMORY_COUNT.at(d) + i)).collect(),
            objective_limit: constant(constant::LANE_OBJECTIVE_LIMIT),
            tol: constant(constant::LANE_TOL),
        }
    }
}
