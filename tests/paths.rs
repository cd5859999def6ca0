//! The null model, alpha_max, and paths that fit the problem.

use ndarray::{Array1, Array2, Axis};
use proxjet::data::{Dataset, Validation, bundled};
use proxjet::engine::cpu::CpuEngine;
use proxjet::error::{ErrorKind, Result};
use proxjet::objective::{Loss, Objective, Penalty};
use proxjet::program::Precision;
use proxjet::solve::{Alphas, Sweep};

const Z: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
const G: [f64; 8] = [1.0, 2.2, 2.8, 4.1, 5.3, 5.9, 6.8, 8.2];

/// Columns z (factor 0) and g (factor 1), and the target 3z + 0.2g + noise.
fn two_columns(target: impl Fn(usize, f64) -> f64) -> Dataset {
    let noise = [0.1, -0.1, 0.05, 0.0, -0.05, 0.1, -0.1, 0.0];
    let x = Array2::from_shape_fn((8, 2), |(i, j)| [Z[i], G[i]][j]);
    let y = (0..8).map(|i| target(i, 3.0 * Z[i] + 0.2 * G[i] + noise[i])).collect::<Array1<f64>>();
    Dataset::new(x, y).unwrap()
}

fn free_first(data: Dataset, loss: Loss) -> Objective {
    let builder = Objective::builder(data).loss(loss).penalty(Penalty::l1());
    builder.penalty_factors(ndarray::array![0.0, 1.0]).build().unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-8, "{found:e} for {expected:e}");
}

#[test]
fn alpha_max_is_taken_after_the_unpenalised_features() {
    // Expected values: ordinary least squares, Newton's method and iterated weights, in plain Python.
    near(free_first(two_columns(|_, y| y), Loss::squared()).alpha_max(1.0), 0.002_047_619_047_620_8);
    let label = |i: usize, _| [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0][i];
    near(free_first(two_columns(label), Loss::logistic()).alpha_max(1.0), 0.004_660_957_497_917_853);
    near(free_first(two_columns(|_, y| y), Loss::huber(0.05).unwrap()).alpha_max(1.0), 8.928_571_43e-5);
    // A row far away, and a start far away, do not matter to huber.
    let far = |i: usize, y: f64| if i == 7 { 1e9 } else { y + 4e5 };
    let objective = free_first(two_columns(far), Loss::huber(0.05).unwrap());
    assert!(objective.alpha_max(1.0) < 0.05, "{}", objective.alpha_max(1.0));
}

#[test]
fn a_path_starts_where_the_first_penalised_coefficient_enters() {
    let objective = free_first(two_columns(|_, y| y), Loss::squared());
    let top = objective.alpha_max(1.0);
    let sweep = Sweep::new(objective).alphas(Alphas::list([1.01 * top, 0.99 * top]));
    let result = sweep.iterations(200_000).tol(1e-12).run(&mut CpuEngine::new()).unwrap();
    let coef = |lane: usize| result.lane(lane).coef()[1];
    assert!(coef(0) == 0.0 && coef(1) != 0.0, "{} {}", coef(0), coef(1));
    // The least-squares slope of the target on z.
    let data = two_columns(|_, y| y);
    let z = data.x().column(0).to_owned() - 4.5;
    near(result.lane(0).coef()[0], z.dot(&data.target()) / z.dot(&z));
}

fn path_error(data: Dataset, loss: Loss) -> String {
    let builder = Objective::builder(data).loss(loss).penalty(Penalty::l1());
    let objective = builder.penalty_factors(ndarray::array![0.0, 1.0]).build().unwrap();
    let refused = Sweep::new(objective).alphas(Alphas::path(1e-3, 5)).prepare().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Usage);
    refused.to_string()
}

#[test]
fn a_null_model_without_minimiser_is_said_in_words() {
    let separated = path_error(two_columns(|i, _| f64::from(u8::from(i >= 4))), Loss::logistic());
    assert!(separated.contains("separate the classes"), "{separated}");
    // All but the two rows at the border, which have the same z.
    let mut data = two_columns(|i, _| f64::from(u8::from(i >= 4)));
    let mut x = data.x();
    x[[4, 0]] = 4.0;
    data = Dataset::new(x, data.target().to_owned()).unwrap();
    let touching = path_error(data, Loss::logistic());
    assert!(touching.contains("separate the classes"), "{touching}");
}

