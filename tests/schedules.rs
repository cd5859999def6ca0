//! Everything that may vary with the iteration: on both engines, and its derivatives.

use ndarray::{Array2, ArrayD, Axis, Dimension};
use proxjet::diff::check;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::Precision;
use proxjet::schedule::{Algorithm, Metric, Momentum, Phase, Restart, Schedule, Step, TangentStart, Until};
use proxjet::solve::{Alphas, Sweep, SweepResult};
use rand::RngExt;

use crate::common;
mod rules;

use crate::common::cases::losses;
use crate::common::compare::{Report, compare, max_abs_diff, relative_diff};
use crate::common::synthetic;

const ITERATIONS: usize = 120;
const LANES: usize = 5;
const FEATURES: usize = 7;

fn phase(algorithm: Algorithm) -> Phase {
    Phase::new(algorithm)
}

/// Name, whether for a smooth problem too, and schedule.
fn schedules() -> Vec<(&'static str, Schedule)> {
    let uniform = Step::Uniform { low: 2.0 / 3.0, high: 4.0 / 3.0, seed: 3 };
    let metric_table = |rows: &[usize]| {
        let mut shape = rows.to_vec();
        shape.push(FEATURES);
        ArrayD::from_shape_fn(shape, |at| 0.6 + 0.1 * ((at[0] * 7 + at[at.ndim() - 1] * 5) % 9) as f64)
    };
    vec![
        ("decreasing step", phase(Algorithm::Pgd).step(Step::Decreasing { scale: 1.5, power: 0.3 }).into()),
        (
            "backtracking pgd",
            phase(Algorithm::Pgd).step(Step::Backtracking { start: 12.0, shrink: 0.6 }).into(),
        ),
        (
            "backtracking fista",
            phase(Algorithm::Fista).step(Step::Backtracking { start: 12.0, shrink: 0.6 }).into(),
        ),
        ("barzilai-borwein", phase(Algorithm::Pgd).step(Step::BarzilaiBorwein { high: 1.9 }).into()),
        ("function restart", phase(Algorithm::Fista).restart(Restart::Function).into()),
        ("gradient restart", phase(Algorithm::Fista).restart(Restart::Gradient).into()),
        (
            "gradient restart of a fixed momentum",
            phase(Algorithm::HeavyBall).momentum(Momentum::Constant(0.8)).restart(Restart::Gradient).into(),
        ),
        (
            "three phases",
            Schedule::from(phase(Algorithm::Pgd).step(uniform.clone()).until(Until::Iteration(30)))
                .then(phase(Algorithm::Fista).momentum(Momentum::Nesterov(5.0)).until(Until::Iteration(70)))
                .then(
                    phase(Algorithm::HeavyBall).momentum(Momentum::Constant(0.5)).step(Step::Constant(0.9)),
                ),
        ),
        (
            "fista with restart from identification on",
            Schedule::from(phase(Algorithm::Pgd).step(uniform.clone()).until(Until::Identified))
                .then(phase(Algorithm::Fista).momentum(Momentum::Nesterov(20.0)).restart(Restart::Function))
                .patience(6),
        ),
        (
            "phases around identification",
            Schedule::from(phase(Algorithm::Pgd).until(Until::Iteration(4)))
                .then(phase(Algorithm::Fista).until(Until::Identified))
                .then(phase(Algorithm::Pgd).step(uniform).until(Until::Iteration(60)))
                .then(phase(Algorithm::Fista)),
        ),
        ("diagonal metric", Schedule::from(phase(Algorithm::Pgd)).metric(Metric::Diagonal)),
        ("fixed metric", Schedule::from(phase(Algorithm::Fista)).metric(Metric::Table(metric_table(&[])))),
        (
            "metric table",
            Schedule::from(phase(Algorithm::Pgd)).metric(Metric::Table(metric_table(&[ITERATIONS]))),
        ),
        (
            "metric table per lane",
            Schedule::from(phase(Algorithm::Pgd)).metric(Metric::Table(metric_table(&[ITERATIONS, LANES]))),
        ),
        (
            "metric of curvatures",
            Schedule::from(phase(Algorithm::Pgd)).metric(Metric::Hessian { every: 2, gain: 1.9 }),
        ),
        ("late tangents", Schedule::from(phase(Algorithm::Fista)).tangent_start(TangentStart::Iteration(40))),
        (
            "tangents from identification",
            Schedule::from(phase(Algorithm::Pgd)).tangent_start(TangentStart::Identified),
        ),
    ]
}

