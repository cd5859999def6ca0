//! The numbers of a run and of its lanes, as both engines use them.

use ndarray::{Array1, Array2};

use super::{DIVERGED, Job, LaneState};
use crate::objective::Intercept;

use super::control::Control;

/// Numbers that all lanes share, with `d` tangents.
pub(crate) struct RunNumbers {
    /// `[d]`: the one feature whose strength a tangent moves; `None` for all.
    pub(crate) factor_seeds: Vec<Option<usize>>,
    /// `[d]`: whether the stop rule tests a tangent.
    pub(crate) tested: Vec<bool>,
    /// `[q]`: penalty factors; rows from `penalised` on are exempt from the penalty.
    pub(crate) factors: Vec<f64>,
    pub(crate) penalised: usize,
    /// `[n, d]` tangent of the target, if any direction moves it.
    pub(crate) target_tangent: Option<Array2<f64>>,
    /// The unit of the relative duality gap.
    pub(crate) gap_unit: f64,
    null_loss: f64,
}

/// Numbers of one lane.
#[derive(Debug, Clone)]
pub(crate) struct LaneNumbers {
    /// Strength of the l1 and l2 part.
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    /// `[d]`: their tangents.
    pub(crate) dl1: Vec<f64>,
    pub(crate) dl2: Vec<f64>,
    /// The step of the stop rule.
    pub(crate) probe_step: f64,
    /// Whether the duality gap is the stop rule, rather than stationarity.
    pub(crate) has_gap: bool,
    /// An objective beyond this is divergence.
    pub(crate) objective_limit: f64,
    /// `[phases][2 + 2d]`: the lane's factors of steps and momenta.
    pub(crate) bases: Vec<f64>,
}

impl RunNumbers {
    pub(crate) fn new(job: &Job<'_>) -> Self {
        let problem = job.problem;
        let (q, d) = (problem.state_rows(), job.derivatives.len());
        let mut target_tangent = Array2::zeros((problem.design.nrows(), d));
        let mut seeds_target = false;
        for (t, derivative) in job.derivatives.iter().enumerate() {
            if let Some((direction, _)) = derivative.target_tangent(problem) {
                target_tangent.column_mut(t).assign(&direction);
                seeds_target = true;
            }
        }
        let penalised = match problem.intercept {
            Intercept::Column => q - 1,
            _ => q,
        };
        let mut factors = problem.penalty_factors.to_vec();
        factors.resize(q, 0.0);
        let null_loss = problem.null_loss();
        RunNumbers {
            factor_seeds: job
                .derivatives
                .iter()
                .map(|d| d.strengths(problem, 0.0, 0.0).factor_seed)
                .collect(),
            tested: job.derivatives.iter().map(|d| !d.is_of_process()).collect(),
            factors,
            penalised,
            target_tangent: seeds_target.then_some(target_tangent),
            gap_unit: if null_loss > 0.0 { null_loss } else { 1.0 },
            null_loss,
        }
    }

    /// The numbers of a lane of the sweep.
    pub(crate) fn lane(&self, job: &Job<'_>, lane: usize) -> LaneNumbers {
        let problem = job.problem;
        let of = &job.lanes[lane];
        let strength = |share: f64| if problem.penalty().uses_alpha() { share * of.alpha } else { 0.0 };
        let (l1, l2) = (strength(of.l1_ratio), strength(1.0 - of.l1_ratio));
        let tangents: Vec<_> =
            job.derivatives.iter().map(|d| d.strengths(problem, of.alpha, of.l1_ratio)).collect();
        LaneNumbers {
            l1,
            l2,
            dl1: tangents.iter().map(|t| t.l1).collect(),
            dl2: tangents.iter().map(|t| t.l2).collect(),
            probe_step: problem.probe_step(l2),
            has_gap: problem.has_gap(l1, l2),
            objective_limit: self.objective_limit(job, lane, (l1, l2)),
            bases: job.schedule.bases(lane),
        }
    }

    fn objective_limit(&self, job: &Job<'_>, lane: usize, (l1, l2): (f64, f64)) -> f64 {
        let problem = job.problem;
        let x = job.start_of(lane);
        let loss: f64 = if x.iter().all(|v| *v == 0.0) {
            self.null_loss
        } else {
            let z = problem.design.dot(&x);
            let value = |i: usize| problem.weight[i] * problem.loss().value(z[i], problem.target[i]);
            (0..z.len()).map(value).sum()
        };
        let penalty_value =
            |j: usize| problem.penalty().value(x[j], l1 * self.factors[j], l2 * self.factors[j]);
        let penalty: f64 = (0..self.penalised).map(penalty_value).sum();
        DIVERGED * (loss + penalty).max(self.null_loss).max(f64::MIN_POSITIVE)
    }
}

impl Job<'_> {
    /// `[q]`: where a lane starts.
    pub(crate) fn start_of(&self, lane: usize) -> Array1<f64> {
        match self.start {
            None => Array1::zeros(self.problem.state_rows()),
            Some(s) => s.row(if s.nrows() == 1 { 0 } else { lane }).to_owned(),
        }
    }

    /// A lane before its first iteration.
    pub(crate) fn begin(&self, lane: usize) -> LaneState {
        let d = self.derivatives.len();
        let mut state = Array2::zeros((1 + d, self.problem.state_rows()));
        state.row_mut(0).assign(&self.start_of(lane));
        let memory = Control::<f64>::new(d).memory();
        LaneState { lane, iteration: 0, previous: state.clone(), state, metric: None, memory }
    }
}
