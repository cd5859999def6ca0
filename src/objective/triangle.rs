//! Least squares with as many rows as columns: the triangular factor of the design and the target.

use faer::Mat;
use ndarray::{Array1, Array2};

use super::Objective;
use crate::design::Design;

/// Entries of a block of rows.
const BLOCK: usize = 1 << 20;

impl Objective {
    /// The same squared loss on `m = q + 1` rows: with `QR = √W [X, y]`, `Σ ω (X x − y)² = ‖R (x, −1)‖²`, so
    /// that products cost `q²` instead of `n q` operations. Loss, gradient, curvature, gap and the norms of
    /// columns are the same, to rounding; predictions and scores are not.
    pub(crate) fn triangular(&self) -> Objective {
        let (n, q) = (self.design.rows(), self.state_rows());
        let m = q + 1;
        // Row by row blocks, each beneath the factor so far: long ones cost fewer operations.
        let block = (8 * m).clamp(64, m.max(BLOCK / m));
        let mut factor = Mat::<f64>::zeros(0, m);
        for first in (0..n).step_by(block) {
            let rows: Vec<usize> = (first..(first + block).min(n)).collect();
            let part = self.design.select_rows(&rows).to_dense();
            let above = factor.nrows();
            let stacked = Mat::from_fn(above + rows.len(), m, |i, j| match i.checked_sub(above) {
                None => factor[(i, j)],
                Some(k) => {
                    let value = if j < q { part[[k, j]] } else { self.target[first + k] };
                    self.weight[first + k].sqrt() * value
                }
            });
            factor = stacked.qr().thin_R().to_owned();
        }
        // Weights of 1/m, as they are normalised.
        let scale = (m as f64).sqrt();
        let entry = |i: usize, j: usize| if i < factor.nrows() { scale * factor[(i, j)] } else { 0.0 };
        let upper = |i: usize, j: usize| if i <= j { entry(i, j) } else { 0.0 };
        Objective {
            design: Design::upper_triangular(Array2::from_shape_fn((m, q), |(i, j)| upper(i, j))),
            target: Array1::from_shape_fn(m, |i| entry(i, q)),
            weight: Array1::from_elem(m, 1.0 / m as f64),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use crate::data::Dataset;
    use crate::objective::Objective;

    /// More rows than a block holds, columns of other sizes, one of zeros, two alike, and weights.
    #[test]
    fn the_factor_has_the_loss_and_the_gradient_of_the_data() {
        for (n, p) in [(1100, 7), (9, 30)] {
            let mut x = Array2::from_shape_fn((n, p), |(i, j)| {
                10f64.powi(j as i32 % 5 - 2) * (1.3 * i as f64 + (j * j) as f64).sin() + j as f64
            });
            x.column_mut(1).fill(0.0);
            let twin = x.column(2).to_owned();
            x.column_mut(5).assign(&twin);
            let y = Array1::from_shape_fn(n, |i| (0.7 * i as f64).cos() + 5.0);
            let weight = Array1::from_shape_fn(n, |i| 0.2 + (i % 3) as f64);
            let data = Dataset::weighted(x, y, weight).unwrap();
            let whole = Objective::builder(data).build().unwrap();
            let factor = whole.triangular();
            assert_eq!((factor.design().rows(), factor.state_rows()), (p + 1, p));
            for seed in 0..4 {
                let at: Array1<f64> = (0..p).map(|j| (seed as f64 + j as f64).cos()).collect();
                let of = |o: &Objective| {
                    let z = o.design().apply_vector(at.view());
                    let r = (&z - &o.target()) * o.weight();
                    let loss = 0.5 * r.dot(&(&z - &o.target()));
                    (loss, o.design().apply_t_vector(r.view()))
                };
                let ((loss, gradient), (of_factor, gradient_of_factor)) = (of(&whole), of(&factor));
                assert!((loss / of_factor - 1.0).abs() < 1e-13, "{loss} {of_factor}");
                let norms = whole.design().column_squares(whole.weight()).mapv_into(f64::sqrt);
                for j in 0..p {
                    let apart = (gradient[j] - gradient_of_factor[j]).abs();
                    assert!(apart <= 1e-13 * norms[j] * loss.sqrt(), "column {j}: {apart}");
                }
            }
        }
    }
}