/// A lasso, a ridge-logistic problem whose curvature depends on alpha and on the iterate, ridge regression,
/// and every other loss of the catalog.
fn problems() -> Vec<(String, Objective)> {
    let of = |data, loss, penalty| {
        Objective::builder(data).loss(loss).penalty(penalty).intercept(false).build().unwrap()
    };
    let mut list = vec![
        ("lasso".into(), of(synthetic(60, FEATURES, false, 5), Loss::squared(), Penalty::l1())),
        ("ridge-logistic".into(), of(synthetic(60, FEATURES, true, 6), Loss::logistic(), Penalty::l2())),
        ("ridge-squared".into(), of(synthetic(60, FEATURES, false, 7), Loss::squared(), Penalty::l2())),
    ];
    for loss in losses().into_iter().filter(|loss| ![Loss::squared(), Loss::logistic()].contains(loss)) {
        let data = synthetic(60, FEATURES, loss.classes(), 5);
        list.push((format!("{loss} + l1"), of(data, loss, Penalty::l1())));
    }
    list
}

/// Those of a loss without kinks: where a residual crosses one within the width of a difference, the
/// difference says nothing.
fn smooth_problems() -> Vec<(String, Objective)> {
    let is_smooth = |problem: &Objective| problem.loss().kinks(0.0).is_empty();
    problems().into_iter().filter(|(_, problem)| is_smooth(problem)).collect()
}

fn sweep(problem: &Objective, schedule: Schedule) -> Sweep {
    let top = if problem.penalty() == Penalty::l1() { 0.5 * problem.alpha_max(1.0) } else { 0.3 };
    Sweep::new(problem.clone())
        .alphas(Alphas::List((0..LANES).map(|i| top * 0.6f64.powi(i as i32)).collect()))
        .schedule(schedule)
        .iterations(ITERATIONS)
        .every(1)
        .tol(0.0)
}

fn engines_agree(engine: &str, precision: Precision, problems: &[(String, Objective)]) {
    let Some(mut engine) = common::engine(engine) else { return };
    let mut report = Report::default();
    for (problem_name, problem) in problems {
        for (name, schedule) in schedules() {
            let case = format!("{problem_name}, {name}");
            let sweep = sweep(problem, schedule).precision(precision);
            let truth = sweep.clone().precision(Precision::F64).run(&mut CpuEngine::new()).unwrap();
            let result = sweep.run(engine.as_mut()).unwrap();
            // Decisions by comparison (a restart, a step taken back) near the solution may fall to the other
            // side by rounding, and every step of Barzilai and Borwein magnifies it: f32 is compared at the
            // end, where all of them lead.
            let (bound, margin) = match precision {
                Precision::F64 if name.contains("restart") => (1e-6, 1e-11),
                Precision::F64 => (1e-8, 1e-11),
                Precision::F32 => (1e-3, 1e-4),
            };
            let decides = name.contains("restart")
                || name.contains("backtracking")
                || name.contains("borwein")
                || name.contains("ident");
            if precision == Precision::F32 && decides {
                let last = |r: &SweepResult| r.trace.coef.outer_iter().next_back().unwrap().to_owned();
                let gap = relative_diff(&last(&result), &last(&truth));
                report.check(&case, gap <= 2e-2, || format!("{gap:e} at the end"));
                continue;
            }
            let found = compare(&truth, &result, margin);
            let near = found.coef <= bound && found.dcoef <= bound;
            report
                .check(&case, near && (found.wrong_sets, found.at_kinks) == (0, 0), || format!("{found:?}"));
            // Curvature along a step of the size of rounding is rounding.
            let moving = |k: usize, lane: usize| (0..k).all(|k| truth.trace.change[[k, lane]] > 1e-4);
            for ((k, lane), step) in
                truth.trace.step.indexed_iter().filter(|((k, lane), _)| moving(*k, *lane))
            {
                let gap = (step - result.trace.step[[k, lane]]).abs();
                report.check(&case, gap <= bound * step, || {
                    format!("step {k} of lane {lane} differs by {gap:e}")
                });
            }
            let same = truth.trace.active_change == result.trace.active_change;
            report.check(&case, same, || "active sets change at other iterations".into());
        }
    }
    report.finish(problems.len() * schedules().len());
}

