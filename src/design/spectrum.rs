//! Extreme eigenvalues of `Xᵀ diag(weight) X`, by Lanczos in f64.

use ndarray::Array1;
use rand::{RngExt, SeedableRng};

/// Bounds on the curvature of the loss.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Spectrum {
    /// Upper bound on the Lipschitz constant of the loss's gradient, `margin` included.
    pub lipschitz: f64,
    /// Lower bound on the strong convexity of the loss; 0 if there is none, or none was found.
    pub strong_convexity: f64,
    /// Relative margin added to the largest Ritz value: its residual bound and 1e-9 for rounding.
    pub margin: f64,
}

/// Maximum number of Lanczos steps; the extreme Ritz values of real designs converge much earlier.
const STEPS: usize = 128;

impl Spectrum {
    /// Bounds for `φ''` in `[d2_min, d2_max]`, from a Gram operator of this size. With fewer rows than
    /// columns there is no full rank but a null space, whatever the Ritz values are.
    pub(super) fn of_gram(
        (size, full_rank): (usize, bool),
        gram: impl Fn(&Array1<f64>) -> Array1<f64>,
        (d2_max, d2_min): (f64, f64),
    ) -> Self {
        let ritz = lanczos(size, STEPS.min(size), full_rank, gram);
        let margin = 1e-9 + if ritz.largest > 0.0 { ritz.largest_residual / ritz.largest } else { 0.0 };
        let smallest = (ritz.smallest - ritz.smallest_residual) * (1.0 - 1e-9);
        let trusted = full_rank && smallest > 1e-12 * ritz.largest;
        // An all-zero design has a zero gradient: any positive constant bounds it.
        let largest = if ritz.largest > 0.0 { ritz.largest } else { 1.0 };
        Spectrum {
            lipschitz: d2_max * largest * (1.0 + margin),
            strong_convexity: if trusted { d2_min * smallest } else { 0.0 },
            margin,
        }
    }
}

/// Steps between two tests of the largest Ritz value.
const TESTED: usize = 8;

struct Ritz {
    largest: f64,
    largest_residual: f64,
    smallest: f64,
    smallest_residual: f64,
}

/// Lanczos with full reorthogonalisation (Paige 1971; Parlett 1980, §13): extreme Ritz values of a symmetric
/// operator of size `q`, each with its residual norm, within which an eigenvalue is certain. Ends early once
/// the largest is accurate to rounding, unless the smallest is wanted too.
fn lanczos(q: usize, steps: usize, smallest: bool, apply: impl Fn(&Array1<f64>) -> Array1<f64>) -> Ritz {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let start: Array1<f64> = (0..q).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut basis: Vec<Array1<f64>> = vec![&start / start.dot(&start).sqrt()];
    let (mut diagonal, mut off) = (Vec::new(), Vec::new());
    loop {
        let v = basis.last().expect("the basis starts with one vector");
        let mut w = apply(v);
        diagonal.push(w.dot(v));
        for _ in 0..2 {
            for u in &basis {
                let along = w.dot(u);
                w.scaled_add(-along, u);
            }
        }
        let norm = w.dot(&w).sqrt();
        off.push(norm);
        let size: f64 = diagonal.iter().fold(0.0, |m: f64, d| m.max(d.abs()));
        if basis.len() == steps || norm <= 1e-14 * size {
            break;
        }
        if !smallest && basis.len().is_multiple_of(TESTED) {
            let ritz = ritz_values(q, &diagonal, &off);
            if ritz.largest_residual <= 1e-12 * ritz.largest {
                return ritz;
            }
        }
        basis.push(w / norm);
    }
    ritz_values(q, &diagonal, &off)
}

/// The extreme eigenvalues of the tridiagonal matrix of some steps.
fn ritz_values(q: usize, diagonal: &[f64], off: &[f64]) -> Ritz {
    // If the basis is complete, an invariant subspace was found and the residual is only rounding.
    let last = if diagonal.len() == q { 0.0 } else { off[diagonal.len() - 1] };
    let k = diagonal.len();
    let tridiagonal = faer::Mat::<f64>::from_fn(k, k, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => off[i.min(j)],
        _ => 0.0,
    });
    match tridiagonal.self_adjoint_eigen(faer::Side::Lower) {
        Ok(eigen) => {
            let value = |i: usize| eigen.S()[i];
            let residual = |i: usize| last * eigen.U()[(k - 1, i)].abs();
            Ritz {
                largest: value(k - 1),
                largest_residual: residual(k - 1),
                smallest: value(0),
                smallest_residual: residual(0),
            }
        }
        // If the small eigenproblem fails, Gershgorin bounds replace its eigenvalues.
        Err(_) => {
            let radius =
                |i: usize| if i > 0 { off[i - 1] } else { 0.0 } + if i + 1 < k { off[i] } else { 0.0 };
            let largest = (0..k).fold(0.0, |m: f64, i| m.max(diagonal[i] + radius(i)));
            Ritz { largest, largest_residual: last, smallest: 0.0, smallest_residual: 0.0 }
        }
    }
}
