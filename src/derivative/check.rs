//! Tangents against central differences at a fixed number of iterations.
//!
//! The map from hyperparameters to the K-th iterate is piecewise smooth: where the active set of any iterate differs
//! between the two perturbed runs and the unperturbed one, a central difference straddles a kink and says nothing. Such
//! lanes are left out and counted.

use ndarray::{Array1, Array2, Axis};
use serde::Serialize;

use crate::driver::{Alphas, Sweep, SweepResult};
use crate::engine::Engine;
use crate::error::Result;
use crate::problem::{Derivative, Penalty, Problem};
use crate::schedule::{Momentum, Step};

/// One derivative compared.
#[derive(Debug, Clone, Serialize)]
pub struct CheckRow {
    /// Name of the derivative.
    pub derivative: String,
    /// Lanes compared.
    pub compared: usize,
    /// Lanes left out: an active set differed.
    pub excluded: usize,
    /// Largest `‖tangent − difference‖ / max(‖tangent‖, ‖difference‖)` over the lanes compared.
    pub max_error: f64,
    /// The lane of the largest error.
    pub worst_lane: Option<usize>,
}

/// Compares every tangent of `sweep` at its last iteration with central differences of width `h`: in the logarithm for
/// `log_alpha`, relative to `alpha`, absolute otherwise. Steps and momenta stay those of the unperturbed run.
///
/// # Errors
/// As [`Sweep::run`].
pub fn check(sweep: &Sweep, engine: &mut dyn Engine, h: f64) -> Result<Vec<CheckRow>> {
    let sweep = sweep.clone().tol(0.0).every(1);
    let base = sweep.run(engine)?;
    let prepared = sweep.prepare()?;
    let alphas: Vec<f64> = prepared.lanes.iter().map(|l| l.alpha).collect();
    let fixed = sweep
        .clone()
        .step(Step::Table(base.trace.step.clone().into_dyn()))
        .momentum(Momentum::Table(base.trace.momentum.clone().into_dyn()))
        .iterations(base.trace.step.nrows())
        .derivatives([]);
    let mut rows = Vec::new();
    for (t, derivative) in prepared.derivatives.iter().enumerate() {
        let mut shifted = |sign: f64| -> Result<SweepResult> {
            let width = sign * h;
            let by_alpha =
                |f: &dyn Fn(f64) -> f64| fixed.clone().alphas(Alphas::List(alphas.iter().map(|a| f(*a)).collect()));
            let same = by_alpha(&|a| a);
            let moved = match derivative {
                Derivative::LogAlpha => by_alpha(&|a| a * width.exp()),
                Derivative::Alpha => by_alpha(&|a| a + width * scale(a)),
                Derivative::L1Ratio => same.l1_ratio(prepared.lanes[0].l1_ratio + width),
                Derivative::PenaltyFactor(j) => same.on(sweep.problem().with_factor_moved(*j, width)),
                Derivative::Target(direction) => same.on(sweep.problem().with_target_moved(&(direction * width))),
            };
            moved.run(engine)
        };
        let (plus, minus) = (shifted(1.0)?, shifted(-1.0)?);
        let penalty = sweep.problem().penalty();
        let mut row =
            CheckRow { derivative: derivative.name(), compared: 0, excluded: 0, max_error: 0.0, worst_lane: None };
        for (lane, alpha) in alphas.iter().enumerate() {
            let width = 2.0 * h * if matches!(derivative, Derivative::Alpha) { scale(*alpha) } else { 1.0 };
            let active = active_sets(penalty, &base, lane);
            if active != active_sets(penalty, &plus, lane) || active != active_sets(penalty, &minus, lane) {
                row.excluded += 1;
                continue;
            }
            row.compared += 1;
            let difference = (last(&plus, lane) - last(&minus, lane)) / width;
            let error = relative(&last_tangent(&base, lane, t), &difference);
            if error > row.max_error || error.is_nan() {
                (row.max_error, row.worst_lane) = (error, Some(lane));
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Unit of a shift in `alpha`.
fn scale(alpha: f64) -> f64 {
    if alpha > 0.0 { alpha } else { 1.0 }
}

/// Active coefficients of every frame of a lane, `[f, p]`.
fn active_sets(penalty: Penalty, result: &SweepResult, lane: usize) -> Array2<bool> {
    result.trace.coef.index_axis(Axis(1), lane).mapv(|x| penalty.is_active(x))
}

/// Last coefficients and intercept of a lane.
fn last(result: &SweepResult, lane: usize) -> Array1<f64> {
    let f = result.trace.iteration.len() - 1;
    let mut all = result.trace.coef.index_axis(Axis(0), f).row(lane).to_vec();
    all.push(result.trace.intercept[[f, lane]]);
    all.into()
}

fn last_tangent(result: &SweepResult, lane: usize, t: usize) -> Array1<f64> {
    let f = result.trace.iteration.len() - 1;
    let mut all = result.trace.dcoef.index_axis(Axis(0), f).index_axis(Axis(0), lane).row(t).to_vec();
    all.push(result.trace.dintercept[[f, lane, t]]);
    all.into()
}

fn relative(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    let norm = |v: &Array1<f64>| v.dot(v).sqrt();
    let size = norm(a).max(norm(b));
    if size == 0.0 { 0.0 } else { norm(&(a - b)) / size }
}

impl Problem {
    /// The same problem with one penalty factor moved.
    fn with_factor_moved(&self, feature: usize, by: f64) -> Problem {
        let mut moved = self.clone();
        moved.penalty_factors[feature] += by;
        moved
    }

    /// The same problem with the target moved.
    fn with_target_moved(&self, by: &Array1<f64>) -> Problem {
        let mut moved = self.clone();
        moved.shift_target(by);
        moved
    }
}
