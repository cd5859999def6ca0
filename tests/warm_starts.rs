//! Lanes that start from others: warm-started paths.

use crate::common;

use std::ops::ControlFlow;

use crate::common::compare::max_abs_diff;
use crate::common::synthetic;
use ndarray::{Array1, Array2, Axis};
use proxjet::certificate::Verdict;
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::{Engine, Status};
use proxjet::lanes::Start;
use proxjet::objective::Derivative;
use proxjet::prelude::*;
use proxjet::solve::{LaneResult, Path};

const LANES: usize = 12;

/// A lasso path whose lanes start in chains of four.
fn warm() -> Sweep {
    let problem = Objective::builder(synthetic(60, 25, false, 3)).build().unwrap();
    let alphas = (0..LANES).map(|i| 0.8 * problem.alpha_max(1.0) * 0.8f64.powi(i as i32)).collect();
    let starts = (0..LANES).map(|i| if i % 4 == 0 { Start::Zero } else { Start::From(i - 1) });
    Sweep::new(problem).alphas(Alphas::List(alphas)).iterations(4000).tol(1e-9).lane_starts(starts)
}

/// The last coefficients of a lane, `[1, p]`.
fn last_coef(result: &SweepResult, lane: usize) -> Array2<f64> {
    let frames = result.trace.coef.len_of(Axis(0));
    result.trace.coef.index_axis(Axis(0), frames - 1).row(lane).to_owned().insert_axis(Axis(0))
}

/// Every lane has the bits of a run by itself that is given the start as numbers.
fn starts_are_those_of_the_sources(engine: &mut dyn Engine, precision: Precision) {
    let sweep = warm().precision(precision);
    let whole = sweep.run(engine).unwrap();
    for lane in (0..LANES).filter(|lane| lane % 4 != 0) {
        let alone = Sweep::new(sweep.problem().clone())
            .alphas(Alphas::List(vec![whole.lanes[lane].alpha]))
            .iterations(4000)
            .tol(1e-9)
            .precision(precision)
            .start(last_coef(&whole, lane - 1))
            .run(engine)
            .unwrap();
        assert_eq!(alone.lanes[0].iterations, whole.lanes[lane].iterations, "lane {lane}");
        assert_eq!(last_coef(&alone, 0), last_coef(&whole, lane), "lane {lane}");
    }
}

#[test]
fn a_lane_starts_at_the_last_iterate_of_its_source_on_the_cpu() {
    starts_are_those_of_the_sources(&mut CpuEngine::new(), Precision::F64);
}

#[test]
fn a_lane_starts_at_the_last_iterate_of_its_source_on_a_gpu() {
    if let Some(mut gpu) = common::gpu() {
        starts_are_those_of_the_sources(&mut gpu, Precision::F64);
    }
}

#[test]
fn warm_starts_find_the_same_solutions_in_fewer_iterations() {
    let warm_path = warm().run(&mut CpuEngine::new()).unwrap();
    let cold_path = warm().lane_starts([Start::Zero; LANES]).run(&mut CpuEngine::new()).unwrap();
    let total = |r: &SweepResult| r.lanes.iter().map(|l| l.iterations).sum::<usize>();
    assert!(warm_path.lanes.iter().all(|lane| lane.status == Status::Converged));
    for lane in 0..LANES {
        // A relative gap of 1e-9 leaves about its root in the coefficients.
        let apart = max_abs_diff(&last_coef(&warm_path, lane), &last_coef(&cold_path, lane));
        assert!(apart < 1e-3, "lane {lane}: {apart:e}");
    }
    assert!(total(&warm_path) < total(&cold_path), "{} {}", total(&warm_path), total(&cold_path));
}

#[test]
fn several_engines_finish_a_chain() {
    let truth = warm().run(&mut CpuEngine::new()).unwrap();
    let (mut a, mut b) = (CpuEngine::new(), CpuEngine::new());
    let result = warm().run_on(&mut [&mut a, &mut b], |_, _| ControlFlow::Continue(())).unwrap();
    for lane in 0..LANES {
        assert_eq!(result.lanes[lane].status, Status::Converged);
        let apart = max_abs_diff(&last_coef(&result, lane), &last_coef(&truth, lane));
        assert!(apart < 1e-3, "lane {lane}: {apart:e}");
    }
}

