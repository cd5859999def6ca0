//! Tangents against central differences at a fixed number of iterations, for every kind of derivative.

use proxjet::diff::{CheckRow, check};
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Strategy};
use proxjet::schedule::{Algorithm, Momentum, Step};
use proxjet::solve::{Alphas, Sweep};

use crate::common;
use crate::common::cases::{losses, penalties, step_scale};
use crate::common::compare::Report;

/// Every derivative that exists, under every algorithm, for every loss and penalty of the catalog.
#[test]
fn tangents_are_derivatives_of_the_iterates() {
    let (mut compared, mut excluded) = (0, 0);
    let mut report = Report::default();
    for loss in losses() {
        for penalty in penalties() {
            for (algorithm, intercept) in
                [(Algorithm::Pgd, true), (Algorithm::Fista, false), (Algorithm::HeavyBall, true)]
            {
                let name = format!("{loss} + {penalty}, {}", algorithm.name());
                // Where a residual crosses a kink of the loss within the width of a difference, the
                // difference says nothing: then a smaller one or other data must show it. A tangent that is
                // wrong is so with any.
                let smooth = loss.kinks(0.0).is_empty();
                let tries = if smooth { &[(12, 1e-5)][..] } else { &[(12, 1e-7), (19, 1e-7), (12, 1e-5)] };
                let rows = tries.iter().map(|(seed, width)| {
                    let sweep = sweep(loss, penalty, (algorithm, intercept), *seed);
                    check(&sweep, &mut CpuEngine::new(), *width).unwrap()
                });
                // Of each derivative the best, but no error that is not a number.
                let better = |a: CheckRow, b: CheckRow| {
                    if b.max_error < a.max_error || b.max_error.is_nan() { b } else { a }
                };
                let best = |a: Vec<CheckRow>, b: Vec<CheckRow>| {
                    a.into_iter().zip(b).map(|(a, b)| better(a, b)).collect()
                };
                let rows: Vec<CheckRow> = rows.reduce(best).unwrap();
                // A difference of width 1e-5 is good to about 1e-10 by itself, and divides the rounding of 60
                // iterations.
                for row in &rows {
                    report.check(&name, row.max_error <= 1e-6, || format!("{row:?}"));
                    compared += row.compared;
                    excluded += row.excluded;
                }
            }
        }
    }
    // At least one derivative of each.
    report.finish(3 * losses().len() * penalties().len());
    assert!(compared > 500 && excluded * 10 < compared, "{compared} compared, {excluded} excluded");
}

/// A sweep of six lanes and 60 iterations with every derivative that exists.
fn sweep(loss: Loss, penalty: Penalty, (algorithm, intercept): (Algorithm, bool), seed: u64) -> Sweep {
    let mut builder = Objective::builder(common::synthetic(60, 8, loss.classes(), seed))
        .loss(loss)
        .penalty(penalty)
        .intercept(intercept);
    let mut derivatives = Vec::new();
    if penalty.uses_alpha() {
        // All different: L has a kink where the largest two are equal.
        builder = builder.penalty_factors((0..8).map(|j| 1.0 + 0.1 * f64::from((j * 5) % 8)).collect());
        derivatives.extend([Derivative::LogAlpha, Derivative::Alpha, Derivative::PenaltyFactor(3)]);
        if penalty.l1_ratio().is_none() {
            derivatives.push(Derivative::L1Ratio);
        }
    } else {
        // They vanish at the solution: late ones are seen best.
        derivatives.extend([57, 59].map(Derivative::Step));
    }
    if !loss.classes() {
        derivatives.push(Derivative::Target((0..60).map(|i| f64::from(i % 7) - 3.0).collect()));
    }
    let problem = builder.build().unwrap();
    let scale = step_scale(&problem);
    let step = match algorithm {
        Algorithm::Pgd => Step::Uniform { low: 0.2 * scale, high: 1.8 * scale, seed: 1 },
        _ => Step::Constant(0.9 * scale),
    };
    let top = if penalty.uses_alpha() { 0.6 * problem.alpha_max(1.0) } else { 1.0 };
    let alphas = (0..6).map(|i| top * 0.6f64.powi(i)).collect();
    Sweep::new(problem)
        .alphas(Alphas::List(alphas))
        .algorithm(algorithm)
        .step(step)
        .iterations(60)
        .keep(Keep::All)
        .derivatives(derivatives)
}

#[test]
fn steps_that_follow_from_alpha_move_with_it() {
    // With the ridge in the loss, 1/L depends on alpha; a table of the same steps does not.
    let problem =
        Objective::builder(common::synthetic(30, 4, false, 2)).penalty(Penalty::l2()).build().unwrap();
    let sweep = Sweep::new(problem).alphas("0.5".parse().unwrap()).iterations(4).tol(0.0).every(1);
    let base = sweep.run(&mut CpuEngine::new()).unwrap();
    let held = sweep.clone().step(Step::Table(base.trace.step.clone().into_dyn()));
    let tangent = |result: &proxjet::solve::SweepResult| {
        result.trace.dcoef.outer_iter().next_back().unwrap()[[0, 0, 0]]
    };
    let other = tangent(&held.run(&mut CpuEngine::new()).unwrap());
    assert!((tangent(&base) / other - 1.0).abs() > 1e-3, "four iterations feel the step");
    for sweep in [sweep, held] {
        assert!(check(&sweep, &mut CpuEngine::new(), 1e-5).unwrap()[0].max_error < 1e-8);
    }
}

