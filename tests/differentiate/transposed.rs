//! The sweep backward against the tangents that the engine carries.

use ndarray::Array2;
use proxjet::diff::{Differentiate, Mode};
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Objective, Penalty};
use proxjet::program::Precision;
use proxjet::schedule::{Algorithm, Metric, Momentum, Phase, Restart, Schedule, Step, TangentStart};
use proxjet::solve::{Alphas, Sweep};

use super::random;
use crate::common::cases::{cases, losses, penalties, step_scale};
use crate::common::compare::{Report, worst};
use crate::common::synthetic;

/// `|⟨c, dx u⟩ − ⟨dx' c, u⟩|` for the cotangent `c` of each lane and every derivative `u`, relative to the
/// sum of the sizes of all terms, or to those of `⟨c, x⟩`, by the step over it: what is smaller than the
/// coefficients' own rounding has decayed. Tangents that the engine carries against the sweep backward.
fn transposition_error(sweep: &Sweep, seed: u64) -> f64 {
    let engine = &mut CpuEngine::new();
    let found = Differentiate::new(sweep.clone()).mode(Mode::Forward).run(engine).unwrap();
    let (coef, forward) = (found.coef, found.dcoef.unwrap());
    let (b, h, p) = forward.dim();
    let cotangents = Array2::from_shape_vec((b, p), random(b * p, seed)).unwrap();
    let reverse =
        Differentiate::new(sweep.clone()).mode(Mode::Reverse).vjp(engine, cotangents.view()).unwrap();
    let lipschitz = sweep.problem().spectrum().lipschitz;
    let error = |lane: usize, t: usize| {
        let terms = || (0..p).map(|j| cotangents[[lane, j]] * forward[[lane, t, j]]);
        let unit = if found.names[t].starts_with("step:") { lipschitz } else { 1.0 };
        let natural: f64 = (0..p).map(|j| (cotangents[[lane, j]] * coef[[lane, j]]).abs()).sum();
        let size = terms().map(f64::abs).sum::<f64>().max(unit * natural);
        let apart = (terms().sum::<f64>() - reverse[[lane, t]]).abs();
        if apart == 0.0 { 0.0 } else { apart / size }
    };
    worst((0..b).flat_map(|lane| (0..h).map(move |t| (lane, t))).map(|(lane, t)| error(lane, t)))
}

/// Each loss with each penalty, with every derivative that exists; the number of iterations differs. Rounding
/// of so many iterations is about 1e-13.
#[test]
fn reverse_is_the_transpose_of_forward() {
    let mut report = Report::default();
    for (i, case) in cases().into_iter().enumerate().filter(|(_, case)| case.setting.tangents > 0) {
        let iterations = [1, 2, 3, 10, 16, 17, 33, 150][i % 8];
        let needed = |d: &Derivative| match d {
            Derivative::Step(k) | Derivative::Momentum(k) => *k < iterations,
            _ => true,
        };
        let derivatives: Vec<_> = case.derivatives.iter().filter(|d| needed(d)).cloned().collect();
        for sweep in [case.sweep.clone(), case.of_sparse()] {
            let sweep = sweep.iterations(iterations).every(iterations).derivatives(derivatives.clone());
            let error = transposition_error(&sweep, i as u64);
            report.check(&case.name, error <= 1e-12, || format!("{iterations} iterations: {error:e}"));
        }
    }
    report.finish(100);
}

/// Schedules that adapt, metrics, phases, and tangents that start late.
#[test]
fn reverse_follows_the_executed_branch() {
    let data = synthetic(60, 30, false, 3);
    let problem = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let base = Sweep::new(problem).alphas(Alphas::path(0.05, 9)).tol(0.0).iterations(120);
    let phases = Schedule::from(Phase::new(Algorithm::Fista).restart(Restart::Gradient));
    let sweeps = [
        ("restart by gradient", base.clone()),
        ("restart by function", base.clone().restart(Restart::Function)),
        (
            "backtracking",
            base.clone().restart(Restart::None).step(Step::Backtracking { start: 8.0, shrink: 0.5 }),
        ),
        ("a metric", base.clone().schedule(phases).metric(Metric::Diagonal)),
        ("strong convexity", base.clone().momentum(Momentum::StronglyConvex)),
        ("a late start", base.clone().tangent_start(TangentStart::Iteration(40))),
        (
            "random steps",
            base.clone().schedule(Phase::new(Algorithm::Pgd)).step(Step::Uniform {
                low: 0.3,
                high: 1.7,
                seed: 4,
            }),
        ),
    ];
    let mut report = Report::default();
    for (name, sweep) in sweeps {
        let derivatives = [Derivative::LogAlpha, Derivative::L1Ratio, Derivative::PenaltyFactor(3)];
        let error = transposition_error(&sweep.derivatives(derivatives), 5);
        report.check(name, error <= 1e-12, || format!("{error:e}"));
    }
    report.finish(7);
}

