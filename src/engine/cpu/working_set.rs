//! Working sets: the coefficients of some lanes that can differ from zero, for as long as that is certain.
//!
//! Where the proximal map is zero for `|g_j| ≤ l1_j`, a coefficient that rests at zero stays there as long as its correlation with
//! the residual does, and a correlation moves by at most `‖X_j‖ ‖r − r₀‖` from where it was computed at the residual `r₀`
//! (a safe rule in the sense of El Ghaoui et al. 2012, for iterates instead of solutions). So a set is chosen with a radius: within it,
//! an iteration on the set's columns alone gives the same sequences, tangents and gaps included, to rounding. When a lane leaves the
//! radius, its correlations are computed anew.

use super::block::{ActiveLane, Block, Common, FactorSeed};
use super::vector::sum;
use crate::design::{Design, Threads};
use crate::objective::Real;
use crate::program::GROUP_LANES;

/// Lanes that share a set.
pub(super) const GROUP: usize = GROUP_LANES;

/// The columns of a group of lanes, restricted to a set of coefficients.
pub(super) struct WorkingSet<T> {
    /// Which group it is.
    pub(super) index: usize,
    /// Whether the group is restricted at all.
    pub(super) active: bool,
    /// State rows in the set, ascending, and what belongs to them.
    pub(super) rows: Vec<usize>,
    /// `[n, rows]`.
    design: Design<T>,
    factors: Vec<T>,
    factor_seeds: Vec<FactorSeed>,
    penalised: usize,
    x: Vec<T>,
    x_previous: Vec<T>,
    g: Vec<T>,
    metric: Option<Vec<T>>,
    /// For each lane, the residual `[n]` at which correlations were computed, and how far it may move from there.
    reference: Vec<T>,
    radius: Vec<T>,
    /// Iterations of the run by then.
    since: usize,
}

/// What sets are chosen from.
pub(super) struct View<'a, T> {
    pub(super) common: &'a Common<T>,
    pub(super) design: &'a Design<T>,
    pub(super) factors: &'a [T],
    pub(super) penalised: usize,
    pub(super) factor_seeds: &'a [FactorSeed],
    /// `[q]`: `‖X_j‖`.
    pub(super) norms: &'a [T],
    /// Rows of a set at most.
    pub(super) most: usize,
    /// Iterations of the run so far.
    pub(super) now: usize,
}

/// A group's columns in full.
pub(super) struct FullColumns<'a, T> {
    pub(super) x: &'a mut [T],
    pub(super) x_previous: &'a mut [T],
    pub(super) g: &'a mut [T],
    pub(super) metric: Option<&'a mut [T]>,
}

/// The `[n]`-columns of a group.
pub(super) struct Predictions<'a, T> {
    pub(super) z: &'a mut [T],
    pub(super) z_previous: &'a mut [T],
    pub(super) r: &'a mut [T],
    pub(super) extrapolated: Option<&'a mut [T]>,
}

impl<T> FullColumns<'_, T> {
    pub(super) fn reborrow(&mut self) -> FullColumns<'_, T> {
        FullColumns {
            x: &mut *self.x,
            x_previous: &mut *self.x_previous,
            g: &mut *self.g,
            metric: self.metric.as_deref_mut(),
        }
    }
}

impl<T> Predictions<'_, T> {
    pub(super) fn reborrow(&mut self) -> Predictions<'_, T> {
        Predictions {
            z: &mut *self.z,
            z_previous: &mut *self.z_previous,
            r: &mut *self.r,
            extrapolated: self.extrapolated.as_deref_mut(),
        }
    }
}

/// Iterations that a radius is meant to last.
const LASTS: f64 = 12.0;
/// Iterations over which the first movement is measured, and after which an unrestricted group tries again.
pub(super) const PERIOD: usize = 5;

impl<T: Real> WorkingSet<T> {
    pub(super) fn new(index: usize, n: usize, lanes: usize) -> Self {
        WorkingSet {
            index,
            active: false,
            rows: Vec::new(),
            design: Design::without_columns(n),
            factors: Vec::new(),
            factor_seeds: Vec::new(),
            penalised: 0,
            x: Vec::new(),
            x_previous: Vec::new(),
            g: Vec::new(),
            metric: None,
            reference: vec![T::zero(); n * lanes],
            radius: vec![T::zero(); lanes],
            since: 0,
        }
    }

