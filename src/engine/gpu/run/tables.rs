//! What a chunk needs on the device before it begins.

use super::record::offset;
use super::*;

impl GpuRun<'_> {
    /// What a chunk needs on the device before it begins: buffers of its chunk_parity, and what they are to hold (of all their bytes at most).
    pub(in crate::engine::gpu) fn tables(&self, ahead: &ChunkSteps) -> Vec<(&'static str, Vec<u8>)> {
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
    pub(in crate::engine::gpu) fn tables_bytes(&self) -> u64 {
        let mut names = vec!["params"];
        if !self.job.schedule.is_factored() {
            names.push("rules");
        }
        if let MetricSource::Table(_) = self.job.metric {
            names.push("metric_table");
        }
        names.iter().map(|name| self.held.buffers.get(name, 0).size().next_multiple_of(8)).sum()
    }

    /// Parameters of a chunk: two entries an iteration, the second for the stop rule or for the iterations of a dispatch, and one to
    /// close the last.
    pub(super) fn params(&self, checks: &[bool], dispatched: &[(usize, usize)]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * (checks.len() + 1) * PARAMS_STRIDE as usize];
        for i in 0..=checks.len() {
            let last = i.checked_sub(1);
            let finalizes = if last.is_some() { FINALIZES } else { 0 };
            let checked = if last.is_some_and(|i| checks[i]) { CHECKED } else { 0 };
            let persistent = self.held.kernels.has("persistent");
            let controls = if i < checks.len() && !persistent { CONTROLS } else { 0 };
            let together = dispatched
                .iter()
                .find(|(first, _)| persistent && *first == i)
                .map_or(0, |(_, count)| *count as u32);
            for (probe, (flags, ahead)) in
                [(finalizes | checked | controls, 1), (0, together)].into_iter().enumerate()
            {
                let at = offset(i, probe) as usize;
                let values = [last.unwrap_or(0) as u32, i as u32, flags, ahead];
                bytes[at..at + 16].copy_from_slice(bytemuck::cast_slice(&values));
            }
        }
        bytes
    }

    /// `[iterations, stages, 2 + rule fields, padded_lanes]`: codes, steps and momenta of every slot.
    pub(super) fn rule_table(&self, iterations: usize) -> Vec<f64> {
        let (layout, schedule) = (self.layout(), self.job.schedule);
        let codes = code::TABLE.len(layout.d);
        let (fields, padded_lanes) = (codes + layout.rule_fields(), layout.padded_lanes());
        let mut table = vec![0.0; iterations * layout.stages * fields * padded_lanes];
        let mut row = vec![0.0; layout.rule_fields()];
        for (slot, active) in self.slots.iter().enumerate().filter_map(|(slot, o)| o.map(|o| (slot, o))) {
            // A lane that ends on the way reads nothing more.
            for i in 0..iterations.min(self.plan.request.iterations.saturating_sub(active.next)) {
                let k = active.next + i;
                for stage in 0..layout.stages {
                    schedule.entry(stage, k, active.lane, &mut row);
                    let of = schedule.unit(stage, k).code;
                    let first = (i * layout.stages + stage) * fields;
                    let mut put = |field: usize, v: f64| table[(first + field) * padded_lanes + slot] = v;
                    put(code::CODE_BITS.scalar(), f64::from(of.bits));
                    put(code::CODE_BASE.scalar(), f64::from(of.base));
                    rule_places(layout.d).zip(&row).for_each(|(place, v)| put(codes + place, *v));
                }
            }
        }
        table
    }

    /// `[iterations, q, lanes or 1]`: the metric's table of a chunk, in which all lanes go in step.
    pub(super) fn metric_rows(&self, iterations: usize) -> Vec<f64> {
        let q = self.layout().state_rows;
        let per_lane = matches!(self.job.metric, MetricSource::Table(table) if table.ndim() == 3);
        let first = self.active_lanes().map(|o| o.next).max().unwrap_or(0);
        let lanes: Vec<usize> =
            if per_lane { self.slots.iter().map(|s| s.map_or(0, |o| o.lane)).collect() } else { vec![0] };
        // Beyond the table nobody reads.
        let last = self.plan.request.iterations - 1;
        let rows = (first..first + iterations).flat_map(|k| (0..q).map(move |j| (k.min(last), j)));
        rows.flat_map(|(k, j)| lanes.iter().map(move |lane| self.job.metric.entry(k, *lane, j))).collect()
    }
}
