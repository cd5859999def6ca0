//! The statements this project exists for, in f64: derivatives converge, and at the rate of the iterates, although the update
//! varies with the iteration.

use proxjet::derivative::{LaneAnalysis, analyse, solutions};
use proxjet::engine::cpu::CpuEngine;
use proxjet::front::reproduce::{Experiment, RULES, Rule, RuleRun, lasso, logistic};
use proxjet::plan::Precision;
use proxjet::schedule::{Algorithm, Phase, Schedule, Step, TangentStart};

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
            // Piecewise affine: after identification the same matrices drive both.
            assert!((dq / q - 1.0).abs() <= 0.01, "{}: {lane:?}", run.rule.name());
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
            // The Jacobian moves with the iterate: the derivative's error is that of the iterate, rho^k, summed over k
            // iterations, a factor k. Where m is a double root (the rules tuned to m), the iterate's error is k rho^k, and k of
            // those in each other's wake, sum_j (k-j) j rho^k, make k^3 rho^k: a factor k^2. Over a window that begins at k
            // a factor k^r adds r/k to the rate at most. Besides, two standard errors of both fits.
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
    let mut compared = 0;
    // Started far away, what early iterates feed in is most of the error.
    let far = Experiment { spread: 30.0, ..logistic(4).unwrap() };
    for experiment in [lasso(4).unwrap(), logistic(4).unwrap(), far] {
        let reference = experiment.reference().unwrap();
        for rule in RULES.into_iter().filter(|r| !matches!(r, Rule::Diagonal | Rule::Switch | Rule::Manifold)) {
            for (iterations, start) in [
                (300, TangentStart::Identified),
                (400, TangentStart::Iteration(150)),
                (160, TangentStart::Iteration(140)),
                (60, TangentStart::Iteration(5)),
            ] {
                let schedule = rule.schedule(reference.curvatures, iterations, experiment.seeds).tangent_start(start);
                let sweep = experiment.sweep(schedule, iterations);
                let result = sweep.run(&mut CpuEngine::new()).unwrap();
                let known = vec![Ok(reference.solution.clone()); experiment.seeds];
                for lane in analyse(&sweep, &result, &known).unwrap() {
                    let late = lane.late_start.unwrap();
                    let Some(bound) = &late.bound else { continue };
                    assert!(late.error[0] <= bound[0], "{}, {}: {late:?}", experiment.name, rule.name());
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn a_late_start_cures_the_curse_of_unrolling() {
    let mut experiment = logistic(5).unwrap();
    experiment.spread = 30.0;
    let reference = experiment.reference().unwrap();
    let peak = |start: usize| {
        let schedule = Schedule::from(Phase::new(Algorithm::Pgd)).tangent_start(TangentStart::Iteration(start));
        let sweep = experiment.sweep(schedule, 1500);
        let result = sweep.run(&mut CpuEngine::new()).unwrap();
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference).unwrap();
        run.derivative_error.iter().fold(0.0, |m: f64, v| m.max(*v))
    };
    let (full, late) = (peak(0), peak(600));
    println!("peak {full} {late}");
    assert!(full > 5.0 && late < 2.0, "{full} {late}");
}

#[test]
fn an_implicit_derivative_is_what_unrolling_converges_to() {
    for experiment in [lasso(1).unwrap(), logistic(1).unwrap()] {
        let sweep = experiment.sweep(Phase::new(Algorithm::Pgd).step(Step::Constant(1.0)), 2500);
        let result = sweep.run(&mut CpuEngine::new()).unwrap();
        let solution = solutions(&sweep, &result).unwrap().remove(0).unwrap();
        let last = result.trace.dcoef.outer_iter().next_back().unwrap();
        let gap = (&last.index_axis(ndarray::Axis(0), 0).row(0) - &solution.dstate.row(0)).mapv(f64::abs).sum();
        assert!(gap <= 1e-8, "{}: {gap:e}", experiment.name);
        assert!(solution.margin > 0.0 && solution.margin <= 1.0);
    }
}
