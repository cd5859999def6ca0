//! Measures accuracy against independent computations.

use ndarray::{ArrayView1, Axis};

use crate::report::Accuracy;
use crate::suite::strategies;
use proxjet::data::bundled;
use proxjet::diff::check;
use proxjet::engine::Engine;
use proxjet::engine::cpu::CpuEngine;
use proxjet::error::Result;
use proxjet::objective::{Loss, Objective, Penalty};
use proxjet::program::Precision;
use proxjet::solve::{Alphas, Sweep, SweepResult};

/// Derivatives against central differences, and every frame of the engine against the CPU engine in f64.
pub(crate) fn accuracy(engine: &mut dyn Engine) -> Result<Vec<Accuracy>> {
    let lasso = Objective::builder(bundled("diabetes")?.standardize()).build()?;
    let logistic = Objective::builder(bundled("breast_cancer")?.standardize())
        .loss(Loss::logistic())
        .penalty(Penalty::l2())
        .build()?;
    let mut rows = Vec::new();
    for (name, problem, alphas) in [
        // alpha_max itself is a kink: the path starts below it.
        ("lasso, diabetes", lasso, Alphas::Geometric { high: 40.0, low: 0.4, count: 50 }),
        ("l2-logistic, breast cancer", logistic, Alphas::Geometric { high: 1.0, low: 1e-2, count: 50 }),
    ] {
        let sweep = Sweep::new(problem).alphas(alphas).iterations(200);
        for row in check(&sweep, &mut CpuEngine::new(), 1e-5)? {
            rows.push(Accuracy {
                what: format!("{name}: d/d{} against central differences, CPU f64", row.derivative),
                error: row.max_error,
                bound: 1e-6,
                note: format!("{} lanes compared, {} excluded at kinks", row.compared, row.excluded),
            });
        }
        let sweep = sweep.tol(0.0).every(10);
        let truth = sweep.run(&mut CpuEngine::new())?;
        for (precision, bound) in [(Precision::F32, 1e-4), (Precision::F64, 1e-9)] {
            let info = engine.info();
            if (info.engine == "cpu" && precision == Precision::F64) || engine.limits(precision).is_err() {
                continue;
            }
            for strategy in strategies(engine) {
                let sweep = sweep.clone().precision(precision).strategy(Some(*strategy));
                if let Err(e) = sweep.plan(engine) {
                    log::info!("{name}: not in the {strategy} strategy: {e}");
                    continue;
                }
                let (error, compared, excluded) = disagreement(&truth, &sweep.run(engine)?);
                let ran = format!("{} {} ({strategy})", info.engine, precision.name());
                rows.push(Accuracy {
                    what: format!("{name}: {ran} against CPU f64, every tenth iteration"),
                    error,
                    bound,
                    note: format!(
                        "{compared} lanes compared, {excluded} excluded: another active set at some frame"
                    ),
                });
            }
        }
    }
    Ok(rows)
}

/// Largest relative difference over the lanes with equal active sets in every frame, and the numbers of lanes
/// with and without equal sets. Without any such lane the difference is `f64::MAX`.
pub(crate) fn disagreement(a: &SweepResult, b: &SweepResult) -> (f64, usize, usize) {
    let lanes = a.trace.alpha.len();
    let same = |lane: &usize| {
        let of = |r: &SweepResult| r.trace.coef.index_axis(Axis(1), *lane).mapv(|v| v == 0.0);
        of(a) == of(b)
    };
    let compared: Vec<usize> = (0..lanes).filter(same).collect();
    let worst = compared.iter().map(|lane| difference(a, b, *lane)).reduce(f64::max).unwrap_or(f64::MAX);
    (worst, compared.len(), lanes - compared.len())
}

/// Largest distance of a lane's iterates, and of their derivatives, relative to the first run's, over its
/// frames. Numbers that are not finite give `f64::MAX`.
fn difference(a: &SweepResult, b: &SweepResult, lane: usize) -> f64 {
    let distance = |a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>| {
        let gap = &a - &b;
        let (gap, size) = (gap.dot(&gap).sqrt(), a.dot(&a).sqrt());
        let relative = if size == 0.0 { gap } else { gap / size };
        if relative.is_finite() { relative } else { f64::MAX }
    };
    let mut worst = 0.0f64;
    let of = |r: &SweepResult| {
        let derivatives = r.trace.dcoef.index_axis(Axis(1), lane).to_owned();
        let iterates = r.trace.coef.index_axis(Axis(1), lane).insert_axis(Axis(1)).to_owned();
        // [frames, 1 + d, p]
        ndarray::concatenate(Axis(1), &[iterates.view(), derivatives.view()])
            .expect("two arrays of as many frames")
    };
    for (a, b) in of(a).rows().into_iter().zip(of(b).rows()) {
        worst = worst.max(distance(a, b));
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_seen_in_iterates_and_derivatives_even_if_it_is_no_number() {
        let problem = Objective::builder(bundled("diabetes").unwrap()).build().unwrap();
        let sweep =
            Sweep::new(problem).alphas(Alphas::Path { epsilon: 0.1, count: 3 }).iterations(20).every(10);
        let a = sweep.run(&mut CpuEngine::new()).unwrap();
        assert_eq!(disagreement(&a, &a), (0.0, 3, 0));
        let mut b = a.clone();
        b.trace.dcoef[[1, 2, 0, 2]] *= 1.0 + 1e-3;
        let (error, compared, _) = disagreement(&a, &b);
        assert!(error > 1e-6 && error < 2e-3 && compared == 3, "{error}");
        assert_eq!(difference(&a, &b, 1), 0.0);
        b.trace.coef[[2, 1, 2]] = f64::NAN;
        assert_eq!(difference(&a, &b, 1), f64::MAX);
        let mut c = a.clone();
        c.trace.coef[[2, 2, 2]] = 0.0;
        assert_eq!(disagreement(&a, &c), (0.0, 2, 1), "another active set");
    }
}
