//! Every iterate and tangent of 500 iterations against numpy's (tests/golden/make.py), on every engine and
//! precision.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2};
use proxjet::data::{Dataset, bundled, read_array};
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Objective};
use proxjet::program::Precision;
use proxjet::schedule::{Momentum, Step};
use proxjet::solve::{Alphas, Sweep};

use crate::common;
use crate::common::compare::{Report, relative_diff};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn array(case: &str, name: &str) -> ArrayD<f64> {
    read_array(&folder().join(case).join(format!("{name}.npy.gz")), 1 << 28).unwrap()
}

fn vector(case: &str, name: &str) -> Array1<f64> {
    array(case, name).into_dimensionality::<Ix1>().unwrap()
}

fn run(engine: &str, precision: Precision, bound: f64) {
    let Some(mut engine) = common::engine(engine) else { return };
    let cases = std::fs::read_to_string(folder().join("cases.txt")).unwrap();
    let mut report = Report::default();
    for line in cases.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [case, loss, penalty, algorithm, ratio, derivatives] = words[..] else { panic!("{line}") };
        let x = array(case, "X").into_dimensionality::<Ix2>().unwrap();
        let data =
            Dataset::new(x, vector(case, "y")).unwrap().with_sample_weight(vector(case, "weight")).unwrap();
        let problem = Objective::builder(data)
            .loss(loss.parse().unwrap())
            .penalty(penalty.parse().unwrap())
            .penalty_factors(vector(case, "factors"))
            .intercept(false)
            .build()
            .unwrap();
        let derivatives = derivatives.split(',').map(|name| match name {
            "target" => Derivative::Target(vector(case, "dy")),
            name => Derivative::parse(name, problem.feature_names()).unwrap(),
        });
        let start: Array2<f64> = vector(case, "start").insert_axis(Axis(0));
        let sweep = Sweep::new(problem.clone())
            .alphas(Alphas::List(vector(case, "alphas").to_vec()))
            .l1_ratio(ratio.parse().unwrap())
            .algorithm(algorithm.parse().unwrap())
            .step(Step::Table(array(case, "step")))
            .momentum(Momentum::Table(array(case, "momentum")))
            .iterations(500)
            .every(1)
            .tol(0.0)
            .start(start)
            .derivatives(derivatives.collect::<Vec<_>>())
            .precision(precision);
        let result = sweep.run(engine.as_mut()).unwrap();
        let (coef, dcoef) = (array(case, "coef"), array(case, "dcoef"));
        // Relative to the largest entry of the sequence: single entries cross zero.
        let found = relative_diff(&result.trace.coef.into_dyn(), &coef);
        report.check(line, found <= bound, || format!("coefficients differ by {found:e}"));
        let found = relative_diff(&result.trace.dcoef.into_dyn(), &dcoef);
        report.check(line, found <= bound, || format!("derivatives differ by {found:e}"));
    }
    report.finish(2 * 6);
}

#[test]
fn cpu_f64() {
    run("cpu", Precision::F64, 1e-10);
}

#[test]
fn cpu_f32() {
    run("cpu", Precision::F32, 1e-4);
}

#[test]
fn gpu_f64() {
    run("gpu", Precision::F64, 1e-10);
}

#[test]
fn gpu_f32() {
    run("gpu", Precision::F32, 1e-4);
}

#[test]
fn solutions_are_those_of_scikit_learn() {
    // By tests/golden/scikit_learn.py, with the names and scales of docs/coming_from.md.
    let text = std::fs::read_to_string(folder().join("scikit_learn.csv")).unwrap();
    let mut rows = 0;
    for line in text.lines().skip(1) {
        let cell: Vec<&str> = line.split(',').collect();
        let number = |i: usize| cell[i].parse::<f64>().unwrap();
        let data = bundled(cell[0]).unwrap().standardize();
        let objective = Objective::builder(data)
            .loss(cell[1].parse().unwrap())
            .penalty(cell[2].parse().unwrap())
            .build()
            .unwrap();
        let sweep = Sweep::new(objective).alphas(Alphas::List(vec![number(3)])).l1_ratio(number(4));
        let result = sweep.run(&mut CpuEngine::new()).unwrap();
        // In the units of the standardised columns, as scikit-learn's.
        let scales = sweep.problem().feature_scales();
        let coef = &result.lane(0).coef() * &scales;
        let expected: Array1<f64> = cell[6].split(';').map(|v| v.parse::<f64>().unwrap()).collect();
        // What saga leaves: it has no duality gap.
        let bound = if line.contains("logistic,l1") { 1e-6 } else { 1e-8 };
        let error = relative_diff(&expected, &coef);
        assert!(error <= bound, "{}: {error:e}", &line[..40]);
        rows += 1;
    }
    assert_eq!(rows, 6);
}