#[test]
fn cpu_f32_agrees() {
    engines_agree("cpu", Precision::F32, &problems());
}

#[test]
fn gpu_f32_agrees() {
    // The text of the kernels is that of f64: two problems show the arithmetic.
    engines_agree("gpu", Precision::F32, &problems()[..2]);
}

#[test]
fn gpu_f64_agrees() {
    engines_agree("gpu", Precision::F64, &problems());
}

#[test]
fn tangents_are_derivatives_under_every_schedule() {
    let (mut compared, mut excluded) = (0, 0);
    for (problem_name, problem) in smooth_problems() {
        for (name, schedule) in schedules() {
            // A late start is no derivative of the iterates, only of the solution.
            if name.contains("tangents") {
                continue;
            }
            // What moves a step, a momentum or a metric vanishes at the solution: a few iterations see it
            // best.
            for iterations in [6, 40] {
                let sweep = sweep(&problem, schedule.clone()).iterations(iterations);
                let sweep = sweep.derivatives([Derivative::LogAlpha, Derivative::Alpha]);
                for row in check(&sweep, &mut CpuEngine::new(), 1e-5).unwrap() {
                    // Steps that follow from the iterates amplify the rounding that a difference divides.
                    assert!(row.max_error <= 1e-5, "{problem_name}, {name}, {iterations}: {row:?}");
                    compared += row.compared;
                    excluded += row.excluded;
                }
            }
        }
    }
    assert!(compared > 600 && excluded * 5 < compared, "{compared} compared, {excluded} excluded");
}

#[test]
fn settings_of_the_process_can_be_differentiated_by() {
    for (problem_name, problem) in smooth_problems() {
        for (name, schedule) in schedules() {
            let set = [
                "decreasing step",
                "three phases",
                "fixed metric",
                "metric of curvatures",
                "gradient restart",
            ];
            if !set.contains(&name) {
                continue;
            }
            // These derivatives vanish at the solution: recent settings and few iterations leave something to
            // compare.
            let (iterations, wanted) = if name == "three phases" {
                (40, vec![Derivative::Step(35), Derivative::Momentum(33), Derivative::Momentum(38)])
            } else {
                (12, vec![Derivative::LogStep, Derivative::Step(0), Derivative::Step(7)])
            };
            let sweep = sweep(&problem, schedule).iterations(iterations).derivatives(wanted);
            for row in check(&sweep, &mut CpuEngine::new(), 1e-5).unwrap() {
                assert!(row.max_error <= 1e-6 && row.compared > 0, "{problem_name}, {name}: {row:?}");
            }
        }
    }
}

/// Phases give the same bits as the tables they come from, given by hand.
#[test]
fn phases_are_their_tables() {
    for (problem_name, problem) in problems() {
        for (engine, precision) in [("cpu", Precision::F64), ("gpu", Precision::F64)] {
            let Some(mut engine) = common::engine(engine) else { continue };
            let phases = Schedule::from(
                phase(Algorithm::Pgd)
                    .step(Step::Uniform { low: 0.1, high: 1.9, seed: 8 })
                    .until(Until::Iteration(50)),
            )
            .then(phase(Algorithm::Fista).momentum(Momentum::Nesterov(10.0)).step(Step::Constant(0.9)));
            let sweep = sweep(&problem, phases).precision(precision);
            let by_phases = sweep.run(engine.as_mut()).unwrap();
            let table = |of: &dyn Fn(usize, usize) -> f64| {
                Array2::from_shape_fn((ITERATIONS, LANES), |(k, lane)| of(k, lane)).into_dyn()
            };
            let mut rng = common::rng(8);
            let draws: Vec<f64> = (0..50).map(|_| 0.1 + (1.9 - 0.1) * rng.random::<f64>()).collect();
            // With momentum 0 fista is pgd. Derivatives by alpha need steps that do not move with it.
            let by_hand = phase(Algorithm::Fista)
                .step(Step::Table(table(&|k, lane| {
                    1.0 / by_phases.lanes[lane].lipschitz * if k < 50 { draws[k] } else { 0.9 }
                })))
                .momentum(Momentum::Table(table(&|k, _| {
                    if k < 50 { 0.0 } else { (k - 50) as f64 / ((k - 50) as f64 + 11.0) }
                })));
            let by_table = sweep.clone().schedule(by_hand).run(engine.as_mut()).unwrap();
            assert_eq!(by_phases.trace.coef, by_table.trace.coef, "{problem_name}");
            if problem_name == "lasso" {
                assert_eq!(by_phases.trace.dcoef, by_table.trace.dcoef, "{problem_name}");
            }
        }
    }
}