#[test]
fn lanes_behind_a_cancelled_one_never_begin() {
    let result = warm().chunk(2).run_with(&mut CpuEngine::new(), |_, _| ControlFlow::Break(())).unwrap();
    assert!(result.lanes.iter().all(|lane| lane.status == Status::Cancelled));
    assert!((0..LANES).filter(|i| i % 4 != 0).all(|i| result.lanes[i].iterations == 0));
}

#[test]
fn a_source_that_diverged_is_no_start() {
    let problem = Objective::builder(synthetic(60, 25, false, 3)).build().unwrap();
    let alpha = 0.1 * problem.alpha_max(1.0);
    // Both lanes diverge by a step that is too long; the second must do so from zero, like the first.
    let result = Sweep::new(problem)
        .alphas(Alphas::List(vec![alpha, alpha]))
        .algorithm(Algorithm::Pgd)
        .step("constant:9".parse().unwrap())
        .lane_starts([Start::Zero, Start::From(0)])
        .run(&mut CpuEngine::new())
        .unwrap();
    assert_eq!(result.lanes[0].status, Status::Diverged);
    assert_eq!(result.lanes[1].iterations, result.lanes[0].iterations);
    assert_eq!(result.trace.coef.index_axis(Axis(0), 0).row(1).sum(), 0.0);
}

#[test]
fn a_chain_without_a_beginning_is_refused() {
    let error = warm().lane_starts([Start::From(0); LANES]).run(&mut CpuEngine::new()).unwrap_err();
    assert!(error.to_string().contains("leads back"), "{error}");
    let error = warm().lane_starts([Start::Zero]).run(&mut CpuEngine::new()).unwrap_err();
    assert!(error.to_string().contains("one for each lane"), "{error}");
}

/// A path in blocks: the same solutions in fewer iterations, of folds too, and no more lanes at a time than a
/// block has.
#[test]
fn a_path_in_blocks_takes_fewer_iterations() {
    let folds = proxjet::data::Folds::k_fold(60, 3, 1).unwrap();
    for folds in [None, Some(folds)] {
        let mut builder = Objective::builder(synthetic(60, 25, false, 3));
        if let Some(folds) = &folds {
            builder = builder.folds(folds.clone());
        }
        let sweep = Sweep::new(builder.build().unwrap()).alphas("path:0.01:30".parse().unwrap());
        let sweep = sweep.iterations(20_000).tol(1e-10);
        let independent = sweep.run(&mut CpuEngine::new()).unwrap();
        let total = |result: &SweepResult| result.lanes.iter().map(|l| l.iterations).sum::<usize>();
        for path in ["warm:5", "warm:1", "warm:5:restart"] {
            let sweep = sweep.clone().path(path.parse().unwrap());
            let plan = sweep.plan(&CpuEngine::new()).unwrap();
            let warm = sweep.run(&mut CpuEngine::new()).unwrap();
            assert!(plan.slots <= 5 * folds.as_ref().map_or(1, |_| 3), "{path}: {}", plan.slots);
            assert!(total(&warm) < total(&independent), "{path}: {} {}", total(&warm), total(&independent));
            for (i, (a, b)) in independent.lanes.iter().zip(&warm.lanes).enumerate() {
                assert_eq!(
                    (a.alpha, a.fold, b.status),
                    (b.alpha, b.fold, Status::Converged),
                    "{path}, lane {i}"
                );
                let (x, y) = (independent.lane(i), warm.lane(i));
                assert!(max_abs_diff(&x.coef(), &y.coef()) < 1e-7, "{path}, lane {i}");
                // At alpha_max a coefficient is about to enter.
                if a.certificate.unwrap().unique {
                    assert!(max_abs_diff(&x.dcoef(), &y.dcoef()) < 1e-6, "{path}, lane {i}");
                }
            }
        }
    }
}

