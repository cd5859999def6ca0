//! Lanes: the candidates of a sweep, their state between iterations, and the parameters of their next
//! iteration.

use ndarray::Array2;

use crate::objective::Objective;

mod constants;
mod control;
pub(crate) mod fields;
mod job;
mod metric;

pub(crate) use constants::{LaneNumbers, RunNumbers};
pub(crate) use control::{Control, ControlRules, Numbers, Seen, StepParams};
pub use job::{Job, OwnedJob};
pub use metric::MetricSource;

/// One candidate: a point in hyperparameter space, the rows that it trains on, and its start.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Lane {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// The fold whose rows this lane holds out; `None` trains on all rows.
    pub fold: Option<usize>,
    /// Start of the lane.
    pub start: Start,
}

/// The start of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Start {
    /// At zero coefficients.
    #[default]
    Zero,
    /// At this row of [`Job::start`].
    Given(usize),
    /// At the last iterate of another lane of the sweep, by index; the tangents start at zero. The lane waits
    /// until the other lane has ended. If that lane ended without a finite iterate, the start is zero.
    From(usize),
    /// The same, and the tangents start at those of the other lane.
    Carried(usize),
}

impl Start {
    /// The lane that a lane waits for.
    pub(crate) fn source(self) -> Option<usize> {
        match self {
            Start::From(lane) | Start::Carried(lane) => Some(lane),
            Start::Zero | Start::Given(_) => None,
        }
    }
}

impl Lane {
    /// A candidate that trains on all rows and starts at zero.
    pub fn new(alpha: f64, l1_ratio: f64) -> Self {
        Lane { alpha, l1_ratio, fold: None, start: Start::Zero }
    }

    /// Strengths `(l1, l2)` of the penalty at factor 1; 0 if the penalty does not depend on alpha.
    pub(crate) fn strengths(&self, objective: &Objective) -> (f64, f64) {
        let alpha = if objective.penalty().uses_alpha() { self.alpha } else { 0.0 };
        (alpha * self.l1_ratio, alpha * (1.0 - self.l1_ratio))
    }
}

/// The complete state of a lane between two iterations: any engine can continue from it.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneState {
    /// Index into the sweep.
    pub lane: usize,
    /// Iterations done.
    pub iteration: usize,
    /// `[1 + d, q]`: the iterate and its tangents.
    pub state: Array2<f64>,
    /// `[1 + d, q]`: the previous iterate and its tangents.
    pub previous: Array2<f64>,
    /// `[1 + d, q]`: the metric of the last refresh and its tangents, if it is computed from the Hessian.
    pub(crate) metric: Option<Array2<f64>>,
    /// The schedule's state, as the numbers of [`Control`].
    pub(crate) memory: Vec<f64>,
    /// The lane has diverged if its objective exceeds this.
    pub(crate) objective_limit: f64,
    /// The engine stops the lane when its measures are within this tolerance; 0: never.
    pub(crate) tol: f64,
}

/// A lane counts as diverged when its objective has grown by this factor.
pub const DIVERGED: f64 = 1e10;
