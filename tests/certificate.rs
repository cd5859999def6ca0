//! What is called converged is: the inputs of people who were told otherwise, with right values from
//! elsewhere (numpy, scipy, scikit-learn, closed forms).

use crate::common;

use ndarray::{Array1, Array2, array};

use proxjet::certificate::Verdict;
use proxjet::data::{Dataset, Synthetic};
use proxjet::diff;
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision};
use proxjet::schedule::{Algorithm, Phase, Restart, Step, TangentStart};
use proxjet::solve::{Alphas, Sweep, SweepResult};

fn cpu(sweep: &Sweep) -> SweepResult {
    sweep.run(&mut CpuEngine::new()).unwrap()
}

/// True if a lane's status says what its result is: a converged lane has the right value, any other lane does
/// not say that it has.
fn assert_value(result: &SweepResult, lane: usize, objective: f64, within: f64) {
    let of = &result.lanes[lane];
    let converged = of.status == Status::Converged;
    let error = (of.objective.unwrap() - objective).abs();
    assert!(!converged || error <= within, "lane {lane}: {of:?}, expected {objective}");
}

#[test]
fn a_time_in_milliseconds_is_not_converged_at_its_start() {
    let x = Array2::from_shape_fn((6, 1), |(i, _)| 1.7e12 + 1000.0 * i as f64);
    let y = Array1::from_shape_fn(6, |i| 4.0 + 3.0 * i as f64);
    let data = Dataset::new(x, y).unwrap();
    let objective =
        Objective::builder(data).loss(Loss::huber(1.35).unwrap()).penalty(Penalty::none()).build().unwrap();
    let result = cpu(&Sweep::new(objective).alphas(Alphas::List(vec![0.0])));
    assert_value(&result, 0, 0.0, 1e-6 * 10.0);
    let fit = result.lane(0);
    // The polished result is right whatever the iterations did.
    assert!((fit.coef()[0] - 0.003).abs() < 1e-6, "{:?}", fit.coef());
}

fn logistic(x: Array2<f64>, y: Array1<f64>, penalty: Penalty) -> Objective {
    let data = Dataset::new(x, y).unwrap();
    Objective::builder(data).loss(Loss::logistic()).penalty(penalty).build().unwrap()
}

#[test]
fn a_second_column_of_seconds_does_not_stop_the_first() {
    let second = [-2.0, -1.0, -1.5, 1.0, -1.0, 2.0, 1.0, 1.5, 0.5, -0.5];
    let x =
        Array2::from_shape_fn(
            (10, 2),
            |(i, j)| {
                if j == 0 { 1.7e9 + 60.0 * ((7 * i) % 10) as f64 } else { second[i] }
            },
        );
    let y = array![0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0];
    let result = cpu(&Sweep::new(logistic(x, y, Penalty::l2())).alphas(Alphas::List(vec![0.01])));
    assert_value(&result, 0, 0.4806, 1e-4);
    assert!((result.lane(0).coef()[1] - 1.087).abs() < 1e-3, "{:?}", result.lane(0).coef());
}

#[test]
fn separable_classes_have_no_minimiser() {
    let x = array![[-1.0], [1.0]];
    let result =
        cpu(&Sweep::new(logistic(x, array![0.0, 1.0], Penalty::none())).alphas(Alphas::List(vec![0.0])));
    let lane = &result.lanes[0];
    assert_eq!(lane.status, Status::Unbounded, "{lane:?}");
    let certificate = lane.certificate.as_ref().unwrap();
    assert_eq!(certificate.verdict, Verdict::Red);
    assert!(certificate.reason().contains("no minimiser"), "{}", certificate.reason());
}