/// Carried derivatives are those of the whole chain: by differences, all alphas moving together.
#[test]
fn carried_derivatives_are_those_of_the_chain() {
    let problem = Objective::builder(synthetic(60, 25, false, 3)).build().unwrap();
    let top = problem.alpha_max(1.0);
    let run = |factor: f64, path: &str| {
        let alphas = (0..6).map(|i| 0.7 * top * 0.7f64.powi(i) * factor).collect();
        let sweep = Sweep::new(problem.clone()).alphas(Alphas::List(alphas)).iterations(12).tol(0.0);
        let sweep = sweep.path(path.parse().unwrap()).schedule(Phase::new(Algorithm::Fista));
        sweep.run(&mut CpuEngine::new()).unwrap().trace
    };
    let h = 1e-6f64;
    let last = |trace: &proxjet::result::Trace| trace.coef.outer_iter().next_back().unwrap().to_owned();
    let slope = (last(&run(h.exp(), "warm:2")) - last(&run((-h).exp(), "warm:2"))) / (2.0 * h);
    let of = |path: &str| {
        let trace = run(1.0, path);
        trace.dcoef.outer_iter().next_back().unwrap().index_axis(Axis(1), 0).to_owned()
    };
    assert!(max_abs_diff(&of("warm:2"), &slope) < 1e-6);
    assert!(max_abs_diff(&of("warm:2:restart"), &slope) > 1e-3, "it forgets the lanes before");
}

#[test]
fn paths_that_cannot_be_are_refused() {
    for text in ["warm", "warm:0", "warm:x", "warm:3:carried", "cold"] {
        let error = text.parse::<proxjet::solve::Path>().unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("warm:BLOCK"), "{error}");
    }
    let late = Sweep::new(warm().problem().clone()).tangent_start(TangentStart::Iteration(5));
    let error = late.path("warm:3".parse().unwrap()).run(&mut CpuEngine::new()).unwrap_err().to_string();
    assert!(error.contains("derivatives that start late"), "{error}");
    let error = warm().path("warm:3".parse().unwrap()).run(&mut CpuEngine::new()).unwrap_err().to_string();
    assert!(error.contains("a start for each lane"), "{error}");
}