/// The phase that waits for identification runs, however long the active set has been quiet before.
#[test]
fn a_phase_that_waits_for_identification_counts_from_its_start() {
    let (_, problem) = problems().swap_remove(0);
    let schedule = Schedule::from(phase(Algorithm::Pgd).until(Until::Iteration(60)))
        .then(phase(Algorithm::Fista).momentum(Momentum::Constant(0.3)).until(Until::Identified))
        .then(phase(Algorithm::Fista).momentum(Momentum::Constant(0.6)))
        .patience(8);
    for engine in ["cpu", "gpu"] {
        let Some(mut engine) = common::engine(engine) else { continue };
        let result = sweep(&problem, schedule.clone()).run(engine.as_mut()).unwrap();
        let momentum: Vec<f64> = result.trace.momentum.column(1).to_vec();
        assert!(momentum[..60].iter().all(|v| *v == 0.0), "{momentum:?}");
        assert!(momentum[60..68].iter().all(|v| (*v - 0.3).abs() < 1e-6), "{momentum:?}");
        assert!(momentum[68..].iter().all(|v| (*v - 0.6).abs() < 1e-6), "{momentum:?}");
    }
}

/// A lane that diverges leaves the others as they are alone.
#[test]
fn other_lanes_go_on_untouched_by_one_that_diverges() {
    let (_, problem) = problems().swap_remove(0);
    for (engine, precision, bound) in [("cpu", Precision::F64, 1e-13), ("gpu", Precision::F32, 0.0)] {
        let Some(mut engine) = common::engine(engine) else { continue };
        let table = |wild: f64, lanes: usize| {
            let l = problem.spectrum().lipschitz;
            Step::Table(ArrayD::from_shape_fn(
                vec![ITERATIONS, lanes],
                |at| if at[1] == 1 { wild } else { 1.0 } / l,
            ))
        };
        let alpha = 0.2 * problem.alpha_max(1.0);
        let mut run = |wild: f64, lanes: usize| {
            let schedule = phase(Algorithm::Pgd).step(table(wild, lanes));
            let sweep = sweep(&problem, schedule.into()).alphas(Alphas::List(vec![alpha; lanes]));
            sweep.precision(precision).run(engine.as_mut()).unwrap()
        };
        let (together, alone) = (run(1e3, 3), run(1.0, 1));
        assert_eq!(together.lanes[1].status, proxjet::engine::Status::Diverged);
        assert!(together.lanes[1].iterations < 20, "the iteration at which it was seen");
        for lane in [0, 2] {
            let of = |r: &SweepResult, lane: usize| r.trace.coef.index_axis(Axis(1), lane).to_owned();
            let gap = max_abs_diff(&of(&together, lane), &of(&alone, 0));
            assert!(gap <= bound, "{gap:e}");
            assert_eq!(together.lanes[lane].status, alone.lanes[0].status);
        }
    }
}

