//! Products with the Hessian of a criterion in the hyperparameters, at the solution: forward over implicit.
//!
//! With `F = ∇f + ∇g` on the manifold, `H = F_x`, the gradient is `g_i = −vᵀ F_i + C_i`, `H v = C_x`. Along a
//! direction with the tangent `dx = −H⁻¹ dF` it changes by
//!
//! ```text
//! dg_i = −dvᵀ F_i − vᵀ (F_ix dx + dF_i) + C_ix dx + dC_i        H dv = C_xx dx + dC_x − dH v
//! ```

use ndarray::{Array1, Array2, ArrayView1};
use rayon::prelude::*;

use super::run::Run;
use super::{Differentiate, linearization::Linearization};
use crate::certificate::{Factored, OnManifold};
use crate::diff::{Criterion, Mode};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective, Ridge};

impl Differentiate {
    /// `[b, h]`: the Hessian of the criterion in the hyperparameters, at the solutions, times a direction,
    /// `[h]`; NaN in lanes without a solution, with several derivatives, or whose active set is too large for
    /// a dense system. The active set is taken to stay.
    ///
    /// # Errors
    /// As [`run`](Self::run) in the mode `Implicit`; no criterion; a direction of another length; derivatives
    /// by the target, or of the objective of a penalty that is not convex.
    pub fn hessian_product(
        &self,
        engine: &mut dyn Engine,
        direction: ArrayView1<'_, f64>,
    ) -> Result<Array2<f64>> {
        let of = self.clone().mode(Mode::Implicit);
        let criterion = of.required_criterion()?;
        let run = of.solve(engine)?;
        of.check_direction(&run.derivatives, direction)?;
        if run.derivatives.iter().any(|d| matches!(d, Derivative::Target(_))) {
            let found = "'target' in a second derivative";
            return Err(Error::usage("derivatives", found, "derivatives by the penalty", ""));
        }
        let convex = self.sweep.problem().penalty().capabilities().convex;
        if criterion == Criterion::Objective && !convex {
            let found = "'objective' of a penalty that is not convex, in a second derivative";
            return Err(Error::usage("criterion", found, "'validation'", ""));
        }
        run.linearize(|linear, run| Ok(products(criterion, run, linear, direction)))
    }
}

fn products(
    criterion: Criterion,
    run: &Run<'_>,
    linear: &Linearization<'_>,
    direction: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let lanes = &run.prepared.lanes;
    let of_lane = |lane: usize| {
        // Of several derivatives none has a derivative.
        let on = linear.on_manifold(lane).filter(|_| linear.is_unique(lane))?;
        let system = on.factored()?;
        let (problem, of) = (run.problems.of(lanes[lane].fold), &lanes[lane]);
        let strengths = Strengths { problem, lane: of, derivatives: &run.derivatives, direction };
        Some(match criterion {
            Criterion::Validation => of_held_out(on, &system, &strengths),
            Criterion::Objective => of_objective(on, &system, &strengths),
        })
    };
    let rows: Vec<Option<Vec<f64>>> = (0..lanes.len()).into_par_iter().map(of_lane).collect();
    let mut out = Array2::from_elem((lanes.len(), run.derivatives.len()), f64::NAN);
    for (mut to, row) in out.rows_mut().into_iter().zip(rows) {
        if let Some(row) = row {
            to.assign(&Array1::from(row));
        }
    }
    out
}

/// The product for the loss over held-out rows.
fn of_held_out(on: &OnManifold<'_>, system: &Factored<'_, '_>, of: &Strengths<'_>) -> Vec<f64> {
    let (problem, x) = (of.problem, on.x());
    let rows = problem.held_out.as_ref().expect("checked before");
    let (z, loss) = (rows.design.apply_vector(x.view()), problem.loss());
    let held_out = |by: &dyn Fn(f64, f64) -> f64| -> Array1<f64> {
        z.iter().zip(&rows.target).zip(&rows.weight).map(|((z, y), w)| w * by(*z, *y)).collect()
    };
    let c = rows.design.apply_t_vector(held_out(&|z, y| loss.d1(z, y)).view());
    let v = system.solve(c.view());
    let dx = system.solve((-of.moved(on)).view());
    // C_xx dx − dH v
    let curved = &held_out(&|z, y| loss.d2(z, y)) * &rows.design.apply_vector(dx.view());
    let mut right = rows.design.apply_t_vector(curved.view());
    let (along_x, along_v) = (problem.design.apply_vector(dx.view()), problem.design.apply_vector(v.view()));
    let fitted = problem.weight.iter().zip(&problem.target).zip(on.predictions());
    let turned: Array1<f64> = fitted
        .zip(along_x.iter().zip(&along_v))
        .map(|(((w, y), z), (dx, v))| w * loss.d3(*z, *y) * dx * v)
        .collect();
    right -= &problem.design.apply_t_vector(turned.view());
    for &j in on.active() {
        right[j] -= of.ridge_moved(j) * v[j];
    }
    let dv = system.solve(right.view());
    let product = |i: usize| -> f64 {
        let term = |&j: &usize| {
            let (first, by_x, second) = of.terms(on, i, j);
            -dv[j] * first - v[j] * (by_x * dx[j] + second)
        };
        on.active().iter().map(term).sum()
    };
    (0..of.derivatives.len()).map(product).collect()
}

