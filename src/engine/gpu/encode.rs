//! Recording a chunk: the passes of the program that are due, iteration by iteration, and
//! copies of the results.

use super::bind::BoundPass;
use super::commands::{Commands, Dispatch};
use super::run::{GpuRun, Order};
use crate::program::{At, BufferId, Entry, PARAMS_STRIDE, Pass, When};

/// Iterations of a chunk that are dispatched together, counted from the start of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// The work of a chunk.
pub(super) struct ChunkSteps {
    /// By iteration: (slot, iterate) of each frame.
    pub(super) frames: Vec<Vec<(usize, usize)>>,
    /// By iteration: true if the stop rule is tested.
    pub(super) checks: Vec<bool>,
    /// Iterations that are recorded.
    pub(super) recorded: Vec<usize>,
    /// Iterations that are dispatched together.
    pub(super) groups: Vec<Group>,
}

impl GpuRun<'_> {
    /// Prepares the next iterations, at most as many as fit one chunk.
    pub(super) fn prepare_chunk(&self, iterations: usize) -> ChunkSteps {
        let (iterations, frames) = self.frames_ahead(iterations);
        let checks: Vec<bool> = (0..iterations)
            .map(|i| self.active_lanes().any(|o| self.plan.is_check(o.next + i + 1)))
            .collect();
        let is_due = |i: &usize| {
            i + 1 == iterations || self.active_lanes().any(|o| self.plan.is_recorded(o.next + i + 1))
        };
        let recorded: Vec<usize> = (0..iterations).filter(is_due).collect();
        // The persistent kernel records by itself only where it records every iteration.
        let is_noted =
            |i: usize| !self.plan.request.kept().records_all() && recorded.binary_search(&i).is_ok();
        let ends = (0..iterations).map(|i| checks[i] || !frames[i].is_empty() || is_noted(i));
        let groups = self.groups(ends);
        ChunkSteps { frames, checks, recorded, groups }
    }

    /// Records a chunk, whose tables must be on the device when it runs; its results are copied to `target`.
    pub(super) fn encode_chunk(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        ahead: ChunkSteps,
        target: &wgpu::Buffer,
    ) -> Order {
        let ChunkSteps { mut frames, checks, recorded, groups } = ahead;
        let iterations = checks.len();
        // The clock belongs to the run, but is written while commands are recorded.
        let mut clock = self.clock.take();
        if self.shape().active_sets {
            encoder.clear_buffer(self.held.buffer(BufferId::ActiveCounts, 0), 0, None);
        }
        let mut commands = Commands::new(encoder, clock.as_mut());
        let mut taken = Vec::new();
        let mut ready = self.residual_ready;
        for group in groups {
            let refreshes = self.active_lanes().any(|o| self.job.metric.refreshes(o.next + group.first));
            self.walk(&mut commands, group, &mut ready, |when, ready| match when {
                When::Iteration => true,
                When::Stale => !ready,
                When::Refresh => refreshes,
                When::Check => checks[group.last],
                When::Once | When::Load | When::LoadGiven | When::ChunkEnd => false,
            });
            let due = std::mem::take(&mut frames[group.last]);
            if !self.staging_places.frames.is_empty() && !due.is_empty() {
                let size = self.staging_places.state_bytes;
                let to = self.staging_places.frames.start + taken.len() * size;
                let parity = (self.submitted + group.last + 1) % 2;
                commands.copy(self.held.buffer(BufferId::State, parity), (target, to), size);
                taken.push(due);
            }
        }
        let end = Group { first: 0, last: iterations.saturating_sub(1) };
        self.walk(&mut commands, end, &mut ready, |when, _| when == When::ChunkEnd);
        self.bring_back(&mut commands, target, (iterations, recorded.len()));
        commands.finish();
        self.clock = clock;
        let lanes = self.slots.iter().map(|s| s.map(|o| o.lane)).collect();
        self.submitted += iterations;
        self.residual_ready = ready;
        self.chunk_parity = 1 - self.chunk_parity;
        self.slots.iter_mut().flatten().for_each(|o| o.next += iterations);
        Order { iterations, recorded, lanes, frames: taken }
    }

    /// Dispatches the passes that are due, in the program's order. The second argument of `due` is true if
    /// the residual is stored already.
    pub(super) fn walk(
        &self,
        commands: &mut Commands<'_>,
        group: Group,
        ready: &mut bool,
        due: impl Fn(When, bool) -> bool,
    ) {
        for (pass, bound) in self.held.program.passes.iter().zip(&self.held.passes) {
            if !due(pass.when, *ready) {
                continue;
            }
            self.dispatch(commands, (pass, bound), group, pass.grid);
            if pass.replaces(BufferId::Residual) {
                *ready = pass.stores_next_residual();
            }
        }
    }

    /// Dispatches a pass.
    pub(super) fn dispatch(
        &self,
        commands: &mut Commands<'_>,
        (pass, bound): (&Pass, &BoundPass),
        group: Group,
        groups: [u32; 3],
    ) {
        let iteration = match pass.at {
            At::First => group.first,
            At::Last => group.last,
            At::Next => group.last + 1,
        };
        let parity = (self.submitted + iteration) % 2;
        let params = pass.params.zip(bound.params.as_ref()).map(|(params, bind)| {
            let entry = match params.entry {
                Entry::Fixed(entry) => entry,
                Entry::Iteration => iteration,
            };
            (&bind[self.chunk_parity], (entry as u64 * PARAMS_STRIDE) as u32)
        });
        commands.dispatch(&Dispatch {
            name: pass.kernel,
            pipeline: &bound.pipeline,
            storage: &bound.storage[parity][self.chunk_parity],
            params,
            groups,
        });
    }

    /// Copies the results of a chunk of this many iterations and records, except its frames.
    fn bring_back(
        &self,
        commands: &mut Commands<'_>,
        target: &wgpu::Buffer,
        (iterations, recorded): (usize, usize),
    ) {
        let places = &self.staging_places;
        let parity = (self.submitted + iterations) % 2;
        let records = places.records.start..places.records_end(self.shape(), recorded);
        for (id, which, place) in [
            (BufferId::Records, self.chunk_parity, &records),
            (BufferId::LaneState, 0, &places.lane_state),
            (BufferId::ActiveCounts, 0, &places.counts),
        ] {
            if !place.is_empty() {
                commands.copy(self.held.buffer(id, which), (target, place.start), place.len());
            }
        }
        let size = places.state_bytes;
        let states = [(BufferId::State, parity), (BufferId::State, 1 - parity), (BufferId::Metric, 0)];
        for ((id, which), at) in states.into_iter().zip(places.snapshot.clone().step_by(size.max(1))) {
            commands.copy(self.held.buffer(id, which), (target, at), size);
        }
    }

    /// Frames of the next iterations: for each, (slot, iterate). At most as many iterations as the staging
    /// buffer has room for frames.
    fn frames_ahead(&self, iterations: usize) -> (usize, Vec<Vec<(usize, usize)>>) {
        let mut frames = Vec::new();
        let mut taken = 0;
        for i in 0..iterations {
            let active =
                self.slots.iter().enumerate().filter_map(|(slot, o)| o.map(|o| (slot, o.next + i + 1)));
            let due: Vec<(usize, usize)> = active
                .filter(|(_, k)| self.plan.is_frame(*k) && *k <= self.plan.request.iterations)
                .collect();
            if !self.staging_places.frames.is_empty() && !due.is_empty() {
                if taken == self.plan.frames_per_chunk {
                    return (i, frames);
                }
                taken += 1;
            }
            frames.push(due);
        }
        (iterations, frames)
    }

    /// Iterations that are dispatched together: one each, or, in the persistent strategy, up to the next test
    /// of the stop rule, or the next record or frame.
    fn groups(&self, ends: impl ExactSizeIterator<Item = bool>) -> Vec<Group> {
        let (together, count) = (self.shape().persistent.is_some(), ends.len());
        let mut list = Vec::new();
        let mut first = 0;
        for (last, ends) in ends.enumerate() {
            if !together || ends || last + 1 == count {
                list.push(Group { first, last });
                first = last + 1;
            }
        }
        list
    }
}
