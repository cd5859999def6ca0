//! The columns of all active lanes.

use ndarray::Array2;

use super::block::{Block, Coefficients, Iterates, Predictions};
use super::lane::ActiveLane;
use super::shared::Shared;
use super::working_set::WorkingSets;
use crate::design::{Design, Threads};
use crate::lanes::{Job, LaneState, MetricSource, RunNumbers};
use crate::objective::Real;
use crate::program::Plan;

/// True if products with the columns of a group of lanes are as efficient as those of all lanes: if the
/// design is sparse, or a core's cache holds it.
pub(super) fn is_grouped<T: Real>(design: &Design<T>) -> bool {
    matches!(design, Design::Sparse(_)) || design.bytes() <= CACHE_BYTES
}

/// Bytes of a design that a core's cache holds beside the columns of a group of lanes.
const CACHE_BYTES: u64 = 1 << 20;

/// The lanes and their columns, in the order in which they were loaded.
pub(super) struct State<T> {
    numbers: RunNumbers,
    pub(super) shared: Shared<T>,
    pub(super) lanes: Vec<ActiveLane<T>>,
    /// `[lanes of the sweep]`: the slot of each active lane.
    slots: Vec<usize>,
    iterates: Iterates<Vec<T>>,
    predictions: Predictions<Vec<T>>,
    /// Lanes of a group.
    pub(super) group_lanes: usize,
    /// True if lanes always advance in groups.
    grouped: bool,
    /// The working sets, if the plan has them.
    pub(super) sets: Option<WorkingSets<T>>,
}

impl<T: Real> State<T> {
    /// Allocates for the lanes of a plan.
    pub(super) fn new(plan: &Plan, job: &Job<'_>) -> Self {
        let numbers = RunNumbers::new(job);
        let shared = Shared::new(plan, job, &numbers);
        let (q, (n, held_out)) = (shared.shape().1, shared.rows_of_predictions());
        let columns = |rows: usize| vec![T::zero(); rows * plan.slots * shared.width()];
        let has_metric = *job.metric != MetricSource::None;
        State {
            group_lanes: plan.request.group_lanes(),
            grouped: is_grouped(&shared.columns.design),
            lanes: Vec::with_capacity(plan.slots),
            slots: vec![0; job.lanes.len()],
            iterates: Iterates {
                x: columns(q),
                x_previous: columns(q),
                g: columns(q),
                metric: columns(if has_metric { q } else { 0 }),
            },
            predictions: Predictions {
                z: columns(n),
                z_previous: columns(n),
                r: columns(n),
                extrapolated: columns(if job.schedule.uses_secant() { n } else { 0 }),
                held_out: columns(held_out),
            },
            sets: (plan.working_set > 0).then(|| WorkingSets::new(plan, &shared.columns)),
            numbers,
            shared,
        }
    }

    /// True if groups of lanes advance on their own.
    pub(super) fn is_in_groups(&self) -> bool {
        self.grouped || self.sets.as_ref().is_some_and(|sets| sets.on)
    }

    /// Runs `work` on one block of all lanes, on all columns.
    pub(super) fn with_all_lanes<R>(&mut self, work: impl FnOnce(&mut Block<'_, T>) -> R) -> R {
        let mut block = self.block();
        block.coefficients.sets = &mut [];
        let result = work(&mut block);
        let (iterates, predictions) = (block.coefficients.swapped, block.swapped);
        if iterates {
            std::mem::swap(&mut self.iterates.x, &mut self.iterates.x_previous);
        }
        if predictions {
            std::mem::swap(&mut self.predictions.z, &mut self.predictions.z_previous);
        }
        result
    }

    /// One block for each group of lanes, with its working set. Where groups are there for their working sets
    /// alone and are fewer than threads, each is to use all threads.
    pub(super) fn groups(&mut self) -> Vec<Block<'_, T>> {
        let size = self.group_lanes;
        let enough = self.grouped || self.lanes.len().div_ceil(size) >= rayon::current_num_threads();
        let threads = if enough { Threads::One } else { Threads::All };
        self.block().into_groups(size, threads)
    }

