//! What a chunk brings back, and where in its staging buffer.

use super::*;

impl GpuRun<'_> {
    pub(super) fn keeps_metric(&self) -> bool {
        matches!(self.job.metric, MetricSource::Hessian { .. })
    }

    pub(in crate::engine::gpu) fn state_bytes(&self) -> u64 {
        (self.layout().stride() * self.layout().columns()) as u64 * self.precision.bytes()
    }

    /// Bytes of records, lane_state and counts of what was listed in the staging buffer, in this order; the snapshot and frames follow.
    pub(super) fn small_bytes(&self) -> (u64, u64, u64) {
        let (layout, real) = (self.layout(), self.precision.bytes());
        let of = |fields: usize| (fields * layout.padded_lanes()) as u64 * real;
        let records = if self.brings.records { self.plan.chunk * self.plan.record_fields } else { 0 };
        (of(records), of(layout.lane_state_fields()), 4 * self.held.listed_groups as u64)
    }

    pub(super) fn snapshot_offset(&self) -> u64 {
        let (records, lane_state, listed) = self.small_bytes();
        (records + lane_state + listed).next_multiple_of(8)
    }

    pub(super) fn frame_offset(&self) -> u64 {
        let states = match (self.brings.snapshot, self.keeps_metric()) {
            (false, _) => 0,
            (true, false) => 2,
            (true, true) => 3,
        };
        self.snapshot_offset() + states * self.state_bytes()
    }

    pub(in crate::engine::gpu) fn staging_bytes(&self) -> u64 {
        let frames = if self.brings.frames { self.plan.frames_per_chunk } else { 0 };
        self.frame_offset() + frames as u64 * self.state_bytes()
    }

    pub(super) fn staging(&self) -> wgpu::Buffer {
        self.context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: self.staging_bytes(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// How a slot's lane stands, by the lane state.
    pub(super) fn outcome(&self, lane_state: &[f64], slot: usize, has_gap: bool) -> LaneOutcome {
        let layout = self.layout();
        let at = |field: Field| lane_state[field.at(layout.d) * layout.padded_lanes() + slot];
        let code = at(state::STATUS) as u32;
        let measured = |field: Field| Some(at(field)).filter(|v| *v < 1e30);
        LaneOutcome {
            status: STATUS_CODES.iter().find(|c| c.2 == code).map_or(Status::NotFinite, |c| c.1),
            iterations: at(state::DONE) as usize,
            gap: measured(state::MEASURED_GAP).filter(|_| has_gap),
            stationarity: measured(state::MEASURED_STATIONARITY).unwrap_or(f64::NAN),
            derivative_residual: measured(state::MEASURED_RESIDUAL).unwrap_or(f64::NAN),
        }
    }

    /// A slot's columns of a matrix in device order, `[1 + d, q]`.
    pub(in crate::engine::gpu) fn columns(&self, bytes: &[u8], slot: usize) -> Array2<f64> {
        let layout = self.layout();
        Array2::from_shape_fn((1 + layout.d, layout.state_rows), |(t, j)| {
            number(bytes, j * layout.columns() + t * layout.padded_lanes() + slot, self.precision)
        })
    }

    /// The share of the coefficients that each group of lanes had listed in a chunk, by the device's count.
    pub(super) fn listed(&self, counts: &[u8], iterations: usize) -> Vec<f64> {
        let all = (iterations * self.layout().stride() / 4) as f64;
        counts
            .chunks_exact(4)
            .map(|count| f64::from(bytemuck::pod_read_unaligned::<u32>(count)) / all)
            .collect()
    }

    pub(in crate::engine::gpu) fn unpack(&mut self, order: Order, bytes: &[u8]) -> Chunk {
        let Order { iterations, lanes, frames } = order;
        let layout = self.layout();
        let (padded_lanes, fields) = (layout.padded_lanes(), self.plan.record_fields);
        let (record_bytes, lane_state_bytes, listed_bytes) = self.small_bytes();
        let kept = if self.brings.records { iterations } else { 0 };
        let used = kept * fields * padded_lanes * self.precision.bytes() as usize;
        let flat =
            Array3::from_shape_vec((kept, fields, padded_lanes), decode(&bytes[..used], self.precision));
        let flat = flat.expect("as many numbers as were brought").permuted_axes([0, 2, 1]);
        let lane_state =
            decode(&bytes[record_bytes as usize..(record_bytes + lane_state_bytes) as usize], self.precision);
        let mut slots = Vec::new();
        let mut places = Vec::new();
        for (place, lane) in
            lanes.iter().enumerate().filter_map(|(place, lane)| lane.map(|lane| (place, lane)))
        {
            // Who was active anew meanwhile is not of this chunk.
            let Some(active) = self.slots[place].filter(|o| o.lane == lane) else { continue };
            let outcome = self.outcome(&lane_state, place, active.has_gap);
            slots.push(Slot { lane, first: active.known, outcome });
            places.push(place);
            self.slots[place] = Some(ActiveLane { known: outcome.iterations, ..active });
            self.arrived.remove(&lane);
        }
        let rows = slots.iter().map(Slot::iterations).max().unwrap_or(0).min(kept);
        let mut records = if places.iter().enumerate().all(|(i, place)| i == *place) {
            flat
        } else {
            flat.select(Axis(1), &places)
        };
        records.slice_axis_inplace(Axis(0), (..rows).into());
        records.slice_axis_inplace(Axis(1), (..slots.len()).into());
        let size = self.state_bytes() as usize;
        let frames = frames.iter().enumerate().map(|(i, due)| {
            let from = self.frame_offset() as usize + i * size;
            let image = &bytes[from..from + size];
            // A lane that ended before has no such iterate.
            let reached =
                |(place, k): &&(usize, usize)| lane_state[state::DONE.at(layout.d) * padded_lanes + *place] as usize >= *k;
            let reached: Vec<(usize, usize)> = due.iter().filter(reached).copied().collect();
            let shape = (reached.len(), 1 + layout.d, layout.state_rows);
            let state = Array3::from_shape_fn(shape, |(i, t, j)| {
                number(image, j * layout.columns() + t * padded_lanes + reached[i].0, self.precision)
            });
            let at = reached.iter().filter_map(|(place, k)| lanes[*place].map(|lane| (lane, *k)));
            Frame { lanes: at.collect(), state }
        });
        let frames = frames.collect();
        let mut skipped = 0.0;
        if self.plan.active_sets {
            let from = (record_bytes + lane_state_bytes) as usize;
            let listed = self.listed(&bytes[from..from + listed_bytes as usize], iterations);
            // Predictions have half of an iteration's terms, and tangents most of the rest.
            let d = layout.d as f64;
            let share = (1.0 + 2.0 * d) / (2.0 + 2.0 * d);
            let left_out = |place: usize| share * (1.0 - listed[place / (4 * self.held.active_set_lane4s)]);
            skipped =
                places.iter().zip(&slots).map(|(place, s)| left_out(*place) * s.iterations() as f64).sum();
        }
        if self.brings.snapshot {
            let from = self.snapshot_offset() as usize;
            let brought = &bytes[from..self.frame_offset() as usize];
            // In the memory of the last one, as there is one a chunk.
            let mut bytes = self.snapshot.take().map_or_else(Vec::new, |last| last.bytes);
            bytes.clear();
            bytes.extend_from_slice(brought);
            self.snapshot = Some(Snapshot { lanes, lane_state, bytes });
        }
        Chunk { slots, records, frames, skipped }
    }
}