#[test]
fn an_exact_zero_converges_at_once() {
    let x = [
        0.3, -1.2, 0.8, 0.1, -0.4, 1.1, 0.2, -0.9, 0.5, -0.1, 0.4, -0.8, 0.9, 0.2, -0.3, 1.0, 0.1, -1.0, 0.6,
        0.0,
    ];
    let x = Array2::from_shape_vec((20, 1), x.to_vec()).unwrap();
    let y = Array1::from_shape_fn(20, |i| f64::from(u8::from(i >= 10)));
    let data = Dataset::new(x, y).unwrap().standardize();
    let objective = Objective::builder(data).loss(Loss::logistic()).penalty(Penalty::l1()).build().unwrap();
    let result = cpu(&Sweep::new(objective).alphas(Alphas::List(vec![0.05])));
    let lane = &result.lanes[0];
    assert_eq!(lane.status, Status::Converged, "{lane:?}");
    assert!(lane.iterations <= 10, "{lane:?}");
}

#[test]
fn scaled_columns_reach_the_right_coefficient() {
    // Unpenalised and penalised columns; a column of scale 5000 (its exact solution by least squares).
    let x = Array2::from_shape_fn((8, 2), |(i, j)| {
        let t = i as f64;
        if j == 0 { (t * 1.7).sin() / 5000.0 } else { (t * 0.9).cos() }
    });
    let y = Array1::from_shape_fn(8, |i| 5004.0 * x[[i, 0]] + 0.1 * (i as f64 * 2.3).sin());
    let data = Dataset::new(x.clone(), y.clone()).unwrap();
    let objective =
        Objective::builder(data).penalty(Penalty::l1()).penalty_factors(array![0.0, 1.0]).build().unwrap();
    let alpha = 0.01 * objective.alpha_max(1.0);
    let result = cpu(&Sweep::new(objective).alphas(Alphas::List(vec![alpha])));
    let lane = &result.lanes[0];
    let certificate = lane.certificate.as_ref().unwrap();
    assert!(certificate.polished.unwrap().value.unwrap() < 1e-9, "{certificate:?}");
    // The solution of the unpenalised column, given that of the other, is least squares.
    let fit = result.lane(0);
    let rest = &y - &(&x.column(1) * fit.coef()[1]);
    let centred = |v: Array1<f64>| &v - v.mean().unwrap();
    let (column, rest) = (centred(x.column(0).to_owned()), centred(rest));
    let exact = column.dot(&rest) / column.dot(&column);
    assert!((fit.coef()[0] - exact).abs() < 1e-6 * exact.abs(), "{} for {exact}", fit.coef()[0]);
}

#[test]
fn a_derivative_of_a_converged_lane_is_that_of_the_solution() {
    let x = array![[-2.25, -0.21, 0.89], [0.17, -0.2, -1.3], [0.06, 1.24, -0.44]];
    let y = array![-2.57, -0.41, -0.78];
    let data = Dataset::new(x.clone(), y).unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::List(vec![0.0018726980621972741])).iterations(5000);
    let result = cpu(&sweep);
    // The reference is in the units of the standardised design, of the final frame.
    let expected = [-0.000695, -0.000554, 0.000560];
    let lane = &result.lanes[0];
    let certificate = lane.certificate.as_ref().unwrap();
    let bound = certificate.polished.unwrap().derivative;
    assert!(bound.is_some_and(|b| b < 1e-6), "{certificate:?}");
    let fit = result.lane(0);
    for (j, expected) in expected.iter().enumerate() {
        let column = x.column(j);
        let mean = column.mean().unwrap();
        let deviation = (column.mapv(|v| (v - mean).powi(2)).mean().unwrap()).sqrt();
        let got = fit.dcoef()[[0, j]] * deviation;
        assert!((got - expected).abs() < 2e-6, "column {j}: {got} for {expected}");
    }
    let end = result.trace.iteration.len() - 1;
    let last: Vec<f64> = (0..3).map(|j| result.trace.dcoef[[end, 0, 0, j]]).collect();
    if lane.status == Status::Converged {
        for (got, expected) in last.iter().zip(expected) {
            assert!((got - expected).abs() < 2e-6, "{last:?} for {expected:?}");
        }
    }
}

