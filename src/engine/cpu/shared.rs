//! Data that all lanes of a run share.

use std::sync::Mutex;

use ndarray::ArrayViewMut2;

use super::prox::Partials;
use super::working_set::GramSource;
use crate::design::Design;
use crate::lanes::{Job, MetricSource, RunNumbers};
use crate::objective::{Loss, Penalty, Real};
use crate::program::Plan;

/// Data that all lanes of a run share.
pub(super) struct Shared<T> {
    /// Number of tangents.
    pub(super) d: usize,
    pub(super) loss: Loss,
    pub(super) penalty: Penalty,
    /// All columns of the design that may have coefficients other than zero.
    pub(super) columns: ColumnSet<T>,
    /// Their places among the columns of the objective, empty if they are the same; and how many those are.
    places: Vec<usize>,
    pub(super) columns_of_objective: usize,
    pub(super) rows: Rows<T>,
    /// Held-out rows.
    pub(super) held_out: Option<Rows<T>>,
    /// Weights of the rows that each fold fits and holds out; empty without folds.
    folds: Vec<[Vec<T>; 2]>,
    /// `[d]`: change of the tangents of held-out predictions by an intercept that is computed from the means.
    pub(super) intercept_tangents: Vec<T>,
    /// The squares of the design, for a metric made of curvatures.
    pub(super) squares: Option<Design<T>>,
    /// `[q]`: norms of the columns, and the most columns of a working set; no norms if the
    /// plan has no working sets.
    pub(super) norms: Vec<T>,
    pub(super) max_working_set: usize,
    /// For Gram matrices of working sets; `None` if the run has none.
    pub(super) gram: Option<GramSource<T>>,
    /// `[d]`: true if the stop rule tests the tangent.
    pub(super) tested: Vec<bool>,
    /// The unit of the relative duality gap.
    pub(super) gap_unit: f64,
    pub(super) watches_restarts: bool,
    /// True if the schedule depends on the record of the last iteration.
    pub(super) needs_records: bool,
    /// `[q]` ones: the diagonal of the identity metric.
    pub(super) ones: Vec<T>,
    /// One for each thread.
    scratch: Vec<Mutex<Scratch<T>>>,
}

/// Columns of the design, all or those of a working set, and their penalty data.
pub(super) struct ColumnSet<T> {
    pub(super) design: Design<T>,
    /// The same columns of the held-out rows.
    pub(super) held_out: Option<Design<T>>,
    /// `[q]`: penalty factors; columns from `penalised` on are exempt from the penalty.
    pub(super) factors: Vec<T>,
    pub(super) penalised: usize,
    /// `[d]`: the columns whose penalty strengths each tangent changes.
    pub(super) seeds: Vec<FactorSeed>,
}

/// The columns whose penalty strengths a tangent changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactorSeed {
    /// All columns, by their factors.
    All,
    /// This one.
    Column(usize),
    /// One that is not in the set.
    Outside,
}

/// Targets and weights of a design's rows, `[n]` each.
pub(super) struct Rows<T> {
    pub(super) target: Vec<T>,
    pub(super) weight: Vec<T>,
    /// `[d][n]`, empty if no tangent changes the target.
    pub(super) target_tangent: Vec<Vec<T>>,
}

/// Scratch buffers for the work on one lane.
pub(super) struct Scratch<T> {
    /// `[n]`.
    pub(super) d2: Vec<T>,
    pub(super) partials: Partials<T>,
    /// `[q]`: the image of a column under the step of the stop rule.
    pub(super) image: Vec<T>,
}

fn cast<'a, T: Real>(values: impl IntoIterator<Item = &'a f64>) -> Vec<T> {
    values.into_iter().map(|v| T::of(*v)).collect()
}

