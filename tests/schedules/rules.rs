//! Rules that follow the iterates, against the textbook.

use ndarray::{Array1, Array2, Axis};
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::Objective;
use proxjet::schedule::{Algorithm, Momentum, Restart, Schedule, Step, Until};
use proxjet::solve::SweepResult;

use super::{FEATURES, ITERATIONS, LANES, phase, problems, schedules, sweep};
use crate::common::compare::max_abs_diff;

#[test]
fn restarts_set_the_momentum_back_and_backtracking_stays_above_one_over_l() {
    let (_, problem) = problems().swap_remove(0);
    let all = schedules();
    let run = |name: &str| {
        let schedule = all.iter().find(|s| s.0 == name).unwrap().1.clone();
        sweep(&problem, schedule).run(&mut CpuEngine::new()).unwrap()
    };
    for name in ["function restart", "gradient restart"] {
        let momentum = run(name).trace.momentum;
        assert!(momentum.column(4).iter().skip(1).any(|v| *v == 0.0), "{name} never restarted");
    }
    let result = run("backtracking pgd");
    let l = result.lanes[0].lipschitz;
    let taken_back = result.trace.momentum.column(0).iter().filter(|v| **v == -1.0).count();
    assert!(taken_back > 0 && result.trace.step.iter().all(|a| a * l >= 1.0 - 1e-12));
    // Each step taken back starts from the iterate before it: with the last step rejected, the next goes from
    // x₋.
    let k = result.trace.momentum.column(0).iter().position(|v| *v == -1.0).unwrap();
    let x = result.trace.coef.index_axis(Axis(0), k - 1).row(0).to_owned();
    let design = problem.design().to_dense();
    let g: Array1<f64> = design.t().dot(&((design.dot(&x) - problem.target()) * problem.weight()));
    let a = result.trace.step[[k, 0]];
    let alpha = result.lanes[0].alpha;
    let expected =
        Array1::from_shape_fn(FEATURES, |j| problem.penalty().prox(x[j] - a * g[j], a, alpha, 0.0).value);
    let got = result.trace.coef.index_axis(Axis(0), k + 1).row(0).to_owned();
    assert!(max_abs_diff(&got, &expected) < 1e-12);
    // With heavy momentum, heavy ball overshoots: its gradient restart looks at x + β(x − x₋), not at x.
    let heavy = phase(Algorithm::HeavyBall).momentum(Momentum::Constant(0.97)).restart(Restart::Gradient);
    let result = sweep(&problem, heavy.into()).run(&mut CpuEngine::new()).unwrap();
    assert!(result.trace.momentum.column(4).iter().skip(1).filter(|v| **v == 0.0).count() > 2);
}

/// Backtracking by the textbook: from each iterate, try steps that shrink until the curvature along one is
/// below its inverse.
#[test]
fn backtracking_tries_again_from_the_same_iterate() {
    let (_, problem) = problems().swap_remove(0);
    let rule = Step::Backtracking { start: 30.0, shrink: 0.6 };
    let result = sweep(&problem, phase(Algorithm::Pgd).step(rule).into()).run(&mut CpuEngine::new()).unwrap();
    let (lane, design) = (2, problem.design().to_dense());
    let (alpha, l) = (result.lanes[lane].alpha, result.lanes[lane].lipschitz);
    let gradient = |x: &Array1<f64>| design.t().dot(&((design.dot(x) - problem.target()) * problem.weight()));
    let mut x = Array1::<f64>::zeros(FEATURES);
    let (mut scale, mut longest, mut k) = (30.0f64, 0, 0);
    while k < 40 {
        let mut tries = 0;
        loop {
            let (a, g) = (scale / l, gradient(&x));
            let next = Array1::from_shape_fn(FEATURES, |j| {
                problem.penalty().prox(x[j] - a * g[j], a, alpha, 0.0).value
            });
            let got = result.trace.coef.index_axis(Axis(0), k + 1).row(lane).to_owned();
            assert!(max_abs_diff(&got, &next) < 1e-9, "iterate {}, try {tries}", k + 1);
            assert_eq!(result.trace.momentum[[k, lane]] == -1.0, tries > 0, "iteration {k}");
            k += 1;
            let s = &next - &x;
            if scale <= 1.0 || (gradient(&next) - &g).dot(&s) * a <= s.dot(&s) {
                x = next;
                break;
            }
            scale = (scale * 0.6).max(1.0);
            tries += 1;
        }
        longest = longest.max(tries);
    }
    assert!(longest >= 3, "several rejections in a row: {longest}");
}

#[test]
fn lanes_switch_each_at_its_own_identification() {
    let (_, problem) = problems().swap_remove(0);
    let schedule = Schedule::from(phase(Algorithm::Pgd).until(Until::Identified))
        .then(phase(Algorithm::Fista).momentum(Momentum::Constant(0.5)))
        .patience(6);
    let result = sweep(&problem, schedule).run(&mut CpuEngine::new()).unwrap();
    for lane in 0..LANES {
        let changes = result.trace.active_change.column(lane);
        // Six iterations without a change, and the next one is of the second phase.
        let expected =
            (6..ITERATIONS).find(|k| changes.iter().skip(k - 6).take(6).all(|c| *c == 0.0)).unwrap();
        let switched = result.trace.momentum.column(lane).iter().position(|v| *v == 0.5).unwrap();
        assert_eq!(switched, expected, "lane {lane}");
    }
}

