//! Gram matrices of working sets, which results show by their speed alone.

use ndarray::{Array1, Array2};

use super::*;
use crate::data::Dataset;
use crate::objective::Objective;
use crate::program::Strategy;
use crate::schedule::{Algorithm, Metric};
use crate::solve::{Alphas, Sweep};

/// A lasso of so many more columns than matter that sets are small.
fn lasso() -> Sweep {
    let x = Array2::from_shape_fn((120, 160), |(i, j)| (12.9898 * i as f64 + 78.233 * (j * j) as f64).sin());
    let y: Array1<f64> =
        (0..120).map(|i| 3.0 * x[[i, 5]] - 2.0 * x[[i, 90]] + 0.1 * (i as f64).cos()).collect();
    let problem = Objective::builder(Dataset::new(x, y).unwrap()).build().unwrap();
    let top = problem.alpha_max(1.0);
    let alphas = (0..20).map(|lane| top * (0.8 - 0.01 * f64::from(lane))).collect();
    let sweep = Sweep::new(problem).alphas(Alphas::List(alphas)).algorithm(Algorithm::Fista);
    sweep.metric(Metric::None).iterations(200).every(200).tol(0.0).strategy(Some(Strategy::Direct))
}

/// Lanes that are evicted and loaded again disable the matrices in between: states are as without.
#[test]
fn gram_matrices_are_used_and_left_when_lanes_change() {
    let sweep = lasso();
    let prepared = sweep.prepare().unwrap();
    let limits = CpuEngine.limits(Precision::F64).unwrap();
    let plan = Plan::new(sweep.request(&prepared), &limits).unwrap();
    let job = prepared.job(sweep.problem(), 0.0);
    let lanes: Vec<LaneState> = (0..20).map(|lane| job.begin(lane, None)).collect();
    let in_use = |run: &CpuRun<'_, f64>| {
        let mut state = run.state.sets.as_ref().expect("the plan has sets").groups.iter();
        state.any(|set| set.has_gram())
    };
    let mut steady = CpuRun::<f64>::new(&plan, &job);
    steady.load(&lanes).unwrap();
    let mut changed = CpuRun::<f64>::new(&plan, &job);
    changed.load(&lanes).unwrap();
    for _ in 0..2 {
        for run in [&mut steady, &mut changed] {
            run.submit(60).unwrap();
            run.collect().unwrap();
            assert!(in_use(run), "sets of these lanes pay for a matrix");
        }
        let moved = changed.state(7);
        changed.evict(&[7]);
        changed.load(&[moved]).unwrap();
        assert!(!in_use(&changed));
    }
    for lane in 0..20 {
        let (a, b) = (steady.state(lane), changed.state(lane));
        assert_eq!(a.iteration, 120);
        let size = a.state.iter().fold(0.0f64, |most, v| most.max(v.abs()));
        let apart = (&a.state - &b.state).iter().fold(0.0f64, |most, v| most.max(v.abs()));
        assert!(size > 0.0 && apart <= 1e-12 * size, "lane {lane}: {apart} of {size}");
    }
}