#[test]
fn a_constant_target_is_constant_whatever_its_digits() {
    for value in [1.0, 0.1, 14.62, 1e-22, 1e20] {
        for loss in [Loss::squared(), Loss::huber(1.0).unwrap()] {
            let said = path_error(two_columns(|_, _| value), loss);
            assert!(said.contains("the target is constant"), "{value}: {said}");
        }
    }
    // A target that the unpenalised feature explains is no more than that.
    let said = path_error(two_columns(|i, _| 0.1 + 0.3 * Z[i]), Loss::squared());
    assert!(said.contains("alpha_max = 0"), "{said}");
    // A small target is not constant.
    let small = Objective::builder(two_columns(|_, y| 1e-22 * y)).build().unwrap();
    near(
        small.alpha_max(1.0),
        1e-22 * Objective::builder(two_columns(|_, y| y)).build().unwrap().alpha_max(1.0),
    );
}

#[test]
fn rows_of_weight_0_change_no_result() {
    let data = bundled("diabetes").unwrap();
    let fit = |data: Dataset, precision: Precision| {
        let objective = Objective::builder(data.standardize()).build().unwrap();
        let sweep = Sweep::new(objective).alphas(Alphas::list([2.0])).precision(precision);
        sweep.run(&mut CpuEngine::new()).unwrap().lane(0).coef().to_owned()
    };
    let mut x = data.x();
    let mut y = data.target().to_owned();
    x.push_row(Array1::from_elem(10, 1e300).view()).unwrap();
    y.append(Axis(0), ndarray::array![1e20].view()).unwrap();
    let mut weight = Array1::ones(443);
    weight[442] = 0.0;
    for precision in [Precision::F32, Precision::F64] {
        let with = Dataset::new(x.clone(), y.clone()).unwrap().with_sample_weight(weight.clone()).unwrap();
        assert_eq!(fit(with, precision), fit(data.clone(), precision));
    }
    // A class of weight 0 is none.
    let one = two_columns(|i, _| f64::from(u8::from(i == 3)));
    let one = one.with_sample_weight(ndarray::array![1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    let refused = Objective::builder(one).loss(Loss::logistic()).build().unwrap_err().to_string();
    assert!(refused.contains("one class only (0)"), "{refused}");
}

#[test]
fn f32_refuses_sizes_whose_squares_it_cannot_hold() {
    for (scale, what) in [(1e-22, "target"), (1e20, "target")] {
        let objective = Objective::builder(two_columns(|_, y| scale * y)).build().unwrap();
        let sweep = Sweep::new(objective).precision(Precision::F32);
        let said = sweep.prepare().unwrap_err().to_string();
        assert!(said.contains(&format!("f32 for a {what}")) && said.contains("`precision f64`"), "{said}");
        sweep.precision(Precision::F64).prepare().unwrap();
    }
}

/// 400 rows of correlated, standardised features and a target of a given scale.
fn houses(scale: f64) -> Result<(Dataset, Dataset)> {
    let mut seed = 1u64;
    let mut uniform = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let mut x = Array2::from_shape_simple_fn((400, 6), &mut uniform);
    let shared = x.column(0).to_owned();
    x.columns_mut().into_iter().skip(1).for_each(|mut c| c.scaled_add(2.0, &shared));
    let truth = ndarray::array![1.0, 2.0, -1.0, 0.5, 3.0, -2.0];
    let y = x.dot(&truth) + Array1::from_shape_simple_fn(400, &mut uniform) + 3.0;
    let (fitted, held_out) = Dataset::new(x, y * scale)?.split(Validation { fraction: 0.25, seed: 1 })?;
    let fitted = fitted.standardize();
    let held_out = held_out.standardize_like(&fitted)?;
    Ok((fitted, held_out))
}

#[test]
fn default_paths_reach_past_the_optimum_whatever_the_scale_of_the_target() {
    for scale in [1e-3, 1.0, 2e5] {
        for penalty in [Penalty::l2(), Penalty::elastic_net()] {
            let (fitted, held_out) = houses(scale).unwrap();
            let objective = Objective::builder(fitted).penalty(penalty).validation(held_out).build().unwrap();
            let losses = |sweep: Sweep| {
                let result = sweep.iterations(3000).run(&mut CpuEngine::new()).unwrap();
                result.lanes.iter().map(|l| l.validation_loss.unwrap()).collect::<Vec<_>>()
            };
            let path = losses(Sweep::new(objective.clone()));
            // The best loss on a grid that is much wider than any path.
            let wide = Alphas::geometric(1e3 * scale.max(1.0), 1e-9 * scale.min(1.0), 200);
            let best =
                losses(Sweep::new(objective.clone()).alphas(wide)).into_iter().fold(f64::MAX, f64::min);
            let found = path.iter().copied().fold(f64::MAX, f64::min);
            assert!(found < 1.02 * best, "{}, scale {scale}: {found:e} for {best:e}", penalty.name());
            assert!(path[0] > 5.0 * best, "the path starts where almost nothing is fitted");
        }
    }
}

#[test]
fn the_path_of_a_ridge_does_not_depend_on_the_target() {
    let alphas = |scale: f64| {
        let objective = Objective::builder(houses(scale).unwrap().0).penalty(Penalty::l2()).build().unwrap();
        Sweep::new(objective).prepare().unwrap().lanes.iter().map(|l| l.alpha).collect::<Vec<_>>()
    };
    let path = alphas(1.0);
    assert_eq!(path, alphas(2e5));
    // Standardised columns have curvature 1.
    near(path[99], 1e-4);
    assert!(path[0] > 10.0 && path[0] < 61.0, "{}", path[0]);
}

#[test]
fn huber_in_units_of_a_robust_scale() {
    let data = |y: [f64; 6]| {
        Dataset::new(Array2::from_shape_fn((6, 1), |(i, _)| i as f64), y.to_vec().into()).unwrap()
    };
    let objective = |y, intercept| {
        Objective::builder(data(y)).huber_scaled(1.35).intercept(intercept).penalty(Penalty::l2()).build()
    };
    let y = [1.0, 2.0, 3.0, 5.0, 5.0, 100.0];
    let built = objective(y, true).unwrap();
    // Median 4; absolute deviations 3, 2, 1, 1, 1, 96 have median 1.5.
    near(built.loss().parameters()[0].1, 1.35 * 1.5 / 0.6745);
    assert!(built.in_words().contains("delta = 3.002"), "{}", built.in_words());
    // Without intercept: of the target itself.
    near(objective(y, false).unwrap().loss().parameters()[0].1, 1.35 * 4.0 / 0.6745);
    let flat = objective([1.0, 1.0, 1.0, 1.0, 2.0, 3.0], true).unwrap_err().to_string();
    assert!(flat.contains("a robust scale of 0"), "{flat}");
    assert!(Objective::builder(data(y)).huber_scaled(-1.0).build().is_err());
}

#[test]
fn alphas_that_fit_nothing_are_remarked_upon() {
    let objective = Objective::builder(two_columns(|_, y| y)).build().unwrap();
    let top = objective.alpha_max(1.0);
    let warnings = |list: [f64; 2]| {
        let sweep = Sweep::new(objective.clone()).alphas(Alphas::list(list)).iterations(50);
        sweep.run(&mut CpuEngine::new()).unwrap().info.warnings.join("\n")
    };
    assert!(warnings([2.0 * top, 3.0 * top]).contains("every alpha is above alpha_max"));
    assert!(!warnings([2.0 * top, 0.9 * top]).contains("alpha_max"));
}

#[test]
fn text_labels_are_no_numbers() {
    let data = two_columns(|i, _| f64::from(u8::from(i > 3))).with_class_names(["no".into(), "yes".into()]);
    let refused = Objective::builder(data).build().unwrap_err().to_string();
    assert!(refused.contains("text labels ('no', 'yes')") && refused.contains("logistic"), "{refused}");
}

#[test]
fn penalty_factors_say_what_to_do() {
    let built =
        |f: f64| Objective::builder(two_columns(|_, y| y)).penalty_factors(ndarray::array![1.0, f]).build();
    let infinite = built(f64::INFINITY).unwrap_err().to_string();
    assert!(infinite.contains("leave the feature out with `drop x1`"), "{infinite}");
    let negative = built(-1.0).unwrap_err().to_string();
    assert!(negative.contains("factor 0"), "{negative}");
}
