//! Tables of steps and momenta against their definitions.

use super::super::Algorithm;
use super::*;
use ndarray::ArrayD;

fn lane(l: f64, m: f64) -> LaneCurvature {
    LaneCurvature { lipschitz: l, strong_convexity: m, prox_strong_convexity: 0.0 }
}

fn lay(schedule: impl Into<Schedule>) -> Result<LaneSchedule> {
    let lanes = vec![lane(4.0, 1.0), lane(8.0, 2.0)];
    LaneSchedule::new(schedule.into(), 10, lanes, vec![vec![]; 2], &[])
}

fn rules(algorithm: Algorithm, step: &str, momentum: &str) -> LaneSchedule {
    lay(Phase::new(algorithm).step(step.parse().unwrap()).momentum(momentum.parse().unwrap())).unwrap()
}

#[test]
fn steps_are_in_units_of_one_over_l() {
    let s = |rule: &str| rules(Algorithm::Pgd, rule, "none");
    assert_eq!(s("1/L").step_at(3, 1), 0.125);
    assert_eq!(s("2/(L+m)").step_at(0, 0), 0.4);
    assert_eq!(s("constant:0.5").step_at(0, 0), 0.125);
    assert_eq!(s("decreasing:2:0.5").step_at(3, 0), 0.25);
    let cyclic = s("cyclic:1:1.8:5");
    let steps: Vec<f64> = (0..6).map(|k| cyclic.step_at(k, 0) * 4.0).collect();
    for (step, expected) in steps.iter().zip([1.0, 1.2, 1.4, 1.6, 1.8, 1.0]) {
        assert!((step - expected).abs() < 1e-15);
    }
    let uniform = s("uniform:0.5:1.5:7");
    let draws: Vec<f64> = (0..10).map(|k| uniform.step_at(k, 0) * 4.0).collect();
    assert!(draws.iter().all(|u| (0.5..1.5).contains(u)) && draws[0] != draws[1]);
    assert_eq!(draws[4], uniform.step_at(4, 1) * 8.0, "all lanes see the same draw");
    assert_eq!(draws, (0..10).map(|k| s("uniform:0.5:1.5:7").step_at(k, 0) * 4.0).collect::<Vec<_>>());
}

#[test]
fn momenta_follow_their_definitions() {
    let s = |rule: &str| rules(Algorithm::Fista, "1/L", rule);
    // t = 1, (1+√5)/2, …: β_0 = 0, β_1 = (t_2 − 1)/t_3.
    let t2 = (1.0 + 5f64.sqrt()) / 2.0;
    let t3 = (1.0 + (1.0 + 4.0 * t2 * t2).sqrt()) / 2.0;
    assert_eq!(s("fista").momentum_at(0, 0), 0.0);
    assert!((s("fista").momentum_at(1, 0) - (t2 - 1.0) / t3).abs() < 1e-15);
    assert_eq!(s("nesterov:3").momentum_at(0, 0), 0.0);
    assert_eq!(s("nesterov:3").momentum_at(4, 0), 4.0 / 8.0); // k = 5: (k−1)/(k+3)
    assert!((s("strongly_convex").momentum_at(0, 0) - 0.5 / 1.5).abs() < 1e-15); // √(m/L) = 1/2
    let ball = rules(Algorithm::HeavyBall, "1/L", "strongly_convex");
    assert!((ball.momentum_at(0, 0) - 0.25).abs() < 1e-15);
}

#[test]
fn tangents_of_rules_are_their_derivatives() {
    let (of, by) = (lane(4.0, 1.0), LaneCurvature { prox_strong_convexity: 0.3, ..lane(0.7, 0.2) });
    let at = |h: f64| LaneCurvature {
        lipschitz: of.lipschitz + h * by.lipschitz,
        strong_convexity: of.strong_convexity + h * by.strong_convexity,
        prox_strong_convexity: 0.1 + h * by.prox_strong_convexity,
    };
    let h = 1e-6;
    for step in ["1/L", "2/(L+m)", "constant:1.3", "uniform:0.2:1.8:3", "decreasing:1:0.5"] {
        let phase =
            Phase::new(Algorithm::Fista).step(step.parse().unwrap()).momentum(Momentum::StronglyConvex);
        let lay = |h: f64| {
            let tangents = vec![vec![by]];
            LaneSchedule::new(phase.clone().into(), 10, vec![at(h)], tangents, &[Derivative::LogAlpha])
                .unwrap()
        };
        let laid = lay(0.0);
        let mut row = [0.0; 4];
        laid.entry(0, 4, 0, &mut row);
        if laid.is_factored() {
            let (unit, bases) = (laid.unit(0, 4), laid.bases(0));
            let factors = [unit.step, unit.momentum, unit.step, unit.momentum];
            assert_eq!(
                row.to_vec(),
                bases.iter().zip(factors).map(|(b, u)| b * u).collect::<Vec<_>>(),
                "{step}"
            );
        }
        let difference = |f: &dyn Fn(LaneSchedule) -> f64| (f(lay(h)) - f(lay(-h))) / (2.0 * h);
        assert!((row[2] - difference(&|s| s.step_at(4, 0))).abs() < 1e-9, "{step}: {row:?}");
        assert!((row[3] - difference(&|s| s.momentum_at(4, 0))).abs() < 1e-9, "{step}: {row:?}");
    }
}

