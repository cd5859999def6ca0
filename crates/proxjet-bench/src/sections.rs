//! The sections other than shapes: a workload of many small lanes, exact sparsity, and early termination.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};

use crate::accuracy::disagreement;
use crate::machine::Machine;
use crate::report::{Cancel, Latency, Report, Sample, Sparsity, Workload};
use crate::suite::{Plan, Section, Shape, Suite, lasso_data, random_problem, strategies};
use crate::{has, progress, skip};
use proxjet::engine::{Engine, Status};
use proxjet::error::Result;
use proxjet::objective::{Derivative, Objective};
use proxjet::program::{Precision, Strategy};
use proxjet::solve::{Alphas, Sweep, SweepResult};

/// FISTA with 64 features, 1024 lanes and 200 iterations, from the first to the last.
pub(crate) fn lanes(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    let shape = plan.asked.unwrap_or(Shape { rows: 128, features: 64, lanes: 1024 });
    let iterations = 200;
    let problem = random_problem(shape.rows, shape.features)?;
    for precision in has(plan, machine, report, Section::Lanes, &shape.to_string()) {
        for tangents in [0, 1] {
            for strategy in strategies(machine.engine()) {
                let what = format!(
                    "{shape}, {iterations} iterations, d={tangents}, {}, {strategy}",
                    precision.name()
                );
                progress(&format!("lanes: {what}"));
                let sweep = plan
                    .sweep(&problem, shape.lanes, tangents, precision)
                    .iterations(iterations)
                    .strategy(Some(*strategy));
                let slots = match sweep.plan(machine.engine()) {
                    Ok(planned) => planned.slots,
                    Err(e) => {
                        report.skip(Section::Lanes.name(), what, e.to_string());
                        continue;
                    }
                };
                // The first run warms up.
                let seconds: Result<Vec<f64>> =
                    (0..=plan.repeat).map(|_| sweep.time_to_the_end(machine.engine())).collect();
                let mut seconds = match seconds {
                    Ok(seconds) => seconds,
                    Err(e) => {
                        skip(machine, report, Section::Lanes, what, e)?;
                        continue;
                    }
                };
                let scale = shape.lanes as f64 / slots as f64;
                report.lanes.push(Workload {
                    strategy: strategy.name().into(),
                    rows: shape.rows,
                    features: shape.features,
                    lanes: shape.lanes,
                    tangents,
                    precision: precision.name().into(),
                    iterations,
                    seconds: Sample::new(seconds.split_off(1)).scaled(scale),
                });
            }
        }
    }
    Ok(())
}

/// A lasso at 1 % true density, with and without exact sparsity.
pub(crate) fn sparsity(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    let full = plan.suite == Suite::Full;
    let usual = Shape { rows: 1000, features: 2000, lanes: 64 };
    let shape =
        plan.asked.unwrap_or(if full { usual } else { Shape { rows: 300, features: 400, lanes: 16 } });
    let iterations = if full { 500 } else { 100 };
    let data = lasso_data(shape)?;
    let problem = Objective::builder(data).intercept(false).build()?;
    for path_floor in [0.1, 0.01, 0.001] {
        let what = format!("{shape}, {iterations} iterations, floor {path_floor}");
        progress(&format!("sparsity: {what}"));
        let planned =
            sparse_sweep(plan, &problem, usual_precision(machine.engine()), (shape, iterations, path_floor));
        let entry = planned.plan(machine.engine()).and_then(|planned| {
            if planned.working_set == 0 && !planned.active_sets {
                return Ok(None);
            }
            sparsity_on_path(plan, machine.engine(), &problem, (shape, iterations, path_floor)).map(Some)
        });
        match entry {
            Ok(Some(entry)) => report.sparsity.push(entry),
            Ok(None) => {
                let reason = "nothing is left out of a problem of this shape on this engine";
                report.skip(Section::Sparsity.name(), what, reason.into());
            }
            Err(e) => skip(machine, report, Section::Sparsity, what, e)?,
        }
    }
    Ok(())
}

fn sparsity_on_path(
    plan: &Plan,
    engine: &mut dyn Engine,
    problem: &Objective,
    (shape, iterations, path_floor): (Shape, usize, f64),
) -> Result<Sparsity> {
    let precision = usual_precision(engine);
    let with = sparse_sweep(plan, problem, precision, (shape, iterations, path_floor));
    let without = with.clone().sparsity(false);
    let every = iterations.div_ceil(20);
    let (a, b) = (without.clone().every(every).run(engine)?, with.clone().every(every).run(engine)?);
    let (mut seconds, mut seconds_without) = (Vec::new(), Vec::new());
    for _ in 0..plan.repeat {
        seconds_without.push(without.time_to_the_end(engine)?);
        seconds.push(with.time_to_the_end(engine)?);
    }
    let (seconds, seconds_without) = (Sample::new(seconds), Sample::new(seconds_without));
    // The first lane of a path begins at a kink, where rounding decides.
    let (difference, compared, _) = disagreement(&a, &b);
    Ok(Sparsity {
        rows: shape.rows,
        features: shape.features,
        lanes: shape.lanes,
        tangents: 1,
        precision: precision.name().into(),
        iterations,
        path_floor,
        ratio: seconds.over(&seconds_without),
        seconds,
        seconds_without,
        skipped_work: b.info.skipped_work,
        difference,
        compared,
        frames: a.trace.iteration.len(),
    })
}

