//! The modes of differentiation: each against the others, against differences, and where there is nothing to
//! differentiate.

use ndarray::Array2;
use proxjet::diff::{Criterion, Differentiate, Kind, Mode};
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision};
use proxjet::schedule::{Algorithm, Phase, Restart, Step};
use proxjet::solve::{Alphas, Path, Sweep};

use crate::common::cases::{losses, penalties, step_scale};
use crate::common::compare::{Report, max_abs_diff, relative_diff};
use crate::common::synthetic;

mod transposed;

/// Numbers without a pattern, from −1 to 1.
pub(super) fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A fit that converges to rounding: every mode has the same derivatives, but for the one step.
#[test]
fn modes_agree_at_convergence() {
    let mut report = Report::default();
    for loss in losses() {
        for penalty in penalties() {
            let data = synthetic(80, 8, loss.classes(), 12);
            let mut builder = Objective::builder(data).loss(loss).penalty(penalty);
            builder = builder.validation(synthetic(30, 8, loss.classes(), 13));
            let problem = builder.build().unwrap();
            let top = if penalty.uses_alpha() { 0.3 * problem.alpha_max(1.0).max(0.05) } else { 1.0 };
            let mut derivatives = Vec::new();
            if penalty.uses_alpha() {
                derivatives.extend([Derivative::LogAlpha, Derivative::PenaltyFactor(2)]);
            }
            if !loss.classes() {
                derivatives.push(Derivative::Target(random(80, 8).into()));
            }
            if derivatives.is_empty() {
                continue;
            }
            let scale = 0.9 * step_scale(&problem);
            let sweep = Sweep::new(problem)
                .alphas(Alphas::List(vec![top, 0.4 * top]))
                .step(Step::Constant(scale))
                .restart(Restart::Gradient)
                .iterations(6000)
                .tol(1e-13)
                .derivatives(derivatives);
            // Without a tangent the stop rule does not wait for derivatives.
            let sweep_of = |mode: Mode| match mode {
                Mode::Reverse => sweep.clone().tol(0.0),
                _ => sweep.clone(),
            };
            let of = |mode| Differentiate::new(sweep_of(mode)).mode(mode).run(&mut CpuEngine::new()).unwrap();
            let exact = of(Mode::Implicit);
            let (g, d) = (exact.gradient.unwrap(), exact.dcoef.unwrap());
            if exact.lanes.iter().any(|lane| lane.derivative != Kind::Solution) {
                report.check(&format!("{loss} + {penalty}"), false, || format!("{:?}", exact.lanes));
            }
            for mode in [Mode::Forward, Mode::Reverse, Mode::FixedPoint, Mode::Hybrid] {
                let found = of(mode);
                let name = format!("{loss} + {penalty}, {mode}");
                let error = relative_diff(&found.gradient.unwrap(), &g);
                report.check(&name, error <= 1e-9, || format!("gradient: {error:e}"));
                if let Some(found) = found.dcoef {
                    let error = relative_diff(&found, &d);
                    report.check(&name, error <= 1e-9, || format!("coefficients: {error:e}"));
                }
            }
        }
    }
    report.finish(4 * 20);
}

/// Lanes that end at different iterations, some of them after a rest, beside one that diverges.
#[test]
fn lanes_that_end_on_their_own_are_differentiated_to_their_ends() {
    let problem = Objective::builder(synthetic(60, 25, false, 23)).validation(synthetic(30, 25, false, 24));
    let sweep =
        Sweep::new(problem.build().unwrap()).alphas(Alphas::path(0.01, 12)).iterations(20_000).tol(1e-13);
    let of = |sweep: Sweep, mode| Differentiate::new(sweep).mode(mode).run(&mut CpuEngine::new()).unwrap();
    let (reverse, exact) = (of(sweep.clone(), Mode::Reverse), of(sweep.clone(), Mode::Implicit));
    let mut ends: Vec<usize> = reverse.lanes.iter().map(|lane| lane.iterations).collect();
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() >= 4, "{ends:?}");
    for (i, lane) in
        reverse.lanes.iter().enumerate().filter(|(i, _)| exact.lanes[*i].derivative == Kind::Solution)
    {
        let (found, expected) =
            (lane.gradient.as_ref().unwrap()[0], exact.gradient.as_ref().unwrap()[[i, 0]]);
        // A value within 1e-13 leaves 3e-7 in the coefficients.
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1e-3), "lane {i}: {found}, {expected}");
    }
    let steps =
        ndarray::Array2::from_shape_fn((300, 12), |(_, lane)| if lane == 5 { 4.0 } else { 1.0 }).into_dyn();
    let lipschitz = sweep.problem().spectrum().lipschitz;
    let schedule = Phase::new(Algorithm::Pgd).step(Step::Table(steps / lipschitz));
    let one_diverges = sweep.clone().schedule(schedule).iterations(300).tol(1e-6);
    let found = of(one_diverges, Mode::Reverse);
    assert_eq!((found.lanes[5].status, found.lanes[5].derivative), (Status::Diverged, Kind::Absent));
    assert!(found.lanes.iter().enumerate().all(|(i, lane)| i == 5 || lane.derivative == Kind::Iterate));
}