/// The lanes of a path by Newton's method are those of independent lanes, without iterations: dense and
/// sparse, with folds, weights, factors, an intercept, more columns than rows and fewer.
#[test]
fn a_path_by_newton_has_the_same_models_without_iterations() {
    let mut compared = 0;
    let l1 = [Penalty::l1(), Penalty::elastic_net(), Penalty::nonneg_l1()];
    for (loss, penalty, rows, columns, sparse) in [
        (Loss::squared(), l1[0], 70, 150, false),
        (Loss::squared(), l1[1], 70, 150, true),
        (Loss::squared(), l1[2], 150, 40, true),
        (Loss::squared(), Penalty::l2(), 90, 20, false),
        (Loss::logistic(), l1[0], 120, 60, true),
        (Loss::huber(1.35).unwrap(), l1[1], 100, 50, false),
        (Loss::squared(), Penalty::mcp(3.0).unwrap(), 120, 60, false),
    ] {
        let data = synthetic(rows, columns, loss.classes(), 7);
        let weight = (0..rows).map(|i| 0.5 + (i % 3) as f64).collect::<Array1<f64>>();
        let x = data.x().mapv(|v| if sparse && v.abs() < 0.8 { 0.0 } else { v });
        let entries = x.indexed_iter().filter(|(_, v)| **v != 0.0).map(|((i, j), v)| (i, j, *v));
        let stored = proxjet::design::Sparse::from_triplets(x.dim(), entries).unwrap().0;
        let design = if sparse { stored.into_design() } else { x.clone().into() };
        let data = Dataset::new(design, data.target().to_owned()).unwrap();
        let data = data.with_sample_weight(weight).unwrap();
        let factor = |j: usize| if j == 3 { 0.0 } else { [1.0, 2.0, 0.5][j % 3] };
        let factors: Array1<f64> = (0..columns).map(factor).collect();
        for folds in [false, true] {
            let mut builder = Objective::builder(data.clone()).loss(loss).penalty(penalty);
            builder = builder.penalty_factors(factors.clone());
            if folds {
                builder = builder.folds(proxjet::data::Folds::k_fold(rows, 3, 1).unwrap());
            }
            let objective = builder.build().unwrap();
            // Not in order, and with a wide gap.
            let top = objective.alpha_max(0.5);
            let alphas = [0.02, 0.9, 0.5, 0.45, 0.4, 0.1].map(|share| share * top).to_vec();
            let sweep = Sweep::new(objective).alphas(Alphas::List(alphas)).iterations(50_000).tol(1e-10);
            let independent = sweep.run(&mut CpuEngine::new()).unwrap();
            let newton = sweep.path(Path::Newton).run(&mut CpuEngine::new()).unwrap();
            for (i, (a, b)) in independent.lanes.iter().zip(&newton.lanes).enumerate() {
                let what = format!("{loss} {penalty} {rows} x {columns}, folds {folds}, lane {i}");
                assert_eq!((a.alpha, a.fold), (b.alpha, b.fold), "{what}");
                assert_eq!((b.status, b.iterations), (Status::Converged, 0), "{what}");
                let (x, y) = (independent.lane(i), newton.lane(i));
                let certificate = a.certificate.unwrap();
                // Penalties that are not convex have several minima.
                if certificate.verdict != Verdict::Green || !penalty.capabilities().convex {
                    continue;
                }
                let condition = certificate.condition.unwrap();
                let close = |x: Array2<f64>, y: Array2<f64>, what: &str| {
                    let size = x.iter().fold(1.0, |top: f64, v| top.max(v.abs()));
                    let apart = max_abs_diff(&x, &y) / size;
                    assert!(apart < 1e-13 * condition.max(1e3), "{what}: {apart:e}, {condition:e}");
                };
                let row = |v: ndarray::ArrayView1<'_, f64>| v.to_owned().insert_axis(Axis(0));
                close(row(x.coef()), row(y.coef()), &what);
                close(x.dcoef().to_owned(), y.dcoef().to_owned(), &what);
                let (loss_a, loss_b) = (a.validation_loss, b.validation_loss);
                assert_eq!((loss_a.is_some(), loss_b.is_some()), (folds, folds), "{what}");
                assert!(loss_a.zip(loss_b).is_none_or(|(a, b)| (a - b).abs() < 1e-9 * a), "{what}");
                let score = |lane: &LaneResult| lane.score.unwrap();
                assert!((score(a) - score(b)).abs() < 1e-9, "{what}");
                compared += 1;
            }
        }
    }
    assert!(compared > 120, "{compared}");
}

/// Derivatives in a direction of the target, which has an entry for each row, against differences: of few
/// columns, whose triangular factor has fewer rows, and of many.
#[test]
fn a_path_by_newton_follows_a_direction_of_the_target() {
    for (rows, columns, intercept) in [(120, 10, true), (120, 10, false), (40, 90, true)] {
        let data = synthetic(rows, columns, false, 4);
        let direction: Array1<f64> = (0..rows).map(|i| (0.7 * i as f64).sin()).collect();
        let alphas = Alphas::List(
            [0.5, 0.05]
                .map(|share| {
                    let objective = Objective::builder(data.clone()).intercept(intercept).build().unwrap();
                    share * objective.alpha_max(1.0)
                })
                .to_vec(),
        );
        let run = |by: f64, path: Path| {
            let moved = Dataset::new(data.x(), data.target().to_owned() + by * &direction).unwrap();
            let objective = Objective::builder(moved).intercept(intercept).build().unwrap();
            let sweep = Sweep::new(objective).alphas(alphas.clone()).path(path).tol(1e-10);
            let sweep = sweep.iterations(50_000).derivatives([Derivative::Target(direction.clone())]);
            sweep.run(&mut CpuEngine::new()).unwrap()
        };
        let (found, low, high) =
            (run(0.0, Path::Newton), run(-1e-4, Path::Independent), run(1e-4, Path::Independent));
        for lane in 0..2 {
            assert_eq!(found.lanes[lane].iterations, 0);
            let (fit, low, high) = (found.lane(lane), low.lane(lane), high.lane(lane));
            let expected = (&high.coef() - &low.coef()) / 2e-4;
            let expected = expected.insert_axis(Axis(0));
            let apart = max_abs_diff(&fit.dcoef().to_owned(), &expected);
            // Solutions are linear in the target between kinks: what differs is rounding over the width.
            assert!(apart < 1e-8, "{rows} x {columns}, lane {lane}: {apart:e}");
            let of_intercept = (high.intercept() - low.intercept()) / 2e-4;
            assert!((fit.dintercept()[0] - of_intercept).abs() < 1e-8, "{rows} x {columns}, lane {lane}");
        }
    }
}

