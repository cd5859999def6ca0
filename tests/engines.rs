//! One suite for every engine and precision, against the CPU engine in f64 and against statuses that must hold.

use std::ops::ControlFlow;

use ndarray::{Array1, Array2, ArrayViewD, Axis};
use proxjet::data::Dataset;
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Precision, Strategy};
use proxjet::schedule::{Algorithm, Momentum, Phase, Restart, Schedule, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};

mod common;
use common::cases::{Case, cases};
use common::compare::{Report, compare, ends_differ, max_abs_diff, relative_diff};
use common::{synthetic, textbook};

/// Tolerances: 150 iterations amplify a rounding by the condition of the problem, a few hundred here.
fn bound(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F64 => 1e-9,
    }
}

/// A coefficient this small, relative to its lane, may be zero in one arithmetic and not in the other.
fn margin(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F64 => 1e-12,
    }
}

/// The CPU engine in f64 is the reference of all others: it is compared with the textbook.
#[test]
fn cpu_f64_agrees_with_the_textbook() {
    let (mut report, mut lanes) = (Report::default(), 0);
    for case in cases() {
        let result = case.sweep.run(&mut CpuEngine::new()).unwrap();
        for (i, lane) in result.lanes.iter().enumerate() {
            let book = textbook::Lane::new(&case, lane.alpha);
            let top = book.lipschitz();
            let bounded = lane.lipschitz >= top * (1.0 - 1e-12) && lane.lipschitz <= top * (1.0 + 1e-6);
            report.check(&case.name, bounded, || format!("lane {i}: L = {} and {top}", lane.lipschitz));
            let updates = updates(&case, &result, i, &book);
            let book = book.run(&updates, lane.lipschitz);
            let found = apart(&result, i, &book);
            report.check(&case.name, found.1 <= bound(Precision::F64), || {
                format!("lane {i}: {} differs by {:e}", found.0, found.1)
            });
            lanes += 1;
        }
    }
    println!("{lanes} lanes");
    report.finish(2 * 50);
}

/// The updates of a lane: steps and momenta by their rules, and how they move with the hyperparameters.
fn updates(case: &Case, result: &SweepResult, lane: usize, book: &textbook::Lane) -> Vec<textbook::Update> {
    let l = result.lanes[lane].lipschitz;
    let mut t = 1.0f64;
    let of = |k: usize| {
        let (step, momentum) = match case.setting.algorithm {
            // Random steps are drawn by the library; what they are drawn from is not.
            Algorithm::Pgd => (result.trace.step[[k, lane]], 0.0),
            Algorithm::Fista => {
                let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
                let momentum = (t - 1.0) / next;
                t = next;
                (1.0 / l, momentum)
            }
            Algorithm::HeavyBall => (1.0 / l, 0.9),
        };
        assert!((0.3..=1.7).contains(&(step * l)), "{}: a step of {step}", case.name);
        let used = result.trace.momentum[[k, lane]];
        assert!((used - momentum).abs() <= 1e-14, "{}: momentum {used} at {k}", case.name);
        book.update(k, step, momentum, l)
    };
    (0..result.info.iterations).map(of).collect()
}