#[test]
fn kinks_are_excluded_and_counted() {
    // At alpha_max the first coefficient is about to enter: the two sides have different active sets.
    let problem = Objective::builder(common::synthetic(40, 6, false, 3)).build().unwrap();
    let top = problem.alpha_max(1.0);
    let sweep = Sweep::new(problem).alphas(Alphas::List(vec![top, 0.3 * top])).iterations(30);
    let sweep = sweep.strategy(Some(Strategy::Direct));
    let row = &check(&sweep, &mut CpuEngine::new(), 1e-5).unwrap()[0];
    assert_eq!((row.excluded, row.compared), (1, 1));
}

#[test]
fn the_derivative_at_the_solution_is_the_implicit_one() {
    // Lasso: dx_S = −H_SS⁻¹ alpha sign(x_S), zero elsewhere.
    let problem = Objective::builder(common::synthetic(80, 10, false, 4)).intercept(false).build().unwrap();
    let top = problem.alpha_max(1.0);
    let sweep = Sweep::new(problem.clone())
        .alphas(Alphas::List(vec![0.2 * top]))
        .momentum(Momentum::StronglyConvex)
        .iterations(5000)
        .tol(1e-13);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    let (coef, dcoef) = (&result.trace.coef, &result.trace.dcoef);
    let f = result.trace.iteration.len() - 1;
    let on: Vec<usize> = (0..10).filter(|j| coef[[f, 0, *j]] != 0.0).collect();
    assert!(on.len() > 2 && on.len() < 10);
    let design = problem.design().to_dense();
    let hessian = faer::Mat::from_fn(on.len(), on.len(), |a, b| {
        (0..80).map(|i| problem.weight()[i] * design[[i, on[a]]] * design[[i, on[b]]]).sum::<f64>()
    });
    let right = faer::Mat::from_fn(on.len(), 1, |a, _| -0.2 * top * coef[[f, 0, on[a]]].signum());
    use faer::linalg::solvers::Solve;
    let expected = hessian.partial_piv_lu().solve(&right);
    for (a, j) in on.iter().enumerate() {
        assert!((dcoef[[f, 0, 0, *j]] - expected[(a, 0)]).abs() < 1e-9, "{j}");
    }
    assert!((0..10).filter(|j| !on.contains(j)).all(|j| dcoef[[f, 0, 0, j]] == 0.0));
}

#[test]
fn a_constant_target_direction_moves_the_intercept_alone() {
    let problem = Objective::builder(common::synthetic(50, 6, false, 6)).build().unwrap();
    let sweep = Sweep::new(problem)
        .alphas("path:0.1:4".parse().unwrap())
        .derivatives([Derivative::Target(ndarray::Array1::ones(50))])
        .iterations(5000);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    assert!(
        result.lanes.iter().all(|l| l.status == proxjet::engine::Status::Converged),
        "{:?}",
        result.lanes
    );
    let last = result.trace.dintercept.outer_iter().next_back().unwrap();
    assert!(result.trace.dcoef.iter().all(|v| *v == 0.0) && last.iter().all(|v| (v - 1.0).abs() < 1e-14));
}

/// Derivatives of the held-out loss, by differences of the loss itself; the target of the held-out rows
/// stays.
#[test]
fn hypergradients_are_derivatives_of_the_held_out_loss() {
    let direction: ndarray::Array1<f64> = (0..60).map(|i| 1.0 + f64::from(i % 7)).collect();
    for loss in losses() {
        let factors = |moved: f64| {
            (0..8).map(|j| if j == 0 { 1.0 + moved } else { 1.0 + 0.1 * f64::from(j) }).collect()
        };
        let run = |(log_alpha, factor, target): (f64, f64, f64)| {
            let data = common::synthetic(60, 8, loss.classes(), 16);
            let y = &data.target() + &(&direction * target);
            let moved = proxjet::data::Dataset::new(data.x().to_owned(), y).unwrap();
            let moved = moved.with_sample_weight(data.sample_weight().to_owned()).unwrap();
            let problem = Objective::builder(moved).loss(loss).penalty_factors(factors(factor));
            let problem = problem.validation(common::synthetic(25, 8, loss.classes(), 17)).build().unwrap();
            let mut derivatives = vec![Derivative::LogAlpha, Derivative::PenaltyFactor(0)];
            if !loss.classes() {
                derivatives.push(Derivative::Target(direction.clone()));
            }
            let alphas = Alphas::List(vec![0.05 * f64::exp(log_alpha)]);
            let sweep = Sweep::new(problem).alphas(alphas).step(Step::Constant(0.9)).iterations(40).tol(0.0);
            sweep.derivatives(derivatives).run(&mut CpuEngine::new()).unwrap()
        };
        let h = 1e-5;
        let result = run((0.0, 0.0, 0.0));
        let of = |r: &proxjet::solve::SweepResult| r.lanes[0].validation_loss.unwrap();
        let moves = [|h| (h, 0.0, 0.0), |h| (0.0, h, 0.0), |h| (0.0, 0.0, h)];
        for (derivative, moved) in result.lanes[0].hypergradient.as_ref().unwrap().iter().zip(moves) {
            let difference = (of(&run(moved(h))) - of(&run(moved(-h)))) / (2.0 * h);
            let apart = (derivative - difference).abs();
            assert!(
                apart <= 1e-7 * difference.abs().max(1e-2),
                "{loss}: {derivative:?}, difference {difference}"
            );
        }
    }
}