/// In f32, where the last iterates are polished, gradients of the solution are those of f64.
#[test]
fn modes_agree_in_f32() {
    let problem = Objective::builder(synthetic(90, 12, false, 5)).validation(synthetic(40, 12, false, 6));
    let sweep = Sweep::new(problem.build().unwrap()).alphas(Alphas::path(0.1, 6)).iterations(4000).tol(1e-10);
    let of = |precision, mode| {
        let sweep = sweep.clone().precision(precision);
        Differentiate::new(sweep).mode(mode).run(&mut CpuEngine::new()).unwrap().gradient.unwrap()
    };
    let exact = of(Precision::F64, Mode::Implicit);
    for mode in [Mode::Implicit, Mode::Hybrid, Mode::FixedPoint] {
        let error = relative_diff(&of(Precision::F32, mode), &exact);
        assert!(error <= 1e-5, "{mode}: {error:e}");
    }
}

/// Iterates that the tape has no room for are computed again, with the same bits.
#[test]
fn checkpoints_change_nothing() {
    let mut report = Report::default();
    let problems = [
        ("ridge", Loss::squared(), Penalty::l2(), 0.0),
        ("logistic ridge", Loss::logistic(), Penalty::l2(), 0.0),
        ("huber box", Loss::huber(1.0).unwrap(), Penalty::bounds(-0.3, 0.4).unwrap(), 0.0),
        // Columns are put together anew at every segment.
        ("logistic lasso", Loss::logistic(), Penalty::l1(), 1e-12),
    ];
    for (name, loss, penalty, bound) in problems {
        let data = synthetic(60, 40, loss.classes(), 9);
        let problem = Objective::builder(data).loss(loss).penalty(penalty).build().unwrap();
        let sweep = Sweep::new(problem)
            .alphas(Alphas::List(vec![0.3, 0.1, 0.03]))
            .iterations(400)
            .tol(0.0)
            .sparsity(false)
            .derivatives([Derivative::LogStep, Derivative::Momentum(7), Derivative::Step(311)]);
        let engine = &mut CpuEngine::new();
        let cotangents = Array2::from_shape_vec((3, 40), random(120, 3)).unwrap();
        let of = |sweep: &Sweep, engine: &mut CpuEngine| {
            Differentiate::new(sweep.clone()).mode(Mode::Reverse).vjp(engine, cotangents.view()).unwrap()
        };
        let stored = of(&sweep, engine);
        let plan = sweep.clone().derivatives([]).keep(Keep::Iterates).plan(engine).unwrap();
        // A step takes 64 bytes; of 400 iterates of 3 · 40 numbers there is room for about 50.
        let room = |iterates: u64| 2 * (400 * 3 * 64 + iterates * 3 * 40 * 8);
        let engine_bytes = plan.device_bytes + plan.host_bytes;
        let small = sweep.clone().memory_budget(engine_bytes + room(50));
        let again = of(&small, engine);
        let bytes = |sweep: &Sweep| {
            let of = Differentiate::new(sweep.clone()).mode(Mode::Reverse).criterion(Criterion::Objective);
            of.map(|sweep| sweep.derivatives([Derivative::LogStep]))
                .run(&mut CpuEngine::new())
                .unwrap()
                .peak_bytes
        };
        report.check(name, bytes(&small) < bytes(&sweep), || "the tape was not thinned".into());
        let along = Differentiate::new(small.clone()).mode(Mode::Reverse);
        let along = along.jvp(engine, ndarray::array![1.0, 0.0, 0.0].view()).unwrap();
        report.check(name, along.iter().all(|v| v.is_finite()), || format!("{along}"));
        let error = max_abs_diff(&again, &stored);
        report.check(name, error <= bound, || format!("{error:e} of {stored:?}"));
        let too_small = sweep.memory_budget(engine_bytes + room(5));
        let refused = Differentiate::new(too_small).mode(Mode::Reverse).vjp(engine, cotangents.view());
        // Sparse iterates take less.
        report.check(name, refused.is_err() || bound > 0.0, || "fits no segment".into());
    }
    report.finish(16);
}

