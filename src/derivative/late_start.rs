//! What a late start of the tangents costs: a bound on the derivative's error at the end.

use super::implicit::Solution;
use super::rates::{Recursion, look_at};
use crate::driver::Prepared;
use crate::problem::{Derivative, Problem};
use crate::schedule::Metric;

/// The iterations of a lane, as far as a bound needs them.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Index of the lane.
    pub lane: usize,
    /// (step, momentum) of every iteration.
    pub steps: &'a [(f64, f64)],
    /// First iteration that carries tangents.
    pub from: usize,
    /// Identification, where there was one.
    pub identified: Option<usize>,
    /// `‖x_0 − x*‖`.
    pub start_error: f64,
}

/// A bound on `‖Dx_K − Dx*‖` for tangents that start from zero at `course.from`, one per derivative.
///
/// The first part, `ρ^T ‖Dx*‖`, is what the `T` iterations leave of the start; the second, `M T ρ^{K−1} ‖x_0 − x*‖`, is what
/// iterates away from the solution feed in: the curse of unrolling. Two cases are proved:
///
/// - squared loss with a penalty that is linear on the manifold, from identification on: the update is affine and `M = 0`; the
///   first part then holds mode by mode, with momentum too;
/// - a strongly convex `f` without a proximal part, without momentum: `ρ_k = max(|1 − α_k m|, |1 − α_k L|)` contracts
///   everywhere, and `M = α (sup |∂³φ| ‖X‖² max_i ‖X_i‖ ‖Dx*‖ + |∂_u ridge| + |∂_u L| + |∂_u m|)`.
///
/// Both without a metric, for derivatives that do not move the schedule itself. `None` for the rest.
pub fn bound(problem: &Problem, prepared: &Prepared, solution: &Solution, course: &Course<'_>) -> Option<Vec<f64>> {
    let schedule = &prepared.schedule;
    let still = |d: &Derivative| !matches!(d, Derivative::LogStep | Derivative::Step(_) | Derivative::Momentum(_));
    if schedule.schedule().metric_rule() != &Metric::None || !prepared.derivatives.iter().all(still) {
        return None;
    }
    let norms: Vec<f64> = solution.dstate.rows().into_iter().map(|r| r.dot(&r).sqrt()).collect();
    let lane = &prepared.lanes[course.lane];
    let ridges: Vec<f64> =
        prepared.derivatives.iter().map(|d| d.strengths(problem, lane.alpha, lane.l1_ratio).l2.abs()).collect();
    let factors = problem.penalty_factors().iter().copied().fold(1.0, f64::max);

    let linear = problem.loss().curve_slope_max() == 0.0 && ridges.iter().all(|r| *r == 0.0);
    if linear && course.identified.is_some_and(|k| k <= course.from) {
        let mut recursion = Recursion::new(solution)?;
        let mut left = 1.0;
        for (k, (step, momentum)) in course.steps.iter().enumerate().skip(course.from) {
            left = recursion.advance(*step, *momentum, look_at(schedule, k, *momentum)?);
        }
        return Some(norms.iter().map(|n| left * n).collect());
    }

    let curvature = schedule.lanes()[course.lane];
    let plain = problem.penalty().ridge_in_loss()
        && curvature.strong_convexity > 0.0
        && problem.loss().curve_slope_max().is_finite()
        && course.steps.iter().all(|(_, momentum)| *momentum == 0.0);
    if !plain {
        return None;
    }
    let contraction =
        |step: f64| (1.0 - step * curvature.strong_convexity).abs().max((1.0 - step * curvature.lipschitz).abs());
    let gram = problem.spectrum().lipschitz / problem.loss().curvature().0;
    let longest = problem.design().rows().into_iter().map(|r| r.dot(&r).sqrt()).fold(0.0, f64::max);
    let turn = problem.loss().curve_slope_max() * gram * longest;
    let bound = |t: usize| {
        let by = &schedule.curvature_tangents(course.lane)[t];
        let moved = factors * ridges[t] + by.lipschitz.abs() + by.strong_convexity.abs();
        let (mut left, mut fed, mut distance) = (norms[t], 0.0, course.start_error);
        for (k, (step, _)) in course.steps.iter().enumerate() {
            let rho = contraction(*step);
            if k >= course.from {
                left *= rho;
                fed = rho * fed + step * (turn * norms[t] + moved) * distance;
            }
            distance *= rho;
        }
        left + fed
    };
    Some((0..norms.len()).map(bound).collect())
}