/// The lasso by the textbook: full gradients, one lane, plain loops. `rule` sees (k, x, x₋, ∇f(x), ∇f(x₋),
/// objectives so far) and gives (step, momentum).
fn textbook(
    problem: &Objective,
    alpha: f64,
    iterations: usize,
    mut rule: impl FnMut(
        usize,
        &Array1<f64>,
        &Array1<f64>,
        &dyn Fn(&Array1<f64>) -> Array1<f64>,
        &[f64],
    ) -> (f64, f64),
) -> Array2<f64> {
    let (design, target, weight) = (problem.design().to_dense(), problem.target(), problem.weight());
    let gradient = |x: &Array1<f64>| design.t().dot(&((design.dot(x) - target) * weight));
    let objective = |x: &Array1<f64>| {
        let r = design.dot(x) - target;
        0.5 * (&r * &r * weight).sum() + alpha * x.mapv(f64::abs).sum()
    };
    let (mut x, mut before) = (Array1::<f64>::zeros(FEATURES), Array1::<f64>::zeros(FEATURES));
    let mut objectives = vec![objective(&x)];
    let mut all = Array2::zeros((iterations + 1, FEATURES));
    for k in 0..iterations {
        let (step, momentum) = rule(k, &x, &before, &gradient, &objectives);
        let y = &x + &((&x - &before) * momentum);
        let w = &y - &(gradient(&y) * step);
        let next = w.mapv(|w| w.signum() * (w.abs() - step * alpha).max(0.0));
        before = std::mem::replace(&mut x, next);
        objectives.push(objective(&x));
        all.row_mut(k + 1).assign(&x);
    }
    all
}

#[test]
fn rules_that_follow_the_iterates_are_those_of_the_textbook() {
    let (_, problem) = problems().swap_remove(0);
    let run =
        |schedule: Schedule| sweep(&problem, schedule).iterations(40).run(&mut CpuEngine::new()).unwrap();
    let compare = |result: &SweepResult, expected: Array2<f64>, name: &str| {
        let got = result.trace.coef.index_axis(Axis(1), 4);
        let gap = max_abs_diff(&got, &expected);
        // Differences of gradients lose digits as the steps shrink; forty of them amplify what is lost.
        assert!(gap < 1e-8, "{name}: {gap:e}");
    };

    let result = run(phase(Algorithm::Pgd).step(Step::BarzilaiBorwein { high: 1.9 }).into());
    let (alpha, l) = (result.lanes[4].alpha, result.lanes[4].lipschitz);
    let expected = textbook(&problem, alpha, 40, |k, x, before, gradient, _| {
        let (s, y) = (x - before, gradient(x) - gradient(before));
        // Without curvature along the last step, as when the iterate repeats, the rule takes its lowest step.
        let measured = if s.dot(&y) > 0.0 { s.dot(&s) / s.dot(&y) } else { 0.0 };
        (if k == 0 { 1.0 / l } else { measured.clamp(1.0 / l, 1.9 / l) }, 0.0)
    });
    compare(&result, expected, "barzilai-borwein");

    for (name, scheme) in [("function", Restart::Function), ("gradient", Restart::Gradient)] {
        let result = run(phase(Algorithm::Fista).restart(scheme).into());
        let (mut t, mut last_y) = (1.0f64, Array1::<f64>::zeros(FEATURES));
        let expected = textbook(&problem, alpha, 40, |k, x, before, _, objectives| {
            let restart = match scheme {
                Restart::Function => k > 1 && objectives[k] > objectives[k - 1],
                _ => k > 0 && (&last_y - x).dot(&(x - before)) > 0.0,
            };
            if restart {
                t = 1.0;
            }
            let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
            let momentum = (t - 1.0) / next;
            t = next;
            last_y = x + &((x - before) * momentum);
            (1.0 / l, momentum)
        });
        compare(&result, expected, name);
    }

    let switch = Schedule::from(phase(Algorithm::Pgd).until(Until::Identified))
        .then(phase(Algorithm::Fista).momentum(Momentum::Nesterov(4.0)))
        .patience(5);
    let result = run(switch);
    let (mut quiet, mut counted, mut switched) = (0, 0.0, false);
    let expected = textbook(&problem, alpha, 40, |k, x, before, _, _| {
        let same = x.iter().zip(before).all(|(a, b)| (*a == 0.0) == (*b == 0.0));
        quiet = if k > 0 && same { quiet + 1 } else { 0 };
        switched |= quiet >= 5;
        if !switched {
            return (1.0 / l, 0.0);
        }
        counted += 1.0;
        (1.0 / l, (counted - 1.0) / (counted + 4.0))
    });
    assert!(switched, "the lane was never identified");
    compare(&result, expected, "switch");
}
