//! Working sets: the coefficients of a group of lanes that can differ from zero, as long as this is certain.
//!
//! If the proximal map is zero for `|g_j| ≤ l1_j`, a coefficient that is zero stays zero as long as its
//! correlation with the residual is in this range, and a correlation changes by at most `‖X_j‖ ‖r − r₀‖` from
//! its value at the residual `r₀` (a safe rule in the sense of El Ghaoui et al. 2012, for iterates instead of
//! solutions). So a set is chosen with a radius: within it, an iteration on the set's columns alone gives the
//! same sequences, tangents and gaps included, to rounding. When a lane leaves the radius, its correlations
//! are recomputed. [`screening`] implements the rule, [`policy`] decides when sets are used at all, [`gram`]
//! multiplies by the Gram matrix of a set.

use super::block::Iterates;
use super::shared::{ColumnSet, FactorSeed, Shared};
use crate::design::Design;
use crate::objective::Real;

mod gram;
mod policy;
mod screening;

pub(super) use gram::GramSource;
use gram::SetGram;
pub(super) use policy::WorkingSets;

/// Iterations after which a smaller set is looked for; twice as many whenever there is none.
const LIFETIME: usize = 24;

/// A set of coefficients, and the columns of a group of lanes on it.
pub(super) struct WorkingSet<T> {
    /// True if it replaces all coefficients.
    pub(super) active: bool,
    /// State rows in the set, ascending.
    pub(super) members: Vec<usize>,
    pub(super) columns: ColumnSet<T>,
    pub(super) iterates: Iterates<Vec<T>>,
    gram: SetGram<T>,
    /// For each lane, the residual `[n]` at which correlations were computed, and the radius around it.
    reference: Vec<T>,
    radius: Vec<T>,
    /// Iterations since then, and after how many a smaller set is looked for.
    age: usize,
    lifetime: usize,
    /// Columns left out so far, in units of all columns of a lane for an iteration.
    pub(super) skipped: f64,
}

impl<T: Real> WorkingSet<T> {
    /// An empty set of columns for a group of `lanes`.
    fn new(all: &ColumnSet<T>, lanes: usize) -> Self {
        let (design, n) = (all.design.without_columns(), all.design.rows());
        let held_out = all.held_out.as_ref().map(Design::without_columns);
        WorkingSet {
            active: false,
            members: Vec::new(),
            columns: ColumnSet { design, held_out, factors: Vec::new(), penalised: 0, seeds: Vec::new() },
            iterates: Iterates { x: Vec::new(), x_previous: Vec::new(), g: Vec::new(), metric: Vec::new() },
            gram: SetGram::new(),
            reference: vec![T::zero(); n * lanes],
            radius: vec![T::zero(); lanes],
            age: 0,
            lifetime: LIFETIME,
            skipped: 0.0,
        }
    }

    /// True if its Gram matrix replaces the products with its columns.
    pub(super) fn has_gram(&self) -> bool {
        self.active && self.gram.active
    }

    /// Copies the columns of the members from those of all coefficients.
    fn gather(&mut self, shared: &Shared<T>) {
        let (all, members) = (&shared.columns, &self.members);
        let columns = &mut self.columns;
        columns.penalised = members.partition_point(|j| *j < all.penalised);
        columns.factors.clear();
        columns.factors.extend(members.iter().map(|j| all.factors[*j]));
        columns.seeds.clear();
        columns.seeds.extend(all.seeds.iter().map(|seed| match seed {
            FactorSeed::Column(j) => members.binary_search(j).map_or(FactorSeed::Outside, FactorSeed::Column),
            seed => *seed,
        }));
        all.design.select_columns(members, &mut columns.design);
        if let (Some(all), Some(held_out)) = (&all.held_out, &mut columns.held_out) {
            all.select_columns(members, held_out);
        }
    }

    /// Copies the group's matrices on the members from those on all coefficients.
    fn take_iterates(&mut self, q: usize, full: &Iterates<&mut [T]>) {
        let members = &self.members;
        let take = |to: &mut Vec<T>, from: &[T]| {
            to.clear();
            from.chunks_exact(q).for_each(|column| to.extend(members.iter().map(|j| column[*j])));
        };
        take(&mut self.iterates.x, full.x);
        take(&mut self.iterates.x_previous, full.x_previous);
        take(&mut self.iterates.metric, full.metric);
        self.iterates.g.resize(self.iterates.x.len(), T::zero());
    }

    /// Writes the iterates back into those of all coefficients, which are zero elsewhere.
    fn scatter(&self, q: usize, full: &mut Iterates<&mut [T]>) {
        let put = |from: &[T], to: &mut [T]| {
            to.fill(T::zero());
            for (column, from) in to.chunks_exact_mut(q).zip(from.chunks_exact(self.members.len())) {
                self.members.iter().zip(from).for_each(|(j, v)| column[*j] = *v);
            }
        };
        put(&self.iterates.x, full.x);
        put(&self.iterates.x_previous, full.x_previous);
    }
}
