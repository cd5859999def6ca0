//! The section `modes`: every way to differentiate, beside the same sweep without derivatives.

use std::time::Instant;

use crate::machine::Machine;
use crate::report::{ModeTime, Report, Sample};
use crate::sections::usual_precision;
use crate::suite::{Plan, Section, Shape, Suite, lasso_data};
use crate::{progress, skip};
use proxjet::data::{Validation, bundled};
use proxjet::diff::{Differentiate, Differentiated, Mode};
use proxjet::engine::Engine;
use proxjet::error::Result;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::Keep;
use proxjet::solve::{Alphas, Sweep};

/// A sweep, its name, the derivatives, and true if those of all coefficients are asked for.
struct Case {
    what: String,
    sweep: Sweep,
    derivatives: Vec<Derivative>,
    jacobian: bool,
}

/// The loss of held-out rows, differentiated in every mode.
pub(crate) fn modes(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    for case in cases(plan, machine.engine())? {
        progress(&format!("modes: {}", case.what));
        match measured(plan, machine.engine(), &case) {
            Ok(entries) => report.modes.extend(entries),
            Err(e) => skip(machine, report, Section::Modes, case.what, e)?,
        }
    }
    Ok(())
}

fn cases(plan: &Plan, engine: &dyn Engine) -> Result<Vec<Case>> {
    let usual = match plan.suite {
        Suite::Full => Shape { rows: 1000, features: 2000, lanes: 64 },
        Suite::Quick => Shape { rows: 200, features: 400, lanes: 16 },
    };
    let shape = plan.asked.unwrap_or(usual);
    let held_out: Validation = "0.25:1".parse()?;
    // As many fitted rows as the shape says.
    let (fitted, other) = lasso_data(Shape { rows: shape.rows * 4 / 3, ..shape })?.split(held_out)?;
    let lasso = Objective::builder(fitted).validation(other).build()?;
    let (fitted, other) = bundled("breast_cancer")?.split(held_out)?;
    let fitted = fitted.standardize();
    let other = other.standardize_like(&fitted)?;
    let logistic =
        Objective::builder(fitted).validation(other).loss(Loss::logistic()).penalty(Penalty::l2()).build()?;
    let sweep = |problem: &Objective, lanes: usize, epsilon: f64| {
        Sweep::new(problem.clone())
            .alphas(Alphas::Path { epsilon, count: lanes })
            .iterations(500)
            .keep(Keep::Nothing)
            .precision(usual_precision(engine))
            .memory_budget(plan.memory_budget)
    };
    let name = format!("lasso {} x {}, {} lanes", shape.rows, shape.features, shape.lanes);
    let by_alpha = || vec![Derivative::LogAlpha];
    let factors = (0..shape.features).map(Derivative::PenaltyFactor).collect();
    Ok(vec![
        Case {
            what: format!("{name}, 500 iterations"),
            sweep: sweep(&lasso, shape.lanes, 0.1).tol(0.0),
            derivatives: by_alpha(),
            jacobian: false,
        },
        Case {
            what: format!("{name}, to the tolerance"),
            sweep: sweep(&lasso, shape.lanes, 0.1).iterations(5000),
            derivatives: by_alpha(),
            jacobian: false,
        },
        Case {
            what: format!("{name}, by every penalty factor"),
            sweep: sweep(&lasso, shape.lanes, 0.1).iterations(5000),
            derivatives: factors,
            jacobian: false,
        },
        Case {
            what: "ridge logistic breast_cancer, 64 lanes, 500 iterations".into(),
            sweep: sweep(&logistic, 64, 1e-3).tol(0.0),
            derivatives: by_alpha(),
            jacobian: false,
        },
        Case {
            what: "ridge logistic breast_cancer, 64 lanes, to the tolerance".into(),
            sweep: sweep(&logistic, 64, 1e-3).iterations(20_000),
            derivatives: by_alpha(),
            jacobian: true,
        },
    ])
}

/// Every mode that gives what is asked for, in turn with the sweep alone; the first run of each warms up.
fn measured(plan: &Plan, engine: &mut dyn Engine, case: &Case) -> Result<Vec<ModeTime>> {
    let sweep = case.sweep.clone().derivatives(case.derivatives.clone());
    let of = |mode: Mode| Differentiate::new(sweep.clone()).mode(mode).with_jacobian(case.jacobian);
    let choice = of(Mode::Auto).choose(engine)?;
    let modes: Vec<Mode> = choice.estimates.iter().filter(|e| e.refused.is_none()).map(|e| e.mode).collect();
    let plain = case.sweep.clone().derivatives([]);
    let mut seconds = vec![Vec::new(); modes.len()];
    let mut seconds_plain = Vec::new();
    let mut last: Vec<Option<Differentiated>> = vec![None; modes.len()];
    for repetition in 0..=plan.repeat {
        let clock = Instant::now();
        plain.run(engine)?;
        if repetition > 0 {
            seconds_plain.push(clock.elapsed().as_secs_f64());
        }
        for (i, mode) in modes.iter().enumerate() {
            let clock = Instant::now();
            let found = of(*mode).run(engine)?;
            if repetition > 0 {
                seconds[i].push(clock.elapsed().as_secs_f64());
            }
            last[i] = Some(found);
        }
    }
    let seconds_plain = Sample::new(seconds_plain);
    let entry = |((mode, seconds), found): ((Mode, Vec<f64>), Option<Differentiated>)| {
        let found = found.expect("every mode ran");
        let seconds = Sample::new(seconds);
        let errors = found.lanes.iter().filter_map(|lane| lane.derivative_error);
        ModeTime {
            what: case.what.clone(),
            mode: mode.name().into(),
            chosen: mode == choice.mode,
            derivatives: case.derivatives.len(),
            jacobian: case.jacobian,
            precision: usual_precision(engine).name().into(),
            ratio: seconds.over(&seconds_plain),
            seconds,
            seconds_plain: seconds_plain.clone(),
            bytes: found.peak_bytes,
            error: errors.reduce(f64::max),
            iterations: found.lanes.iter().map(|lane| lane.iterations as f64).sum(),
        }
    };
    Ok(modes.into_iter().zip(seconds).zip(last).map(entry).collect())
}