#[test]
fn a_start_at_the_solution_does_not_certify_its_derivative() {
    // Columns of scales 1 and 1e-4, orthogonal: the lasso has a closed form, and so has its derivative.
    let x = array![[1.0, 1e-4], [1.0, -1e-4], [-1.0, 1e-4], [-1.0, -1e-4]];
    let y = array![3.0, 1.0, -1.0, -3.0];
    let data = Dataset::new(x, y).unwrap();
    let objective = Objective::builder(data).intercept(false).penalty(Penalty::l1()).build().unwrap();
    // c = XᵀWy = (2, 1e-4); x_j = (c_j − α)/s_j, s = (1, 1e-8).
    let alpha = 1e-5;
    let solution = array![[2.0 - alpha, (1e-4 - alpha) / 1e-8]];
    let sweep = Sweep::new(objective).alphas(Alphas::List(vec![alpha])).start(solution).iterations(500);
    let result = cpu(&sweep);
    let expected = [-alpha, -alpha / 1e-8];
    let end = result.trace.iteration.len() - 1;
    let got = result.trace.dcoef[[end, 0, 0, 1]];
    let lane = &result.lanes[0];
    let wrong = (got - expected[1]).abs() > 1e-3 * expected[1].abs();
    assert!(!(wrong && lane.status == Status::Converged), "{got} for {} in {lane:?}", expected[1]);
    let polished = result.lane(0);
    assert!(
        (polished.dcoef()[[0, 1]] - expected[1]).abs() < 1e-6 * expected[1].abs(),
        "{:?}",
        polished.dcoef()
    );
}

#[test]
fn a_derivative_that_is_zero_converges() {
    let data = proxjet::data::bundled("diabetes").unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::l1()).build().unwrap();
    let sweep = Sweep::new(objective)
        .alphas(Alphas::List(vec![5.0]))
        .derivatives([Derivative::PenaltyFactor(0)])
        .iterations(5000);
    let result = cpu(&sweep);
    assert_eq!(result.lanes[0].status, Status::Converged, "{:?}", result.lanes[0]);
    assert!(result.lane(0).dcoef().iter().all(|v| *v == 0.0));
}

#[test]
fn duplicated_columns_have_several_derivatives() {
    let one = [0.3, -1.2, 0.8, 0.1, -0.4, 1.1];
    let x = Array2::from_shape_fn((6, 3), |(i, j)| if j < 2 { one[i] } else { (i as f64 * 1.3).cos() });
    let y = Array1::from_shape_fn(6, |i| one[i] + 0.2 * (i as f64).sin());
    let objective = Objective::builder(Dataset::new(x, y).unwrap()).penalty(Penalty::l1()).build().unwrap();
    let alpha = 0.2 * objective.alpha_max(1.0);
    let sweep = Sweep::new(objective).alphas(Alphas::List(vec![alpha])).iterations(5000);
    let lane = &cpu(&sweep).lanes[0];
    let certificate = lane.certificate.as_ref().unwrap();
    assert!(!certificate.unique && certificate.verdict == Verdict::Amber, "{certificate:?}");
    assert!(certificate.reason().contains("one of several"), "{}", certificate.reason());
}

#[test]
fn a_tolerance_below_the_precision_is_said_to_be() {
    let data = proxjet::data::bundled("diabetes").unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::l1()).build().unwrap();
    let sweep = Sweep::new(objective)
        .alphas(Alphas::List(vec![5.0]))
        .precision(Precision::F32)
        .tol(1e-17)
        .iterations(3000);
    let result = cpu(&sweep);
    assert_eq!(result.lanes[0].status, Status::PrecisionLimit, "{:?}", result.lanes[0]);
}

