//! The tables that a chunk needs on the device before it begins.

use super::GpuRun;
use crate::engine::gpu::data::{encode, rule_places};
use crate::engine::gpu::encode::{ChunkSteps, Group};
use crate::engine::gpu::params::{FinalizeParams, PersistentParams, entries};
use crate::engine::gpu::prelude::{CHECKED, CONTROLS, FINALIZES, RECORDS};
use crate::lanes::MetricSource;
use crate::lanes::fields::code;
use crate::program::{Buffer, BufferId};

impl GpuRun<'_> {
    /// The tables of a chunk: buffers of its parity, and their content, which may be shorter than the buffer.
    pub(in crate::engine::gpu) fn tables(&self, ahead: &ChunkSteps) -> Vec<(BufferId, Vec<u8>)> {
        let iterations = ahead.checks.len();
        let tables = self.held.program.buffers.iter().filter(|b| b.is_table());
        let bytes = |table: &Buffer| match table.id {
            BufferId::FinalizeParams => self.finalize_params(ahead),
            BufferId::PersistentParams => persistent_params(&ahead.groups, iterations),
            // One more iteration, since a prediction's epilogue needs the next iteration's
            // extrapolation coefficient.
            BufferId::StepTables => encode(self.rule_table(iterations + 1), self.precision),
            BufferId::MetricTables => encode(self.metric_rows(iterations), self.precision),
            other => unreachable!("{} is no table", other.name()),
        };
        tables.map(|table| (table.id, bytes(table))).collect()
    }

    /// Parameters of `finalize`: before each iteration, and after the last.
    fn finalize_params(&self, ahead: &ChunkSteps) -> Vec<u8> {
        let checks = &ahead.checks;
        // The persistent kernel decides its iterations itself.
        let controls = if self.shape().persistent.is_some() { 0 } else { CONTROLS };
        entries((0..=checks.len()).map(|i| {
            let last = i.checked_sub(1);
            let finalizes = if last.is_some() { FINALIZES } else { 0 };
            let checked = if last.is_some_and(|i| checks[i]) { CHECKED } else { 0 };
            let controls = if i < checks.len() { controls } else { 0 };
            let row = last.and_then(|i| ahead.recorded.binary_search(&i).ok());
            let records = if row.is_some() { RECORDS } else { 0 };
            FinalizeParams {
                record_row: row.unwrap_or(0) as u32,
                table_row: i as u32,
                flags: finalizes | checked | records | controls,
            }
        }))
    }

    /// `[iterations, stages, codes and rule fields, padded_lanes]`: codes, steps and momenta of every slot.
    fn rule_table(&self, iterations: usize) -> Vec<f64> {
        let (s, schedule) = (self.shape(), self.job.schedule);
        let (d, stages, padded_lanes) = (s.d(), s.request.stages, s.padded_lanes());
        let codes = code::TABLE.len(d);
        let fields = codes + s.rule_fields();
        let mut table = vec![0.0; iterations * stages * fields * padded_lanes];
        let mut row = vec![0.0; s.rule_fields()];
        for (slot, active) in self.slots.iter().enumerate().filter_map(|(slot, o)| o.map(|o| (slot, o))) {
            // A lane that ends during the chunk reads no further rows.
            for i in 0..iterations.min(self.plan.request.iterations.saturating_sub(active.next)) {
                let k = active.next + i;
                for stage in 0..stages {
                    schedule.entry(stage, k, active.lane, &mut row);
                    let of = schedule.unit(stage, k).code;
                    let first = (i * stages + stage) * fields;
                    let mut put = |field: usize, v: f64| table[(first + field) * padded_lanes + slot] = v;
                    put(code::CODE_BITS.scalar(), f64::from(of.bits));
                    put(code::CODE_BASE.scalar(), f64::from(of.base));
                    rule_places(d).zip(&row).for_each(|(place, v)| put(codes + place, *v));
                }
            }
        }
        table
    }

    /// `[iterations, q, lanes or 1]`: the metric's table of a chunk, in which all lanes are
    /// at the same iteration.
    fn metric_rows(&self, iterations: usize) -> Vec<f64> {
        let q = self.shape().state_rows();
        let per_lane = matches!(self.job.metric, MetricSource::Table(table) if table.ndim() == 3);
        let first = self.active_lanes().map(|o| o.next).max().unwrap_or(0);
        let lanes: Vec<usize> =
            if per_lane { self.slots.iter().map(|s| s.map_or(0, |o| o.lane)).collect() } else { vec![0] };
        // Rows beyond the table are never read.
        let last = self.plan.request.iterations - 1;
        let rows = (first..first + iterations).flat_map(|k| (0..q).map(move |j| (k.min(last), j)));
        rows.flat_map(|(k, j)| lanes.iter().map(move |lane| self.job.metric.entry(k, *lane, j))).collect()
    }
}

/// Parameters of the persistent kernel, by the first iteration of each dispatch.
fn persistent_params(groups: &[Group], iterations: usize) -> Vec<u8> {
    entries((0..iterations).map(|i| {
        let of = groups.iter().find(|group| group.first == i);
        let count = of.map_or(0, |group| group.last + 1 - group.first);
        PersistentParams { table_row: i as u32, iterations: count as u32 }
    }))
}
