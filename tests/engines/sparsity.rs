//! What is left out because it rests at zero changes no sequence.

use ndarray::{Array1, Array2};
use proxjet::data::Dataset;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Precision, Strategy};
use proxjet::result::Trace;
use proxjet::schedule::{Algorithm, Metric, Momentum, Phase, Restart, Schedule, Step, Until};
use proxjet::solve::{Alphas, Sweep, SweepResult};

use crate::common;
use crate::common::compare::{compare, ends_differ, relative_diff, worst};
use crate::common::synthetic;

/// Leaving out what provably rests at zero changes no sequence beyond rounding.
#[test]
fn sparsity_does_not_change_the_sequences() {
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
            // Above the limit of precision: which test finds that it is reached falls by rounding.
            let sweep = sweep
                .iterations(300)
                .every(10)
                .tol(1e-13)
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
                assert_eq!(ends_differ(a, b, 1e-7), "", "{i}, {penalty}");
            }
            skipped += usize::from(sparse.info.skipped_work > 0.2);
        }
    }
    assert!(skipped > 10, "{skipped} of 21 runs skipped anything");
}

/// Nor does the Gram matrix of a working set, by which the squared loss iterates once a set has paid for it.
#[test]
fn a_working_sets_gram_matrix_does_not_change_the_sequences() {
    let target = Array1::from_shape_fn(150, |i| (0.3 * i as f64).sin());
    let derivatives = [
        Derivative::LogAlpha,
        Derivative::PenaltyFactor(3),
        Derivative::Target(target),
        Derivative::LogStep,
        Derivative::Momentum(10),
    ];
    for (algorithm, penalty, precision, bound) in [
        (Algorithm::Fista, Penalty::l1(), Precision::F64, 1e-12),
        (Algorithm::HeavyBall, Penalty::elastic_net(), Precision::F64, 1e-12),
        (Algorithm::Fista, Penalty::l1(), Precision::F32, 2e-4),
    ] {
        let problem = Objective::builder(synthetic(150, 220, false, 9)).penalty(penalty);
        let problem = problem.validation(synthetic(12, 220, false, 3)).build().unwrap();
        let top = 0.8 * problem.alpha_max(0.5);
        let alphas = (0..37).map(|lane| top * 0.96f64.powi(lane)).collect();
        let sweep = Sweep::new(problem).alphas(Alphas::List(alphas)).precision(precision);
        let sweep = sweep.schedule(Phase::new(algorithm)).iterations(80).every(10).tol(1e-30);
        for strategy in [Strategy::Direct, Strategy::Gram] {
            // A triangular factor has its target built in.
            let able = |d: &&Derivative| strategy == Strategy::Direct || d.name() != "target";
            let derivatives: Vec<_> = derivatives.iter().filter(able).cloned().collect();
            let sweep = sweep.clone().strategy(Some(strategy)).derivatives(derivatives);
            let dense = sweep.clone().sparsity(false).run(&mut CpuEngine::new()).unwrap();
            let sparse = sweep.run(&mut CpuEngine::new()).unwrap();
            let found = compare(&dense, &sparse, bound);
            let name = format!("{algorithm:?}, {}, {strategy:?}: {found:?}", precision.name());
            assert_eq!((found.wrong_sets, found.compared + found.at_kinks), (0, 37), "{name}");
            assert!(found.coef <= bound && found.dcoef <= bound && found.at_kinks < 8, "{name}");
            let (a, b) = (&dense.trace, &sparse.trace);
            let loss = |trace: &Trace| trace.validation_loss.clone().expect("held-out rows");
            let objective = relative_diff(&a.objective, &b.objective);
            let validation = relative_diff(&loss(a), &loss(b));
            assert!(worst([objective, validation]) <= bound, "{name}: {objective}, {validation}");
            for (a, b) in dense.lanes.iter().zip(&sparse.lanes) {
                assert_eq!(ends_differ(a, b, 1e4 * bound), "", "{name}");
            }
            assert!(sparse.info.skipped_work > 0.3, "{name}: {}", sparse.info.skipped_work);
        }
    }
}

/// A feature without any correlation to the target becomes active as another one grows, whose noise it is.
/// Tiny steps choose sets without it; when large ones leave the radius, it must come in. Coefficients without
/// a penalty keep the set so large that it is chosen again while steps are tiny.
#[test]
fn a_working_set_that_is_left_is_chosen_anew() {
    let (n, p) = (60, 100);
    let mut design = synthetic(n, p, false, 77).x().to_owned() * 0.1;
    let signal: Array1<f64> = (0..n).map(|i| (i as f64).sin()).collect();
    let noise: Array1<f64> = (0..n).map(|i| (1.7 * i as f64).cos()).collect();
    let noise = &noise - &(&signal * (noise.dot(&signal) / signal.dot(&signal)));
    design.column_mut(40).assign(&(&signal + &noise));
    design.column_mut(80).assign(&noise);
    let problem = Objective::builder(Dataset::new(design, signal).unwrap()).intercept(false);
    let problem = problem.penalty_factors((0..p).map(|j| if j < 8 { 0.0 } else { 1.0 }).collect());
    let problem = problem.build().unwrap();
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
    assert!((0.5..1.0).contains(&sparse.info.skipped_work));
}

/// Terms that are left out are zero, and tangents that are not asked for as well: not a bit of the sequence
/// changes.
/// The same bits on a software adapter. Compilers of other devices may contract the two kernels' operations
/// differently; then restarts, which compare objectives within rounding of each other, may come at other
/// iterations.
#[track_caller]
fn assert_same_sequences(whole: &SweepResult, sparse: &SweepResult, name: &str) {
    let (a, b) = (&whole.trace, &sparse.trace);
    if sparse.info.engine.software {
        assert!(a == b, "{name}");
        return;
    }
    let bound = if sparse.info.precision == Precision::F32 { 1e-2 } else { 1e-7 };
    let apart = [
        relative_diff(&a.objective, &b.objective),
        relative_diff(&a.coef, &b.coef),
        // Where a branch was another, so are the tangents.
        if b.dcoef.is_empty() || a.momentum != b.momentum { 0.0 } else { relative_diff(&a.dcoef, &b.dcoef) },
    ];
    assert!(worst(apart) <= bound, "{name}: objective, coef and dcoef apart by {apart:?}");
}

#[test]
fn sparsity_does_not_change_the_sequences_of_a_gpu() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let lasso = |rows| Objective::builder(synthetic(rows, 301, false, 5)).build().unwrap();
    // Not squared: its intercept is a coefficient that no penalty holds at zero.
    let huber = Objective::builder(synthetic(257, 257, false, 5)).loss(Loss::huber(0.5).unwrap());
    let huber = huber.penalty(Penalty::elastic_net()).build().unwrap();
    let backtracking = Phase::new(Algorithm::Fista).step(Step::Backtracking { start: 4.0, shrink: 0.5 });
    let all = vec![Derivative::LogAlpha, Derivative::LogStep, Derivative::PenaltyFactor(7)];
    for (problem, lanes, schedule, derivatives, precision) in [
        // Several groups of lanes, each with a list of its own; the others are as small as may be, for short
        // kernels.
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
        let name = format!("{}, {schedule:?}, {d} tangents", precision.name());
        assert_same_sequences(&whole, &sparse, &name);
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
    assert_same_sequences(&whole, &sparse, "an intercept of zero");
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
    let sparse = sweep.precision(Precision::F32).strategy(Some(Strategy::Direct)).sparsity(true);
    let sparse = sparse.run(engine.as_mut()).unwrap();
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