#[test]
fn an_intercept_and_free_columns_have_a_duality_gap() {
    // A solution is certified by the gap with every kind of unpenalised column, and a point off it is not.
    let data = proxjet::data::bundled("breast_cancer").unwrap().standardize();
    let mut factors = Array1::ones(30);
    factors[3] = 0.0;
    let objective = Objective::builder(data)
        .loss(Loss::logistic())
        .penalty(Penalty::l1())
        .penalty_factors(factors)
        .build()
        .unwrap();
    let alpha = 0.1 * objective.alpha_max(1.0);
    let result = cpu(&Sweep::new(objective).alphas(Alphas::List(vec![alpha])).iterations(3000));
    let certificate = result.lanes[0].certificate.as_ref().unwrap();
    assert_eq!(certificate.measure, Some(proxjet::certificate::Measure::DualityGap), "{certificate:?}");
    assert!(certificate.polished.unwrap().value.unwrap() < 1e-12, "{certificate:?}");
}

#[test]
fn the_affine_bound_needs_the_signs_of_the_solution() {
    // Coefficients cross zero in one step from a start on the other side.
    let x = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]];
    let y = array![1.0, 0.5, 1.5, 0.5];
    let data = Dataset::new(x, y).unwrap();
    let objective = Objective::builder(data).intercept(false).penalty(Penalty::l1()).build().unwrap();
    let sweep = Sweep::new(objective)
        .alphas(Alphas::List(vec![0.001]))
        .algorithm(Algorithm::Pgd)
        .step(Step::Constant(0.1))
        .start(array![[-5.0, -5.0]])
        .tangent_start(TangentStart::Identified)
        .iterations(60)
        .keep(Keep::All)
        .tol(0.0);
    let result = cpu(&sweep);
    let crossed = (0..60).filter(|k| result.trace.active_change[[*k, 0]] != 0.0).count();
    assert!(crossed > 0, "a crossing of zero changes the active set");
    let solutions = diff::solutions(&sweep, &result).unwrap();
    let lane = &diff::analyse(&sweep, &result, &solutions).unwrap()[0];
    // The true error is 4.6e-5 for tangents from the first iteration without a zero on.
    let late = lane.late_start.as_ref().unwrap();
    if let Some(bound) = &late.bound {
        assert!(bound[0] >= late.error[0], "{bound:?} for {:?}", late.error);
    }
}

#[test]
fn derivatives_that_grow_are_named_and_a_restart_tames_them() {
    let data = Synthetic {
        rows: 60,
        features: 300,
        scale: (1.0, 1.0),
        relevant: 30,
        effect: 1.0,
        noise: 0.5,
        classes: false,
        seed: 5,
    };
    let objective =
        Objective::builder(data.draw().unwrap().standardize()).penalty(Penalty::l1()).build().unwrap();
    let plain = Sweep::new(objective.clone())
        .alphas(Alphas::Path { epsilon: 1e-3, count: 50 })
        .restart(Restart::None);
    let named = |result: &SweepResult| result.info.warnings.iter().any(|w| w.contains("derivatives of"));
    let grown = cpu(&plain);
    let worst = grown.trace.dcoef.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(named(&grown) && worst > 1e3, "{worst}: {:?}", grown.info.warnings);
    let fista = Phase::new(Algorithm::Fista).restart(Restart::Gradient);
    let tamed = cpu(&plain.schedule(fista).iterations(5000));
    let converged = |r: &SweepResult| r.lanes.iter().filter(|l| l.status == Status::Converged).count();
    assert!(
        converged(&tamed) >= 40 && converged(&grown) < 30,
        "{} of 50, {} before",
        converged(&tamed),
        converged(&grown)
    );
}