/// What of a lane is furthest from the textbook, and by how much.
fn apart(result: &SweepResult, lane: usize, book: &textbook::Sequence) -> (&'static str, f64) {
    let (trace, end) = (&result.trace, &result.lanes[lane]);
    let frames = |a: ArrayViewD<'_, f64>| a.select(Axis(0), &trace.iteration);
    let of = |a: ArrayViewD<'_, f64>| a.index_axis_move(Axis(1), lane).to_owned();
    let pair = |a: ArrayViewD<'_, f64>, b: ArrayViewD<'_, f64>| {
        if a.is_empty() && b.is_empty() { 0.0 } else { relative_diff(&a, &b) }
    };
    let absent = |v: Option<f64>| v.unwrap_or(f64::NAN);
    let mut all = vec![
        ("coef", pair(of(trace.coef.view().into_dyn()).view(), frames(book.coef.view().into_dyn()).view())),
        (
            "dcoef",
            pair(of(trace.dcoef.view().into_dyn()).view(), frames(book.dcoef.view().into_dyn()).view()),
        ),
        (
            "intercept",
            pair(
                of(trace.intercept.view().into_dyn()).view(),
                frames(book.intercept.view().into_dyn()).view(),
            ),
        ),
        (
            "dintercept",
            pair(
                of(trace.dintercept.view().into_dyn()).view(),
                frames(book.dintercept.view().into_dyn()).view(),
            ),
        ),
        ("objective", pair(of(trace.objective.view().into_dyn()).view(), book.objective.view().into_dyn())),
        ("stationarity", (absent(end.stationarity) - book.stationarity).abs()),
        ("derivative residual", (absent(end.derivative_residual) - book.derivative_residual).abs()),
    ];
    if let Some((values, slopes)) = &book.validation {
        let (found, found_slopes) =
            (trace.validation_loss.as_ref().unwrap(), trace.hypergradient.as_ref().unwrap());
        all.push(("validation loss", pair(of(found.view().into_dyn()).view(), values.view().into_dyn())));
        all.push((
            "hypergradient",
            pair(of(found_slopes.view().into_dyn()).view(), slopes.view().into_dyn()),
        ));
    }
    if book.has_formula {
        let apart = match (book.gap, end.gap) {
            (Some(a), Some(b)) => (a - b).abs(),
            (None, None) => 0.0,
            _ => f64::NAN,
        };
        all.push(("gap", apart));
    }
    // A NaN is furthest.
    all.into_iter().fold(("nothing", 0.0), |a, b| if a.1.is_nan() || a.1 > b.1 { a } else { b })
}

/// Whether a strategy can run a case: the others are refused.
fn possible(case: &Case, strategy: Strategy) -> bool {
    match strategy {
        Strategy::Direct => true,
        Strategy::Gram => case.loss == Loss::squared(),
        // Held-out rows are predicted at every iteration.
        Strategy::Persistent => case.loss == Loss::squared() && case.held_out.is_none(),
    }
}

fn against_the_reference(engine: &str, precision: Precision, strategy: Strategy) {
    let Some(mut engine) = common::engine(engine) else { return };
    let (mut compared, mut at_kinks) = (0, 0);
    let mut report = Report::default();
    for case in cases() {
        let asked = case.sweep.clone().precision(precision).strategy(Some(strategy));
        if !possible(&case, strategy) {
            report.check(&case.name, asked.plan(engine.as_ref()).is_err(), || "not refused".into());
            continue;
        }
        let truth = case.sweep.run(&mut CpuEngine::new()).unwrap();
        let result = asked.run(engine.as_mut()).unwrap();
        assert_eq!(result.info.strategy, strategy);
        let found = compare(&truth, &result, margin(precision));
        report.check(&case.name, found.within(bound(precision)), || format!("{found:?}"));
        for (i, (a, b)) in truth.lanes.iter().zip(&result.lanes).enumerate() {
            let differs = ends_differ(a, b, 20.0 * bound(precision));
            report.check(&case.name, differs.is_empty(), || format!("lane {i}: {differs}"));
        }
        compared += found.compared;
        at_kinks += found.at_kinks;
    }
    report.finish(50);
    assert!(
        compared > 0 && at_kinks * 20 <= compared,
        "{at_kinks} lanes at kinks against {compared} compared"
    );
}