/// Steps along a line: differences of what a mode gives say what the Hessian's product is.
#[test]
fn products_with_the_hessian_are_differences_of_gradients() {
    let mut report = Report::default();
    let cases = [
        (Loss::squared(), Penalty::elastic_net()),
        (Loss::logistic(), Penalty::l2()),
        (Loss::logistic(), Penalty::l1()),
        (Loss::squared(), Penalty::mcp(4.0).unwrap()),
    ];
    for (loss, penalty) in cases {
        for criterion in [Criterion::Validation, Criterion::Objective] {
            if criterion == Criterion::Objective && penalty.name() == "mcp" {
                continue;
            }
            let at = |log_alpha: f64, ratio: f64, factor: f64| {
                let mut factors: ndarray::Array1<f64> = (0..9).map(|j| 1.0 + 0.05 * f64::from(j)).collect();
                factors[2] += factor;
                let problem = Objective::builder(synthetic(70, 9, loss.classes(), 21))
                    .loss(loss)
                    .penalty(penalty)
                    .penalty_factors(factors)
                    .validation(synthetic(40, 9, loss.classes(), 22))
                    .build()
                    .unwrap();
                let alpha = 0.1 * problem.alpha_max(1.0).clamp(0.05, 1.0) * f64::exp(log_alpha);
                let mut derivatives = vec![Derivative::LogAlpha, Derivative::PenaltyFactor(2)];
                if penalty.l1_ratio().is_none() {
                    derivatives.push(Derivative::L1Ratio);
                }
                let sweep = Sweep::new(problem)
                    .alphas(Alphas::List(vec![alpha]))
                    .l1_ratio(0.5 + ratio)
                    .iterations(3000)
                    .tol(1e-10)
                    .derivatives(derivatives);
                Differentiate::new(sweep).mode(Mode::Implicit).criterion(criterion)
            };
            let engine = &mut CpuEngine::new();
            let direction = [0.7, -0.4, 0.2];
            let moved = |h: f64| {
                // alpha_max follows the factors: hold alpha itself.
                let base = at(0.0, 0.0, 0.0);
                let alpha = base.run(&mut CpuEngine::new()).unwrap().lanes[0].alpha;
                let of = at(0.0, direction[2] * h, direction[1] * h);
                let list = Alphas::List(vec![alpha * f64::exp(direction[0] * h)]);
                of.map(|sweep| sweep.alphas(list)).criterion_gradient(&mut CpuEngine::new()).unwrap()
            };
            let h = 1e-5;
            let difference = (&moved(h) - &moved(-h)) / (2.0 * h);
            let count = difference.ncols();
            let along = ndarray::Array1::from(direction[..count].to_vec());
            let found = at(0.0, 0.0, 0.0).hessian_product(engine, along.view()).unwrap();
            let error = relative_diff(&found, &difference);
            let name = format!("{loss} + {penalty}, {}", criterion.name());
            report.check(&name, error <= 1e-6, || format!("{error:e}: {found}, difference {difference}"));
        }
    }
    report.finish(7);
}

/// `⟨c, J d⟩ = ⟨J' c, d⟩` in the units of the data, in every mode.
#[test]
fn products_with_the_jacobian_and_its_transpose_agree() {
    let data = synthetic(70, 15, false, 8).standardize();
    let problem = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let sweep = Sweep::new(problem).alphas(Alphas::path(0.05, 4)).iterations(300).derivatives([
        Derivative::LogAlpha,
        Derivative::L1Ratio,
        Derivative::PenaltyFactor(4),
    ]);
    let direction = ndarray::Array1::from(random(3, 1));
    let cotangents = Array2::from_shape_vec((4, 15), random(60, 2)).unwrap();
    for mode in Mode::ALL {
        // The stop rule waits for tangents where there are any.
        let tol = if mode == Mode::Reverse { 0.0 } else { 1e-6 };
        let (engine, of) = (&mut CpuEngine::new(), Differentiate::new(sweep.clone().tol(tol)).mode(mode));
        let along = of.jvp(engine, direction.view()).unwrap();
        let back = of.vjp(engine, cotangents.view()).unwrap();
        for lane in 0..4 {
            let (a, b) = (along.row(lane).dot(&cotangents.row(lane)), back.row(lane).dot(&direction));
            assert!((a - b).abs() <= 1e-11 * a.abs().max(1e-3), "{mode}, lane {lane}: {a} and {b}");
        }
    }
}

