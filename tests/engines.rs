//! One suite for every engine and precision, against the CPU engine in f64 and against statuses that must
//! hold.

use std::ops::ControlFlow;

use ndarray::Array2;
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision, Strategy};
use proxjet::schedule::{Algorithm, Momentum, Phase, Restart, Schedule, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};

use crate::common;
mod sparsity;
mod textbook;

use crate::common::cases::{Case, FULL, cases, sparse as stored, thinned};
use crate::common::compare::{Report, assert_close, compare, ends_differ, max_abs_diff, near};
use crate::common::synthetic;

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

/// True if a strategy can run a case: the others are refused.
fn possible(case: &Case, strategy: Strategy) -> bool {
    match strategy {
        Strategy::Direct => true,
        Strategy::Gram => case.loss == Loss::squared(),
        // Held-out rows are predicted at every iteration.
        Strategy::Persistent => case.loss == Loss::squared() && case.held_out.is_none(),
        other => panic!("say which cases the {other} strategy can run"),
    }
}

/// Runs cases as `of` gives them; `least` must be compared.
fn against_the_reference(
    engine: &str,
    (precision, strategy): (Precision, Strategy),
    of: fn(&Case) -> Option<Sweep>,
    least: usize,
) {
    let Some(mut engine) = common::engine(engine) else { return };
    let (mut compared, mut at_kinks) = (0, 0);
    let mut report = Report::default();
    for case in cases() {
        let Some(asked) = of(&case) else { continue };
        let asked = asked.precision(precision).strategy(Some(strategy));
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
    report.finish(least);
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
        .keep(Keep::All)
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
                    let all = |case: &Case| Some(case.sweep.clone());
                    against_the_reference($engine, ($precision, Strategy::$variant), all, 50);
                }
            )*
            #[test]
            fn sparse_designs_agree_with_the_reference() {
                // What differs from other runs is the product: one loss and one penalty in each setting,
                // and each of them once.
                let some = |case: &Case| {
                    let (loss, penalty) = (case.loss == Loss::squared(), case.penalty == Penalty::l1());
                    let taken = (loss && penalty) || ((loss || penalty) && case.setting.name == FULL.name);
                    taken.then(|| case.of_sparse())
                };
                against_the_reference($engine, ($precision, Strategy::Direct), some, 12);
            }
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

#[test]
fn a_gpu_lane_has_the_same_bits_alone_and_among_others() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let small = Objective::builder(synthetic(70, 13, false, 3)).build().unwrap();
    // With lists of what moves, of several groups of lanes.
    let sparse = Objective::builder(synthetic(257, 258, false, 3)).build().unwrap();
    let stored = Objective::builder(stored(&thinned(&synthetic(120, 60, false, 3)))).build().unwrap();
    let others = [(&sparse, Strategy::Direct, 20), (&stored, Strategy::Direct, 80)];
    let cases = Strategy::ALL.map(|strategy| (&small, strategy, 80)).into_iter().chain(others);
    for (problem, strategy, iterations) in cases {
        let top = problem.alpha_max(1.0);
        let alphas: Vec<f64> = (0..67).map(|i| 0.9 * top * 0.95f64.powi(i)).collect();
        let mut run = |alphas: Vec<f64>| {
            let sweep = Sweep::new(problem.clone()).alphas(Alphas::List(alphas)).iterations(iterations);
            let sweep = sweep.tol(0.0).every(iterations).precision(Precision::F32).strategy(Some(strategy));
            let sweep = sweep.sparsity(true);
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
                assert!(r.trace.dcoef.iter().all(|v| v.is_finite()));
                (coef, dcoef.index_axis(ndarray::Axis(0), lane).mapv(f64::to_bits))
            };
            assert_eq!(bits(&all, lane), bits(&alone, 0), "{strategy} strategy");
            assert_eq!(bits(&all, lane), bits(&reversed, 66 - lane), "{strategy} strategy");
        }
    }
}

