//! A bound on the derivative's final error after a late start of the tangents.

use super::rates::{Recursion, extrapolation_at};
use crate::certificate::implicit::Solution;
use crate::objective::{Derivative, Missing, Need, Objective};
use crate::schedule::{Metric, Step};
use crate::solve::Prepared;

/// The iterations of a lane, the input of the bound.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Index of the lane.
    pub lane: usize,
    /// (step, momentum) of every iteration.
    pub steps: &'a [(f64, f64)],
    /// First iteration that computes tangents.
    pub from: usize,
    /// Iteration of identification, if there was one.
    pub identified: Option<usize>,
    /// `‖x_0 − x*‖`.
    pub start_error: f64,
}

/// A bound on `‖Dx_K − Dx*‖` for tangents that start from zero at `course.from`, one per derivative.
///
/// The first part, `ρ^T ‖Dx*‖`, is the error of the start that remains after `T` iterations; the second, `M T
/// ρ^{K−1} ‖x_0 − x*‖`, is the error fed in by iterates away from the solution: the curse of unrolling. Two
/// cases are proved:
///
/// - squared loss with a penalty that is linear on the manifold, from identification on: the update is affine
///   and `M = 0`; the first part then holds mode by mode, with momentum too;
/// - a strongly convex `f` without a proximal part, without momentum: `ρ_k = max(|1 − α_k m|, |1 − α_k L|)`
///   contracts everywhere, and `M = α (sup |∂³φ| ‖X‖² max_i ‖X_i‖ ‖Dx*‖ + |∂_u ridge| + |∂_u L| + |∂_u m|)`.
///
/// Both without a metric, for derivatives that do not change the schedule itself and steps that do not depend
/// on the iterates (the tangent of a Barzilai–Borwein step is not bounded). `None` in all other cases.
///
/// # Errors
/// A loss or penalty that is not convex: its iterations do not contract uniformly.
pub fn bound(
    objective: &Objective,
    prepared: &Prepared,
    solution: &Solution,
    course: &Course<'_>,
) -> Result<Option<Vec<f64>>, Missing> {
    objective.require(Need::LateStartBound)?;
    Ok(proved(objective, prepared, solution, course))
}

fn proved(
    objective: &Objective,
    prepared: &Prepared,
    solution: &Solution,
    course: &Course<'_>,
) -> Option<Vec<f64>> {
    let schedule = &prepared.schedule;
    let follows = schedule.schedule().phases().iter().any(|p| matches!(p.step, Step::BarzilaiBorwein { .. }));
    let plain_metric = schedule.schedule().metric_rule() == &Metric::None;
    if follows || !plain_metric || prepared.derivatives.iter().any(Derivative::is_of_process) {
        return None;
    }
    let norms: Vec<f64> = solution.dstate.rows().into_iter().map(|r| r.dot(&r).sqrt()).collect();
    let lane = &prepared.lanes[course.lane];
    let ridges: Vec<f64> = prepared
        .derivatives
        .iter()
        .map(|d| d.strengths(objective, lane.alpha, lane.l1_ratio).l2.abs())
        .collect();
    let factors = objective.penalty_factors().iter().copied().fold(1.0, f64::max);

    let linear = objective.curvature().d3_max == 0.0 && ridges.iter().all(|r| *r == 0.0);
    if linear && course.identified.is_some_and(|k| k <= course.from) {
        let mut recursion = Recursion::new(solution)?;
        let mut left = 1.0;
        for (k, (step, momentum)) in course.steps.iter().enumerate().skip(course.from) {
            left = recursion.advance(*step, *momentum, extrapolation_at(schedule, k, *momentum)?);
        }
        return Some(norms.iter().map(|n| left * n).collect());
    }

    let curvature = schedule.lanes()[course.lane];
    let plain = objective.penalty().ridge_in_loss()
        && curvature.strong_convexity > 0.0
        && objective.curvature().d3_max.is_finite()
        && course.steps.iter().all(|(_, momentum)| *momentum == 0.0);
    if !plain {
        return None;
    }
    let contraction = |step: f64| {
        (1.0 - step * curvature.strong_convexity).abs().max((1.0 - step * curvature.lipschitz).abs())
    };
    let turn = turn(objective);
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

/// A Lipschitz constant of the Hessian: `sup |∂³φ| ‖X‖² max_i ‖X_i‖`.
fn turn(objective: &Objective) -> f64 {
    let gram = objective.spectrum().lipschitz / objective.curvature().d2_max;
    objective.curvature().d3_max * gram * objective.design().max_row_norm()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Synthetic;
    use crate::objective::{Loss, Penalty};
    use ndarray::Array1;

    #[test]
    fn the_hessian_turns_no_faster_than_its_constant() {
        let data = Synthetic {
            rows: 40,
            features: 6,
            scale: (0.5, 2.0),
            relevant: 6,
            effect: 1.0,
            noise: 0.5,
            classes: true,
            seed: 4,
        };
        let objective = Objective::builder(data.draw().unwrap())
            .loss(Loss::logistic())
            .penalty(Penalty::l2())
            .build()
            .unwrap();
        let q = objective.state_rows();
        let at = |seed: f64, size: f64| -> Array1<f64> {
            (0..q).map(|j| size * (seed + j as f64).sin()).collect()
        };
        let hessian = |x: &Array1<f64>, v: &Array1<f64>| {
            let (z, dz) =
                (objective.design().apply_vector(x.view()), objective.design().apply_vector(v.view()));
            let r: Array1<f64> = (0..z.len())
                .map(|i| objective.weight()[i] * objective.loss().d2(z[i], objective.target()[i]) * dz[i])
                .collect();
            objective.design().apply_t_vector(r.view())
        };
        let norm = |v: &Array1<f64>| v.dot(v).sqrt();
        let (bound, mut largest) = (turn(&objective), 0.0f64);
        for seed in 0..200 {
            let seed = f64::from(seed);
            let (x, y, v) = (at(seed, 0.3), at(1.7 * seed, 0.2), at(0.3 * seed, 1.0));
            let turned = norm(&(hessian(&x, &v) - hessian(&y, &v))) / (norm(&v) * norm(&(&x - &y)));
            assert!(turned <= bound, "{turned} of at most {bound}");
            largest = largest.max(turned);
        }
        assert!(largest > bound / 100.0, "{largest} of at most {bound}");
    }
}
