//! Synthetic data from a known model, for reproducible experiments.

use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::Dataset;
use crate::error::Result;

/// A linear model of independent normal features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Synthetic {
    /// Rows.
    pub rows: usize,
    /// Features.
    pub features: usize,
    /// Standard deviations of the first and of the last feature; those between are interpolated linearly.
    pub scale: (f64, f64),
    /// Number of leading features with a coefficient; the others have none.
    pub relevant: usize,
    /// Standard deviation of the coefficients.
    pub effect: f64,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// True if the target is the sign of the model's output, as 0 or 1, instead of the output.
    pub classes: bool,
    /// Seed.
    pub seed: u64,
}

impl Synthetic {
    /// Draws the data.
    ///
    /// # Errors
    /// Sizes that are not valid for a data set.
    pub fn draw(&self) -> Result<Dataset> {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(self.seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (n, p) = (self.rows, self.features);
        let (first, last) = self.scale;
        let scale = |j: usize| first + (last - first) * j as f64 / (p.max(2) - 1) as f64;
        let x = Array2::from_shape_fn((n, p), |(_, j)| scale(j) * normal());
        let truth: Array1<f64> =
            (0..p).map(|j| if j < self.relevant { self.effect * normal() } else { 0.0 }).collect();
        let mut data = Dataset::new(x, Array1::zeros(n))?;
        let mut y = data.design.apply_vector(truth.view())
            + Array1::from_shape_simple_fn(n, || self.noise * normal());
        if self.classes {
            y.mapv_inplace(|v| if v > 0.0 { 1.0 } else { 0.0 });
        }
        let what = if self.classes { "classes" } else { "numbers" };
        data.target = y;
        Ok(data.with_source(format!("synthetic: {n} x {p}, {what}, seed {}", self.seed)))
    }
}
