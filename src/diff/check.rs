//! Tangents against central differences at a fixed number of iterations.
//!
//! The map from hyperparameters to the K-th iterate is piecewise smooth: if a coefficient of any iterate lies
//! on another side of a kink of the penalty (zero, a bound) in one of the two perturbed runs, the central
//! difference straddles the kink and is meaningless. Such lanes are excluded and counted.

use ndarray::{Array1, Array2, Axis};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::objective::{Derivative, Objective};
use crate::program::Keep;
use crate::schedule::Schedule;
use crate::solve::{Alphas, Prepared, Sweep, SweepResult};

/// One derivative compared.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CheckRow {
    /// Name of the derivative.
    pub derivative: String,
    /// Lanes compared.
    pub compared: usize,
    /// Lanes excluded because a coefficient lay on another side of a kink.
    pub excluded: usize,
    /// Largest `‖tangent − difference‖ / max(‖tangent‖, ‖difference‖)` over the lanes compared; for a
    /// derivative too small to be visible in a difference, the smallest visible size is the divisor.
    pub max_error: f64,
    /// The lane of the largest error.
    pub worst_lane: Option<usize>,
}

impl CheckRow {
    /// Of no lane yet.
    pub(super) fn new(derivative: &Derivative) -> Self {
        CheckRow { derivative: derivative.name(), compared: 0, excluded: 0, max_error: 0.0, worst_lane: None }
    }

    /// Counts a lane that is compared.
    pub(super) fn count(&mut self, lane: usize, error: f64) {
        self.compared += 1;
        if error > self.max_error || error.is_nan() {
            (self.max_error, self.worst_lane) = (error, Some(lane));
        }
    }
}