/// Where a chunk ends follows from the clock: it must not show, although the last iteration of one is closed
/// apart.
#[test]
fn chunks_of_any_length_leave_the_same_bits() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let small = Objective::builder(synthetic(70, 23, false, 3)).build().unwrap();
    let sparse = Objective::builder(synthetic(257, 258, false, 3)).build().unwrap();
    for (problem, strategy) in
        Strategy::ALL.map(|strategy| (&small, strategy)).into_iter().chain([(&sparse, Strategy::Direct)])
    {
        let mut run = |chunk: usize, keep: Keep| {
            let schedule = Schedule::from(Phase::new(Algorithm::Fista).restart(Restart::Function));
            let sweep =
                Sweep::new(problem.clone()).alphas("path:0.01:40".parse().unwrap()).schedule(schedule);
            let sweep = sweep.iterations(120).every(40).tol(0.0).precision(Precision::F32);
            let sweep = sweep.strategy(Some(strategy)).sparsity(true).chunk(chunk).keep(keep);
            sweep.run(engine.as_mut()).unwrap().trace
        };
        let whole = run(40, Keep::All);
        assert_eq!(whole.recorded.len(), 120);
        for chunk in [1, 7, 16] {
            assert!(run(chunk, Keep::All) == whole, "{strategy} strategy in chunks of {chunk}");
        }
        let few = run(7, Keep::Frames);
        assert!(few == run(16, Keep::Frames) && few.coef == whole.coef, "{strategy} strategy, frames");
        assert_eq!(few.recorded, [40, 80, 100, 120]);
        for (row, k) in few.recorded.iter().enumerate() {
            assert_eq!(
                few.objective.row(row),
                whole.objective.row(k - 1),
                "{strategy} strategy, iterate {k}"
            );
        }
    }
}

/// The same of the CPU engine: lanes in groups or as one block, working sets that are chosen in mid-chunk.
#[test]
fn chunks_of_any_length_leave_the_same_bits_on_the_cpu_engine() {
    let of = |data| Objective::builder(data).build().unwrap();
    let sparse = common::cases::sparse(&common::cases::thinned(&synthetic(60, 300, false, 3)));
    // A core's cache does not hold the last.
    for (name, problem) in [
        ("sparse", of(sparse)),
        ("small", of(synthetic(70, 130, false, 3))),
        ("large", of(synthetic(300, 600, false, 3))),
    ] {
        let run = |chunk: usize| {
            let sweep = Sweep::new(problem.clone()).alphas("path:0.1:40".parse().unwrap()).tol(0.0);
            let sweep = sweep.keep(Keep::All);
            let sweep = sweep.iterations(120).every(40).strategy(Some(Strategy::Direct)).chunk(chunk);
            sweep.run(&mut CpuEngine::new()).unwrap()
        };
        let whole = run(40);
        assert!(whole.info.skipped_work > 0.1, "{name}: {}", whole.info.skipped_work);
        for chunk in [1, 7, 16] {
            assert!(run(chunk).trace == whole.trace, "{name}, in chunks of {chunk}");
        }
    }
}

/// Lanes that take turns in few slots are at different iterations: each is recorded at its own.
#[test]
fn lanes_that_take_turns_are_recorded_at_their_own_iterations() {
    let problem = Objective::builder(synthetic(90, 21, false, 8)).build().unwrap();
    for engine in ["cpu", "gpu"] {
        let Some(mut engine) = common::engine(engine) else { continue };
        let sweep = Sweep::new(problem.clone()).alphas("path:0.01:150".parse().unwrap()).iterations(900);
        let sweep = sweep.every(20).check_every(6).tol(1e-9).chunk(7).precision(Precision::F64);
        let of = |keep: Keep| sweep.clone().keep(keep).strategy(Some(Strategy::Direct));
        // Slots for some of the lanes, so that others follow when one ends.
        let is_small = |budget: &u64| {
            let plan = of(Keep::Frames).memory_budget(*budget).plan(engine.as_ref());
            plan.is_ok_and(|plan| plan.slots > 20 && plan.slots < 100)
        };
        let budget = (1..4000).map(|i| i * 10_000).find(is_small).expect("a budget for some slots");
        let (few, whole) = (of(Keep::Frames).memory_budget(budget), of(Keep::All));
        let (few, whole) = (few.run(engine.as_mut()).unwrap(), whole.run(engine.as_mut()).unwrap());
        let ends: std::collections::BTreeSet<usize> = whole.lanes.iter().map(|l| l.iterations).collect();
        assert!(ends.len() > 3, "lanes end apart: {ends:?}");
        for (row, k) in few.trace.recorded.iter().enumerate() {
            let apart = (&few.trace.objective.row(row) - &whole.trace.objective.row(k - 1)).mapv(f64::abs);
            let worst = apart.iter().fold(0.0, |top: f64, v| if *v <= top { top } else { *v });
            assert!(worst <= 1e-9 * whole.lanes[0].objective.unwrap(), "iterate {k}: {worst:e}");
        }
        for (a, b) in few.lanes.iter().zip(&whole.lanes) {
            assert_eq!((a.status, a.iterations, a.support), (b.status, b.iterations, b.support));
        }
    }
}

