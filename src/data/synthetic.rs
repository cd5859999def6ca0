//! Made-up data with a known law, for experiments that anybody can repeat.

use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::Dataset;
use crate::error::Result;

/// A sparse linear model: `X` of independent standard normal numbers, a tenth of the coefficients normal with standard
/// deviation 2, the rest zero, and noise of standard deviation `noise`; with `classes`, the target is the sign of the result.
///
/// # Errors
/// Sizes that make no data set, or classes of which only one appears.
pub fn synthetic(rows: usize, features: usize, noise: f64, classes: bool, seed: u64) -> Result<Dataset> {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let x = Array2::from_shape_simple_fn((rows, features), &mut normal);
    let relevant = features.div_ceil(10);
    let truth: Array1<f64> = (0..features).map(|j| if j < relevant { 2.0 * normal() } else { 0.0 }).collect();
    let mut y = x.dot(&truth) + Array1::from_shape_simple_fn(rows, || noise * normal());
    if classes {
        y.mapv_inplace(|v| if v > 0.0 { 1.0 } else { 0.0 });
    }
    let kind = if classes { "classes" } else { "numbers" };
    Ok(Dataset::new(x, y)?.with_source(format!("synthetic: {rows} x {features}, {kind}, noise {noise}, seed {seed}")))
}
