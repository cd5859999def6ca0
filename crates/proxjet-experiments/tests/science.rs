//! The statements this project exists for, in f64: derivatives converge, and at the rate of the iterates,
//! although the update varies with the iteration.

use ndarray::Axis;
use proxjet::diff::{LaneAnalysis, analyse, solutions};
use proxjet::engine::cpu::CpuEngine;
use proxjet::program::Precision;
use proxjet::schedule::{Algorithm, Phase, Schedule, Step, TangentStart};
use proxjet_experiments::{Experiment, RULES, Rule, RuleRun, lasso, logistic};

#[path = "../../../tests/common/compare.rs"]
#[allow(dead_code)]
mod compare;
use compare::{max_abs, max_abs_diff};

fn run(experiment: &Experiment) -> Vec<RuleRun> {
    let reference = experiment.reference().unwrap();
    experiment.run(&reference, &mut CpuEngine::new(), Precision::F64, |_| ()).unwrap()
}

fn rates(lane: &LaneAnalysis) -> (f64, f64, f64) {
    (lane.rate.unwrap().q, lane.derivative_rate[0].unwrap().q, lane.predicted_rate.unwrap())
}

#[test]
fn lasso_derivatives_converge_at_the_rate_of_the_iterates() {
    let experiment = lasso(5).unwrap();
    for run in run(&experiment) {
        for lane in &run.analysis {
            let (q, dq, predicted) = rates(lane);
            println!(
                "{:24} {q:.5} {dq:.5} {predicted:.5} {:?} {:?}",
                run.rule.name(),
                lane.identified,
                lane.derivative_error
            );
            // Piecewise affine: after identification the same matrices drive both. The logarithm, iterations
            // per digit, is the stricter measure where q is near 1; rules that bend have windows too short
            // for it.
            assert!((dq / q - 1.0).abs() <= 0.01, "{}: {lane:?}", run.rule.name());
            if run.rule.is_gradient() {
                assert!((dq.ln() / q.ln() - 1.0).abs() <= 0.02, "{}: {lane:?}", run.rule.name());
                assert!((predicted.ln() / q.ln() - 1.0).abs() <= 0.05, "{}: {lane:?}", run.rule.name());
            }
            assert!((predicted / q - 1.0).abs() <= 0.02, "{}: {lane:?}", run.rule.name());
            assert!((predicted / dq - 1.0).abs() <= 0.02, "{}: {lane:?}", run.rule.name());
            assert!(lane.derivative_error[0].unwrap() <= 1e-8, "{}: {lane:?}", run.rule.name());
        }
    }
}

#[test]
fn logistic_derivatives_converge_within_a_factor_k() {
    let experiment = logistic(5).unwrap();
    for run in run(&experiment) {
        for lane in &run.analysis {
            let (q, dq, predicted) = rates(lane);
            println!("{:24} {q:.5} {dq:.5} {predicted:.5} {:?}", run.rule.name(), lane.derivative_error);
            // The Jacobian moves with the iterate: the derivative's error is that of the iterate, rho^k,
            // summed over k iterations, a factor k. Where m is a double root (the rules tuned to m), the
            // iterate's error is k rho^k, and k of those in each other's wake, sum_j (k-j) j rho^k, make k^3
            // rho^k: a factor k^2. Over a window that begins at k a factor k^r adds r/k to the rate at most.
            // Besides, two standard errors of both fits.
            let double_root = matches!(run.rule, Rule::StronglyConvex | Rule::HeavyBall);
            let (rate, drate) = (lane.rate.unwrap(), lane.derivative_rate[0].unwrap());
            let slack = 2.0 * (rate.error + drate.error);
            let band = 1.0 + if double_root { 2.0 } else { 1.0 } / drate.window.0.max(1) as f64;
            assert!(dq >= q * (1.0 - slack) && dq <= q * (band + slack), "{}: {lane:?}", run.rule.name());
            assert!((predicted / q - 1.0).abs() <= 0.02, "{}: {lane:?}", run.rule.name());
            assert!(lane.derivative_error[0].unwrap() <= 1e-8, "{}: {lane:?}", run.rule.name());
        }
    }
}

#[test]
fn the_bound_of_a_late_start_is_never_violated() {
    let (mut compared, mut tightest) = (0, f64::INFINITY);
    // Started far away, what early iterates feed in is most of the error.
    let far = Experiment { spread: 30.0, ..logistic(4).unwrap() };
    for experiment in [lasso(4).unwrap(), logistic(4).unwrap(), far] {
        let reference = experiment.reference().unwrap();
        for rule in RULES.into_iter().filter(|r| !matches!(r, Rule::Diagonal | Rule::Switch | Rule::Manifold))
        {
            for (iterations, start) in [
                (300, TangentStart::Identified),
                (400, TangentStart::Iteration(150)),
                (160, TangentStart::Iteration(140)),
                (60, TangentStart::Iteration(5)),
            ] {
                let schedule =
                    rule.schedule(reference.curvatures, iterations, experiment.starts).tangent_start(start);
                let sweep = experiment.sweep(schedule, iterations);
                let result = sweep.run(&mut CpuEngine::new()).unwrap();
                let known = vec![Ok(reference.solution.clone()); experiment.starts];
                for lane in analyse(&sweep, &result, &known).unwrap() {
                    let late = lane.late_start.unwrap();
                    let Some(bound) = &late.bound else { continue };
                    assert!(late.error[0] <= bound[0], "{}, {}: {late:?}", experiment.name, rule.name());
                    if late.error[0] > 1e-10 {
                        tightest = tightest.min(bound[0] / late.error[0]);
                    }
                    compared += 1;
                }
            }
        }
    }
    // A bound that is met within a factor of two somewhere says something.
    assert!(
        compared > 100 && tightest < 2.0,
        "{compared} compared, the tightest is {tightest} times the error"
    );
}