    /// The group as a part, on the set or on all coefficients.
    pub(super) fn block<'a>(
        &'a mut self,
        view: &View<'a, T>,
        slots: &'a mut [ActiveLane<T>],
        full: FullColumns<'a, T>,
        predictions: Predictions<'a, T>,
    ) -> Block<'a, T> {
        let Predictions { z, z_previous, r, extrapolated } = predictions;
        let (design, factors, penalised, factor_seeds) = if self.active {
            (&self.design, &self.factors[..], self.penalised, &self.factor_seeds[..])
        } else {
            (view.design, view.factors, view.penalised, view.factor_seeds)
        };
        let FullColumns { x, x_previous, g, metric } = if self.active {
            FullColumns {
                x: &mut self.x,
                x_previous: &mut self.x_previous,
                g: &mut self.g,
                metric: self.metric.as_deref_mut(),
            }
        } else {
            full
        };
        let common = view.common;
        let threads = Threads::One;
        Block {
            common,
            slots,
            design,
            factors,
            penalised,
            factor_seeds,
            x,
            x_previous,
            g,
            metric,
            z,
            z_previous,
            r,
            extrapolated,
            threads,
        }
    }

    /// What was made in the place of the previous iterate is the iterate now.
    pub(super) fn flip(&mut self) {
        std::mem::swap(&mut self.x, &mut self.x_previous);
    }

    /// A column of the iterates, and of those before, on the set.
    pub(super) fn column(&self, column: usize) -> &[T] {
        &self.x[column * self.rows.len()..][..self.rows.len()]
    }
    pub(super) fn previous_column(&self, column: usize) -> &[T] {
        &self.x_previous[column * self.rows.len()..][..self.rows.len()]
    }

    /// Whether the residuals `r`, every `width`-th column of which is an iterate's, are within the radius.
    pub(super) fn holds(&self, n: usize, width: usize, r: &[T]) -> bool {
        r.chunks_exact(n * width).zip(self.reference.chunks_exact(n)).zip(&self.radius).all(
            |((r, was), radius)| {
                // A NaN is not within.
                sum(n, |i| (r[i] - was[i]) * (r[i] - was[i])) <= *radius * *radius
            },
        )
    }

    /// Keeps the residuals of iteration `now` as a reference, with radii by how far they came since the last one.
    pub(super) fn refer(&mut self, now: usize, n: usize, width: usize, r: &[T]) {
        let since = T::of(LASTS / (now - self.since).max(1) as f64);
        let lanes = r.chunks_exact(n * width).zip(self.reference.chunks_exact_mut(n)).zip(&mut self.radius);
        for ((r, was), radius) in lanes {
            *radius = since * sum(n, |i| (r[i] - was[i]) * (r[i] - was[i])).sqrt();
            was.copy_from_slice(&r[..n]);
        }
        self.since = now;
    }

    /// Makes sure that the set holds for the residuals of the group, or chooses another from correlations computed anew.
    pub(super) fn renew(
        &mut self,
        view: &View<'_, T>,
        slots: &[ActiveLane<T>],
        full: &mut FullColumns<'_, T>,
        predictions: &Predictions<'_, T>,
    ) {
        let (n, q, width) = (view.design.rows(), view.design.columns(), 1 + view.common.d);
        if !self.active || self.holds(n, width, predictions.r) {
            return;
        }
        self.scatter(q, full);
        let correlations = &mut full.g[..slots.len() * q];
        view.design.apply_t_strided(correlations, predictions.r, width, Threads::One);
        self.choose(view, slots, (correlations, 1), predictions.r, full.x, full.x_previous);
        if self.active {
            self.gather(q, full);
        }
    }

    /// Tries to restrict a group that is not, from the correlations that its last iteration computed.
    pub(super) fn try_again(
        &mut self,
        view: &View<'_, T>,
        slots: &[ActiveLane<T>],
        full: &FullColumns<'_, T>,
        predictions: &Predictions<'_, T>,
    ) {
        if !self.active && view.now >= self.since + PERIOD {
            let width = 1 + view.common.d;
            self.choose(view, slots, (full.g, width), predictions.r, full.x, full.x_previous);
            if self.active {
                self.gather(view.design.columns(), full);
            }
        }
    }

    /// Chooses the set from the correlations `g` at the residuals `r`, each with `stride` columns a lane, and the
    /// coefficients that are not at rest. Leaves the group unrestricted where the set would be too large.
    pub(super) fn choose(
        &mut self,
        view: &View<'_, T>,
        slots: &[ActiveLane<T>],
        (g, stride): (&[T], usize),
        r: &[T],
        x: &[T],
        x_previous: &[T],
    ) {
        let (n, q, width) = (view.design.rows(), view.design.columns(), 1 + view.common.d);
        self.refer(view.now, n, width, r);
        // Rounding of a correlation, and of the bound on it.
        let rounding = T::epsilon() * T::of(8.0 * (n as f64).sqrt());
        let reach: Vec<T> = (0..slots.len())
            .map(|i| {
                self.radius[i] + rounding * sum(n, |k| r[i * width * n + k] * r[i * width * n + k]).sqrt()
            })
            .collect();
        let zero = T::zero();
        let moves = |j: usize| {
            let at_rest = |columns: &[T]| columns.chunks_exact(q).all(|column| column[j] == zero);
            !(at_rest(x) && at_rest(x_previous))
        };
        self.rows.clear();
        for j in 0..q {
            let can_move = j >= view.penalised
                || moves(j)
                || slots.iter().enumerate().any(|(i, slot)| {
                    let correlation = g[i * stride * q + j].abs() + view.norms[j] * reach[i];
                    let threshold = T::of(slot.numbers.l1) * view.factors[j];
                    // A NaN can move.
                    correlation.partial_cmp(&threshold).is_none_or(|order| order.is_gt())
                });
            if can_move {
                self.rows.push(j);
                if self.rows.len() > view.most {
                    self.active = false;
                    return;
                }
            }
        }
        if self.rows.is_empty() {
            self.rows.push(0);
        }
        self.active = true;
        self.penalised = self.rows.iter().filter(|j| **j < view.penalised).count();
        self.factors.clear();
        self.factors.extend(self.rows.iter().map(|j| view.factors[*j]));
        self.factor_seeds.clear();
        self.factor_seeds.extend(view.factor_seeds.iter().map(|factor_seeds| match factor_seeds {
            FactorSeed::Column(j) => {
                self.rows.binary_search(j).map_or(FactorSeed::Elsewhere, FactorSeed::Column)
            }
            factor_seeds => *factor_seeds,
        }));
        view.design.select_columns(&self.rows, &mut self.design);
    }

    /// Fills the set's columns from the full ones.
    pub(super) fn gather(&mut self, q: usize, full: &FullColumns<'_, T>) {
        let rows = &self.rows;
        let take = |to: &mut Vec<T>, columns: &[T]| {
            to.clear();
            columns.chunks_exact(q).for_each(|column| to.extend(rows.iter().map(|j| column[*j])));
        };
        take(&mut self.x, full.x);
        take(&mut self.x_previous, full.x_previous);
        self.g.resize(self.x.len(), T::zero());
        if let Some(metric) = &full.metric {
            take(self.metric.get_or_insert_with(Vec::new), metric);
        }
    }

    /// Writes the set's columns back into the full ones.
    pub(super) fn scatter(&self, q: usize, full: &mut FullColumns<'_, T>) {
        let put = |from: &[T], columns: &mut [T]| {
            columns.fill(T::zero());
            for (column, from) in columns.chunks_exact_mut(q).zip(from.chunks_exact(self.rows.len().max(1))) {
                self.rows.iter().zip(from).for_each(|(j, v)| column[*j] = *v);
            }
        };
        put(&self.x, full.x);
        put(&self.x_previous, full.x_previous);
    }
}
