//! Lanes: the candidates of a sweep, what each of them keeps between two iterations, and how it decides the next one.

use ndarray::Array2;
use serde::Serialize;

mod constants;
mod control;
pub(crate) mod fields;
mod job;
mod metric;

pub(crate) use constants::{LaneNumbers, RunNumbers};
pub(crate) use control::{Control, ControlRules, Numbers, StepParams};
pub use job::{Job, OwnedJob};
pub use metric::MetricSource;

/// One candidate: a point in hyperparameter space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lane {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
}

/// A lane between two iterations: all that an engine needs to go on with it, whichever engine brought it here.
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
}

/// Growth of the objective at which a lane counts as diverged.
pub const DIVERGED: f64 = 1e10;
