//! Everything that a run computes on.

use ndarray::Array2;

use super::{Lane, MetricSource};
use crate::objective::{Derivative, Objective};
use crate::schedule::LaneSchedule;

/// Everything a run computes on: the numbers to go with a plan.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The problem.
    pub problem: &'a Objective,
    /// The lanes of the whole sweep.
    pub lanes: &'a [Lane],
    /// The schedule of the whole sweep.
    pub schedule: &'a LaneSchedule,
    /// Where the metric comes from.
    pub metric: &'a MetricSource,
    /// What the tangents are derivatives with respect to, `d` of them.
    pub derivatives: &'a [Derivative],
    /// Start of every lane, `[q]`-columns as rows: `[1, q]` for all, or `[b, q]`; zeros where absent.
    pub start: Option<&'a Array2<f64>>,
    /// Tolerance of the stop rule; 0 for exactly the planned iterations.
    pub tol: f64,
}

/// A job that owns its numbers, for a run that outlives who began it.
#[derive(Debug, Clone)]
pub struct OwnedJob {
    /// The problem.
    pub problem: Objective,
    /// The lanes of the whole sweep.
    pub lanes: Vec<Lane>,
    /// The schedule of the whole sweep.
    pub schedule: LaneSchedule,
    /// Where the metric comes from.
    pub metric: MetricSource,
    /// What the tangents are derivatives with respect to.
    pub derivatives: Vec<Derivative>,
    /// Start of the lanes, as in [`Job`].
    pub start: Option<Array2<f64>>,
    /// Tolerance of the stop rule.
    pub tol: f64,
}

impl OwnedJob {
    /// The job.
    pub fn job(&self) -> Job<'_> {
        Job {
            problem: &self.problem,
            lanes: &self.lanes,
            schedule: &self.schedule,
            metric: &self.metric,
            derivatives: &self.derivatives,
            start: self.start.as_ref(),
            tol: self.tol,
        }
    }
}