#[test]
fn a_late_start_cures_the_curse_of_unrolling() {
    let mut experiment = logistic(5).unwrap();
    experiment.spread = 30.0;
    let reference = experiment.reference().unwrap();
    let errors = |start: usize| {
        let schedule =
            Schedule::from(Phase::new(Algorithm::Pgd)).tangent_start(TangentStart::Iteration(start));
        let sweep = experiment.sweep(schedule, 1500);
        let result = sweep.run(&mut CpuEngine::new()).unwrap();
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference).unwrap();
        let at = run.result.trace.iteration.iter().position(|k| *k >= 1000).unwrap();
        (max_abs(&run.derivative_error), max_abs(&run.derivative_error.row(at)))
    };
    let (full, late) = (errors(0), errors(200));
    println!("peak and error at iteration 1000: {full:?} {late:?}");
    // No hump, and nothing lost once there were iterations enough to make up for the start from zero.
    assert!(full.0 > 5.0 && late.0 < 2.0 && late.1 <= full.1, "{full:?} {late:?}");
}

#[test]
fn an_implicit_derivative_is_what_unrolling_converges_to() {
    for experiment in [lasso(1).unwrap(), logistic(1).unwrap()] {
        let sweep = experiment.sweep(Phase::new(Algorithm::Pgd).step(Step::Constant(1.0)), 2500);
        let result = sweep.run(&mut CpuEngine::new()).unwrap();
        let solution = solutions(&sweep, &result).unwrap().remove(0).unwrap();
        let last = result.trace.dcoef.outer_iter().next_back().unwrap();
        let gap = max_abs_diff(&last.index_axis(Axis(0), 0).row(0), &solution.dstate.row(0));
        assert!(gap <= 1e-8, "{}: {gap:e}", experiment.name);
        assert!(solution.margin > 0.0 && solution.margin <= 1.0);
    }
}

#[test]
fn where_nothing_is_proved_no_bound_is_given() {
    // Steps that follow from the iterates have tangents without a bound.
    let experiment = lasso(3).unwrap();
    let schedule = Schedule::from(Phase::new(Algorithm::Pgd).step(Step::BarzilaiBorwein { high: 1.9 }));
    let sweep = experiment.sweep(schedule.tangent_start(TangentStart::Iteration(200)), 260);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    for lane in analyse(&sweep, &result, &solutions(&sweep, &result).unwrap()).unwrap() {
        assert!(lane.late_start.unwrap().bound.is_none());
    }
    // At alpha_max the solution lies at a kink.
    let at_kink = experiment.sweep(Schedule::from(Phase::new(Algorithm::Pgd)), 300);
    let at_kink = at_kink.alphas(proxjet::solve::Alphas::List(vec![experiment.problem.alpha_max(1.0); 3]));
    let result = at_kink.run(&mut CpuEngine::new()).unwrap();
    for lane in analyse(&at_kink, &result, &solutions(&at_kink, &result).unwrap()).unwrap() {
        assert!(lane.problem.as_ref().is_some_and(|p| p.contains("kink")) && lane.rate.is_none(), "{lane:?}");
    }
    // A metric that never settles has no spectrum to predict from.
    let table = ndarray::ArrayD::from_shape_fn(vec![300, 200], |at| 0.5 + 0.4 * ((at[0] + at[1]) % 2) as f64);
    let schedule = Schedule::from(Phase::new(Algorithm::Pgd)).metric(proxjet::schedule::Metric::Table(table));
    let sweep = experiment.sweep(schedule, 300);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    for lane in analyse(&sweep, &result, &solutions(&sweep, &result).unwrap()).unwrap() {
        assert!(lane.predicted_rate.is_none());
    }
}

#[test]
fn derivatives_converge_under_rules_that_follow_the_iterates() {
    use proxjet::schedule::{Metric, Momentum, Restart};
    let pgd = || Phase::new(Algorithm::Pgd);
    let rules: Vec<(&str, Schedule)> = vec![
        ("clamped Barzilai-Borwein", pgd().step(Step::BarzilaiBorwein { high: 1.9 }).into()),
        ("backtracking", pgd().step(Step::Backtracking { start: 8.0, shrink: 0.7 }).into()),
        ("decreasing", pgd().step(Step::Decreasing { scale: 1.9, power: 0.05 }).into()),
        ("metric of curvatures", Schedule::from(pgd()).metric(Metric::Hessian { every: 5, gain: 1.5 })),
        ("restart", Phase::new(Algorithm::Fista).momentum(Momentum::Fista).restart(Restart::Gradient).into()),
    ];
    for experiment in [lasso(3).unwrap(), logistic(3).unwrap()] {
        for (name, schedule) in &rules {
            let sweep = experiment.sweep(schedule.clone(), 2500);
            let result = sweep.run(&mut CpuEngine::new()).unwrap();
            for lane in analyse(&sweep, &result, &solutions(&sweep, &result).unwrap()).unwrap() {
                assert!(lane.derivative_error[0].unwrap() <= 1e-8, "{}, {name}: {lane:?}", experiment.name);
            }
        }
    }
}