    fn block(&mut self) -> Block<'_, T> {
        let shared = &self.shared;
        let (q, rows) = (shared.shape().1, shared.rows_of_predictions());
        let columns = self.lanes.len() * shared.width();
        let groups = self.lanes.len().div_ceil(self.group_lanes);
        Block {
            shared,
            lanes: &mut self.lanes,
            coefficients: Coefficients {
                all: &shared.columns,
                full: self.iterates.each_mut().map(|all| first(all, columns * q)),
                sets: self.sets.as_mut().map_or(&mut [], |sets| &mut sets.groups[..groups]),
                swapped: false,
            },
            predictions: self.predictions.each_mut().map(rows, |all, rows| first(all, columns * rows)),
            swapped: false,
            threads: Threads::All,
        }
    }

    /// Columns left out so far, in units of all columns of a lane for an iteration.
    pub(super) fn skipped(&self) -> f64 {
        self.sets.as_ref().map_or(0.0, |sets| sets.groups.iter().map(|set| set.skipped).sum())
    }

    /// Loads lanes after the active ones.
    pub(super) fn load(&mut self, job: &Job<'_>, lanes: &[LaneState]) {
        self.disable_working_sets();
        let (n, q) = self.shared.shape();
        let width = self.shared.width();
        let first = self.lanes.len() * width;
        for state in lanes {
            let own = self.lanes.len() * width * q..(self.lanes.len() + 1) * width * q;
            let shared = &self.shared;
            let put = |to: &mut [T], from: &Array2<f64>| {
                for (to, from) in to.chunks_exact_mut(q).zip(from.rows()) {
                    to.iter_mut().enumerate().for_each(|(j, v)| *v = T::of(from[shared.place(j)]));
                }
            };
            put(&mut self.iterates.x[own.clone()], &state.state);
            put(&mut self.iterates.x_previous[own.clone()], &state.previous);
            if let Some(metric) = self.iterates.metric.get_mut(own) {
                metric.fill(T::zero());
                let entry = |j: usize| T::of(job.metric.entry(state.iteration, state.lane, shared.place(j)));
                match &state.metric {
                    Some(saved) => put(metric, saved),
                    None => metric[..q].iter_mut().enumerate().for_each(|(j, d)| *d = entry(j)),
                }
            }
            let numbers = self.numbers.lane(job, state);
            self.slots[state.lane] = self.lanes.len();
            self.lanes.push(ActiveLane::new(
                state,
                job.lanes[state.lane].fold,
                numbers,
                job.derivatives.len(),
            ));
        }
        let new = first..self.lanes.len() * width;
        let (in_q, in_n) = (new.start * q..new.end * q, new.start * n..new.end * n);
        let (design, Iterates { x, x_previous, .. }) = (&self.shared.columns.design, &self.iterates);
        design.apply(&mut self.predictions.z[in_n.clone()], &x[in_q.clone()], Threads::All);
        design.apply(&mut self.predictions.z_previous[in_n], &x_previous[in_q], Threads::All);
    }

    /// Removes lanes from the columns and closes the gaps.
    pub(super) fn evict(&mut self, lanes: &[usize]) {
        self.disable_working_sets();
        let mut keep = vec![true; self.lanes.len()];
        lanes.iter().for_each(|lane| keep[self.slots[*lane]] = false);
        let ((n, q), width) = (self.shared.shape(), self.shared.width());
        let close_up = |columns: &mut Vec<T>, rows: usize| {
            let mut to = 0;
            for (slot, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
                let from = slot * width * rows;
                columns.copy_within(from..from + width * rows, to);
                to += width * rows;
            }
        };
        close_up(&mut self.iterates.x, q);
        close_up(&mut self.iterates.x_previous, q);
        close_up(&mut self.predictions.z, n);
        close_up(&mut self.predictions.z_previous, n);
        if !self.iterates.metric.is_empty() {
            close_up(&mut self.iterates.metric, q);
        }
        let mut kept = keep.iter();
        self.lanes.retain(|_| *kept.next().expect("one mark per lane"));
        self.lanes.iter().enumerate().for_each(|(slot, lane)| self.slots[lane.lane] = slot);
    }

    /// Columns of a slot, `[1 + d, q]`, from its working set if that is active.
    fn take(&self, slot: usize, of: fn(&Iterates<Vec<T>>) -> &Vec<T>) -> Array2<f64> {
        let (shared, width) = (&self.shared, self.shared.width());
        let mut out = Array2::zeros((width, shared.columns_of_objective));
        let set =
            self.sets.as_ref().map(|sets| &sets.groups[slot / self.group_lanes]).filter(|set| set.active);
        let (columns, slot, members) = match set {
            Some(set) => (of(&set.iterates), slot % self.group_lanes, Some(&set.members[..])),
            None => (of(&self.iterates), slot, None),
        };
        shared.store_columns(out.view_mut(), slot, columns, members);
        out
    }

    /// The current state of an active lane.
    pub(super) fn lane(&self, lane: usize) -> LaneState {
        let slot = self.slots[lane];
        let active = &self.lanes[slot];
        // A metric made of curvatures was refreshed some iterations ago and must be stored; others are
        // determined by the lane and the iteration.
        let curvatures = self.shared.squares.is_some();
        LaneState {
            lane: active.lane,
            iteration: active.outcome.iterations,
            state: self.take(slot, |iterates| &iterates.x),
            previous: self.take(slot, |iterates| &iterates.x_previous),
            metric: curvatures.then(|| self.take(slot, |iterates| &iterates.metric)),
            memory: active.control.memory(),
            objective_limit: active.numbers.objective_limit,
            tol: active.numbers.tol,
        }
    }
}

/// The first `count` entries; empty slices stay empty.
fn first<T>(all: &mut [T], count: usize) -> &mut [T] {
    let count = count.min(all.len());
    &mut all[..count]
}