/// Where there is no derivative, or several, a lane says so, and the others are as they are alone.
#[test]
fn lanes_without_a_derivative_say_so() {
    // Two columns are the same, so that both or none of them are active.
    let data = synthetic(40, 6, false, 31);
    let mut x = data.x().to_owned();
    let copy = x.column(1).to_owned();
    x.column_mut(3).assign(&copy);
    let twins = proxjet::data::Dataset::new(x, data.target().to_owned()).unwrap();
    let of = |data, penalty, alphas: Vec<f64>, mode| {
        let problem = Objective::builder(data).penalty(penalty).build().unwrap();
        let sweep = Sweep::new(problem).alphas(Alphas::List(alphas)).iterations(2000);
        let of = Differentiate::new(sweep).mode(mode).criterion(Criterion::Objective);
        of.run(&mut CpuEngine::new()).unwrap()
    };
    let found = of(twins.clone(), Penalty::none(), vec![1.0], Mode::Implicit);
    assert!(found.names.is_empty() && !found.lanes[0].certificate.unwrap().unique, "{:?}", found.lanes);
    let found = of(twins, Penalty::l1(), vec![1e-3], Mode::Implicit);
    assert_eq!(found.lanes[0].derivative, Kind::OneOfSeveral, "{:?}", found.lanes[0]);
    // At alpha_max a coefficient is about to enter; the lane beside it is not touched.
    let top = Objective::builder(data.clone()).build().unwrap().alpha_max(1.0);
    for mode in [Mode::Implicit, Mode::FixedPoint, Mode::Hybrid] {
        let both = of(data.clone(), Penalty::l1(), vec![top, 0.2 * top], mode);
        assert_eq!(both.lanes[0].derivative, Kind::OneOfSeveral, "{mode}: {:?}", both.lanes[0]);
        let alone = of(data.clone(), Penalty::l1(), vec![0.2 * top], mode);
        let (a, b) = (both.gradient.unwrap()[[1, 0]], alone.gradient.unwrap()[[0, 0]]);
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{mode}: {a} and {b}");
    }
    // Classes that can be separated, without a penalty: no minimiser, so nothing to differentiate.
    let x =
        ndarray::Array2::from_shape_fn(
            (20, 2),
            |(i, j)| if j == 0 { i as f64 - 9.5 } else { 1.0 / (1 + i) as f64 },
        );
    let y = (0..20).map(|i| if i < 10 { 0.0 } else { 1.0 }).collect();
    let data = proxjet::data::Dataset::new(x, y).unwrap();
    let problem = Objective::builder(data).loss(Loss::logistic()).penalty_factors(ndarray::array![0.0, 1.0]);
    let sweep = Sweep::new(problem.build().unwrap()).alphas(Alphas::List(vec![0.1])).iterations(200);
    let found = Differentiate::new(sweep).mode(Mode::Implicit).criterion(Criterion::Objective);
    let found = found.run(&mut CpuEngine::new()).unwrap();
    assert_eq!((found.lanes[0].status, found.lanes[0].derivative), (Status::Unbounded, Kind::Absent));
    assert!(found.gradient.unwrap()[[0, 0]].is_nan());
}

#[test]
fn what_a_mode_does_not_give_is_refused() {
    let problem = Objective::builder(synthetic(30, 5, false, 2)).build().unwrap();
    let sweep = Sweep::new(problem).alphas(Alphas::path(0.1, 2)).iterations(20);
    let refused = |sweep: Sweep, mode: Mode, parts: &[&str]| {
        let engine = &mut CpuEngine::new();
        let of = Differentiate::new(sweep).mode(mode).criterion(Criterion::Objective);
        let error = of.run(engine).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "'{part}' is not in: {error}"));
    };
    for mode in [Mode::Implicit, Mode::FixedPoint, Mode::OneStep, Mode::Hybrid] {
        let by_step = sweep.clone().derivatives([Derivative::Step(3)]);
        refused(by_step, mode, &["'step:3'", "do not change the solution", "mode reverse"]);
    }
    let newton = sweep.clone().path(Path::Newton);
    refused(newton, Mode::Reverse, &["'newton'", "mode implicit"]);
    let secant = sweep.clone().schedule(Phase::new(Algorithm::Pgd)).step(Step::BarzilaiBorwein { high: 1.9 });
    refused(secant, Mode::Reverse, &["'barzilai_borwein'", "mode forward"]);
    let none = Differentiate::new(sweep.clone()).mode(Mode::Reverse).criterion(Criterion::Validation);
    let error = none.run(&mut CpuEngine::new()).unwrap_err().to_string();
    assert!(error.contains("without held-out rows"), "{error}");
    let many = sweep
        .clone()
        .memory_budget(200_000)
        .derivatives((0..5).cycle().take(5000).map(Derivative::PenaltyFactor));
    refused(many, Mode::Implicit, &["5000 derivatives", "jacobian"]);
}

