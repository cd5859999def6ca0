//! Lanes that are worked on together, and the products of their iteration.

use std::sync::Mutex;

use super::super::LaneOutcome;
use super::step::Partials;
use crate::design::{Design, Threads};
use crate::lanes::{Control, LaneNumbers, StepParams};
use crate::objective::{Loss, Penalty, Real};

/// What belongs to the rows of the problem, `[n]` each.
pub(super) struct Rows<T> {
    pub(super) target: Vec<T>,
    pub(super) weight: Vec<T>,
    /// `[d][n]`, empty where no direction moves the target.
    pub(super) target_tangent: Vec<Vec<T>>,
}

/// A lane in the columns.
pub(super) struct ActiveLane<T> {
    pub(super) lane: usize,
    /// Iterations it had done before the chunk.
    pub(super) first: usize,
    pub(super) outcome: LaneOutcome,
    /// Whether it did the iteration that is being closed.
    pub(super) advanced: bool,
    pub(super) numbers: LaneNumbers,
    pub(super) control: Control<T>,
    pub(super) params: StepParams<T>,
    /// The record of this iteration, and the measures of the stop rule.
    pub(super) record: Vec<f64>,
    pub(super) measures: Measures,
}

/// Measures of the stop rule of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) dual_scale: f64,
    pub(super) gap: Option<f64>,
    pub(super) stationarity: f64,
    pub(super) derivative_residual: f64,
}

impl Measures {
    pub(super) fn none() -> Self {
        Measures { dual_scale: 1.0, gap: None, stationarity: 0.0, derivative_residual: 0.0 }
    }
}

/// What holds for all lanes of a run.
pub(super) struct Common<T> {
    pub(super) d: usize,
    pub(super) loss: Loss,
    pub(super) penalty: Penalty,
    pub(super) rows: Rows<T>,
    pub(super) tested: Vec<bool>,
    pub(super) gap_unit: f64,
    pub(super) watches_restarts: bool,
    /// `[q]` ones: the diagonal of no metric.
    pub(super) ones: Vec<T>,
    /// One for each thread.
    scratch: Vec<Mutex<Scratch<T>>>,
}

/// Room for the work on one lane.
pub(super) struct Scratch<T> {
    /// `[n]`.
    pub(super) d2: Vec<T>,
    /// `[q]`.
    pub(super) partials: Partials<T>,
}

impl<T: Real> Common<T> {
    #[allow(clippy::too_many_arguments)] // each is one of its fields
    pub(super) fn new(
        (n, q, d): (usize, usize, usize),
        loss: Loss,
        penalty: Penalty,
        rows: Rows<T>,
        tested: Vec<bool>,
        gap_unit: f64,
        watches_restarts: bool,
    ) -> Self {
        let scratch = || Mutex::new(Scratch { d2: vec![T::zero(); n], partials: Partials::new(q) });
        // A thread that is not of the pool works too, where the pool has one thread only.
        let scratch = (0..rayon::current_num_threads() + 1).map(|_| scratch()).collect();
        let ones = vec![T::one(); q];
        Common { d, loss, penalty, rows, tested, gap_unit, watches_restarts, ones, scratch }
    }

    /// Lends room to the work on one lane.
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<T>) -> R) -> R {
        let index = rayon::current_thread_index().unwrap_or(self.scratch.len() - 1);
        work(&mut self.scratch[index].lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// Some lanes and their columns: lane `i` owns the columns `i (1 + d) .. (i + 1)(1 + d)` of each matrix, the iterate first.
/// Matrices are column-major.
pub(super) struct Block<'a, T> {
    pub(super) common: &'a Common<T>,
    pub(super) slots: &'a mut [ActiveLane<T>],
    pub(super) design: &'a Design<T>,
    /// Penalty factors of the columns of the design; columns from `penalised` on are exempt.
    pub(super) factors: &'a [T],
    pub(super) penalised: usize,
    /// For each tangent that moves the strength of one feature alone, the column of it, if it is here.
    pub(super) factor_seeds: &'a [FactorSeed],
    /// `[q]`-columns: the iterate and the one before; the gradient.
    pub(super) x: &'a mut [T],
    pub(super) x_previous: &'a mut [T],
    pub(super) g: &'a mut [T],
    /// Diagonal of the metric with its tangents, where there is one.
    pub(super) metric: Option<&'a mut [T]>,
    /// `[n]`-columns: predictions of `x` and `x_previous`; the residual.
    pub(super) z: &'a mut [T],
    pub(super) z_previous: &'a mut [T],
    pub(super) r: &'a mut [T],
    /// Predictions of `e`, where the schedule measures curvature.
    pub(super) extrapolated: Option<&'a mut [T]>,
    /// How the products are spread over threads.
    pub(super) threads: Threads,
}

/// Which columns of the design a tangent moves the strength of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactorSeed {
    /// All, by their factors.
    All,
    /// This one.
    Column(usize),
    /// One that is not here.
    Elsewhere,
}

impl<T: Real> Block<'_, T> {
    /// `(n, q)`.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.design.rows(), self.design.columns())
    }

    /// `g = Xᵀ r` for all columns.
    pub(super) fn gradient(&mut self) {
        self.design.apply_t(self.g, self.r, self.threads);
    }

    /// `z = X x` for all columns; the last predictions become the previous ones.
    pub(super) fn predict(&mut self) {
        self.design.apply(self.z_previous, self.x, self.threads);
        std::mem::swap(&mut self.z, &mut self.z_previous);
    }

    /// Takes the last step of lanes back where they are params so: `x = x₋`.
    pub(super) fn restore(&mut self) {
        let (n, q) = self.shape();
        let width = 1 + self.common.d;
        for (i, _) in self.slots.iter().enumerate().filter(|(_, slot)| slot.params.restore) {
            let columns = |rows: usize| i * width * rows..(i + 1) * width * rows;
            self.x[columns(q)].copy_from_slice(&self.x_previous[columns(q)]);
            self.z[columns(n)].copy_from_slice(&self.z_previous[columns(n)]);
        }
    }
}