#[test]
fn settings_that_say_nothing_are_refused() {
    let (_, problem) = problems().swap_remove(0);
    let refused = |sweep: Sweep, words: &str| {
        let e = sweep.prepare().unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    };
    let base = |p: Phase| sweep(&problem, p.into());
    let late = Schedule::from(phase(Algorithm::Pgd)).tangent_start(TangentStart::Iteration(ITERATIONS));
    refused(sweep(&problem, late), "tangent_start: found 120 with 120 iterations");
    refused(base(phase(Algorithm::Fista).momentum(Momentum::Constant(1.2))), "momentum: found 1.2");
    let table =
        Momentum::Table(ArrayD::from_shape_fn(vec![ITERATIONS], |at| if at[0] == 17 { -1.0 } else { 0.1 }));
    refused(base(phase(Algorithm::Fista).momentum(table)), "momentum: found -1 at iteration 17");
    let by = |p: Phase, derivative: Derivative| base(p).derivatives([derivative]);
    refused(by(phase(Algorithm::Pgd), Derivative::Momentum(3)), "algorithm 'pgd' at iteration 3");
    let backtracking = phase(Algorithm::Pgd).step(Step::Backtracking { start: 2.0, shrink: 0.5 });
    refused(by(backtracking.clone(), Derivative::Step(3)), "step 'backtracking:2:0.5'");
    assert!(by(backtracking, Derivative::LogStep).prepare().is_ok());
    let never =
        Schedule::from(phase(Algorithm::Pgd).until(Until::Iteration(500))).then(phase(Algorithm::Fista));
    let result = sweep(&problem, never).run(&mut CpuEngine::new()).unwrap();
    assert!(result.info.warnings[0].contains("phase 2 of 2: it begins at iteration 500 and never runs"));
    let metric = Schedule::from(phase(Algorithm::Fista)).metric(Metric::Hessian { every: 1, gain: 1.0 });
    let result = sweep(&problem, metric).run(&mut CpuEngine::new()).unwrap();
    assert!(result.info.warnings[0].contains("with the varying metric"), "{:?}", result.info.warnings);
}

/// Derivatives by settings of the process vanish at the solution, and do not keep a lane from converging.
#[test]
fn derivatives_by_the_process_do_not_keep_a_lane_going() {
    let (_, problem) = problems().swap_remove(0);
    for engine in ["cpu", "gpu"] {
        let Some(mut engine) = common::engine(engine) else { continue };
        let sweep = sweep(&problem, phase(Algorithm::Pgd).into()).iterations(3000).tol(1e-8);
        let result =
            sweep.derivatives([Derivative::Step(5), Derivative::Step(2500)]).run(engine.as_mut()).unwrap();
        assert!(
            result.lanes.iter().all(|l| l.status == proxjet::engine::Status::Converged),
            "{:?}",
            result.lanes
        );
        assert!(result.info.warnings.iter().any(|w| w.contains("'step:2500' is zero in 5 lane(s)")));
    }
}

mod parsers {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is written, a schedule is read or refused with words, never a panic.
        #[test]
        fn never_panic(
            text in "\\PC{0,60}",
            rule in "(uniform|cyclic|hessian|backtracking|nesterov|decreasing)(:[-0-9a-z.]{0,6}){0,4}",
        ) {
            let _ = Schedule::parse(&text, "text", std::path::Path::new("."), 1 << 20);
            let phase = format!("step = '{rule}'\nmomentum = '{rule}'\nuntil = '{rule}'\n");
            let file = format!("metric = '{rule}'\n[[phase]]\nalgorithm = 'pgd'\n{phase}");
            let read = Schedule::parse(&file, "text", std::path::Path::new("."), 1 << 20);
            prop_assert!(read.is_err(), "one rule cannot be a step and a momentum and an end");
            let _ = rule.parse::<Step>().map(|step| step.to_string().parse::<Step>());
        }

        /// What a rule prints is read again as the same rule.
        #[test]
        fn rules_are_printed_as_they_are_read(
            low in 0.01f64..1.0,
            width in 0.01f64..1.0,
            seed in 0u64..1000,
            every in 1usize..50,
        ) {
            let steps = [
                Step::Uniform { low, high: low + width, seed },
                Step::Cyclic { low, high: low + width, period: every },
                Step::Decreasing { scale: low, power: width },
                Step::Backtracking { start: 1.0 + low, shrink: width * 0.9 },
                Step::BarzilaiBorwein { high: 1.0 + width },
            ];
            for step in steps {
                prop_assert_eq!(step.to_string().parse::<Step>().unwrap(), step);
            }
            let metric = Metric::Hessian { every, gain: 1.0 + width };
            prop_assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
    }
}