/// Compares every tangent of `sweep` at its last iteration with central differences of width `h`: in the
/// logarithm for `log_alpha` and `log_step`, relative for `alpha` and `step:K`, absolute otherwise. Steps and
/// momenta that depend on the hyperparameters change with them.
///
/// # Errors
/// As [`Sweep::run`], folds, and a derivative by a step or momentum of a schedule whose steps are taken back.
pub fn check(sweep: &Sweep, engine: &mut dyn Engine, h: f64) -> Result<Vec<CheckRow>> {
    super::refuse_folds(sweep)?;
    let sweep = sweep.clone().tol(0.0).every(1).keep(Keep::All);
    let base = sweep.run(engine)?;
    let prepared = sweep.prepare()?;
    let mut rows = Vec::new();
    for (t, derivative) in prepared.derivatives.iter().enumerate() {
        let mut shifted = |sign: f64| -> Result<SweepResult> {
            moved(&sweep, &prepared, &base, derivative, sign * h)?.run(engine)
        };
        let (plus, minus) = (shifted(1.0)?, shifted(-1.0)?);
        let mut row = CheckRow::new(derivative);
        for lane in 0..prepared.lanes.len() {
            let width = 2.0 * h * unit(derivative, &base, lane);
            let pieces = sides(sweep.problem(), &base, lane);
            let decided = decisions(&base, lane);
            let differs = |other: &SweepResult| {
                pieces != sides(sweep.problem(), other, lane) || decided != decisions(other, lane)
            };
            if differs(&plus) || differs(&minus) {
                row.excluded += 1;
                continue;
            }
            let (above, below) = (last(&plus, lane), last(&minus, lane));
            let rounding = ROUNDING * (norm(&above) + norm(&below)) / width;
            let error = relative(&last_tangent(&base, lane, t), &((above - below) / width), rounding);
            row.count(lane, error);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The sweep without tangents, with one hyperparameter moved by `width`: in the logarithm for `log_alpha` and
/// `log_step`, relative for `alpha` and `step:K`, absolute otherwise. `base` is a run of the sweep.
pub(super) fn moved(
    sweep: &Sweep,
    prepared: &Prepared,
    base: &SweepResult,
    derivative: &Derivative,
    width: f64,
) -> Result<Sweep> {
    let free = sweep.clone().derivatives([]);
    let folds = sweep.problem().folds().max(1);
    let alphas = prepared.lanes.iter().step_by(folds).map(|lane| lane.alpha);
    let by_alpha =
        |f: &dyn Fn(f64) -> f64| free.clone().alphas(Alphas::List(alphas.clone().map(f).collect()));
    let same = by_alpha(&|a| a);
    Ok(match derivative {
        Derivative::LogAlpha => by_alpha(&|a| a * width.exp()),
        Derivative::Alpha => by_alpha(&|a| a + width * scale(a)),
        Derivative::L1Ratio => same.l1_ratio(prepared.lanes[0].l1_ratio + width),
        Derivative::PenaltyFactor(j) => same.on(sweep.problem().with_factor_moved(*j, width)),
        Derivative::Target(direction) => same.on(sweep.problem().with_target_moved(&(direction * width))),
        Derivative::LogStep => {
            same.schedule(as_executed(sweep, base, |_, step, beta| (step * width.exp(), beta))?)
        }
        Derivative::Step(at) => same.schedule(as_executed(sweep, base, |k, step, beta| {
            (if k == *at { step * (1.0 + width) } else { step }, beta)
        })?),
        Derivative::Momentum(at) => same.schedule(as_executed(sweep, base, |k, step, beta| {
            (step, if k == *at { beta + width } else { beta })
        })?),
    })
}

/// The unit of a shift of a hyperparameter of a lane.
pub(super) fn unit(derivative: &Derivative, base: &SweepResult, lane: usize) -> f64 {
    match derivative {
        Derivative::Alpha => scale(base.lanes[lane].alpha),
        Derivative::Step(k) => base.trace.step.get((*k, lane)).copied().unwrap_or(1.0),
        _ => 1.0,
    }
}

/// The schedule of `sweep` with the steps and momenta that a run used, changed by `change(k, step,
/// momentum)`.
fn as_executed(
    sweep: &Sweep,
    base: &SweepResult,
    change: impl Fn(usize, f64, f64) -> (f64, f64),
) -> Result<Schedule> {
    if base.trace.momentum.iter().any(|v| *v == -1.0) {
        return Err(Error::usage(
            "grad-check",
            "a derivative by steps of a schedule that takes steps back",
            "steps that are set",
            "Compare derivatives by log_alpha, or give the steps as a table.",
        ));
    }
    let table = |pick: &dyn Fn((f64, f64)) -> f64| {
        let shape = base.trace.step.dim();
        let of = |(k, lane)| pick(change(k, base.trace.step[[k, lane]], base.trace.momentum[[k, lane]]));
        Array2::from_shape_fn(shape, of).into_dyn()
    };
    let (steps, momenta) = (table(&|pair| pair.0), table(&|pair| pair.1));
    Ok(sweep.rules().clone().tabulated(&steps, &momenta))
}

/// The run-time choices of a run: the iterations that restart the momentum or take a step back.
pub(super) fn decisions(result: &SweepResult, lane: usize) -> Vec<bool> {
    result.trace.momentum.column(lane).iter().map(|v| *v == 0.0 || *v == -1.0).collect()
}

/// Unit of a shift in `alpha`.
fn scale(alpha: f64) -> f64 {
    if alpha > 0.0 { alpha } else { 1.0 }
}

/// `[f, p]`: the side of each of the penalty's kinks on which a lane's coefficients lie, as one base-3 digit
/// per kink.
pub(super) fn sides(objective: &Objective, result: &SweepResult, lane: usize) -> Array2<u32> {
    let l1 = result.lanes[lane].alpha * result.lanes[lane].l1_ratio;
    let kinks_of = |factor: &f64| objective.penalty().kinks(l1 * factor);
    let kinks: Vec<Vec<f64>> = objective.penalty_factors().iter().map(kinks_of).collect();
    let coef = result.trace.coef.index_axis(Axis(1), lane);
    let digit = |x: f64, kink: f64| u32::from(x >= kink) + u32::from(x > kink);
    Array2::from_shape_fn(coef.dim(), |(f, j)| {
        kinks[j].iter().fold(0, |sides, kink| 3 * sides + digit(coef[[f, j]], *kink))
    })
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

/// Relative uncertainty of an iterate because of rounding.
pub(super) const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// Largest relative effect of rounding on a visible difference. The error of a smaller derivative is taken
/// relative to the smallest visible size, because a nearly vanishing difference is noise.
pub(super) const VISIBLE: f64 = 1e-6;

fn norm(v: &Array1<f64>) -> f64 {
    v.dot(v).sqrt()
}

/// `‖a − b‖`, relative to the larger norm of both, or to the smallest size that is visible with this
/// `rounding`.
fn relative(a: &Array1<f64>, b: &Array1<f64>, rounding: f64) -> f64 {
    let size = norm(a).max(norm(b)).max(rounding / VISIBLE);
    if size == 0.0 { 0.0 } else { norm(&(a - b)) / size }
}

impl Objective {
    /// The same objective with one penalty factor changed.
    fn with_factor_moved(&self, feature: usize, by: f64) -> Objective {
        let mut moved = self.clone();
        moved.penalty_factors[feature] += by;
        moved
    }

    /// The same objective with the target changed.
    fn with_target_moved(&self, by: &Array1<f64>) -> Objective {
        let mut moved = self.clone();
        moved.shift_target(by);
        moved
    }
}