fn statuses_hold(engine: &str, precision: Precision) {
    let Some(mut engine) = common::engine(engine) else { return };
    let problem = || Objective::builder(synthetic(50, 8, false, 5)).penalty(Penalty::l1()).build().unwrap();
    let tol = if precision == Precision::F32 { 1e-4 } else { 1e-8 };
    let base =
        || Sweep::new(problem()).alphas("path:0.05:6".parse().unwrap()).precision(precision).iterations(2000);

    let converged = base().tol(tol).run(engine.as_mut()).unwrap();
    assert!(converged.lanes.iter().all(|l| l.status == Status::Converged), "{:?}", converged.lanes);
    assert!(converged.lanes.iter().all(|l| l.gap.unwrap() <= tol && l.derivative_residual.unwrap() <= tol));
    let counts: Vec<usize> = converged.lanes.iter().map(|l| l.iterations).collect();
    assert!(counts.iter().any(|k| *k != counts[0]), "lanes end at different iterations: {counts:?}");
    // A lane that ended rests: its last coefficients are those of its own iteration.
    let alone =
        base().alphas(Alphas::List(vec![converged.lanes[2].alpha])).tol(tol).run(engine.as_mut()).unwrap();
    assert_eq!(alone.lanes[0].iterations, converged.lanes[2].iterations);
    assert_eq!(*converged.trace.iteration.last().unwrap(), *counts.iter().max().unwrap());
    let last =
        |r: &SweepResult, lane: usize| r.trace.coef.outer_iter().next_back().unwrap().row(lane).to_owned();
    let gap = max_abs_diff(&last(&converged, 2), &last(&alone, 0));
    assert!(gap <= bound(precision), "{gap:e}");

    let few = base().iterations(7).tol(1e-12).run(engine.as_mut()).unwrap();
    assert!(few.lanes.iter().skip(1).all(|l| l.status == Status::MaxIterations && l.iterations == 7));

    // Steps of 3/L diverge where there is anything to fit; the lane at alpha_max stays at zero and converges.
    let wild =
        base().algorithm(Algorithm::Pgd).step(Step::Constant(3.0)).alphas("path:0.05:3".parse().unwrap());
    let wild = wild.tol(tol).run(engine.as_mut()).unwrap();
    assert!(wild.lanes[1..].iter().all(|l| l.status == Status::Diverged), "{:?}", wild.lanes);
    assert!(wild.lanes[1..].iter().all(|l| l.iterations < 500 && l.objective.unwrap() > 1e6));

    // A step that overflows at once is not finite.
    let huge = Step::Table(ndarray::ArrayD::from_elem(
        vec![2000],
        if precision == Precision::F32 { 1e30 } else { 1e200 },
    ));
    let huge = base().algorithm(Algorithm::Pgd).step(huge).tol(tol).run(engine.as_mut()).unwrap();
    assert!(huge.lanes[1..].iter().all(|l| l.status == Status::NotFinite), "{:?}", huge.lanes);

    let mut chunks = 0;
    let cancelled = base()
        .tol(0.0)
        .iterations(100_000)
        .every(100_000)
        .run_with(engine.as_mut(), |_, _| {
            chunks += 1;
            if chunks >= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(
        cancelled
            .lanes
            .iter()
            .all(|l| l.status == Status::Cancelled && l.iterations > 0 && l.iterations < 2000)
    );
    assert!(cancelled.trace.coef.iter().all(|v| v.is_finite()));
    assert_eq!(cancelled.trace.objective.nrows(), cancelled.lanes[0].iterations);
}

fn batches_do_not_change_the_result(engine: &str, precision: Precision) {
    let Some(mut engine) = common::engine(engine) else { return };
    let problem = Objective::builder(synthetic(60, 9, false, 8)).build().unwrap();
    let sweep = Sweep::new(problem).alphas("path:0.01:40".parse().unwrap()).iterations(60).tol(0.0).every(30);
    let sweep = sweep.precision(precision);
    let whole = sweep.run(engine.as_mut()).unwrap();
    let budget = (60_000..8_000_000).step_by(20_000).find(|bytes| {
        sweep
            .clone()
            .memory_budget(*bytes)
            .plan(engine.as_ref())
            .is_ok_and(|plan| plan.slots > 8 && plan.slots < 20)
    });
    let parts = sweep.memory_budget(budget.expect("a budget for a few slots")).run(engine.as_mut()).unwrap();
    let found = compare(&whole, &parts, margin(precision));
    assert_eq!((found.wrong_sets, found.compared), (0, 40), "{found:?}");
    assert!(found.coef <= bound(precision) && found.dcoef <= bound(precision), "{found:?}");
}

fn starts_and_momentum_are_used_as_given(engine: &str, precision: Precision) {
    let Some(mut engine) = common::engine(engine) else { return };
    // One step by hand: β_0 acts on x_0 − x_{−1} = 0, whatever the start.
    let data = synthetic(20, 3, false, 9);
    let problem = Objective::builder(data).penalty(Penalty::none()).intercept(false).build().unwrap();
    let start = Array2::from_shape_vec((1, 3), vec![1.0, -2.0, 0.5]).unwrap();
    let x = start.row(0).to_owned();
    let (design, y, w) =
        (problem.design().to_dense(), problem.target().to_owned(), problem.weight().to_owned());
    let gradient = design.t().dot(&((design.dot(&x) - &y) * &w));
    let expected = &x - &(gradient * 0.05);
    let result = Sweep::new(problem)
        .step(Step::Table(ndarray::ArrayD::from_elem(vec![1], 0.05)))
        .momentum(Momentum::Constant(0.9))
        .start(start)
        .iterations(1)
        .tol(0.0)
        .precision(precision)
        .run(engine.as_mut())
        .unwrap();
    let got = result.trace.coef.outer_iter().next_back().unwrap().row(0).to_owned();
    assert!(max_abs_diff(&got, &expected) <= bound(precision));
}

/// Tests of an engine in a precision: those that are named, and one for each strategy.
macro_rules! suite {
    ($($name:ident: $engine:literal, $precision:expr, [$($strategy:ident $variant:ident),*];)+) => { $(
        mod $name {
            use super::*;
            $(
                #[test]
                fn $strategy() {
                    against_the_reference($engine, $precision, Strategy::$variant);
                }
            )*
            #[test]
            fn statuses_hold() {
                super::statuses_hold($engine, $precision);
            }
            #[test]
            fn batches_do_not_change_the_result() {
                super::batches_do_not_change_the_result($engine, $precision);
            }
            #[test]
            fn starts_and_momentum_are_used_as_given() {
                super::starts_and_momentum_are_used_as_given($engine, $precision);
            }
        }
    )+ };
}

suite! {
    cpu_f32: "cpu", Precision::F32, [agrees_with_the_reference Direct];
    // It is the reference, and compared with the textbook.
    cpu_f64: "cpu", Precision::F64, [];
    gpu_f32: "gpu", Precision::F32, [direct Direct, gram Gram, persistent Persistent];
    gpu_f64: "gpu", Precision::F64, [direct Direct, gram Gram, persistent Persistent];
}

/// Leaving out what provably rests at zero changes no sequence beyond rounding.
#[test]
fn sparsity_does_not_change_the_sequences() {
    use proxjet::schedule::{Metric, Phase, Restart, Schedule, Until};
    let phase = Phase::new;
    let schedules: Vec<Schedule> = vec![
        phase(Algorithm::Fista).into(),
        phase(Algorithm::Pgd).step(Step::Uniform { low: 0.5, high: 1.5, seed: 2 }).into(),
        phase(Algorithm::HeavyBall).momentum(Momentum::Constant(0.6)).into(),
        phase(Algorithm::Fista).restart(Restart::Gradient).into(),
        phase(Algorithm::Pgd).step(Step::Backtracking { start: 4.0, shrink: 0.7 }).into(),
        Schedule::from(phase(Algorithm::Pgd)).metric(Metric::Diagonal),
        Schedule::from(phase(Algorithm::Pgd).until(Until::Identified)).then(phase(Algorithm::Fista)),
    ];
    let mut skipped = 0;
    for (i, schedule) in schedules.into_iter().enumerate() {
        for (penalty, loss) in [
            (Penalty::l1(), Loss::squared()),
            (Penalty::elastic_net(), Loss::logistic()),
            (Penalty::nonneg_l1(), Loss::huber(0.9).unwrap()),
        ] {
            let mut builder = Objective::builder(synthetic(50, 90, loss.classes(), 40 + i as u64));
            builder = builder.loss(loss).penalty(penalty).intercept(i % 2 == 0);
            builder = builder.validation(synthetic(12, 90, loss.classes(), 3));
            builder = builder.penalty_factors((0..90).map(|j| if j == 7 { 0.0 } else { 1.0 }).collect());
            let problem = builder.build().unwrap();
            let top = 0.8 * problem.alpha_max(0.5);
            // 37 lanes: groups that are not full.
            let alphas = (0..37).map(|lane| top * 0.93f64.powi(lane)).collect();
            let sweep = Sweep::new(problem).alphas(Alphas::List(alphas)).schedule(schedule.clone());
            let sweep = sweep
                .iterations(300)
                .every(10)
                .tol(1e-30)
                .check_every(20)
                .derivatives([Derivative::LogAlpha, Derivative::PenaltyFactor(3)]);
            let dense = sweep.clone().sparsity(false).run(&mut CpuEngine::new()).unwrap();
            let sparse = sweep.run(&mut CpuEngine::new()).unwrap();
            let found = compare(&dense, &sparse, 1e-12);
            // Restarts and steps taken back decide by comparisons, which near the solution fall by rounding.
            let bound = if [3, 4].contains(&i) { 1e-7 } else { 1e-12 };
            assert_eq!(
                (found.wrong_sets, found.compared + found.at_kinks),
                (0, 37),
                "{i}, {penalty}: {found:?}"
            );
            assert!(found.coef <= bound && found.dcoef <= bound, "{i}, {penalty}: {found:?}");
            for (a, b) in dense.lanes.iter().zip(&sparse.lanes) {
                let near =
                    |a: Option<f64>, b: Option<f64>| (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() <= 1e-7;
                assert!(
                    near(a.gap, b.gap) && near(a.stationarity, b.stationarity),
                    "{i}, {penalty}: {a:?} {b:?}"
                );
                assert!(near(a.validation_loss, b.validation_loss) && a.iterations == b.iterations);
            }
            skipped += usize::from(sparse.info.skipped_work > 0.2);
        }
    }
    assert!(skipped > 10, "{skipped} of 21 runs skipped anything");
}

/// A feature without any correlation to the target becomes active as another one grows, whose noise it is. Tiny steps choose sets
/// without it; when large ones leave the radius, it must come in.
#[test]
fn a_working_set_that_is_left_is_chosen_anew() {
    use proxjet::schedule::{Phase, Schedule, Until};
    let (n, p) = (60, 100);
    let mut design = synthetic(n, p, false, 77).x().to_owned() * 0.1;
    let signal: Array1<f64> = (0..n).map(|i| (i as f64).sin()).collect();
    let noise: Array1<f64> = (0..n).map(|i| (1.7 * i as f64).cos()).collect();
    let noise = &noise - &(&signal * (noise.dot(&signal) / signal.dot(&signal)));
    design.column_mut(40).assign(&(&signal + &noise));
    design.column_mut(80).assign(&noise);
    let problem = Objective::builder(proxjet::data::Dataset::new(design, signal).unwrap())
        .intercept(false)
        .build()
        .unwrap();
    let top = problem.alpha_max(1.0);
    let schedule =
        Schedule::from(Phase::new(Algorithm::Pgd).step(Step::Constant(1e-6)).until(Until::Iteration(40)))
            .then(Phase::new(Algorithm::Fista));
    let sweep = Sweep::new(problem)
        .alphas(Alphas::List((0..16).map(|i| top * (0.4 - 0.01 * f64::from(i))).collect()));
    let sweep = sweep.schedule(schedule).iterations(200).every(1).tol(0.0);
    let dense = sweep.clone().sparsity(false).run(&mut CpuEngine::new()).unwrap();
    let active = |k: usize| dense.trace.coef[[k, 15, 80]] != 0.0;
    assert!(!active(39) && active(199), "the feature comes in later");
    let sparse = sweep.run(&mut CpuEngine::new()).unwrap();
    let found = compare(&dense, &sparse, 1e-12);
    assert_eq!((found.wrong_sets, found.compared), (0, 16), "{found:?}");
    assert!(found.coef <= 1e-12 && found.dcoef <= 1e-12, "{found:?}");
    assert!(sparse.info.skipped_work > 0.5);
}

#[test]
fn a_gpu_lane_has_the_same_bits_alone_and_among_others() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let small = Objective::builder(synthetic(70, 13, false, 3)).build().unwrap();
    // With lists of what moves, of several groups of lanes.
    let sparse = Objective::builder(synthetic(257, 258, false, 3)).build().unwrap();
    let cases = Strategy::ALL.map(|strategy| (&small, strategy, 80)).into_iter().chain([(
        &sparse,
        Strategy::Direct,
        20,
    )]);
    for (problem, strategy, iterations) in cases {
        let top = problem.alpha_max(1.0);
        let alphas: Vec<f64> = (0..67).map(|i| 0.9 * top * 0.95f64.powi(i)).collect();
        let mut run = |alphas: Vec<f64>| {
            let sweep = Sweep::new(problem.clone()).alphas(Alphas::List(alphas)).iterations(iterations);
            let sweep = sweep.tol(0.0).every(iterations).precision(Precision::F32).strategy(Some(strategy));
            assert_eq!(sweep.plan(engine.as_ref()).unwrap().active_sets, problem.features() > 256);
            sweep.run(engine.as_mut()).unwrap()
        };
        let all = run(alphas.clone());
        let reversed = run(alphas.iter().rev().copied().collect());
        for lane in [0, 31, 66] {
            let alone = run(vec![alphas[lane]]);
            let bits = |r: &SweepResult, lane: usize| {
                let coef = r.trace.coef.outer_iter().next_back().unwrap().row(lane).mapv(f64::to_bits);
                let dcoef = r.trace.dcoef.outer_iter().next_back().unwrap();
                (coef, dcoef.index_axis(ndarray::Axis(0), lane).mapv(f64::to_bits))
            };
            assert_eq!(bits(&all, lane), bits(&alone, 0), "{strategy} strategy");
            assert_eq!(bits(&all, lane), bits(&reversed, 66 - lane), "{strategy} strategy");
        }
    }
}

/// Terms that are left out are zero, and tangents that are not asked for as well: not a bit of the sequence changes.
#[test]
fn sparsity_does_not_change_the_bits_of_a_gpu() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let lasso = |rows| Objective::builder(synthetic(rows, 301, false, 5)).build().unwrap();
    // Not squared: its intercept is a coefficient that no penalty holds at zero.
    let huber = Objective::builder(synthetic(257, 257, false, 5)).loss(Loss::huber(0.5).unwrap());
    let huber = huber.penalty(Penalty::elastic_net()).build().unwrap();
    let backtracking = Phase::new(Algorithm::Fista).step(Step::Backtracking { start: 4.0, shrink: 0.5 });
    let all = vec![Derivative::LogAlpha, Derivative::LogStep, Derivative::PenaltyFactor(7)];
    for (problem, lanes, schedule, derivatives, precision) in [
        // Several groups of lanes, each with a list of its own; the others are as small as may be, for short kernels.
        (lasso(260), 70, Schedule::default(), vec![Derivative::LogAlpha], Precision::F32),
        (lasso(257), 11, backtracking.into(), all.clone(), Precision::F64),
        (huber, 15, Schedule::default(), all, Precision::F32),
        (lasso(257), 30, Schedule::default(), vec![], Precision::F32),
    ] {
        let alphas = Alphas::Path { epsilon: 0.3, count: lanes };
        let sweep = Sweep::new(problem).alphas(alphas).iterations(60).every(10).tol(0.0);
        let sweep = sweep.schedule(schedule.clone()).derivatives(derivatives.clone()).precision(precision);
        let mut run = |sparsity| {
            sweep.clone().strategy(Some(Strategy::Direct)).sparsity(sparsity).run(engine.as_mut()).unwrap()
        };
        let (whole, sparse) = (run(false), run(true));
        let d = derivatives.len();
        assert!(whole.trace == sparse.trace, "{}, {schedule:?}, {d} tangents", precision.name());
        // Predictions are half of the terms, the gradient's tangents most of the rest.
        let most = (1.0 + 2.0 * d as f64) / (2.0 + 2.0 * d as f64);
        let skipped = sparse.info.skipped_work;
        assert!(
            whole.info.skipped_work == 0.0 && skipped > 0.1 * most && skipped < most,
            "{skipped} of {most}"
        );
    }
}

/// No penalty holds an intercept at zero: where it is zero by chance, here by symmetry, its tangents are not.
#[test]
fn an_intercept_that_is_zero_moves_with_its_tangents() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let half = synthetic(129, 256, false, 5);
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let x = Array2::from_shape_fn((258, 256), |(i, j)| sign(i) * half.x()[[i / 2, j]]);
    let y = Array1::from_shape_fn(258, |i| sign(i) * half.target()[i / 2]);
    let problem =
        Objective::builder(Dataset::new(x, y).unwrap()).loss(Loss::huber(0.5).unwrap()).build().unwrap();
    let sweep = Sweep::new(problem).alphas("path:0.5:5".parse().unwrap()).iterations(20).every(1).tol(0.0);
    let sweep = sweep.derivatives([Derivative::Target(Array1::ones(258))]).precision(Precision::F32);
    let mut run = |sparsity| {
        sweep.clone().strategy(Some(Strategy::Direct)).sparsity(sparsity).run(engine.as_mut()).unwrap()
    };
    let (whole, sparse) = (run(false), run(true));
    assert!(sparse.info.skipped_work > 0.1);
    assert!(
        whole.trace.intercept.iter().all(|v| *v == 0.0) && whole.trace.dintercept.iter().any(|v| *v > 0.1)
    );
    assert!(whole.trace == sparse.trace);
}