#[test]
fn lanes_resume_on_a_device_with_chunks_in_flight() {
    // The engine's measures are small long before the derivative is right: these lanes resume several times.
    let x = array![[-2.25, -0.21, 0.89], [0.17, -0.2, -1.3], [0.06, 1.24, -0.44]];
    let data = Dataset::new(x, array![-2.57, -0.41, -0.78]).unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let sweep = Sweep::new(objective)
        .alphas(Alphas::path(1e-4, 9))
        // A restart is a comparison, which rounding may decide.
        .restart(Restart::None)
        .iterations(3000)
        .chunk(64)
        .check_every(5)
        .keep(Keep::All)
        .tol(1e-3);
    let Some(mut gpu) = common::engine("gpu") else { return };
    let (host, device) = (cpu(&sweep), sweep.run(gpu.as_mut()).unwrap());
    let resumed = |r: &SweepResult| {
        r.lanes.iter().filter(|l| l.derivative_residual.is_some_and(|v| v > 0.0 && v < 1e-4)).count()
    };
    // A lane ends at a residual of a tenth of the tolerance only if it resumed.
    assert!(resumed(&device) > 0, "{:?}", device.lanes);
    for (i, (a, b)) in host.lanes.iter().zip(&device.lanes).enumerate() {
        assert_eq!((a.status, a.iterations), (b.status, b.iterations), "lane {i}");
        for k in 0..a.iterations {
            let (a, b) = (host.trace.objective[[k, i]], device.trace.objective[[k, i]]);
            assert!((a - b).abs() <= 1e-9 * a, "lane {i}, iteration {k}: {a} and {b}");
        }
    }
}

#[test]
fn bounds_that_f32_does_not_hold_are_no_obstacle() {
    // f32(0.1) is above 0.1: coefficients at a bound of the box end outside of it.
    let data = Synthetic {
        rows: 50,
        features: 8,
        scale: (1.0, 1.0),
        relevant: 8,
        effect: 1.0,
        noise: 0.1,
        classes: false,
        seed: 3,
    };
    for bounds in ["box:-0.1:0.1", "box:-0.3:0.3", "box:-0.05:0.2"] {
        let penalty: Penalty = bounds.parse().unwrap();
        let objective = Objective::builder(data.draw().unwrap()).penalty(penalty).build().unwrap();
        let result = cpu(&Sweep::new(objective).alphas(Alphas::List(vec![0.0])).precision(Precision::F32));
        let certificate = result.lanes[0].certificate.unwrap();
        assert_eq!(certificate.verdict, Verdict::Green, "{bounds}: {certificate:?}");
        assert!(certificate.polished.is_some(), "{bounds}: {certificate:?}");
        let (lower, upper) = penalty.domain();
        assert!(result.lane(0).coef().iter().all(|v| (lower..=upper).contains(v)), "{bounds}");
    }
}

#[test]
fn a_lane_that_resumes_does_not_depend_on_the_length_of_chunks() {
    let x = array![[-2.25, -0.21, 0.89], [0.17, -0.2, -1.3], [0.06, 1.24, -0.44]];
    let data = Dataset::new(x, array![-2.57, -0.41, -0.78]).unwrap().standardize();
    let objective = Objective::builder(data).penalty(Penalty::elastic_net()).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::path(1e-4, 9)).restart(Restart::None).iterations(3000);
    let run = |engine: &str, chunk: usize| {
        let sweep = sweep.clone().chunk(chunk).check_every(5).tol(1e-3);
        common::engine(engine).map(|mut engine| sweep.run(engine.as_mut()).unwrap())
    };
    for engine in ["cpu", "gpu"] {
        // A lane stops at the end of a chunk of 5, and within one of 60.
        let (Some(short), Some(long)) = (run(engine, 5), run(engine, 60)) else { continue };
        for (lane, (a, b)) in short.lanes.iter().zip(&long.lanes).enumerate() {
            assert_eq!((a.status, a.iterations), (b.status, b.iterations), "{engine}, lane {lane}");
        }
        // Loaded lanes compute their predictions anew.
        let apart = common::compare::relative_diff(&short.trace.objective, &long.trace.objective);
        assert!(apart < 1e-9, "{engine}: {apart:e}");
    }
}