/// The product for the objective itself: the gradient is its derivative at fixed coefficients.
fn of_objective(on: &OnManifold<'_>, system: &Factored<'_, '_>, of: &Strengths<'_>) -> Vec<f64> {
    let dx = system.solve((-of.moved(on)).view());
    let product = |i: usize| -> f64 {
        let term = |&j: &usize| {
            let of_penalty = on.penalty(j);
            let (ddl1, ddl2) = of.second(i, j);
            of.terms(on, i, j).0 * dx[j] + ddl1 * of_penalty.by_l1 + ddl2 * of_penalty.by_l2
        };
        on.active().iter().map(term).sum()
    };
    (0..of.derivatives.len()).map(product).collect()
}

/// The strengths of a lane's coefficients along a direction of its hyperparameters.
struct Strengths<'a> {
    problem: &'a Objective,
    lane: &'a Lane,
    derivatives: &'a [Derivative],
    direction: ArrayView1<'a, f64>,
}

impl Strengths<'_> {
    /// The tangents of a coefficient's strengths along the direction.
    fn first(&self, j: usize) -> (f64, f64) {
        let sum = |(l1, l2): (f64, f64), (i, by): (usize, &Derivative)| {
            let of = by.strengths(self.problem, self.lane.alpha, self.lane.l1_ratio);
            let (dl1, dl2) = of.of_coefficient(j, &self.problem.penalty_factors);
            (l1 + self.direction[i] * dl1, l2 + self.direction[i] * dl2)
        };
        self.derivatives.iter().enumerate().fold((0.0, 0.0), sum)
    }

    /// `[q]`: `dF` at a fixed state.
    fn moved(&self, on: &OnManifold<'_>) -> Array1<f64> {
        let mut out = Array1::zeros(self.problem.state_rows());
        for &j in on.active() {
            let ((dl1, dl2), of_penalty) = (self.first(j), on.penalty(j));
            out[j] = dl1 * of_penalty.d1_by_l1 + dl2 * of_penalty.d1_by_l2;
        }
        out
    }

    /// The change of a coefficient's ridge along the direction.
    fn ridge_moved(&self, j: usize) -> f64 {
        if self.has_ridge() { self.first(j).1 } else { 0.0 }
    }

    fn has_ridge(&self) -> bool {
        self.problem.penalty().capabilities().ridge != Ridge::Absent
    }

    /// `F_i`, `F_ix` and `dF_i` of a coefficient, for derivative `i`.
    fn terms(&self, on: &OnManifold<'_>, i: usize, j: usize) -> (f64, f64, f64) {
        let of = self.derivatives[i].strengths(self.problem, self.lane.alpha, self.lane.l1_ratio);
        let (dl1, dl2) = of.of_coefficient(j, &self.problem.penalty_factors);
        let of_penalty = on.penalty(j);
        let (ddl1, ddl2) = self.second(i, j);
        let of_strengths = |l1: f64, l2: f64| l1 * of_penalty.d1_by_l1 + l2 * of_penalty.d1_by_l2;
        (of_strengths(dl1, dl2), if self.has_ridge() { dl2 } else { 0.0 }, of_strengths(ddl1, ddl2))
    }

    /// The changes, along the direction, of the derivatives by hyperparameter `i` of a coefficient's
    /// strengths `alpha l1_ratio factor` and `alpha (1 − l1_ratio) factor`.
    fn second(&self, i: usize, j: usize) -> (f64, f64) {
        let Some(&factor) = self.problem.penalty_factors.get(j) else { return (0.0, 0.0) };
        let (alpha, ratio) = (self.lane.alpha, self.lane.l1_ratio);
        let parts = |by: &Derivative| match by {
            Derivative::LogAlpha => (alpha, 0.0, 0.0),
            Derivative::Alpha => (1.0, 0.0, 0.0),
            Derivative::L1Ratio => (0.0, 1.0, 0.0),
            Derivative::PenaltyFactor(feature) => (0.0, 0.0, f64::from(u8::from(*feature == j))),
            _ => (0.0, 0.0, 0.0),
        };
        let along = |sum: (f64, f64, f64), (by, size): (&Derivative, &f64)| {
            let (a, r, f) = parts(by);
            (sum.0 + size * a, sum.1 + size * r, sum.2 + size * f)
        };
        let moved = self.derivatives.iter().zip(&self.direction).fold((0.0, 0.0, 0.0), along);
        let by = parts(&self.derivatives[i]);
        // The logarithm is the only one whose second derivative by itself is not zero.
        let curved =
            if self.derivatives[i] == Derivative::LogAlpha { alpha * self.direction[i] } else { 0.0 };
        // Of `alpha · mix · factor`, where the mix moves by `sign` times the ratio.
        let of = |mix: f64, sign: f64| {
            curved * mix * factor
                + (by.0 * sign * moved.1 + moved.0 * sign * by.1) * factor
                + (by.0 * moved.2 + moved.0 * by.2) * mix
                + (sign * by.1 * moved.2 + sign * moved.1 * by.2) * alpha
        };
        (of(ratio, 1.0), of(1.0 - ratio, -1.0))
    }
}
