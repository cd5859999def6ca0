//! What a result offers: models in the units of the data as they were given.

use crate::common::compare::relative_diff;
use crate::common::synthetic;
use faer::linalg::solvers::Solve;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use proxjet::data::{Dataset, Validation, bundled};
use proxjet::design::Design;
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Loss, Objective, Penalty};
use proxjet::program::Keep;
use proxjet::solve::{Alphas, Sweep, SweepResult};

fn run(data: Dataset, loss: Loss, penalty: Penalty, intercept: bool, alphas: &[f64]) -> SweepResult {
    let objective =
        Objective::builder(data).loss(loss).penalty(penalty).intercept(intercept).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::list(alphas.iter().copied()));
    sweep.iterations(20_000).tol(1e-12).run(&mut CpuEngine::new()).unwrap()
}

/// Weighted least squares by the normal equations: coefficients, then the intercept.
fn least_squares(data: &Dataset) -> Array1<f64> {
    let (n, p) = (data.rows(), data.features());
    let ones = Array2::ones((n, 1));
    let x = ndarray::concatenate(Axis(1), &[data.x().view(), ones.view()]).unwrap();
    let weighted = &x * &data.sample_weight().insert_axis(Axis(1));
    let (gram, right) = (weighted.t().dot(&x), weighted.t().dot(&data.target()));
    let gram = faer::Mat::from_fn(p + 1, p + 1, |a, b| gram[[a, b]]);
    let solution = gram.partial_piv_lu().solve(faer::Mat::from_fn(p + 1, 1, |a, _| right[a]));
    (0..=p).map(|j| solution[(j, 0)]).collect()
}

#[test]
fn coefficients_are_those_of_the_data_as_given() {
    let data = synthetic(60, 5, false, 3);
    let (mut x, y) = (data.x().to_owned(), data.target().to_owned());
    // Columns of different units, far from their origin.
    for (j, mut column) in x.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|v| 10f64.powi(j as i32 - 2) * (v + 3.0 * j as f64));
    }
    let data = Dataset::new(x, y).unwrap().with_sample_weight(data.sample_weight().to_owned()).unwrap();
    let expected = least_squares(&data);
    let result = run(data.clone().standardize(), Loss::squared(), Penalty::none(), true, &[0.0]);
    let fit = result.lane(0);
    assert!(relative_diff(&fit.coef(), &expected.slice_axis(Axis(0), (..5).into())) < 1e-9, "{fit:?}");
    assert!((fit.intercept() / expected[5] - 1.0).abs() < 1e-9, "{fit:?} {expected}");
    let predicted = fit.predict(data.design()).unwrap();
    let by_hand = data.x().dot(&ArrayView1::from(&expected.to_vec()[..5])) + expected[5];
    assert!(relative_diff(&predicted, &by_hand) < 1e-9);
    assert_eq!(fit.names(), data.feature_names());
    let refused = fit.predict(&Design::dense(Array2::zeros((2, 4)))).unwrap_err();
    assert!(refused.to_string().contains("x: found 4 columns, expected 5"), "{refused}");
}

#[test]
fn predictions_are_those_of_the_standardised_fit() {
    for (name, loss) in [("diabetes", Loss::squared()), ("breast_cancer", Loss::logistic())] {
        for intercept in [true, false] {
            let given = bundled(name).unwrap();
            let fitted = given.clone().standardize();
            let x = fitted.x().to_owned();
            let result = run(fitted, loss, Penalty::l2(), intercept, &[0.5, 0.1]);
            let end = result.trace.iteration.len() - 1;
            for lane in 0..2 {
                let fit = result.lane(lane);
                let coef = result.trace.coef.index_axis(Axis(0), end).row(lane).to_owned();
                let own = x.dot(&coef) + result.trace.intercept[[end, lane]];
                assert!(
                    relative_diff(&fit.predict(given.design()).unwrap(), &own) < 1e-9,
                    "{name} {intercept}"
                );
                let dcoef =
                    result.trace.dcoef.index_axis(Axis(0), end).index_axis(Axis(0), lane).row(0).to_owned();
                let down = x.dot(&dcoef) + result.trace.dintercept[[end, lane, 0]];
                let d = fit.dpredict(given.design()).unwrap();
                assert!(relative_diff(&d.row(0), &down.view()) < 1e-9, "{name} {intercept}");
                assert!(fit.intercept() != 0.0, "the means are made up for");
            }
        }
    }
}

#[test]
fn derivatives_are_in_the_same_units() {
    let h = 1e-4f64;
    let around = [0.3 * h.exp(), 0.3, 0.3 * (-h).exp()];
    let data = bundled("diabetes").unwrap().standardize();
    let result = run(data, Loss::squared(), Penalty::l2(), true, &around);
    let [high, fit, low] = [0, 1, 2].map(|lane| result.lane(lane));
    let slope = (&high.coef() - &low.coef()) / (2.0 * h);
    assert!(relative_diff(&fit.dcoef().row(0), &slope.view()) < 1e-6, "{slope} {:?}", fit.dcoef());
    let slope = (high.intercept() - low.intercept()) / (2.0 * h);
    assert!((fit.dintercept()[0] / slope - 1.0).abs() < 1e-6, "{slope} {:?}", fit.dintercept());
}

