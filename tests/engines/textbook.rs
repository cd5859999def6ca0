//! The CPU engine in f64 against the textbook.

use ndarray::{ArrayViewD, Axis};
use proxjet::engine::cpu::CpuEngine;
use proxjet::program::Precision;
use proxjet::schedule::Algorithm;
use proxjet::solve::SweepResult;

use super::bound;
use crate::common::cases::{Case, cases};
use crate::common::compare::{Report, relative_diff};
use crate::common::textbook;

/// The CPU engine in f64 is the reference of all others: it is compared with the textbook.
#[test]
fn cpu_f64_agrees_with_it() {
    let (mut report, mut lanes) = (Report::default(), 0);
    for case in cases() {
        let result = case.sweep.run(&mut CpuEngine::new()).unwrap();
        for (i, lane) in result.lanes.iter().enumerate() {
            let book = textbook::Lane::new(&case, lane.alpha);
            let top = book.lipschitz();
            let bounded = lane.lipschitz >= top * (1.0 - 1e-12) && lane.lipschitz <= top * (1.0 + 1e-6);
            report.check(&case.name, bounded, || format!("lane {i}: L = {} and {top}", lane.lipschitz));
            let updates = updates(&case, &result, i, &book);
            let book = book.run(&updates, lane.lipschitz);
            let found = apart(&result, i, &book);
            report.check(&case.name, found.1 <= bound(Precision::F64), || {
                format!("lane {i}: {} differs by {:e}", found.0, found.1)
            });
            lanes += 1;
        }
    }
    println!("{lanes} lanes");
    report.finish(2 * 50);
}

/// The updates of a lane: steps and momenta by their rules, and how they move with the hyperparameters.
fn updates(case: &Case, result: &SweepResult, lane: usize, book: &textbook::Lane) -> Vec<textbook::Update> {
    let l = result.lanes[lane].lipschitz;
    let mut t = 1.0f64;
    let of = |k: usize| {
        let (step, momentum) = match case.setting.algorithm {
            // Random steps are drawn by the library; what they are drawn from is not.
            Algorithm::Pgd => (result.trace.step[[k, lane]], 0.0),
            Algorithm::Fista => {
                let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
                let momentum = (t - 1.0) / next;
                t = next;
                (1.0 / l, momentum)
            }
            Algorithm::HeavyBall => (1.0 / l, 0.9),
            other => panic!("no textbook for {other:?}"),
        };
        assert!((0.3..=1.7).contains(&(step * l)), "{}: a step of {step}", case.name);
        let used = result.trace.momentum[[k, lane]];
        assert!((used - momentum).abs() <= 1e-14, "{}: momentum {used} at {k}", case.name);
        book.update(k, step, momentum, l)
    };
    (0..result.info.iterations).map(of).collect()
}

/// What of a lane is furthest from the textbook, and by how much.
fn apart(result: &SweepResult, lane: usize, book: &textbook::Sequence) -> (&'static str, f64) {
    let (trace, end) = (&result.trace, &result.lanes[lane]);
    let frames = |a: ArrayViewD<'_, f64>| a.select(Axis(0), &trace.iteration);
    let of = |a: ArrayViewD<'_, f64>| a.index_axis_move(Axis(1), lane).to_owned();
    let pair = |a: ArrayViewD<'_, f64>, b: ArrayViewD<'_, f64>| {
        if a.is_empty() && b.is_empty() { 0.0 } else { relative_diff(&a, &b) }
    };
    let absent = |v: Option<f64>| v.unwrap_or(f64::NAN);
    let mut all = vec![
        ("coef", pair(of(trace.coef.view().into_dyn()).view(), frames(book.coef.view().into_dyn()).view())),
        (
            "dcoef",
            pair(of(trace.dcoef.view().into_dyn()).view(), frames(book.dcoef.view().into_dyn()).view()),
        ),
        (
            "intercept",
            pair(
                of(trace.intercept.view().into_dyn()).view(),
                frames(book.intercept.view().into_dyn()).view(),
            ),
        ),
        (
            "dintercept",
            pair(
                of(trace.dintercept.view().into_dyn()).view(),
                frames(book.dintercept.view().into_dyn()).view(),
            ),
        ),
        ("objective", pair(of(trace.objective.view().into_dyn()).view(), book.objective.view().into_dyn())),
        ("stationarity", (absent(end.stationarity) - book.stationarity).abs()),
        ("derivative residual", (absent(end.derivative_residual) - book.derivative_residual).abs()),
    ];
    if let Some((values, slopes)) = &book.validation {
        let (found, found_slopes) =
            (trace.validation_loss.as_ref().unwrap(), trace.hypergradient.as_ref().unwrap());
        all.push(("validation loss", pair(of(found.view().into_dyn()).view(), values.view().into_dyn())));
        all.push((
            "hypergradient",
            pair(of(found_slopes.view().into_dyn()).view(), slopes.view().into_dyn()),
        ));
    }
    if book.knows_gap {
        let apart = match (book.gap, end.gap) {
            (Some(a), Some(b)) => (a - b).abs(),
            (None, None) => 0.0,
            _ => f64::NAN,
        };
        all.push(("gap", apart));
    }
    // A NaN is furthest.
    all.into_iter().fold(("nothing", 0.0), |a, b| if a.1.is_nan() || a.1 > b.1 { a } else { b })
}