#[test]
fn phases_follow_each_other_and_count_from_their_start() {
    let pgd = Phase::new(Algorithm::Pgd).until(Until::Iteration(3));
    let s = lay(Schedule::from(pgd).then(Phase::new(Algorithm::Fista).momentum(Momentum::Nesterov(2.0))))
        .unwrap();
    let units: Vec<Unit> = (0..6).map(|k| s.unit(0, k)).collect();
    assert_eq!(units.iter().map(|u| u.momentum).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 0.25, 0.4]);
    let starts: Vec<bool> = units.iter().map(|u| u.code.has(Code::STARTS)).collect();
    assert_eq!(starts, [true, false, false, true, false, false]);
    assert!(!units[2].code.has(Code::EXTRAPOLATES) && units[3].code.has(Code::EXTRAPOLATES));
}

#[test]
fn wrong_schedules_are_refused_with_their_place() {
    let phase = |until| Phase::new(Algorithm::Pgd).until(until);
    let refused = |s: Schedule, words: &str| {
        let e = lay(s).unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    };
    let end = || Phase::new(Algorithm::Fista);
    let overlap = Schedule::from(phase(Until::Iteration(5))).then(phase(Until::Iteration(5))).then(end());
    refused(overlap, "phase 2 of 3: until: found 5: the phases overlap");
    let gap = Schedule::from(phase(Until::Iteration(5))).then(phase(Until::Iteration(8)));
    refused(gap, "phase 2 of 2: until: found 8: no phase for the iterations 8 to 9");
    refused(Schedule::from(phase(Until::End)).then(end()), "phase 1 of 2: until: found the end of the run");
    let twice = Schedule::from(phase(Until::Identified)).then(phase(Until::Identified)).then(end());
    refused(twice, "'identified' a second time");
    let table = |v: Vec<usize>| ArrayD::ones(v);
    let two = |p: Phase| Schedule::from(phase(Until::Iteration(2))).then(p);
    let short = end().step(Step::Table(table(vec![3])));
    refused(two(short), "phase 2 of 2: step table: found a table of 3 iterations, expected at least 10");
    refused(end().step(Step::Table(table(vec![10, 3]))).into(), "found a table of shape [10, 3]");
    let mut negative = table(vec![10, 2]);
    negative[[7, 1]] = -0.5;
    refused(two(end().step(Step::Table(negative))), "phase 2 of 2: step: found -0.5 at iteration 7, lane 1");
    refused(two(phase(Until::End).momentum(Momentum::Fista)), "phase 2 of 2: momentum: found 'fista' with");
    let flat = vec![lane(4.0, 0.0)];
    let strong = Phase::new(Algorithm::Fista).momentum(Momentum::StronglyConvex);
    let e = LaneSchedule::new(strong.into(), 10, flat, vec![vec![]], &[]).unwrap_err();
    assert!(e.to_string().contains("strong convexity 0"), "{e}");
    let bb = Step::BarzilaiBorwein { high: 1.9 };
    refused(end().step(bb).into(), "'barzilai_borwein:1.9' with algorithm 'fista'");
}

#[test]
fn what_the_theory_does_not_cover_is_named() {
    let two = |p: Phase| Schedule::from(Phase::new(Algorithm::Pgd).until(Until::Iteration(4))).then(p);
    let far = lay(two(Phase::new(Algorithm::Pgd).step(Step::Constant(2.5)))).unwrap();
    let words = far.unsafe_step(10).unwrap();
    assert!(
        words.contains("phase 2 of 2: step size 6.250000e-1 at iteration 4 in lane 0 is 2.500000/L"),
        "{words}"
    );
    let random = Step::Uniform { low: 0.5, high: 1.0, seed: 1 };
    let words = two(Phase::new(Algorithm::Fista).step(random)).unsafe_momentum().unwrap();
    assert!(
        words.contains("phase 2 of 2: momentum 'fista' with the varying step 'uniform:0.5:1:1'"),
        "{words}"
    );
    assert!(
        two(Phase::new(Algorithm::Fista).step(Step::Decreasing { scale: 1.0, power: 0.5 }))
            .unsafe_momentum()
            .is_none()
    );
}
