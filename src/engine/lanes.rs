//! The numbers of a batch's lanes, as both engines use them.

use std::ops::Range;

use ndarray::Array2;

use super::{DIVERGED, Job};
use crate::problem::Intercept;

/// Per-lane constants of a batch of `b` lanes with `d` tangents.
pub(crate) struct LaneNumbers {
    /// `[b]`: strength of the l1 and l2 part.
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
    /// `[b, d]`: their tangents.
    pub(crate) dl1: Array2<f64>,
    pub(crate) dl2: Array2<f64>,
    /// `[d]`: the one feature whose strength a tangent moves; `None` for all.
    pub(crate) only: Vec<Option<usize>>,
    /// `[d]`: whether the stop rule tests a tangent.
    pub(crate) tested: Vec<bool>,
    /// `[b]`: `1/L`, the step of the stop rule.
    pub(crate) probe_step: Vec<f64>,
    /// `[q]`: penalty factors; rows from `penalised` on are exempt from the penalty.
    pub(crate) factors: Vec<f64>,
    pub(crate) penalised: usize,
    /// `[n, d]` tangent of the target, if any direction moves it.
    pub(crate) target_tangent: Option<Array2<f64>>,
    /// The unit of the relative duality gap.
    pub(crate) gap_unit: f64,
    /// `[b, q]`: the start.
    pub(crate) start: Array2<f64>,
    /// `[b]`: whether the duality gap is the stop rule, rather than stationarity.
    pub(crate) has_gap: Vec<bool>,
    /// `[b]`: an objective beyond this is divergence.
    pub(crate) objective_limit: Vec<f64>,
}

impl LaneNumbers {
    pub(crate) fn new(job: &Job<'_>, batch: Range<usize>) -> Self {
        let problem = job.problem;
        let (q, d, b) = (problem.state_rows(), job.derivatives.len(), batch.len());
        let lanes = &job.lanes[batch.clone()];
        let strength = |share: f64, alpha: f64| if problem.penalty().uses_alpha() { share * alpha } else { 0.0 };
        let tangent = |i: usize, t: usize| job.derivatives[t].strengths(problem, lanes[i].alpha, lanes[i].l1_ratio);
        let mut target_tangent = Array2::zeros((problem.design.nrows(), d));
        let mut moves_target = false;
        for (t, derivative) in job.derivatives.iter().enumerate() {
            if let Some((direction, _)) = derivative.target_tangent(problem) {
                target_tangent.column_mut(t).assign(&direction);
                moves_target = true;
            }
        }
        let penalised = match problem.intercept {
            Intercept::Column => q - 1,
            _ => q,
        };
        let mut factors = problem.penalty_factors.to_vec();
        factors.resize(q, 0.0);
        let start = match job.start {
            None => Array2::zeros((b, q)),
            Some(s) => Array2::from_shape_fn((b, q), |(i, j)| s[[if s.nrows() == 1 { 0 } else { batch.start + i }, j]]),
        };
        let null_loss = problem.null_loss();
        let l1: Vec<f64> = lanes.iter().map(|l| strength(l.l1_ratio, l.alpha)).collect();
        let l2: Vec<f64> = lanes.iter().map(|l| strength(1.0 - l.l1_ratio, l.alpha)).collect();
        let objective_limit = (0..b)
            .map(|i| {
                let x = start.row(i);
                let loss: f64 = if x.iter().all(|v| *v == 0.0) {
                    null_loss
                } else {
                    let z = problem.design.dot(&x);
                    let value = |i: usize| problem.weight[i] * problem.loss().value(z[i], problem.target[i]);
                    (0..z.len()).map(value).sum()
                };
                let penalty: f64 =
                    (0..penalised).map(|j| problem.penalty().value(x[j], l1[i] * factors[j], l2[i] * factors[j])).sum();
                DIVERGED * (loss + penalty).max(null_loss).max(f64::MIN_POSITIVE)
            })
            .collect();
        LaneNumbers {
            dl1: Array2::from_shape_fn((b, d), |(i, t)| tangent(i, t).l1),
            dl2: Array2::from_shape_fn((b, d), |(i, t)| tangent(i, t).l2),
            only: (0..d).map(|t| tangent(0, t).only).collect(),
            tested: job.derivatives.iter().map(|d| !d.is_of_process()).collect(),
            probe_step: l2.iter().map(|l2| 1.0 / problem.lipschitz(*l2).0).collect(),
            l1,
            l2,
            factors,
            penalised,
            target_tangent: moves_target.then_some(target_tangent),
            gap_unit: if null_loss > 0.0 { null_loss } else { 1.0 },
            start,
            has_gap: lanes
                .iter()
                .map(|l| problem.has_gap() && (!problem.penalty().uses_alpha() || l.alpha > 0.0))
                .collect(),
            objective_limit,
        }
    }
}
