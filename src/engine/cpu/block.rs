//! A block: some lanes on a set of columns of the design, and the matrices of an iteration.
//!
//! A block on all columns holds all lanes, and its products use all threads. If the design is sparse or
//! small, or if [working sets](super::working_set) are in use, each group of lanes is a block, on the columns
//! of its set, and runs many iterations in parallel with the others.

use ndarray::Array3;

use super::super::Frame;
use super::lane::ActiveLane;
use super::residual::At;
use super::shared::{ColumnSet, Shared};
use super::working_set::WorkingSet;
use crate::design::Threads;
use crate::objective::Real;
use crate::program::Plan;

/// `[q]`-columns: the iterate, the previous iterate, the gradient, and the diagonal of the metric, if there
/// is one. Lane `i` owns the columns `i (1 + d) .. (i + 1)(1 + d)` of each: its iterate, then its tangents.
pub(super) struct Iterates<V> {
    pub(super) x: V,
    pub(super) x_previous: V,
    pub(super) g: V,
    /// Empty if there is no metric.
    pub(super) metric: V,
}

/// `[n]`-columns, in the same order: predictions of both iterates, and the residual.
pub(super) struct Predictions<V> {
    pub(super) z: V,
    pub(super) z_previous: V,
    pub(super) r: V,
    /// At `e`, if a rule measures curvature; else empty.
    pub(super) extrapolated: V,
    /// For held-out rows; empty if there are none.
    pub(super) held_out: V,
}

impl<V> Iterates<V> {
    pub(super) fn map<W>(self, mut f: impl FnMut(V) -> W) -> Iterates<W> {
        Iterates { x: f(self.x), x_previous: f(self.x_previous), g: f(self.g), metric: f(self.metric) }
    }
    pub(super) fn each_mut(&mut self) -> Iterates<&mut V> {
        let Iterates { x, x_previous, g, metric } = self;
        Iterates { x, x_previous, g, metric }
    }
}

impl<V> Predictions<V> {
    /// `f` of each, with its number of rows: `n`, or as many as are held out.
    pub(super) fn map<W>(
        self,
        (n, held_out): (usize, usize),
        mut f: impl FnMut(V, usize) -> W,
    ) -> Predictions<W> {
        Predictions {
            z: f(self.z, n),
            z_previous: f(self.z_previous, n),
            r: f(self.r, n),
            extrapolated: f(self.extrapolated, n),
            held_out: f(self.held_out, held_out),
        }
    }
    pub(super) fn each_mut(&mut self) -> Predictions<&mut V> {
        let Predictions { z, z_previous, r, extrapolated, held_out } = self;
        Predictions { z, z_previous, r, extrapolated, held_out }
    }
}

/// Some lanes and their columns.
pub(super) struct Block<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) lanes: &'a mut [ActiveLane<T>],
    pub(super) coefficients: Coefficients<'a, T>,
    pub(super) predictions: Predictions<&'a mut [T]>,
    /// True if the names of the two predictions are swapped.
    pub(super) swapped: bool,
    pub(super) threads: Threads,
}

/// The coefficients of a block: all of them, and the working sets that may replace them.
pub(super) struct Coefficients<'a, T> {
    pub(super) all: &'a ColumnSet<T>,
    pub(super) full: Iterates<&'a mut [T]>,
    /// One for each group of lanes; empty if working sets are not in use.
    pub(super) sets: &'a mut [WorkingSet<T>],
    /// True if the names of the two iterates of all coefficients are swapped.
    pub(super) swapped: bool,
}

impl<T> Coefficients<'_, T> {
    /// The columns of the design that the block uses, and its matrices on them.
    pub(super) fn current(&mut self) -> (&ColumnSet<T>, Iterates<&mut [T]>) {
        match &mut *self.sets {
            [set] if set.active => (&set.columns, set.iterates.each_mut().map(Vec::as_mut_slice)),
            _ => (self.all, self.full.each_mut().map(|columns| &mut **columns)),
        }
    }

    /// The iterates, and the columns that they are on if not on all.
    fn iterates(&self) -> (&[T], Option<&[usize]>) {
        match &*self.sets {
            [set] if set.active => (&set.iterates.x, Some(&set.members)),
            _ => (&*self.full.x, None),
        }
    }

    /// Swaps the names of iterate and previous iterate, after the step has overwritten the previous one.
    pub(super) fn swap(&mut self) {
        match &mut *self.sets {
            [set] if set.active => std::mem::swap(&mut set.iterates.x, &mut set.iterates.x_previous),
            _ => {
                std::mem::swap(&mut self.full.x, &mut self.full.x_previous);
                self.swapped = !self.swapped;
            }
        }
    }
}