/// At every number of iterations, and in random configurations of everything that iterations use.
#[test]
fn the_adjoint_is_exact_at_every_count() {
    let data = synthetic(24, 10, false, 17);
    let problem = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let derivatives =
        [Derivative::LogAlpha, Derivative::L1Ratio, Derivative::PenaltyFactor(1), Derivative::LogStep];
    let sweep = Sweep::new(problem).alphas(Alphas::path(0.05, 2)).tol(0.0).derivatives(derivatives);
    let mut report = Report::default();
    for count in 1..=500 {
        let error = transposition_error(&sweep.clone().iterations(count), count as u64);
        report.check("every count", error <= 1e-12, || format!("{count} iterations: {error:e}"));
    }
    for seed in 0..200 {
        let (sweep, name) = random_sweep(seed);
        let error = transposition_error(&sweep, seed);
        report.check(&name, error <= 1e-12, || format!("{error:e}"));
        if seed % 4 == 0 {
            // Tangents of the engine are in f32, and a few roundings of 1e-7 are 1e-5; a residual at the
            // threshold of a loss may be on one side in f32 and on the other in f64.
            let bound = if sweep.problem().loss().kinks(0.0).is_empty() { 1e-5 } else { 1e-4 };
            let error = transposition_error(&sweep.precision(Precision::F32), seed);
            report.check(&name, error <= bound, || format!("f32: {error:e}"));
        }
    }
    report.finish(750);
}

/// A configuration without a pattern, and its name.
fn random_sweep(seed: u64) -> (Sweep, String) {
    let draws = random(16, 1000 + seed);
    let draw =
        |i: usize, low: usize, high: usize| low + ((draws[i] + 1.0) / 2.0 * (high - low) as f64) as usize;
    let (losses, penalties) = (losses(), penalties());
    let (loss, penalty) = (losses[draw(0, 0, losses.len())], penalties[draw(1, 0, penalties.len())]);
    let (rows, features) = (draw(2, 10, 60), draw(3, 3, 50));
    let data = synthetic(rows, features, loss.classes(), seed);
    let intercept = draw(4, 0, 2) == 1;
    let problem = Objective::builder(data).loss(loss).penalty(penalty).intercept(intercept).build().unwrap();
    let top = if penalty.uses_alpha() { problem.alpha_max(1.0).clamp(0.05, 2.0) } else { 1.0 };
    let scale = step_scale(&problem);
    let (count, lanes) = (draw(5, 1, 501), draw(6, 1, 20));
    let algorithm = [Algorithm::Pgd, Algorithm::Fista, Algorithm::HeavyBall][draw(7, 0, 3)];
    let mut derivatives = vec![Derivative::LogStep, Derivative::Step(draw(8, 0, count))];
    if algorithm != Algorithm::Pgd {
        derivatives.push(Derivative::Momentum(draw(9, 0, count)));
    }
    if penalty.uses_alpha() {
        derivatives.extend([Derivative::LogAlpha, Derivative::PenaltyFactor(draw(10, 0, features))]);
    }
    if !loss.classes() {
        derivatives.push(Derivative::Target(random(rows, seed).into()));
    }
    let alphas = (0..lanes as i32).map(|i| 0.7 * top * 0.8f64.powi(i)).collect();
    let sweep = Sweep::new(problem)
        .alphas(Alphas::List(alphas))
        .schedule(Phase::new(algorithm))
        .step(Step::Constant(scale * (0.3 + 0.3 * (1.0 + draws[11]))))
        .sparsity(draw(12, 0, 2) == 1)
        .iterations(count)
        .tol(0.0)
        .derivatives(derivatives);
    (
        sweep,
        format!(
            "{seed}: {loss} + {penalty}, {rows} x {features}, {lanes} lanes, {count} of {}",
            algorithm.name()
        ),
    )
}

/// Lanes on folds of the rows, each with weights of its own, an intercept, and a column without a penalty.
#[test]
fn reverse_has_the_rows_of_each_fold() {
    for (loss, penalty) in [("squared", Penalty::l1()), ("logistic", Penalty::elastic_net())] {
        let loss: proxjet::objective::Loss = loss.parse().unwrap();
        let data = synthetic(45, 12, loss.classes(), 19);
        let mut factors = ndarray::Array1::ones(12);
        factors[3] = 0.0;
        let folds = proxjet::data::Folds::k_fold(45, 3, 1).unwrap();
        let builder = Objective::builder(data).loss(loss).penalty(penalty).penalty_factors(factors);
        let sweep = Sweep::new(builder.folds(folds).build().unwrap())
            .alphas(Alphas::path(0.05, 4))
            .iterations(150)
            .tol(0.0)
            .derivatives([Derivative::LogAlpha, Derivative::PenaltyFactor(3), Derivative::PenaltyFactor(5)]);
        let error = transposition_error(&sweep, 6);
        assert!(error <= 1e-12, "{loss}: {error:e}");
        let of = |mode| Differentiate::new(sweep.clone()).mode(mode).run(&mut CpuEngine::new()).unwrap();
        let (forward, reverse) = (of(Mode::Forward), of(Mode::Reverse));
        let last = forward.sweep.lanes.iter().map(|lane| lane.hypergradient.clone().unwrap());
        for (i, hypergradient) in last.enumerate() {
            for (t, expected) in hypergradient.iter().enumerate() {
                let found = reverse.gradient.as_ref().unwrap()[[i, t]];
                assert!(
                    (found - expected).abs() <= 1e-10 * expected.abs().max(1e-3),
                    "lane {i}: {found}, {expected}"
                );
            }
        }
    }
}