/// Classes that an unpenalised column separates have no solution: the engine runs such lanes, and says so.
#[test]
fn lanes_that_newton_cannot_solve_iterate() {
    let data = synthetic(40, 5, true, 3);
    let mut x = data.x().to_owned();
    x.column_mut(0).assign(&data.target());
    let separable = Dataset::new(x, data.target().to_owned()).unwrap();
    let factors = Array1::from(vec![0.0, 1.0, 1.0, 1.0, 1.0]);
    let builder = Objective::builder(separable).loss(Loss::logistic()).penalty(Penalty::l1());
    let objective = builder.penalty_factors(factors).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::List(vec![0.1, 0.05])).path(Path::Newton);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    for lane in &result.lanes {
        assert_eq!(lane.status, Status::Unbounded);
        assert!(lane.iterations > 0);
    }
}

/// Solutions are the iterates themselves, so that nothing is lost without polished models.
#[test]
fn a_path_by_newton_has_its_numbers_without_polish() {
    let folds = proxjet::data::Folds::k_fold(60, 3, 1).unwrap();
    let problem = Objective::builder(synthetic(60, 25, false, 3)).folds(folds).build().unwrap();
    let sweep = Sweep::new(problem).alphas("path:0.01:10".parse().unwrap()).path(Path::Newton);
    let polished = sweep.run(&mut CpuEngine::new()).unwrap();
    let plain = sweep.polish(false).run(&mut CpuEngine::new()).unwrap();
    for (i, (a, b)) in polished.lanes.iter().zip(&plain.lanes).enumerate() {
        assert!(b.certificate.unwrap().polished.is_none() && b.objective.is_some(), "{b:?}");
        assert_eq!((a.objective, a.support, a.score), (b.objective, b.support, b.score), "lane {i}");
        assert_eq!((a.validation_loss, &a.hypergradient), (b.validation_loss, &b.hypergradient), "lane {i}");
        assert_eq!(polished.lane(i).coef(), plain.lane(i).coef(), "lane {i}");
    }
}

#[test]
fn a_path_by_newton_obeys_its_limits() {
    let problem = Objective::builder(synthetic(60, 25, false, 3)).build().unwrap();
    let sweep = Sweep::new(problem).path(Path::Newton);
    for (refused, words) in [
        (sweep.clone().tol(0.0), "tolerance 0"),
        (sweep.clone().derivatives([Derivative::Step(0)]), "settings of the iterations"),
        (sweep.clone().start(Array2::zeros((100, 25))), "a start for each lane"),
    ] {
        let error = refused.run(&mut CpuEngine::new()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let result = sweep.clone().cancel_by(flag).run(&mut CpuEngine::new()).unwrap();
    assert!(result.lanes.iter().all(|lane| lane.status == Status::Cancelled));
    let late = sweep.deadline(std::time::Duration::ZERO).run(&mut CpuEngine::new()).unwrap();
    assert!(late.lanes.iter().all(|lane| lane.status == Status::Deadline));
}