/// A device counts what its lists hold: neither more nor less than what is not zero in some lane.
#[test]
fn a_gpu_leaves_out_all_that_is_zero() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let problem = Objective::builder(synthetic(257, 257, false, 5)).build().unwrap();
    let iterations = 40;
    // So few lanes share a list.
    let sweep =
        Sweep::new(problem).alphas("path:0.6:30".parse().unwrap()).iterations(iterations).every(1).tol(0.0);
    let sparse =
        sweep.precision(Precision::F32).strategy(Some(Strategy::Direct)).run(engine.as_mut()).unwrap();
    let fours = 257usize.div_ceil(4);
    let listed = |coef: ndarray::ArrayView2<'_, f64>| {
        let moves = |j: usize| coef.column(j).iter().any(|v| *v != 0.0);
        (0..fours).filter(|four| (4 * four..(4 * four + 4).min(257)).any(moves)).count()
    };
    let needed: usize = sparse.trace.coef.outer_iter().skip(1).map(listed).sum();
    let share = needed as f64 / (fours * iterations) as f64;
    assert!(share > 0.1 && share < 0.5, "{share}");
    // All but the gradient of the iterate: three quarters of the terms.
    let expected = 0.75 * (1.0 - share);
    let skipped = sparse.info.skipped_work;
    assert!((skipped - expected).abs() < 1e-12, "{skipped}, expected {expected}");
}