/// Every column has a weaker copy, which no solution uses; proximal steps leave it only slowly.
#[test]
fn dependent_columns_are_left_out_far_from_the_solution() {
    let (n, p) = (15, 20);
    let strong = Array2::from_shape_fn((n, p), |(i, j)| (1.7 * i as f64 + 0.3 * (j * j) as f64).sin());
    let x =
        Array2::from_shape_fn((n, 2 * p), |(i, j)| strong[[i, j / 2]] * if j % 2 == 0 { 1.0 } else { 0.9 });
    let y = Array1::from_shape_fn(n, |i| (0.9 * i as f64).cos());
    let alpha = 2e-4;

    // Coordinate descent on the strong columns alone.
    let (mut w, mut residual) = (Array1::<f64>::zeros(p), -&y);
    for _ in 0..200_000 {
        for j in 0..p {
            let column = strong.column(j);
            let curvature = column.dot(&column) / n as f64;
            let input = w[j] * curvature - column.dot(&residual) / n as f64;
            let new = input.signum() * (input.abs() - alpha).max(0.0) / curvature;
            residual.scaled_add(new - w[j], &column);
            w[j] = new;
        }
    }

    let objective = Objective::builder(Dataset::new(x, y).unwrap())
        .penalty(Penalty::l1())
        .intercept(false)
        .build()
        .unwrap();
    for iterations in [1, 20, 300] {
        let sweep = Sweep::new(objective.clone()).alphas(Alphas::List(vec![alpha])).iterations(iterations);
        let result = cpu(&sweep);
        let certificate = result.lanes[0].certificate.as_ref().unwrap();
        assert_eq!(certificate.verdict, Verdict::Green, "{iterations}: {}", certificate.reason());
        let lane = result.lane(0);
        let coef = lane.coef();
        for j in 0..p {
            let [strong, weak] = [coef[2 * j], coef[2 * j + 1]];
            assert!(
                (strong - w[j]).abs() < 1e-8 && weak == 0.0,
                "{iterations}, {j}: {strong} {weak} {}",
                w[j]
            );
        }
    }
}

/// A coefficient that is bounded on one side can grow on the other: classes that it separates there have no
/// minimiser, classes that it separates against the bound have one.
#[test]
fn a_bound_on_one_side_is_no_bound_on_the_other() {
    let x = array![[-2.0, 0.3], [-1.0, -0.4], [1.0, 0.1], [1.5, -0.2]];
    let right = array![0.0, 0.0, 1.0, 1.0];
    let penalty: Penalty = "box:-1:inf".parse().unwrap();
    for (y, unbounded) in [(right.clone(), true), (right.mapv(|v| 1.0 - v), false)] {
        let data = Dataset::new(x.clone(), y).unwrap();
        let objective = Objective::builder(data).loss(Loss::logistic()).penalty(penalty).intercept(false);
        let sweep = Sweep::new(objective.build().unwrap()).alphas(Alphas::List(vec![0.0]));
        let lane = &cpu(&sweep).lanes[0];
        assert_eq!(lane.status == Status::Unbounded, unbounded, "{lane:?}");
        assert_eq!(lane.status == Status::Converged, !unbounded, "{lane:?}");
    }
}

/// The best coefficient without bounds is exactly on one: a larger target does not move it, a smaller does.
#[test]
fn a_coefficient_that_only_touches_its_bound_has_no_derivative() {
    let x = array![[-1.0], [0.0], [1.0]];
    for (slope, unique) in [(1.0, false), (0.5, true), (2.0, true)] {
        let data = Dataset::new(x.clone(), slope * &x.column(0)).unwrap();
        let penalty: Penalty = "box:-1:1".parse().unwrap();
        let objective = Objective::builder(data).penalty(penalty).intercept(false).build().unwrap();
        let sweep = Sweep::new(objective).alphas(Alphas::List(vec![0.0]));
        let result = cpu(&sweep.derivatives([Derivative::Target(array![-1.0, 0.0, 1.0])]));
        let certificate = result.lanes[0].certificate.as_ref().unwrap();
        assert_eq!(certificate.unique, unique, "{slope}: {certificate:?}");
        assert_eq!(certificate.verdict == Verdict::Green, unique, "{slope}: {certificate:?}");
    }
}