/// Lanes that converge at different iterations, frames that do not fall on tests, a momentum that restarts.
#[test]
fn every_form_takes_a_lane_to_the_same_end() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let problem = Objective::builder(synthetic(90, 21, false, 8)).build().unwrap();
    // Objectives within rounding of each other, 1e-16, may restart one and not the other: iterates apart by
    // its root.
    for (restart, bound) in [(Restart::None, 1e-9), (Restart::Function, 1e-7)] {
        let schedule = Schedule::from(Phase::new(Algorithm::Fista).restart(restart));
        let sweep = Sweep::new(problem.clone()).alphas("path:0.01:37".parse().unwrap()).schedule(schedule);
        let sweep = sweep.iterations(700).every(7).check_every(10).tol(1e-7).precision(Precision::F64);
        let direct = sweep.clone().strategy(Some(Strategy::Direct));
        let truth = direct.run(&mut CpuEngine::new()).unwrap();
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

/// The CPU engine's Gram strategy has the sequences of the direct one, also with held-out rows and factors.
#[test]
fn the_triangular_factor_leaves_the_sequences() {
    let build = |n: usize, p: usize, intercept: bool, penalty: Penalty| {
        let factors = (0..p).map(|j| if j == 2 { 0.0 } else { 0.5 + 0.1 * (j % 4) as f64 }).collect();
        let builder = Objective::builder(synthetic(n, p, false, 6)).penalty(penalty).intercept(intercept);
        builder.penalty_factors(factors).validation(synthetic(15, p, false, 7)).build().unwrap()
    };
    for (n, p, intercept, penalty) in [
        (300, 20, true, Penalty::l1()),
        (90, 40, false, Penalty::elastic_net()),
        (70, 5, true, Penalty::l2()),
    ] {
        let problem = build(n, p, intercept, penalty);
        let top = problem.alpha_max(0.5);
        let alphas = (0..20).map(|i| 0.9 * top * 0.8f64.powi(i)).collect();
        let sweep = Sweep::new(problem).alphas(Alphas::List(alphas)).schedule(Phase::new(Algorithm::Fista));
        let sweep = sweep.iterations(300).every(50).tol(0.0);
        let derivatives = [Derivative::LogAlpha, Derivative::PenaltyFactor(4)];
        for (precision, bound) in [(Precision::F64, 1e-9), (Precision::F32, 2e-3)] {
            let run = |strategy| {
                let sweep = sweep.clone().derivatives(derivatives.clone()).precision(precision);
                sweep.strategy(Some(strategy)).run(&mut CpuEngine::new()).unwrap()
            };
            let (direct, gram) = (run(Strategy::Direct), run(Strategy::Gram));
            assert_eq!(gram.info.strategy, Strategy::Gram);
            assert_close(&direct, &gram, bound, &format!("{n} x {p}, {precision:?}"));
            for (a, b) in direct.lanes.iter().zip(&gram.lanes) {
                assert!(near(a.validation_loss, b.validation_loss, bound) && near(a.score, b.score, bound));
            }
        }
    }
}