/// Where a chunk ends follows from the clock: it must not show, although the last iteration of one is closed apart.
#[test]
fn chunks_of_any_length_leave_the_same_bits() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let small = Objective::builder(synthetic(70, 23, false, 3)).build().unwrap();
    let sparse = Objective::builder(synthetic(257, 258, false, 3)).build().unwrap();
    for (problem, strategy) in
        Strategy::ALL.map(|strategy| (&small, strategy)).into_iter().chain([(&sparse, Strategy::Direct)])
    {
        let mut run = |chunk: usize| {
            let schedule = Schedule::from(Phase::new(Algorithm::Fista).restart(Restart::Function));
            let sweep =
                Sweep::new(problem.clone()).alphas("path:0.01:40".parse().unwrap()).schedule(schedule);
            let sweep = sweep.iterations(120).every(40).tol(0.0).precision(Precision::F32);
            sweep.strategy(Some(strategy)).chunk(chunk).run(engine.as_mut()).unwrap().trace
        };
        let whole = run(40);
        for chunk in [1, 7, 16] {
            assert!(run(chunk) == whole, "{strategy} strategy in chunks of {chunk}");
        }
    }
}

/// Lanes that converge at different iterations, frames that do not fall on tests, a momentum that restarts.
#[test]
fn every_form_takes_a_lane_to_the_same_end() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let problem = Objective::builder(synthetic(90, 21, false, 8)).build().unwrap();
    // Objectives within rounding of each other, 1e-16, may restart one and not the other: iterates apart by its root.
    for (restart, bound) in [(Restart::None, 1e-9), (Restart::Function, 1e-7)] {
        let schedule = Schedule::from(Phase::new(Algorithm::Fista).restart(restart));
        let sweep = Sweep::new(problem.clone()).alphas("path:0.01:37".parse().unwrap()).schedule(schedule);
        let sweep = sweep.iterations(700).every(7).check_every(10).tol(1e-7).precision(Precision::F64);
        let truth = sweep.run(&mut CpuEngine::new()).unwrap();
        let ends: std::collections::BTreeSet<usize> = truth.lanes.iter().map(|l| l.iterations).collect();
        assert!(ends.len() > 5, "lanes end apart: {ends:?}");
        for strategy in Strategy::ALL {
            let found = sweep.clone().strategy(Some(strategy)).run(engine.as_mut()).unwrap();
            for (a, b) in truth.lanes.iter().zip(&found.lanes) {
                assert_eq!((a.status, a.iterations), (b.status, b.iterations), "{strategy}, {restart:?}");
            }
            let apart = max_abs_diff(&truth.trace.coef, &found.trace.coef);
            assert!(apart <= bound, "{strategy}, {restart:?}: {apart}");
        }
    }
}
