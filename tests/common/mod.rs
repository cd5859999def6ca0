//! Shared by the test suites. Each suite uses a part of it.
#![allow(dead_code)]

use ndarray::{Array1, Array2};
use proxjet::data::Dataset;
use proxjet::engine::Engine;
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::gpu::{GpuEngine, Pick};
use proxjet::solve::SweepResult;
use rand::{RngExt, SeedableRng};

/// An engine by name; `None` only where there is no adapter and nobody requires one.
pub(crate) fn engine(name: &str) -> Option<Box<dyn Engine>> {
    if name == "cpu" {
        return Some(Box::new(CpuEngine::new()));
    }
    Some(Box::new(gpu()?))
}

/// The GPU engine on a device of its own.
pub(crate) fn gpu() -> Option<GpuEngine> {
    match GpuEngine::request(Pick::Any) {
        Ok(gpu) => Some(gpu),
        Err(e) if std::env::var_os("PROXJET_REQUIRE_GPU").is_some() => {
            panic!("a GPU test without an adapter: {e}")
        }
        Err(e) => {
            eprintln!("SKIPPED, no adapter: {e}");
            None
        }
    }
}

pub(crate) fn rng(seed: u64) -> rand_pcg::Pcg64 {
    rand_pcg::Pcg64::seed_from_u64(seed)
}

/// A sparse linear model with noise; `classes` gives the sign of it.
pub(crate) fn synthetic(n: usize, p: usize, classes: bool, seed: u64) -> Dataset {
    let mut rng = rng(seed);
    // Sums of uniforms: near enough to normal numbers.
    let mut normal = || (0..4).map(|_| rng.random_range(-1.0..1.0f64)).sum::<f64>();
    let x = Array2::from_shape_simple_fn((n, p), &mut normal);
    let truth: Array1<f64> = (0..p).map(|j| if j % 3 == 0 { normal() } else { 0.0 }).collect();
    let mut y = x.dot(&truth) + Array1::from_shape_simple_fn(n, || 0.3 * normal());
    if classes {
        y.mapv_inplace(|v| if v > 0.0 { 1.0 } else { 0.0 });
        (y[0], y[n - 1]) = (0.0, 1.0);
    }
    let weight = Array1::from_shape_simple_fn(n, || rng.random_range(0.5..1.5));
    Dataset::new(x, y).and_then(|d| d.with_sample_weight(weight)).expect("synthetic data are valid")
}

/// How two traces differ, lane by lane.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Lanes compared to their last frame.
    pub(crate) compared: usize,
    /// Lanes left out: their active sets differ at some frame, and a coefficient there is within the kink margin.
    pub(crate) at_kinks: usize,
    /// Lanes whose active sets differ by a coefficient beyond the margin: wrong, not unlucky.
    pub(crate) wrong_sets: usize,
    /// Largest difference of coefficients and of derivatives, relative to the largest entry of the lane's sequence.
    pub(crate) coef: f64,
    pub(crate) dcoef: f64,
}

/// Compares in stages: active sets first, then values, then tangents. `margin` bounds a coefficient that may be zero in
/// one run and not in the other, relative to the largest of its lane.
pub(crate) fn compare(a: &SweepResult, b: &SweepResult, margin: f64) -> Difference {
    let mut found = Difference::default();
    let (frames, lanes, p) = a.trace.coef.dim();
    assert_eq!(a.trace.iteration, b.trace.iteration, "frames at different iterations");
    let d = a.trace.dcoef.dim().2;
    for lane in 0..lanes {
        let largest = |r: &SweepResult| {
            let of = r.trace.coef.index_axis(ndarray::Axis(1), lane);
            of.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE)
        };
        let size = largest(a);
        let (mut kink, mut wrong) = (false, false);
        for f in 0..frames {
            for j in 0..p {
                let (u, v) = (a.trace.coef[[f, lane, j]], b.trace.coef[[f, lane, j]]);
                if (u == 0.0) != (v == 0.0) {
                    if (u - v).abs() <= margin * size { kink = true } else { wrong = true }
                }
            }
        }
        if wrong {
            found.wrong_sets += 1;
            continue;
        }
        if kink {
            found.at_kinks += 1;
            continue;
        }
        found.compared += 1;
        let worse = |worst: f64, gap: f64| if gap > worst || gap.is_nan() { gap } else { worst };
        for f in 0..frames {
            for j in 0..p {
                let gap = (a.trace.coef[[f, lane, j]] - b.trace.coef[[f, lane, j]]).abs() / size;
                found.coef = worse(found.coef, gap);
            }
            let gap = (a.trace.intercept[[f, lane]] - b.trace.intercept[[f, lane]]).abs();
            found.coef = worse(found.coef, gap / size.max(a.trace.intercept[[f, lane]].abs()));
        }
        for t in 0..d {
            let of = a.trace.dcoef.index_axis(ndarray::Axis(1), lane);
            let of = of.index_axis(ndarray::Axis(1), t);
            let size = of.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let size = if size == 0.0 { 1.0 } else { size };
            for f in 0..frames {
                for j in 0..p {
                    let gap = (a.trace.dcoef[[f, lane, t, j]] - b.trace.dcoef[[f, lane, t, j]]).abs() / size;
                    found.dcoef = worse(found.dcoef, gap);
                }
            }
        }
    }
    found
}