/// A sweep with exact sparsity and one derivative.
fn sparse_sweep(
    plan: &Plan,
    problem: &Objective,
    precision: Precision,
    (shape, iterations, path_floor): (Shape, usize, f64),
) -> Sweep {
    Sweep::new(problem.clone())
        .alphas(Alphas::Path { epsilon: path_floor, count: shape.lanes })
        .derivatives([Derivative::LogAlpha])
        .iterations(iterations)
        .every(iterations)
        .tol(0.0)
        .precision(precision)
        .strategy(Some(Strategy::Direct))
        .sparsity(true)
        .memory_budget(plan.memory_budget)
}

/// f64 if it costs little.
pub(crate) fn usual_precision(engine: &dyn Engine) -> Precision {
    if engine.info().engine == "cpu" { Precision::F64 } else { Precision::F32 }
}

/// Runs are ended at a random time within this many seconds.
const WITHIN: f64 = 0.2;

/// Measures how soon a run ends after a cancellation at a random moment, or after its deadline.
pub(crate) fn cancel(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    let shape = plan.asked.unwrap_or(match plan.suite {
        Suite::Full => Shape { rows: 1000, features: 2000, lanes: 256 },
        Suite::Quick => Shape { rows: 500, features: 1000, lanes: 64 },
    });
    let what = format!("{shape}, d=1");
    let problem = random_problem(shape.rows, shape.features)?;
    let precision = usual_precision(machine.engine());
    let most = plan.iterations(shape.lanes, 1, 1_000_000);
    let sweep = plan.sweep(&problem, shape.lanes, 1, precision);
    // Enough iterations to outlast every cancellation.
    let time = match sweep.clone().iterations(most.min(200)).time_iterations(machine.engine(), WITHIN) {
        Ok(time) => time,
        Err(e) => return skip(machine, report, Section::Cancel, what, e),
    };
    let sweep = sweep.iterations(((5.0 * WITHIN / time.seconds) as usize).clamp(100, most.max(100)));
    progress(&format!("cancel: {what}, {} cancels and {} deadlines", plan.cancels, plan.cancels / 4));
    let (cancels, deadlines) = match ends(plan, machine.engine(), &sweep, time.start_seconds) {
        Ok((Some(cancels), Some(deadlines))) => (cancels, deadlines),
        Ok(_) => {
            let reason =
                "every run was over before it was told to end; give a larger `shape` or `memory_budget`";
            report.skip(Section::Cancel.name(), what, reason.into());
            return Ok(());
        }
        Err(e) => return skip(machine, report, Section::Cancel, what, e),
    };
    report.cancel = Some(Cancel {
        rows: shape.rows,
        features: shape.features,
        lanes: shape.lanes,
        tangents: 1,
        precision: precision.name().into(),
        cancels,
        deadlines,
    });
    Ok(())
}

/// Latencies of cancelled runs of a sweep, and of runs with a deadline; `None` if none was still running at
/// that time.
fn ends(
    plan: &Plan,
    engine: &mut dyn Engine,
    sweep: &Sweep,
    start_seconds: f64,
) -> Result<(Option<Latency>, Option<Latency>)> {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(9);
    let (mut latencies, mut missed) = (Vec::new(), 0);
    for _ in 0..plan.cancels {
        let wait = Duration::from_secs_f64(rng.random_range(0.0..WITHIN));
        let mut due = None;
        let result = sweep.run_with(engine, |_, _| {
            // The clock starts at the first chunk, after the preparation.
            let due = *due.get_or_insert_with(|| Instant::now() + wait);
            if Instant::now() >= due { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match due {
            Some(due) if ended(&result, Status::Cancelled) => latencies.push(due.elapsed().as_secs_f64()),
            _ => missed += 1,
        }
    }
    let (mut overshoots, mut late) = (Vec::new(), 0);
    for _ in 0..plan.cancels / 4 {
        let limit = 2.0 * start_seconds + rng.random_range(0.0..WITHIN);
        let clock = Instant::now();
        let result = sweep.clone().deadline(Duration::from_secs_f64(limit)).run(engine)?;
        let seconds = clock.elapsed().as_secs_f64();
        if ended(&result, Status::Deadline) { overshoots.push(seconds - limit) } else { late += 1 }
    }
    Ok((Latency::new(latencies, missed), Latency::new(overshoots, late)))
}

fn ended(result: &SweepResult, status: Status) -> bool {
    result.lanes.iter().any(|lane| lane.status == status)
}
