//! Lanes: the candidates of a sweep, what each of them keeps between two iterations, and how it decides the
//! next one.

use ndarray::Array2;

mod constants;
mod control;
pub(crate) mod fields;
mod job;
mod metric;

pub(crate) use constants::{LaneNumbers, RunNumbers};
pub(crate) use control::{Control, ControlRules, Numbers, Seen, StepParams};
pub use job::{Job, OwnedJob};
pub use metric::MetricSource;

/// One candidate: a point in hyperparameter space, the rows that it trains on, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Lane {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// The fold whose rows are held out of this lane; `None` trains on all rows.
    pub fold: Option<usize>,
    /// Where it starts.
    pub start: Start,
}

/// Where a lane starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Start {
    /// At zero coefficients.
    #[default]
    Zero,
    /// At this row of [`Job::start`].
    Given(usize),
    /// At the last iterate of another lane of the sweep, by index; its own tangents start at zero. The lane
    /// waits until that one has ended. If that one ended without a finite iterate, it starts at zero.
    From(usize),
}

impl Lane {
    /// A candidate that trains on all rows and starts at zero.
    pub fn new(alpha: f64, l1_ratio: f64) -> Self {
        Lane { alpha, l1_ratio, fold: None, start: Start::Zero }
    }
}

/// A lane between two iterations: all that an engine needs to go on with it, whichever engine brought it
/// here.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneState {
    /// Index into the sweep.
    pub lane: usize,
    /// Iterations done.
    pub iteration: usize,
    /// `[1 + d, q]`: the iterate and its tangents.
    pub state: Array2<f64>,
    /// `[1 + d, q]`: those before.
    pub previous: Array2<f64>,
    /// `[1 + d, q]`: a metric made of curvatures, which was refreshed some iterations ago.
    pub(crate) metric: Option<Array2<f64>>,
    /// What the schedule's decisions depend on.
    pub(crate) memory: Vec<f64>,
    /// An objective beyond this is divergence.
    pub(crate) objective_limit: f64,
}

/// Growth of the objective at which a lane counts as diverged.
pub const DIVERGED: f64 = 1e10;
