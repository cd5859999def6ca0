//! Work before the first iteration: data that is computed once, and the loading of lanes.

use ndarray::Array2;

use super::GpuRun;
use crate::engine::gpu::commands::Commands;
use crate::engine::gpu::data::{RUNNING, encode};
use crate::engine::gpu::encode::Group;
use crate::engine::gpu::params::{GramParams, LoadParams};
use crate::lanes::fields::state;
use crate::lanes::{LaneState, MetricSource};
use crate::program::{BufferId, When};

/// The group before any iteration: the iterate's parity is that of the iterations submitted.
const BEFORE: Group = Group { first: 0, last: 0 };

impl GpuRun<'_> {
    /// Computes `XᵀX` in pieces, so that no dispatch takes long.
    pub(super) fn run_once(&self) {
        let sides = self.shape().gram_sides();
        for (i, pass) in self.held.program.passes_at(When::Once) {
            let [columns, rows, _] = pass.grid.map(|count| count as usize);
            for first_row in (0..sides).step_by(rows) {
                for first_column in (0..sides).step_by(columns) {
                    // A workgroup has eight blocks along each side.
                    let first =
                        GramParams { first_row: 8 * first_row as u32, first_column: 8 * first_column as u32 };
                    let params = self.held.buffer(BufferId::GramParams, 0);
                    self.context.queue.write_buffer(params, 0, bytemuck::bytes_of(&first));
                    self.submit_alone("gram", |commands| {
                        self.dispatch(commands, (pass, &self.held.passes[i]), BEFORE, pass.grid);
                    });
                }
            }
        }
    }

    /// Records and submits commands.
    fn submit_alone(&self, label: &str, record: impl FnOnce(&mut Commands<'_>)) {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(label) };
        let mut encoder = self.context.device.create_command_encoder(&descriptor);
        let mut commands = Commands::new(&mut encoder, None);
        record(&mut commands);
        commands.finish();
        self.context.queue.submit([encoder.finish()]);
    }

    /// Uploads some lanes and loads them into their slots.
    pub(super) fn load_piece(&mut self, arrivals: &[(usize, LaneState)]) {
        let s = self.shape();
        let blank =
            |s: &LaneState| s.metric.is_none() && s.state.iter().chain(&s.previous).all(|v| *v == 0.0);
        let all_blank = !s.has_metric() && arrivals.iter().all(|(_, state)| blank(state));
        let columns = if all_blank { 0 } else { 3 * (1 + s.d()) * s.state_rows() };
        let image = encode(self.arrivals(arrivals, all_blank), self.precision);
        let params = LoadParams { arrivals: arrivals.len() as u32, columns: columns as u32 };
        let (queue, held) = (&self.context.queue, &self.held);
        queue.write_buffer(held.buffer(BufferId::Arrivals, 0), 0, &image);
        queue.write_buffer(held.buffer(BufferId::LoadParams, 0), 0, bytemuck::bytes_of(&params));
        self.submit_alone("load", |commands| {
            for (i, pass) in held.program.passes_at(When::Load) {
                let grid = [arrivals.len().div_ceil(64) as u32, pass.grid[1], pass.grid[2]];
                self.dispatch(commands, (pass, &held.passes[i]), BEFORE, grid);
            }
            if !all_blank {
                // Recomputes the products of all columns: those of running lanes do not change.
                self.walk(commands, BEFORE, &mut false, |when, _| when == When::LoadGiven);
            }
        });
        self.residual_ready = false;
    }

    /// Lanes in the format that `load` reads: for each its slot, a flag (1 if it starts from zeros), its part
    /// of the lane state; then the columns of each, unless all start from zeros.
    fn arrivals(&self, arrivals: &[(usize, LaneState)], all_blank: bool) -> Vec<f64> {
        let s = self.shape();
        let d = s.d();
        let mut image = Vec::new();
        for (slot, arrival) in arrivals {
            image.extend([*slot as f64, f64::from(u8::from(all_blank))]);
            let mut lane_state = vec![0.0; s.state_fields()];
            lane_state[state::STATUS.at(d)] = f64::from(RUNNING);
            lane_state[state::DONE.at(d)] = arrival.iteration as f64;
            lane_state[state::FOLD.at(d)] = self.job.lanes[arrival.lane].fold.unwrap_or(0) as f64;
            for field in [state::MEASURED_GAP, state::MEASURED_STATIONARITY, state::MEASURED_RESIDUAL] {
                lane_state[field.at(d)] = f64::MAX;
            }
            lane_state[state::MEMORY_COUNT.at(d)..state::PARAM_STEP.at(d)].copy_from_slice(&arrival.memory);
            image.extend(lane_state);
        }
        if !all_blank {
            for (_, arrival) in arrivals {
                image.extend(arrival.state.iter().chain(&arrival.previous));
                match &arrival.metric {
                    Some(metric) => image.extend(metric),
                    None => image.extend(self.first_metric(arrival)),
                }
            }
        }
        image
    }

    /// `[1 + d, q]`: the metric with which a lane begins.
    fn first_metric(&self, lane: &LaneState) -> Array2<f64> {
        let metric: &MetricSource = self.job.metric;
        let shape = (1 + self.shape().d(), self.shape().state_rows());
        Array2::from_shape_fn(
            shape,
            |(t, j)| {
                if t == 0 { metric.entry(lane.iteration, lane.lane, j) } else { 0.0 }
            },
        )
    }
}
