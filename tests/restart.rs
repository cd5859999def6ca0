//! What derivatives by steps and momenta mean where the momentum restarts: they are those of the numbers that
//! ran.

use ndarray::Array2;
use proxjet::data::bundled;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Objective, Penalty};
use proxjet::program::Keep;
use proxjet::schedule::{Algorithm, Momentum, Phase, Restart, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};

/// Few enough that derivatives by a momentum, which vanish at the solution, are still far from zero.
const ITERATIONS: usize = 100;

fn run(phase: Phase, derivatives: &[Derivative]) -> SweepResult {
    let data = bundled("diabetes").unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::l2()).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::list([1e-2])).derivatives(derivatives.to_vec());
    sweep
        .schedule(phase)
        .iterations(ITERATIONS)
        .every(ITERATIONS)
        .keep(Keep::Records)
        .tol(0.0)
        .run(&mut CpuEngine::new())
        .unwrap()
}

/// The last frame: coefficients, or a derivative.
fn last(result: &SweepResult, derivative: Option<usize>) -> Vec<f64> {
    let fit = result.lane(0);
    derivative.map_or(fit.coef().to_vec(), |t| fit.dcoef().row(t).to_vec())
}

/// Central differences of a run by tables in a direction of the steps (relative) and of the momenta.
fn by_tables(ran: &SweepResult, dlog_step: f64, dmomentum: impl Fn(usize) -> f64) -> Vec<f64> {
    // Iterates are affine in a single momentum, not in the steps.
    let h = if dlog_step == 0.0 { 1e-2 } else { 1e-5 };
    let at = |by: f64| {
        let steps = ran.trace.step.mapv(|v| v * (by * dlog_step).exp());
        let momenta =
            Array2::from_shape_fn((ITERATIONS, 1), |(k, _)| ran.trace.momentum[[k, 0]] + by * dmomentum(k));
        let phase = Phase::new(Algorithm::Fista).step(Step::Table(steps.into_dyn()));
        last(&run(phase.momentum(Momentum::Table(momenta.into_dyn())), &[]), None)
    };
    at(h).iter().zip(at(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
}

#[track_caller]
fn near(a: &[f64], b: &[f64]) {
    let size = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(size > 0.0, "nothing to compare");
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6 * size), "{a:?}\n{b:?}");
}

/// Iterations after the first one at which the momentum restarted.
fn restarts(ran: &SweepResult) -> Vec<usize> {
    (1..ITERATIONS).filter(|k| ran.trace.momentum[[*k, 0]] == 0.0).collect()
}

#[test]
fn counted_momenta_have_derivatives_where_they_restart() {
    for (momentum, restart) in
        [(Momentum::Fista, Restart::Gradient), (Momentum::Nesterov(3.0), Restart::Function)]
    {
        let phase = Phase::new(Algorithm::Fista).momentum(momentum).restart(restart);
        let found = restarts(&run(phase.clone(), &[]));
        let k = *found.first().expect("a restart");
        let derivatives = [Derivative::LogStep, Derivative::Momentum(k), Derivative::Momentum(k + 3)];
        let ran = run(phase, &derivatives);
        near(&last(&ran, Some(0)), &by_tables(&ran, 1.0, |_| 0.0));
        near(&last(&ran, Some(1)), &by_tables(&ran, 0.0, |i| f64::from(u8::from(i == k))));
        near(&last(&ran, Some(2)), &by_tables(&ran, 0.0, |i| f64::from(u8::from(i == k + 3))));
    }
}

#[test]
fn a_restart_overrules_other_momenta() {
    let phase = Phase::new(Algorithm::Fista).momentum(Momentum::Constant(0.97)).restart(Restart::Gradient);
    let found = restarts(&run(phase.clone(), &[]));
    assert!(found.len() > 1, "{found:?}");
    let k = found[0];
    let ran = run(phase, &[Derivative::Momentum(k), Derivative::Momentum(k + 1), Derivative::Momentum(0)]);
    assert!(last(&ran, Some(0)).iter().all(|v| *v == 0.0), "the rule has no say at iteration {k}");
    near(&last(&ran, Some(1)), &by_tables(&ran, 0.0, |i| f64::from(u8::from(i == k + 1))));
    assert!(last(&ran, Some(2)).iter().all(|v| *v == 0.0), "nothing moves at the first iteration");
}
