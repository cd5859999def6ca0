//! What a chunk does: its dispatches, in order.

use super::*;

impl GpuRun<'_> {
    /// What the next iterations are to do, as many as one chunk has room for.
    pub(in crate::engine::gpu) fn prepare_chunk(&self, iterations: usize) -> ChunkSteps {
        let (iterations, frames) = self.frames_ahead(iterations);
        let checks: Vec<bool> = (0..iterations)
            .map(|i| self.active_lanes().any(|o| self.plan.is_check(o.next + i + 1)))
            .collect();
        let dispatched = self.dispatched(&checks, &frames);
        ChunkSteps { frames, checks, dispatched }
    }

    /// Records a chunk, whose tables are on the device by the time it runs; its results go to `target`.
    pub(in crate::engine::gpu) fn encode_chunk(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        ahead: ChunkSteps,
        target: &wgpu::Buffer,
    ) -> Order {
        let chunk_parity = self.chunk_parity;
        let buffers = &self.held.buffers;
        let ChunkSteps { mut frames, checks, dispatched } = ahead;
        let iterations = checks.len();
        // A clock is the run's, but is written while commands are recorded.
        let mut clock = self.clock.take();
        if self.held.listed_groups > 0 {
            encoder.clear_buffer(buffers.get("active_counts", 0), 0, None);
        }
        let mut commands = Commands::new(encoder, clock.as_mut());
        let mut taken = Vec::new();
        let mut ready = self.residual_ready;
        for (first, count) in dispatched {
            let i = first + count - 1;
            if self.held.kernels.has("persistent") {
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
        self.held.dispatch(&mut commands, "finalize", (0, chunk_parity), offset(iterations, 0));
        let parity = (self.submitted + iterations) % 2;
        let state = self.state_bytes();
        let (records, lane_state, listed) = self.small_bytes();
        if self.brings.records {
            commands.copy(buffers.get("records", chunk_parity), (target, 0), records);
        }
        commands.copy(buffers.get("lane_state", 0), (target, records), lane_state);
        if listed > 0 {
            commands.copy(buffers.get("active_counts", 0), (target, records + lane_state), listed);
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
        let lanes = self.slots.iter().map(|s| s.map(|o| o.lane)).collect();
        self.submitted += iterations;
        self.residual_ready = ready;
        self.chunk_parity = 1 - chunk_parity;
        self.slots.iter_mut().flatten().for_each(|o| o.next += iterations);
        Order { iterations, lanes, frames: taken }
    }

    /// Frames that lanes under way have in the next iterations: for each, (slot, iterate). As many iterations as the staging
    /// buffer has room for frames.
    pub(super) fn frames_ahead(&self, iterations: usize) -> (usize, Vec<Vec<(usize, usize)>>) {
        let mut frames = Vec::new();
        let mut taken = 0;
        for i in 0..iterations {
            let active =
                self.slots.iter().enumerate().filter_map(|(slot, o)| o.map(|o| (slot, o.next + i + 1)));
            let due: Vec<(usize, usize)> = active
                .filter(|(_, k)| self.plan.is_frame(*k) && *k <= self.plan.request.iterations)
                .collect();
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

    /// First iteration and number of the iterations that are dispatched together: one, or, in the persistent strategy, up to the next frame
    /// or test of the stop rule.
    pub(super) fn dispatched(&self, checks: &[bool], frames: &[Vec<(usize, usize)>]) -> Vec<(usize, usize)> {
        if !self.held.kernels.has("persistent") {
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

    /// Iterations of the persistent strategy; the last is closed, and tested, by itself.
    pub(super) fn reside(&self, commands: &mut Commands<'_>, first: usize, count: usize, checks: &[bool]) {
        let old = (self.submitted + first) % 2;
        self.held.dispatch(commands, "persistent", (old, self.chunk_parity), offset(first, 1));
        let last = first + count - 1;
        if checks[last] {
            self.check(commands, (self.submitted + last + 1) % 2, offset(last, 1));
        }
        if last + 1 < checks.len() {
            self.held.dispatch(commands, "finalize", (0, self.chunk_parity), offset(last + 1, 0));
        }
    }

    /// One iteration: the same calls as in the CPU engine's `iterate`. Whether the residual is there, before and after.
    pub(super) fn iterate(
        &self,
        commands: &mut Commands<'_>,
        i: usize,
        checks: &[bool],
        mut ready: bool,
    ) -> bool {
        let old = (self.submitted + i) % 2;
        let new = 1 - old;
        let held = &self.held;
        let dispatch = |commands: &mut Commands<'_>, name, parity| {
            held.dispatch(commands, name, (parity, self.chunk_parity), offset(i, 0));
        };
        dispatch(commands, "finalize", old);
        if self.active_lanes().any(|o| self.job.metric.refreshes(o.next + i)) {
            match self.job.metric {
                MetricSource::Hessian { .. } => {
                    dispatch(commands, "curvatures", old);
                    self.product(commands, ("gradient_squares", "reduce_g"), old, offset(i, 0));
                    dispatch(commands, "metric_hessian", old);
                    ready = false;
                }
                MetricSource::Table(_) => dispatch(commands, "metric_table", old),
                MetricSource::None | MetricSource::Fixed(_) => {}
            }
        }
        if self.held.layout.gram {
            dispatch(commands, "gram_step", old);
            if held.kernels.has("gram_product_loss") {
                dispatch(commands, "gram_product_loss", new);
            } else {
                dispatch(commands, "gram_product", new);
                dispatch(commands, "gram_loss", new);
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
            return held.stores_next_residual;
        }
        self.check(commands, new, offset(i, 1));
        false
    }

    /// What the stop rule measures, at the iterate itself.
    pub(super) fn check(&self, commands: &mut Commands<'_>, parity: usize, at: u32) {
        let kernels: &[&'static str] = match self.plan.strategy {
            Strategy::Direct => {
                self.held.dispatch(commands, "residual", (parity, self.chunk_parity), at);
                self.product(commands, ("gradient", "reduce_g"), parity, at);
                &["criterion", "gap_loss", "gap_penalty"]
            }
            Strategy::Gram => &["gram_gradient", "criterion", "gap_gram_loss", "gap_penalty"],
            Strategy::Persistent => {
                &["gram_product", "gram_gradient", "criterion", "gap_gram_loss", "gap_penalty"]
            }
        };
        for kernel in kernels {
            self.held.dispatch(commands, kernel, (parity, self.chunk_parity), at);
        }
    }

    /// A step and the predictions of where it leads, by products with the design.
    pub(super) fn step_and_predict(&self, commands: &mut Commands<'_>, i: usize, ready: bool) {
        let old = (self.submitted + i) % 2;
        let new = 1 - old;
        let held = &self.held;
        let dispatch = |commands: &mut Commands<'_>, name, parity| {
            held.dispatch(commands, name, (parity, self.chunk_parity), offset(i, 0));
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
            self.product(commands, ("gradient", "reduce_g"), old, offset(i, 0));
            dispatch(commands, "step", old);
        }
        if held.kernels.has("active_set") {
            dispatch(commands, "active_set", new);
        }
        if waits {
            dispatch(commands, "gradient_tangents", old);
            dispatch(commands, "step_tangents", old);
        }
        if held.kernels.has("predict_observe") {
            dispatch(commands, "predict_observe", new);
        } else {
            self.product(commands, ("predict", "reduce_z"), new, offset(i, 0));
            dispatch(commands, "observe", new);
        }
    }

    /// A product that is stored, put together where it is split.
    pub(super) fn product(
        &self,
        commands: &mut Commands<'_>,
        (name, reduce): (&'static str, &'static str),
        parity: usize,
        at: u32,
    ) {
        self.held.dispatch(commands, name, (parity, self.chunk_parity), at);
        if self.held.kernels.has(reduce) {
            self.held.dispatch(commands, reduce, (parity, self.chunk_parity), at);
        }
    }
}

/// Offset of the parameters of iteration `i` of a chunk.
pub(super) fn offset(i: usize, probe: usize) -> u32 {
    ((2 * i + probe) as u64 * PARAMS_STRIDE) as u32
}
