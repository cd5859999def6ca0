//! The results of a chunk.

use ndarray::{Array2, Array3, Axis};

use super::{ActiveLane, GpuRun, Order, Snapshot};
use crate::engine::gpu::data::STATUS_CODES;
use crate::engine::gpu::readback::{decode, number};
use crate::engine::{Chunk, Frame, LaneOutcome, Slot, Status};
use crate::lanes::fields::{Field, state};

impl GpuRun<'_> {
    /// The outcome of a slot's lane, from the lane state.
    fn outcome(&self, lane_state: &[f64], slot: usize, has_gap: bool) -> LaneOutcome {
        let s = self.shape();
        let at = |field: Field| lane_state[field.at(s.d()) * s.padded_lanes() + slot];
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
    pub(super) fn columns(&self, bytes: &[u8], slot: usize) -> Array2<f64> {
        let s = self.shape();
        Array2::from_shape_fn((1 + s.d(), s.state_rows()), |(t, j)| {
            number(bytes, j * s.columns() + t * s.padded_lanes() + slot, self.precision)
        })
    }

    /// The chunk in the bytes of a staging buffer.
    pub(in crate::engine::gpu) fn unpack(&mut self, order: Order, bytes: &[u8]) -> Chunk {
        let places = self.staging_places.clone();
        let lane_state = decode(&bytes[places.lane_state], self.precision);
        let (slots, taken) = self.take_outcomes(&order, &lane_state);
        let (recorded, records) = self.records(&order, &bytes[places.records], (&slots, &taken));
        let frames = self.frames(&order, &bytes[places.frames], &lane_state);
        let skipped = self.skipped(&order, &bytes[places.counts], (&slots, &taken));
        if !places.snapshot.is_empty() {
            // Reuses the memory of the last snapshot.
            let mut kept = self.snapshot.take().map_or_else(Vec::new, |last| last.bytes);
            kept.clear();
            kept.extend_from_slice(&bytes[places.snapshot]);
            let places = order.lanes.iter().enumerate().filter_map(|(slot, lane)| lane.map(|l| (l, slot)));
            self.snapshot = Some(Snapshot { slots: places.collect(), lane_state, bytes: kept });
        }
        Chunk { slots, recorded, records, frames, skipped }
    }

    /// Outcomes of the lanes that were active in a chunk, and their slots.
    fn take_outcomes(&mut self, order: &Order, lane_state: &[f64]) -> (Vec<Slot>, Vec<usize>) {
        let (mut slots, mut taken) = (Vec::new(), Vec::new());
        for (slot, lane) in order.lanes.iter().enumerate().filter_map(|(slot, lane)| lane.map(|l| (slot, l)))
        {
            // A lane that was loaded since then does not belong to this chunk.
            let Some(active) = self.slots[slot].filter(|o| o.lane == lane) else { continue };
            let outcome = self.outcome(lane_state, slot, active.has_gap);
            slots.push(Slot { lane, first: active.known, outcome, rests: false });
            taken.push(slot);
            self.slots[slot] = Some(ActiveLane { known: outcome.iterations, ..active });
            self.arrived.remove(&lane);
        }
        (slots, taken)
    }

    /// The iterations that are recorded and some lane did, and `[recorded, slots, fields]`: their records.
    fn records(
        &self,
        order: &Order,
        bytes: &[u8],
        (slots, taken): (&[Slot], &[usize]),
    ) -> (Vec<usize>, Array3<f64>) {
        let (padded_lanes, fields) = (self.shape().padded_lanes(), self.plan.record_fields);
        let kept = if bytes.is_empty() { 0 } else { order.recorded.len() };
        let used = self.staging_places.records_end(self.shape(), kept) - self.staging_places.records.start;
        let flat = decode(&bytes[..used], self.precision);
        let flat = Array3::from_shape_vec((kept, fields, padded_lanes), flat);
        let flat = flat.expect("as many numbers as were brought").permuted_axes([0, 2, 1]);
        let most = slots.iter().map(Slot::iterations).max().unwrap_or(0);
        let rows = order.recorded.partition_point(|i| *i < most).min(kept);
        let in_order = taken.iter().enumerate().all(|(i, slot)| i == *slot);
        let mut records = if in_order { flat } else { flat.select(Axis(1), taken) };
        records.slice_axis_inplace(Axis(0), (..rows).into());
        records.slice_axis_inplace(Axis(1), (..slots.len()).into());
        (order.recorded[..rows].to_vec(), records)
    }

    fn frames(&self, order: &Order, bytes: &[u8], lane_state: &[f64]) -> Vec<Frame> {
        let s = self.shape();
        let done = &lane_state[state::DONE.at(s.d()) * s.padded_lanes()..];
        let frame = |(due, image): (&Vec<(usize, usize)>, &[u8])| {
            // A lane that ended earlier has no such iterate.
            let reached: Vec<(usize, usize)> =
                due.iter().filter(|(slot, k)| done[*slot] as usize >= *k).copied().collect();
            let shape = (reached.len(), 1 + s.d(), s.state_rows());
            let state = Array3::from_shape_fn(shape, |(i, t, j)| {
                number(image, j * s.columns() + t * s.padded_lanes() + reached[i].0, self.precision)
            });
            let at = reached.iter().filter_map(|(slot, k)| order.lanes[*slot].map(|lane| (lane, *k)));
            Frame { lanes: at.collect(), state }
        };
        order.frames.iter().zip(bytes.chunks_exact(self.staging_places.state_bytes)).map(frame).collect()
    }

    /// Skipped work, from the device's counts: summed over lanes and iterations, in units of all
    /// coefficients of a lane.
    fn skipped(&self, order: &Order, counts: &[u8], (slots, taken): (&[Slot], &[usize])) -> f64 {
        let s = self.shape();
        if !s.active_sets {
            return 0.0;
        }
        let all = (order.iterations * s.stride() / 4) as f64;
        let listed: Vec<f64> = counts
            .chunks_exact(4)
            .map(|count| f64::from(bytemuck::pod_read_unaligned::<u32>(count)) / all)
            .collect();
        // Predictions account for half of an iteration's terms, and tangents for most of the rest.
        let d = s.d() as f64;
        let share = (1.0 + 2.0 * d) / (2.0 + 2.0 * d);
        let left_out = |slot: usize| share * (1.0 - listed[slot / (4 * s.active_set_lane4s())]);
        taken.iter().zip(slots).map(|(slot, of)| left_out(*slot) * of.iterations() as f64).sum()
    }
}
