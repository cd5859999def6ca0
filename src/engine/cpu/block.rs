//! A block: some lanes on a set of columns of the design, and the matrices of an iteration.
//!
//! A block on all columns holds all lanes, and its products use all threads. If [working
//! sets](super::working_set) are in use, each group of lanes is a block on the columns of its set, and runs
//! on one thread in parallel with the others.

use super::lane::ActiveLane;
use super::shared::{ColumnSet, Shared};
use super::working_set::{GROUP, WorkingSet};
use crate::design::Threads;
use crate::objective::Real;

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
    pub(super) threads: Threads,
}

/// The coefficients of a block: all of them, and the working sets that may replace them.
pub(super) struct Coefficients<'a, T> {
    pub(super) all: &'a ColumnSet<T>,
    pub(super) full: Iterates<&'a mut [T]>,
    /// One for each group of lanes; empty if working sets are not in use.
    pub(super) sets: &'a mut [WorkingSet<T>],
}

impl<T> Coefficients<'_, T> {
    /// The columns of the design that the block uses, and its matrices on them.
    pub(super) fn current(&mut self) -> (&ColumnSet<T>, Iterates<&mut [T]>) {
        match &mut *self.sets {
            [set] if set.active => (&set.columns, set.iterates.each_mut().map(Vec::as_mut_slice)),
            _ => (self.all, self.full.each_mut().map(|columns| &mut **columns)),
        }
    }

    /// Swaps the names of iterate and previous iterate, after the step has overwritten the previous one.
    pub(super) fn swap(&mut self) {
        match &mut *self.sets {
            [set] if set.active => std::mem::swap(&mut set.iterates.x, &mut set.iterates.x_previous),
            _ => std::mem::swap(&mut self.full.x, &mut self.full.x_previous),
        }
    }
}

impl<'a, T: Real> Block<'a, T> {
    /// `g = Xᵀ r` for all columns of the block.
    pub(super) fn gradient(&mut self) {
        let (columns, current) = self.coefficients.current();
        columns.design.apply_t(current.g, self.predictions.r, self.threads);
    }

    /// `z = X x` for all columns of the block; the last predictions become the previous ones.
    pub(super) fn predict(&mut self) {
        let (columns, current) = self.coefficients.current();
        columns.design.apply(self.predictions.z_previous, current.x, self.threads);
        std::mem::swap(&mut self.predictions.z, &mut self.predictions.z_previous);
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

    /// Runs `work` on every group of lanes as a block of its own, in parallel.
    pub(super) fn each_group(mut self, work: &(impl Fn(&mut Block<'_, T>) + Sync)) {
        let groups = self.lanes.len().div_ceil(GROUP);
        if groups <= 1 {
            self.threads = Threads::One;
            return work(&mut self);
        }
        let front = self.split_front(groups / 2);
        rayon::join(|| front.each_group(work), || self.each_group(work));
    }

    /// Splits off the first groups of lanes.
    fn split_front(&mut self, groups: usize) -> Block<'a, T> {
        let (n, q) = self.shared.shape();
        let held_out = self.shared.held_out.as_ref().map_or(0, |h| h.rows.target.len());
        let lanes = groups * GROUP;
        let columns = lanes * self.shared.width();
        let Predictions { z, z_previous, r, extrapolated, held_out: validation } =
            self.predictions.each_mut();
        Block {
            shared: self.shared,
            lanes: split_front(&mut self.lanes, lanes),
            coefficients: Coefficients {
                all: self.coefficients.all,
                full: self.coefficients.full.each_mut().map(|all| split_front(all, columns * q)),
                sets: split_front(&mut self.coefficients.sets, groups),
            },
            predictions: Predictions {
                z: split_front(z, columns * n),
                z_previous: split_front(z_previous, columns * n),
                r: split_front(r, columns * n),
                extrapolated: split_front(extrapolated, columns * n),
                held_out: split_front(validation, columns * held_out),
            },
            threads: self.threads,
        }
    }
}

/// Removes the first `count` entries from `all` and returns them; empty slices stay empty.
fn split_front<'a, V>(all: &mut &'a mut [V], count: usize) -> &'a mut [V] {
    let count = count.min(all.len());
    let (front, back) = std::mem::take(all).split_at_mut(count);
    *all = back;
    front
}