impl<'a, T: Real> Block<'a, T> {
    /// `g = Xᵀ r` for all columns of the block.
    pub(super) fn gradient(&mut self, at: At) {
        if self.has_gram() {
            return self.gradient_by_gram(at);
        }
        let (columns, current) = self.coefficients.current();
        columns.design.apply_t(current.g, self.predictions.r, self.threads);
    }

    /// `z = X x` of the block's columns, for fitted rows and, if the iteration is measured, for held-out
    /// ones. What were the last predictions are the previous ones then.
    pub(super) fn predict(&mut self, measured: bool) {
        let by_gram = self.has_gram();
        if by_gram {
            self.predict_by_gram();
        }
        let (columns, current) = self.coefficients.current();
        if !by_gram {
            columns.design.apply(self.predictions.z_previous, current.x, self.threads);
            std::mem::swap(&mut self.predictions.z, &mut self.predictions.z_previous);
            self.swapped = !self.swapped;
        } else if measured {
            columns.design.apply(self.predictions.z, current.x, self.threads);
        }
        if let Some(held_out) = columns.held_out.as_ref().filter(|_| measured) {
            held_out.apply(self.predictions.held_out, current.x, self.threads);
        }
    }

    /// Exchanges iterates and predictions of a group whose names were swapped, since the names end with it.
    pub(super) fn exchange_swapped(&mut self) {
        let Coefficients { full, swapped, .. } = &mut self.coefficients;
        if std::mem::take(swapped) {
            full.x.swap_with_slice(full.x_previous);
        }
        if std::mem::take(&mut self.swapped) {
            self.predictions.z.swap_with_slice(self.predictions.z_previous);
        }
    }

    /// Sets `x = x₋` in the lanes whose last step backtracking rejects.
    pub(super) fn restore(&mut self) {
        let (width, n) = (self.shared.width(), self.shared.shape().0);
        let (columns, current) = self.coefficients.current();
        let q = columns.design.columns();
        for (i, _) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.params.restore) {
            let own = |rows: usize| i * width * rows..(i + 1) * width * rows;
            current.x[own(q)].copy_from_slice(&current.x_previous[own(q)]);
            self.predictions.z[own(n)].copy_from_slice(&self.predictions.z_previous[own(n)]);
        }
    }

    /// The states of the lanes that have a frame at their iterate.
    pub(super) fn frame(&self, plan: &Plan) -> Option<Frame> {
        let due = |lane: &ActiveLane<T>| lane.advanced && plan.is_frame(lane.outcome.iterations);
        let due: Vec<usize> = (0..self.lanes.len()).filter(|i| due(&self.lanes[*i])).collect();
        if due.is_empty() {
            return None;
        }
        let shared = self.shared;
        let (x, members) = self.coefficients.iterates();
        let mut state = Array3::zeros((due.len(), shared.width(), shared.columns_of_objective));
        for (to, i) in state.outer_iter_mut().zip(&due) {
            shared.store_columns(to, *i, x, members);
        }
        let lanes = due.iter().map(|i| (self.lanes[*i].lane, self.lanes[*i].outcome.iterations)).collect();
        Some(Frame { lanes, state })
    }

    /// The fewest lanes that a thread takes in element-wise work: all of them, if the block has one thread.
    pub(super) fn lanes_per_task(&self) -> usize {
        match self.threads {
            Threads::One => self.lanes.len().max(1),
            Threads::All => 1,
        }
    }

    /// One block for each group of `size` lanes.
    pub(super) fn into_groups(mut self, size: usize, threads: Threads) -> Vec<Self> {
        let (q, rows) = (self.shared.shape().1, self.shared.rows_of_predictions());
        let mut groups = Vec::with_capacity(self.lanes.len().div_ceil(size));
        while !self.lanes.is_empty() {
            let lanes = split_front(&mut self.lanes, size);
            let columns = lanes.len() * self.shared.width();
            groups.push(Block {
                shared: self.shared,
                lanes,
                coefficients: Coefficients {
                    all: self.coefficients.all,
                    full: self.coefficients.full.each_mut().map(|all| split_front(all, columns * q)),
                    sets: split_front(&mut self.coefficients.sets, 1),
                    swapped: false,
                },
                predictions: self
                    .predictions
                    .each_mut()
                    .map(rows, |all, rows| split_front(all, columns * rows)),
                swapped: false,
                threads,
            });
        }
        groups
    }
}

/// Removes the first `count` entries from `all` and returns them; empty slices stay empty.
fn split_front<'a, V>(all: &mut &'a mut [V], count: usize) -> &'a mut [V] {
    let count = count.min(all.len());
    let (front, back) = std::mem::take(all).split_at_mut(count);
    *all = back;
    front
}
