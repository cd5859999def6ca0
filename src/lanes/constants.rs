//! The constants of a run and of its lanes, used by both engines.

use ndarray::Array2;

use super::{Job, LaneState};
use crate::objective::Intercept;

/// Constants shared by all lanes, with `d` tangents.
pub(crate) struct RunNumbers {
    /// `[d]`: the single feature whose penalty strength a tangent varies; `None` if it varies all of them.
    pub(crate) factor_seeds: Vec<Option<usize>>,
    /// `[d]`: true if the stop rule tests the tangent.
    pub(crate) tested: Vec<bool>,
    /// `[q]`: penalty factors; rows from `penalised` on are exempt from the penalty.
    pub(crate) factors: Vec<f64>,
    pub(crate) penalised: usize,
    /// `[n, d]`: tangent of the target, if any derivative is by the target.
    pub(crate) target_tangent: Option<Array2<f64>>,
    /// `[d]`: tangents of an intercept that is computed from the means, at fixed coefficients; 0 for other
    /// intercepts.
    pub(crate) intercept_tangents: Vec<f64>,
    /// The unit of the relative duality gap.
    pub(crate) gap_unit: f64,
}

/// Constants of one lane.
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
    /// True if the duality gap is the stop rule, rather than stationarity.
    pub(crate) has_gap: bool,
    /// The lane has diverged if its objective exceeds this.
    pub(crate) objective_limit: f64,
    /// The tolerance of its stop rule.
    pub(crate) tol: f64,
    /// Least length of the iterate in relative measures: below it, changes are negligible whatever the
    /// iterate.
    pub(crate) least_norm: f64,
    /// `[d]`: the same of a tangent, per unit of the iterate's length.
    pub(crate) least_tangents: Vec<f64>,
    /// `[phases][2 + 2d]`: the lane's factors of steps and momenta.
    pub(crate) bases: Vec<f64>,
}

/// Share of the natural length of an iterate, or of a tangent, that relative measures use at least. The
/// natural length of an iterate is that of a step `1/L` that reduces the objective by the loss of zero
/// coefficients.
const LEAST: f64 = 1e-3;

impl RunNumbers {
    pub(crate) fn new(job: &Job<'_>) -> Self {
        let problem = job.problem;
        let (q, d) = (problem.state_rows(), job.derivatives.len());
        let mut target_tangent = Array2::zeros((problem.design.rows(), d));
        let mut intercept_tangents = vec![0.0; d];
        let mut seeds_target = false;
        for (t, derivative) in job.derivatives.iter().enumerate() {
            if let Some((direction, mean)) = derivative.target_tangent(problem) {
                target_tangent.column_mut(t).assign(&direction);
                intercept_tangents[t] = mean;
                seeds_target = true;
            }
        }
        let penalised = match problem.intercept {
            Intercept::Column { .. } => q - 1,
            _ => q,
        };
        let mut factors = problem.penalty_factors.to_vec();
        factors.resize(q, 0.0);
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
            intercept_tangents,
            gap_unit: Self::unit(job.null_loss),
        }
    }

    /// The unit of relative values: the loss of zero coefficients.
    pub(crate) fn unit(null_loss: f64) -> f64 {
        if null_loss > 0.0 { null_loss } else { 1.0 }
    }

    /// The constants of a loaded lane.
    pub(crate) fn lane(&self, job: &Job<'_>, state: &LaneState) -> LaneNumbers {
        let (problem, of) = (job.problem, &job.lanes[state.lane]);
        let (l1, l2) = job.strengths(state.lane);
        let tangents: Vec<_> =
            job.derivatives.iter().map(|d| d.strengths(problem, of.alpha, of.l1_ratio)).collect();
        LaneNumbers {
            l1,
            l2,
            dl1: tangents.iter().map(|t| t.l1).collect(),
            dl2: tangents.iter().map(|t| t.l2).collect(),
            probe_step: problem.probe_step(l2),
            has_gap: problem.has_gap(l1, l2),
            objective_limit: state.objective_limit,
            tol: state.tol,
            least_norm: LEAST * (2.0 * problem.probe_step(l2) * self.gap_unit).sqrt(),
            least_tangents: job
                .derivatives
                .iter()
                .map(|derivative| LEAST * derivative.natural_size(problem, of.alpha, of.l1_ratio))
                .collect(),
            bases: job.schedule.bases(state.lane),
        }
    }
}
