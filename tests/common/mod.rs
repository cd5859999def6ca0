//! Shared by the test suites.

use ndarray::{Array1, Array2};
use proxjet::data::Dataset;
use proxjet::engine::Engine;
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::gpu::{GpuEngine, Pick};
use rand::{RngExt, SeedableRng};

pub(crate) mod cases;
pub(crate) mod compare;
pub(crate) mod formulas;
pub(crate) mod host;
pub(crate) mod textbook;

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
        Err(e) => {
            no_adapter(&e.to_string());
            None
        }
    }
}

/// Skips a test, unless the environment requires an adapter.
pub(crate) fn no_adapter(why: &str) {
    assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter: {why}");
    eprintln!("SKIPPED, no adapter: {why}");
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