#[test]
fn the_best_lane_has_the_lowest_held_out_loss() {
    let (fitted, held_out) =
        bundled("diabetes").unwrap().split(Validation { fraction: 0.25, seed: 1 }).unwrap();
    let fitted = fitted.standardize();
    let held_out = held_out.standardize_like(&fitted).unwrap();
    let (x, y) = (held_out.x().to_owned(), held_out.target().to_owned());
    let objective = Objective::builder(fitted).validation(held_out).build().unwrap();
    let sweep = Sweep::new(objective).alphas(Alphas::path(1e-2, 20)).iterations(3000).polish(false);
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    let end = result.trace.iteration.len() - 1;
    let losses: Vec<f64> = (0..20)
        .map(|lane| {
            let coef = result.trace.coef.index_axis(Axis(0), end).row(lane).to_owned();
            let residual = x.dot(&coef) + result.trace.intercept[[end, lane]] - &y;
            0.5 * residual.dot(&residual) / y.len() as f64
        })
        .collect();
    let best = result.best().unwrap();
    assert!(losses.iter().all(|loss| *loss >= losses[best] * (1.0 - 1e-12)), "{best} {losses:?}");
    assert!((result.lanes[best].validation_loss.unwrap() / losses[best] - 1.0).abs() < 1e-9);
    let without =
        run(bundled("diabetes").unwrap().standardize(), Loss::squared(), Penalty::l1(), true, &[1.0]);
    assert_eq!(without.best(), None);
}

#[test]
fn a_sweep_that_keeps_nothing_has_the_same_models() {
    let (fitted, held_out) = bundled("diabetes").unwrap().split("0.25:1".parse().unwrap()).unwrap();
    let fitted = fitted.standardize();
    let held_out = held_out.standardize_like(&fitted).unwrap();
    let objective = Objective::builder(fitted).validation(held_out).build().unwrap();
    for polish in [true, false] {
        let sweep = Sweep::new(objective.clone()).alphas(Alphas::path(1e-2, 20)).polish(polish);
        let run = |keep: Keep| sweep.clone().keep(keep).run(&mut CpuEngine::new()).unwrap();
        let whole = run(Keep::All);
        for keep in [Keep::Frames, Keep::Records, Keep::Nothing] {
            let lean = run(keep);
            for lane in 0..20 {
                assert_eq!(lean.lane(lane), whole.lane(lane), "{keep:?}");
                let (a, b) = (&lean.lanes[lane], &whole.lanes[lane]);
                assert_eq!((a.objective, a.support, a.iterations), (b.objective, b.support, b.iterations));
                assert_eq!((a.validation_loss, a.score), (b.validation_loss, b.score));
                assert_eq!(&a.hypergradient, &b.hypergradient);
            }
            let frames = if keep == Keep::Frames { whole.trace.iteration.len() } else { 1 };
            assert_eq!(lean.trace.coef.dim().0, frames);
            // What is recorded is what a trace of every iteration has there.
            let recorded = &lean.trace.recorded;
            assert_eq!(recorded.len(), lean.trace.objective.nrows());
            let last = whole.trace.recorded.len();
            match keep {
                Keep::Nothing => assert_eq!(recorded[..], [last]),
                Keep::Records => assert_eq!(recorded.len(), last),
                _ => assert!(recorded.len() < last / 5 && recorded.contains(&20) && recorded.contains(&last)),
            }
            for (row, k) in recorded.iter().enumerate() {
                let of = |trace: &proxjet::result::Trace, row: usize| {
                    let gradient = trace.hypergradient.as_ref().unwrap().index_axis(Axis(0), row).to_owned();
                    let loss = trace.validation_loss.as_ref().unwrap().row(row).to_owned();
                    let rows = [&trace.objective, &trace.support, &trace.step, &trace.momentum];
                    (rows.map(|array| array.row(row).to_owned()), loss, gradient)
                };
                assert_eq!(of(&lean.trace, row), of(&whole.trace, k - 1), "{keep:?}, iterate {k}");
                if keep != Keep::Nothing {
                    assert_eq!(lean.trace.change.row(row), whole.trace.change.row(k - 1), "{keep:?}");
                }
            }
            let analysed = proxjet::diff::analyse(&sweep, &lean, &[]).map(|_| ());
            assert!(analysed.unwrap_err().to_string().contains("without some iterations"));
        }
    }
}

#[test]
fn held_out_rows_in_other_units_are_refused() {
    let (fitted, held_out) = bundled("diabetes").unwrap().split("0.25:1".parse().unwrap()).unwrap();
    let fitted = fitted.standardize();
    for wrong in [held_out.clone(), held_out.clone().standardize()] {
        let error = Objective::builder(fitted.clone()).validation(wrong).build().unwrap_err();
        assert!(error.to_string().contains("standardize_like"), "{error}");
    }
    let right = held_out.standardize_like(&fitted).unwrap();
    assert!(Objective::builder(fitted).validation(right).build().is_ok());
}
