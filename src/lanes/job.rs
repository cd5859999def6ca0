//! The inputs of a run.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::control::Control;
use super::{DIVERGED, Lane, LaneState, MetricSource, Start};
use crate::objective::{Derivative, Objective};
use crate::schedule::LaneSchedule;

/// The inputs of a run, apart from its plan.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The problem.
    pub problem: &'a Objective,
    /// The lanes of the whole sweep.
    pub lanes: &'a [Lane],
    /// The schedule of the whole sweep.
    pub schedule: &'a LaneSchedule,
    /// The source of the metric.
    pub metric: &'a MetricSource,
    /// What the tangents are derivatives with respect to, `d` of them.
    pub derivatives: &'a [Derivative],
    /// `[rows, q]`: the starts that lanes refer to by [`Start::Given`].
    pub start: Option<&'a Array2<f64>>,
    /// Loss of zero coefficients.
    pub null_loss: f64,
    /// Tolerance of the stop rule; 0 for exactly the planned iterations.
    pub tol: f64,
}

/// A job that owns its data, for a run that outlives its caller.
#[derive(Debug, Clone)]
pub struct OwnedJob {
    /// The problem.
    pub problem: Objective,
    /// The lanes of the whole sweep.
    pub lanes: Vec<Lane>,
    /// The schedule of the whole sweep.
    pub schedule: LaneSchedule,
    /// The source of the metric.
    pub metric: MetricSource,
    /// What the tangents are derivatives with respect to.
    pub derivatives: Vec<Derivative>,
    /// Starts that lanes refer to, as in [`Job`].
    pub start: Option<Array2<f64>>,
    /// Loss of zero coefficients.
    pub null_loss: f64,
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
            null_loss: self.null_loss,
            tol: self.tol,
        }
    }
}

impl Job<'_> {
    /// The columns whose coefficients may differ from zero, if the CPU engine leaves others out. A metric
    /// from the Hessian has entries for all.
    pub(crate) fn moving_columns(&self) -> Option<Vec<usize>> {
        let from_hessian = matches!(self.metric, MetricSource::Hessian { .. });
        if from_hessian { None } else { self.problem.moving_columns(self.start) }
    }

    /// Strengths `(l1, l2)` of a lane's penalty.
    pub(crate) fn strengths(&self, lane: usize) -> (f64, f64) {
        self.lanes[lane].strengths(self.problem)
    }

    /// A lane before its first iteration. `source` is the last state `[1 + d, q]` of the lane that it starts
    /// from, if any.
    pub(crate) fn begin(&self, lane: usize, source: Option<ArrayView2<'_, f64>>) -> LaneState {
        let d = self.derivatives.len();
        let given = match self.lanes[lane].start {
            Start::Given(row) => self.start.map(|rows| rows.row(row)),
            Start::From(_) | Start::Carried(_) => source.map(|state| state.index_axis_move(Axis(0), 0)),
            Start::Zero => None,
        };
        let mut state = Array2::zeros((1 + d, self.problem.state_rows()));
        state.row_mut(0).assign(&given.map_or_else(|| self.problem.start_of(None), |x| x.to_owned()));
        if let (Start::Carried(_), Some(source)) = (self.lanes[lane].start, source) {
            state.assign(&source);
        }
        LaneState {
            lane,
            iteration: 0,
            objective_limit: self.objective_limit(lane, state.row(0)),
            tol: self.tol,
            previous: state.clone(),
            state,
            metric: None,
            memory: Control::<f64>::new(d).memory(),
        }
    }

    /// The objective above which a lane that starts at `x` counts as diverged.
    fn objective_limit(&self, lane: usize, x: ArrayView1<'_, f64>) -> f64 {
        let start = if x.iter().all(|v| *v == 0.0) { self.null_loss } else { self.objective_at(lane, x) };
        DIVERGED * start.max(self.null_loss).max(f64::MIN_POSITIVE)
    }

    /// The objective of a lane at `x`, `[q]`.
    fn objective_at(&self, lane: usize, x: ArrayView1<'_, f64>) -> f64 {
        let z = self.problem.design.apply_vector(x);
        self.problem.value(&z, x, self.strengths(lane))
    }
}