impl<T: Real> Shared<T> {
    pub(super) fn new(plan: &Plan, job: &Job<'_>, numbers: &RunNumbers) -> Self {
        let problem = job.problem;
        let places = job.moving_columns().unwrap_or_default();
        let moving = |design: &Design| match &places[..] {
            [] => design.clone(),
            places => design.with_columns(places),
        };
        let design = moving(&problem.design);
        let (n, q) = (design.rows(), design.columns());
        let tangents = numbers.target_tangent.as_ref();
        let rows = Rows {
            target: cast(&problem.target),
            weight: cast(&problem.weight),
            target_tangent: tangents.map_or(Vec::new(), |dy| dy.columns().into_iter().map(cast).collect()),
        };
        let held_out = problem.held_out.as_ref();
        let place = |j: usize| match &places[..] {
            [] => FactorSeed::Column(j),
            places => places.binary_search(&j).map_or(FactorSeed::Outside, FactorSeed::Column),
        };
        let seed = |column: &Option<usize>| column.map_or(FactorSeed::All, place);
        let factors = match &places[..] {
            [] => cast(&numbers.factors),
            places => cast(places.iter().map(|j| &numbers.factors[*j])),
        };
        let penalised = match &places[..] {
            [] => numbers.penalised,
            places => places.partition_point(|j| *j < numbers.penalised),
        };
        let has_sets = plan.working_set > 0;
        let scratch =
            || Scratch { d2: vec![T::zero(); n], partials: Partials::new(q), image: vec![T::zero(); q] };
        // In a pool of one thread, a thread outside of the pool works too.
        let threads = rayon::current_num_threads() + 1;
        Shared {
            d: job.derivatives.len(),
            loss: problem.loss(),
            penalty: problem.penalty(),
            columns: ColumnSet {
                design: design.cast(),
                held_out: held_out.map(|h| moving(&h.design).cast()),
                factors,
                penalised,
                seeds: numbers.factor_seeds.iter().map(seed).collect(),
            },
            rows,
            held_out: held_out.map(|h| Rows {
                target: cast(&h.target),
                weight: cast(&h.weight),
                target_tangent: Vec::new(),
            }),
            folds: problem.folds.iter().map(|f| [cast(&f.fitted), cast(&f.held_out)]).collect(),
            intercept_tangents: cast(&numbers.intercept_tangents),
            squares: matches!(job.metric, MetricSource::Hessian { .. })
                .then(|| problem.design.squared().cast()),
            norms: if has_sets { cast(&design.column_norms()) } else { Vec::new() },
            max_working_set: plan.working_set,
            gram: GramSource::new(plan, job, numbers),
            tested: numbers.tested.clone(),
            gap_unit: numbers.gap_unit,
            watches_restarts: job.schedule.watches_restarts(),
            needs_records: job.schedule.needs_records(),
            ones: vec![T::one(); q],
            places,
            columns_of_objective: problem.state_rows(),
            scratch: (0..threads).map(|_| Mutex::new(scratch())).collect(),
        }
    }

    /// The place of a column among those of the objective.
    pub(super) fn place(&self, j: usize) -> usize {
        self.places.get(j).copied().unwrap_or(j)
    }

    /// Writes the columns of the `i`-th lane, `[1 + d, rows]`, on all columns of the design or on `members`,
    /// into those of the objective.
    pub(super) fn store_columns(
        &self,
        mut to: ArrayViewMut2<'_, f64>,
        i: usize,
        columns: &[T],
        members: Option<&[usize]>,
    ) {
        let rows = members.map_or(self.shape().1, <[usize]>::len);
        let own = &columns[i * self.width() * rows..(i + 1) * self.width() * rows];
        for (mut to, column) in to.outer_iter_mut().zip(own.chunks_exact(rows)) {
            for (k, v) in column.iter().enumerate() {
                to[self.place(members.map_or(k, |members| members[k]))] = v.f64();
            }
        }
    }

    /// `(n, q)` of the design.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.columns.design.rows(), self.columns.design.columns())
    }

    /// Rows of predictions: of the design, and held-out ones.
    pub(super) fn rows_of_predictions(&self) -> (usize, usize) {
        (self.shape().0, self.held_out.as_ref().map_or(0, |rows| rows.target.len()))
    }

    /// `[n]`: the weights of the rows that a lane is fitted on.
    pub(super) fn weight(&self, fold: Option<usize>) -> &[T] {
        fold.map_or(&self.rows.weight, |fold| &self.folds[fold][0])
    }

    /// `[n]`: the weights of the rows that a fold holds out.
    pub(super) fn held_out_weight(&self, fold: usize) -> &[T] {
        &self.folds[fold][1]
    }

    /// Columns of a lane in each matrix: the iterate and its tangents.
    pub(super) fn width(&self) -> usize {
        1 + self.d
    }

    /// Runs `work` with scratch buffers.
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<T>) -> R) -> R {
        let index = rayon::current_thread_index().unwrap_or(self.scratch.len() - 1);
        work(&mut self.scratch[index].lock().unwrap_or_else(|e| e.into_inner()))
    }
}
