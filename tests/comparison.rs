//! The comparisons of the other suites: each of them is given a NaN, another shape and a perturbed result,
//! and must refuse them.

use std::panic::catch_unwind;

use ndarray::{Array1, Array2, array};
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective};
use proxjet::program::Keep;
use proxjet::solve::{LaneResult, Sweep, SweepResult};

use crate::common::compare::{
    Difference, Report, assert_close, assert_same, compare, ends_differ, max_abs, max_abs_diff, near,
    relative_diff, worse, worst,
};
use crate::common::synthetic;

fn panics(f: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    catch_unwind(f).is_err()
}

#[test]
fn the_worst_of_some_numbers_is_nan_wherever_it_stands() {
    let nan = f64::NAN;
    for v in [0.0, 1.0, f64::INFINITY] {
        assert!(worse(nan, v).is_nan() && worse(v, nan).is_nan());
    }
    assert_eq!((worse(1.0, 2.0), worse(2.0, 1.0), worst([]), worst([1.0, 3.0, 2.0])), (2.0, 2.0, 0.0, 3.0));
    assert!(worst([nan, 1.0]).is_nan() && worst([1.0, nan]).is_nan() && worst([1.0, nan, 2.0]).is_nan());
    assert!(max_abs(&array![1.0, nan, -3.0]).is_nan());
    assert_eq!(max_abs(&array![1.0, -3.0]), 3.0);
}

#[test]
fn arrays_with_a_nan_or_of_another_shape_are_not_near() {
    let a = array![[1.0, 2.0], [3.0, -4.0]];
    assert_eq!((max_abs_diff(&a, &a), relative_diff(&a, &a)), (0.0, 0.0));
    for at in [(0, 0), (1, 1)] {
        let mut b = a.clone();
        b[at] = f64::NAN;
        assert!(max_abs_diff(&a, &b).is_nan() && max_abs_diff(&b, &a).is_nan());
        assert!(relative_diff(&a, &b).is_nan() && relative_diff(&b, &a).is_nan());
        b[at] = a[at] + 0.5;
        assert_eq!((max_abs_diff(&a, &b), relative_diff(&b, &a)), (0.5, 0.125));
    }
    // Both infinite: there is no difference to bound.
    assert!(max_abs_diff(&array![f64::INFINITY], &array![f64::INFINITY]).is_nan());
    assert_eq!(relative_diff(&array![0.5], &array![0.0]), 0.5);
    assert!(panics(|| _ = max_abs_diff(&Array2::zeros((1, 3)), &Array2::zeros((4, 3)))));
    assert!(panics(|| _ = max_abs_diff(&Array1::zeros(2), &Array1::zeros(3))));
    assert!(panics(|| _ = max_abs_diff(&Array1::zeros(0), &Array1::zeros(0))), "nothing is nothing proved");
}

#[test]
fn numbers_that_may_be_absent_are_near_only_where_both_are() {
    let nan = Some(f64::NAN);
    assert!(near(None, None, 0.0) && near(Some(1.0), Some(1.0 + 1e-9), 1e-8));
    assert!(!near(None, Some(0.0), 1.0) && !near(Some(0.0), None, 1.0));
    assert!(!near(nan, nan, 1.0) && !near(nan, Some(1.0), 1.0) && !near(Some(1.0), nan, 1.0));
    assert!(!near(Some(1.0), Some(1.0 + 1e-7), 1e-8));
}

/// A run with everything that is recorded.
fn run() -> SweepResult {
    let problem = Objective::builder(synthetic(40, 6, false, 3)).loss(Loss::huber(0.8).unwrap());
    let problem = problem.validation(synthetic(15, 6, false, 4)).build().unwrap();
    let derivatives = [Derivative::LogAlpha, Derivative::LogStep];
    let sweep = Sweep::new(problem).alphas("path:0.1:4".parse().unwrap()).derivatives(derivatives);
    sweep.iterations(30).every(10).keep(Keep::All).tol(0.0).run(&mut CpuEngine::new()).unwrap()
}

