//! The gradient of a criterion, by any mode, against central differences of the criterion.

use ndarray::{Array1, ArrayView1};

use super::check::{ROUNDING, VISIBLE, decisions, moved, sides, unit};
use super::{CheckRow, Differentiate, Kind, Mode};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lanes::Lane;
use crate::objective::Objective;
use crate::program::Keep;
use crate::result::Columns;
use crate::solve::SweepResult;

/// Compares the gradient of a criterion with central differences of width `h`, in the units of
/// [`check`](super::check): of the last iterate at a fixed number of iterations for the unrolled modes, of
/// the solution for the others, which must have a tolerance. Excluded are lanes with a coefficient on
/// another side of a kink, and those without a derivative or with several.
///
/// # Errors
/// As [`Differentiate::run`], no criterion, and folds.
pub fn check_gradient(of: &Differentiate, engine: &mut dyn Engine, h: f64) -> Result<Vec<CheckRow>> {
    super::refuse_folds(of.sweep())?;
    let criterion = of.required_criterion()?;
    let mode = match of.mode_asked() {
        Mode::Auto => of.choose(engine)?.mode,
        mode => mode,
    };
    let unrolled = mode.is_unrolled();
    if !unrolled && of.sweep().tolerance() == 0.0 {
        let remedy = "Give a tolerance: differences need solutions.";
        return Err(Error::usage("tol", format!("0, in mode '{mode}'"), "a positive tolerance", remedy));
    }
    // Differences need every iterate, to see whether one crosses a kink.
    let of = of.clone().mode(mode).with_jacobian(false).map(|sweep| match unrolled {
        true => sweep.tol(0.0).every(1).keep(Keep::All),
        false => sweep.keep(Keep::Nothing),
    });
    let found = of.run(engine)?;
    let gradient = found.gradient.as_ref().expect("there is a criterion");
    let (sweep, problem) = (of.sweep(), of.sweep().problem());
    let base = sweep.clone().derivatives([]).run(engine)?;
    let prepared = of.base().prepare()?;
    let values = |result: &SweepResult, on: &Objective, lane: usize| -> f64 {
        let lane_of = Lane {
            alpha: result.lanes[lane].alpha,
            l1_ratio: result.lanes[lane].l1_ratio,
            ..prepared.lanes[lane]
        };
        criterion.at(on, &lane_of, model(result, on, lane).view()).value
    };
    let mut rows = Vec::new();
    for (t, derivative) in of.checked(&prepared)?.iter().enumerate() {
        let [plus, minus] = [1.0, -1.0].map(|sign| -> Result<(SweepResult, Objective)> {
            let moved = moved(sweep, &prepared, &base, derivative, sign * h)?;
            Ok((moved.run(engine)?, moved.problem().clone()))
        });
        let (plus, minus) = (plus?, minus?);
        let mut row = CheckRow::new(derivative);
        for lane in 0..prepared.lanes.len() {
            let has = !matches!(found.lanes[lane].derivative, Kind::Absent | Kind::OneOfSeveral);
            let crosses = |other: &SweepResult| match unrolled {
                true => {
                    sides(problem, &base, lane) != sides(problem, other, lane)
                        || decisions(&base, lane) != decisions(other, lane)
                }
                false => at_rest(problem, &base, lane) != at_rest(problem, other, lane),
            };
            if !has || crosses(&plus.0) || crosses(&minus.0) {
                row.excluded += 1;
                continue;
            }
            let width = 2.0 * h * unit(derivative, &base, lane);
            let (above, below) = (values(&plus.0, &plus.1, lane), values(&minus.0, &minus.1, lane));
            let (found, difference) = (gradient[[lane, t]], (above - below) / width);
            let rounding = ROUNDING * (above.abs() + below.abs()) / width.abs();
            let size = found.abs().max(difference.abs()).max(rounding / VISIBLE);
            let error = if size == 0.0 { 0.0 } else { (found - difference).abs() / size };
            row.count(lane, error);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// `[q]`: the delivered model of a lane as a state.
fn model(result: &SweepResult, problem: &Objective, lane: usize) -> Array1<f64> {
    let model = Columns::new(problem).model(&result.trace, result.polish(), lane);
    problem.state_of(model.coef.view(), model.intercept, true)
}

/// Which coefficients of a model rest at a kink, and on which side of it the others are.
fn at_rest(problem: &Objective, result: &SweepResult, lane: usize) -> Vec<Vec<i8>> {
    let model = Columns::new(problem).model(&result.trace, result.polish(), lane);
    let l1 = result.lanes[lane].alpha * result.lanes[lane].l1_ratio;
    let sides = |(x, factor): (&f64, &f64)| {
        let kinks = problem.penalty().kinks(l1 * factor);
        kinks.iter().map(|kink| i8::from(x > kink) - i8::from(x < kink)).collect()
    };
    let coef: ArrayView1<'_, f64> = model.coef.view();
    coef.iter().zip(&problem.penalty_factors).map(sides).collect()
}