/// The choice follows what is asked for, and what it costs.
#[test]
fn auto_gives_what_is_asked_for() {
    let problem = Objective::builder(synthetic(60, 20, false, 2)).validation(synthetic(30, 20, false, 3));
    let sweep = Sweep::new(problem.build().unwrap()).alphas(Alphas::path(0.1, 8)).iterations(500);
    let chosen = |sweep: &Sweep, jacobian: bool| {
        let of = Differentiate::new(sweep.clone()).with_jacobian(jacobian);
        let choice = of.choose(&mut CpuEngine::new()).unwrap();
        assert_eq!(choice.estimates.len(), 6);
        let run = of.run(&mut CpuEngine::new()).unwrap();
        assert!(run.lanes.iter().all(|lane| lane.derivative != Kind::Absent));
        choice.mode
    };
    assert!(!chosen(&sweep, true).is_unrolled());
    let by_all = (0..200).map(Derivative::Step);
    let steps = sweep.clone().tol(0.0).iterations(200).derivatives(by_all);
    assert_eq!(chosen(&steps, false), Mode::Reverse);
    assert_eq!(chosen(&steps, true), Mode::Forward);
    assert!(chosen(&sweep.tol(0.0), true).is_unrolled());
}

/// Gradients in every mode against central differences: of the last iterate, or of solutions found anew.
#[test]
fn gradients_are_differences_of_the_criterion() {
    let mut report = Report::default();
    for (loss, penalty) in [
        (Loss::squared(), Penalty::l1()),
        (Loss::logistic(), Penalty::elastic_net()),
        (Loss::logistic(), Penalty::l2()),
        (Loss::squared(), Penalty::scad(3.7).unwrap()),
    ] {
        let problem = Objective::builder(synthetic(60, 9, loss.classes(), 41)).loss(loss).penalty(penalty);
        let problem = problem.validation(synthetic(30, 9, loss.classes(), 42)).build().unwrap();
        let top = problem.alpha_max(1.0).clamp(0.05, 1.0);
        let mut derivatives = vec![Derivative::LogAlpha, Derivative::PenaltyFactor(1)];
        if !loss.classes() {
            derivatives.push(Derivative::Target(random(60, 4).into()));
        }
        let sweep = Sweep::new(problem.clone())
            .alphas(Alphas::List(vec![0.4 * top, 0.2 * top, 0.1 * top]))
            .step(Step::Constant(0.9 * step_scale(&problem)))
            .restart(Restart::None)
            .derivatives(derivatives);
        for mode in [Mode::Reverse, Mode::Implicit, Mode::FixedPoint, Mode::Hybrid] {
            let sweep = if mode == Mode::Reverse {
                let early = [Derivative::LogAlpha, Derivative::Step(4), Derivative::Momentum(5)];
                sweep.clone().iterations(12).derivatives(early)
            } else {
                sweep.clone().iterations(8000).tol(1e-12)
            };
            let of = Differentiate::new(sweep).mode(mode);
            for row in proxjet::diff::check_gradient(&of, &mut CpuEngine::new(), 1e-5).unwrap() {
                let good = row.compared > 0 && row.max_error <= 1e-6;
                report.check(&format!("{loss} + {penalty}, {mode}"), good, || format!("{row:?}"));
            }
        }
    }
    report.finish(30);
}

/// The iterates of a device, differentiated backward on the host.
#[test]
fn reverse_goes_through_the_iterations_of_a_device() {
    let Some(mut gpu) = crate::common::gpu() else { return };
    let problem = Objective::builder(synthetic(50, 14, false, 3)).penalty(Penalty::elastic_net());
    let problem = problem.validation(synthetic(20, 14, false, 4)).build().unwrap();
    let sweep = Sweep::new(problem)
        .alphas(Alphas::path(0.1, 5))
        .iterations(90)
        .tol(0.0)
        .precision(Precision::F32)
        .derivatives([Derivative::LogAlpha, Derivative::PenaltyFactor(3), Derivative::Momentum(40)]);
    let of = Differentiate::new(sweep).mode(Mode::Reverse);
    let on_device = of.criterion_gradient(&mut gpu).unwrap();
    let on_host = of.criterion_gradient(&mut CpuEngine::new()).unwrap();
    let error = relative_diff(&on_device, &on_host);
    assert!(error <= 1e-4, "{error:e}");
    assert!(on_host.iter().filter(|v| **v != 0.0).count() >= 10);
}