type Change = (&'static str, fn(&mut SweepResult, f64));

/// Every field of a trace that is compared, changed in one place.
const CHANGES: [Change; 9] = [
    ("coef", |r, by| r.trace.coef[[2, 3, 0]] += by),
    ("dcoef", |r, by| r.trace.dcoef[[2, 3, 0, 0]] += by),
    ("intercept", |r, by| r.trace.intercept[[2, 3]] += by),
    ("dintercept", |r, by| r.trace.dintercept[[2, 3, 0]] += by),
    ("objective", |r, by| r.trace.objective[[5, 3]] += by),
    ("change", |r, by| r.trace.change[[5, 3]] += by),
    ("derivative_change", |r, by| r.trace.derivative_change[[5, 3, 0]] += by),
    ("validation_loss", |r, by| r.trace.validation_loss.as_mut().unwrap()[[5, 3]] += by),
    ("hypergradient", |r, by| r.trace.hypergradient.as_mut().unwrap()[[5, 3, 1]] += by),
];

#[test]
fn runs_that_differ_anywhere_are_told_apart() {
    let truth = run();
    assert!(truth.trace.coef[[2, 3, 0]] != 0.0);
    let same = compare(&truth, &truth, 0.0);
    assert!(same.within(0.0) && same.compared == 4, "{same:?}");
    for (name, change) in CHANGES {
        for by in [1e-3, f64::NAN] {
            let mut other = truth.clone();
            change(&mut other, by);
            for (a, b) in [(&truth, &other), (&other, &truth)] {
                let found = compare(a, b, 1e-12);
                // One entry of some that are no larger than ten.
                assert!(!found.within(1e-5), "{name} by {by}: {found:?}");
            }
            assert!(panics(|| assert_same(&truth, &other, name)), "{name} by {by}");
        }
    }
    let mut other = truth.clone();
    other.trace.coef[[2, 3, 0]] = 0.0;
    assert_eq!(compare(&truth, &other, 1e-12).wrong_sets, 1);
    other.trace.coef[[2, 3, 0]] = 1e-14;
    let mut zero = other.clone();
    zero.trace.coef[[2, 3, 0]] = 0.0;
    let kink = compare(&zero, &other, 1e-12);
    assert_eq!((kink.at_kinks, kink.compared, kink.wrong_sets), (1, 3, 0));
    assert!(!Difference { coef: f64::NAN, ..Difference::default() }.within(1.0));
}

#[test]
fn runs_of_other_shapes_are_refused() {
    let truth = run();
    let mut other = truth.clone();
    other.trace.coef = ndarray::Array3::zeros((truth.trace.coef.dim().0, 4, 7));
    assert!(panics(|| _ = compare(&truth, &other, 1.0)));
    let mut other = truth.clone();
    other.trace.dcoef = ndarray::Array4::zeros((truth.trace.coef.dim().0, 4, 1, 6));
    assert!(panics(|| _ = compare(&truth, &other, 1.0)));
    let mut other = truth.clone();
    other.trace.iteration[1] += 1;
    assert!(panics(|| _ = compare(&truth, &other, 1.0)));
    let mut other = truth.clone();
    other.trace.validation_loss = None;
    assert!(panics(|| _ = compare(&truth, &other, 1.0)));
    let mut other = truth.clone();
    other.lanes.pop();
    assert!(
        panics(|| assert_same(&truth, &other, "lanes"))
            && panics(|| assert_close(&truth, &other, 1.0, "lanes"))
    );
}

#[test]
fn traces_are_close_only_without_a_nan() {
    let truth = run();
    assert_close(&truth, &truth, 0.0, "itself");
    for (name, change) in &CHANGES[..6] {
        for by in [1e-3, f64::NAN] {
            let mut other = truth.clone();
            change(&mut other, by);
            assert!(panics(|| assert_close(&truth, &other, 1e-6, name)), "{name} by {by}");
        }
    }
}

#[test]
fn ends_of_lanes_that_differ_are_named() {
    let lane = run().lanes.pop().unwrap();
    assert_eq!(ends_differ(&lane, &lane, 0.0), "");
    type Change = (&'static str, fn(&mut LaneResult));
    let changes: [Change; 8] = [
        ("Diverged", |l| l.status = Status::Diverged),
        ("29", |l| l.iterations -= 1),
        ("objective", |l| l.objective = l.objective.map(|v| v + 1e-3)),
        ("gap", |l| l.gap = Some(f64::NAN)),
        ("stationarity", |l| l.stationarity = None),
        ("derivative residual", |l| l.derivative_residual = Some(f64::NAN)),
        ("validation loss", |l| l.validation_loss = Some(f64::NAN)),
        ("hypergradients", |l| l.hypergradient.as_mut().unwrap()[0] = f64::NAN),
    ];
    for (name, change) in changes {
        let mut other = lane.clone();
        change(&mut other);
        let words = ends_differ(&lane, &other, 1e-6);
        assert!(words.contains(name), "{name}: '{words}'");
    }
}

#[test]
fn a_report_fails_with_every_name_and_where_too_little_was_checked() {
    let report = |holds: bool| {
        let mut report = Report::default();
        report.check("first", true, || unreachable!());
        report.check("second", holds, || "wrong".into());
        report
    };
    report(true).finish(2);
    assert!(panics(|| report(true).finish(3)));
    let words = catch_unwind(|| report(false).finish(2)).unwrap_err();
    assert!(words.downcast_ref::<String>().unwrap().contains("second: wrong"));
}
