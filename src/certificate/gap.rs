//! The duality gap in f64, also with an intercept and with unpenalised columns.
//!
//! For `u_i = ω_i ũ_i` with `X_Uᵀ u = 0` for the unpenalised columns `U`, and `v = −Xᵀ u`, the gap is the sum
//! of the Fenchel–Young terms of loss and penalty, all of which are non-negative (Fenchel 1949). The
//! candidate `ũ = φ'(z)` is made orthogonal to `X_U` by a weighted projection, which is a Newton step on `U`
//! in first order, and then scaled so that the penalty's conjugate is finite. Another candidate is zero.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::Array1;

use super::implicit::Manifold;
use crate::objective::{Need, Objective};

/// More unpenalised columns are not projected out: the system would be too large.
const MAX_UNPENALISED: usize = 2000;
/// Relative remainder of `X_Uᵀ u` at which a projection counts as exact.
const ORTHOGONAL: f64 = 1e-9;
/// The same if it is as good as exact without a projection.
const ROUNDING: f64 = 1e-14;

/// The iterate of a lane, with its predictions and the gradient of the loss.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) x: Array1<f64>,
    pub(super) z: Array1<f64>,
    /// `Xᵀ ω φ'(z)`.
    pub(super) g: Array1<f64>,
}

impl Point {
    pub(super) fn new(of: &Manifold<'_>, x: Array1<f64>) -> Self {
        let z = of.objective.design.apply_vector(x.view());
        Self::at_predictions(of, x, z)
    }

    /// The point `x` with `z = X x`.
    pub(super) fn at_predictions(of: &Manifold<'_>, x: Array1<f64>, z: Array1<f64>) -> Self {
        let g = of.objective.design.apply_t_vector(of.objective.weighted_d1(&z).view());
        Point { x, z, g }
    }
}

impl Manifold<'_> {
    /// True if nothing restricts or penalises a row of the state.
    pub(super) fn is_free(&self, j: usize) -> bool {
        j >= self.objective.features() || (self.is_unbounded && self.strengths(j) == (0.0, 0.0))
    }

    /// The duality gap at a point, the smaller of two dual points: the gradient of the loss, projected and
    /// scaled, and zero. `None` if the loss has no dual.
    pub(super) fn gap(&self, at: &Point) -> Option<f64> {
        [self.gap_at_gradient(at), self.gap_at_zero(at)].into_iter().flatten().reduce(f64::min)
    }

    /// The gap at the dual point zero, feasible for every penalty that is not negative in its domain:
    /// the distance of the objective to the infimum of the loss. It certifies fits that are almost perfect.
    fn gap_at_zero(&self, at: &Point) -> Option<f64> {
        let Objective { target, weight, .. } = self.objective;
        let loss = self.objective.loss();
        let of_row = |i: usize| {
            if weight[i] > 0.0 { weight[i] * loss.divergence(at.z[i], target[i], 0.0) } else { 0.0 }
        };
        let of_loss: f64 = (0..at.z.len()).map(of_row).sum();
        let of_penalty = |j: usize| {
            let (l1, l2) = self.strengths(j);
            self.objective.penalty().value(at.x[j], l1, l2)
        };
        let gap = of_loss + (0..self.objective.features()).map(of_penalty).sum::<f64>();
        Some(gap).filter(|gap| gap.is_finite())
    }

    /// The gap at the gradient of the loss; `None` if loss or penalty have no dual, or if no scaling makes
    /// the projected dual point feasible.
    fn gap_at_gradient(&self, at: &Point) -> Option<f64> {
        let objective = self.objective;
        objective.require(Need::DualityGap).ok()?;
        let (n, q) = (at.z.len(), at.x.len());
        let free: Vec<usize> = (0..q).filter(|j| self.is_free(*j)).collect();
        let mut u: Array1<f64> = (0..n).map(|i| objective.loss().d1(at.z[i], objective.target[i])).collect();
        let mut g = at.g.clone();
        if !free.is_empty() && !self.is_orthogonal(at, &free) {
            self.project(at, &free, &mut u)?;
            g = objective.design.apply_t_vector((&u * &objective.weight).view());
        }
        let penalty = objective.penalty();
        let penalised = || (0..objective.features()).filter(|j| !self.is_free(*j));
        let mut ratio: f64 = 1.0;
        for j in penalised() {
            let (l1, l2) = self.strengths(j);
            let of = if g[j] == 0.0 { 0.0 } else { penalty.dual_ratio(-g[j], l1, l2) };
            if of.is_nan() || of.is_infinite() {
                return None;
            }
            ratio = ratio.max(of);
        }
        let scale = 1.0 / ratio;
        let of_loss: f64 = (0..n)
            .filter(|i| objective.weight[*i] > 0.0)
            .map(|i| {
                objective.weight[i] * objective.loss().divergence(at.z[i], objective.target[i], scale * u[i])
            })
            .sum();
        let of_penalty: f64 = penalised()
            .map(|j| {
                let (l1, l2) = self.strengths(j);
                // At no pull there is nothing to miss, and a bound may be infinite.
                if g[j] == 0.0 && at.x[j] == 0.0 { 0.0 } else { penalty.gap(at.x[j], -scale * g[j], l1, l2) }
            })
            .sum();
        // Projection leaves a remainder on the unpenalised columns, which counts by its product with x.
        let of_free: f64 = free.iter().map(|j| (scale * g[*j] * at.x[*j]).abs()).sum();
        Some(of_loss + of_penalty + of_free).filter(|gap| gap.is_finite())
    }

    /// True if the gradient at the free columns is rounding.
    fn is_orthogonal(&self, at: &Point, free: &[usize]) -> bool {
        let objective = self.objective;
        let term = |i: usize| objective.weight[i] * objective.loss().d1(at.z[i], objective.target[i]).powi(2);
        let size = (0..at.z.len()).map(term).sum::<f64>().sqrt();
        let square = |j: usize| {
            let column = objective.design.column(j);
            column.iter().zip(&objective.weight).map(|(v, weight)| weight * v * v).sum::<f64>()
        };
        free.iter().all(|j| at.g[*j].abs() <= ROUNDING * square(*j).sqrt() * size)
    }

    /// Makes `ω u` orthogonal to the free columns: `u ← u − D X_U a` with `(X_Uᵀ W D X_U) a = X_Uᵀ W u`,
    /// `D = φ''(z)`.
    fn project(&self, at: &Point, free: &[usize], u: &mut Array1<f64>) -> Option<()> {
        let objective = self.objective;
        if free.len() > MAX_UNPENALISED {
            return None;
        }
        let n = u.len();
        let size: f64 = (0..n).map(|i| objective.weight[i] * u[i] * u[i]).sum::<f64>().sqrt();
        let d2: Vec<f64> =
            (0..n).map(|i| objective.loss().d2(at.z[i], objective.target[i]).max(0.0)).collect();
        let weight: Vec<f64> = (0..n).map(|i| objective.weight[i] * d2[i]).collect();
        let gram = objective.design.weighted_gram(&weight, free);
        let root: Vec<f64> = (0..free.len()).map(|a| gram[(a, a)].sqrt()).collect();
        let unit = |a: usize| if root[a] > 0.0 { 1.0 / root[a] } else { 0.0 };
        // A column without curvature keeps its diagonal, so that the others are solved for.
        let scaled = Mat::from_fn(free.len(), free.len(), |a, b| {
            let own = if a == b && root[a] == 0.0 { 1.0 } else { 0.0 };
            gram[(a, b)] * unit(a) * unit(b) + own
        });
        let factor = scaled.llt(Side::Lower).ok()?;
        // A second round removes the rounding errors of the first.
        for _ in 0..2 {
            let products = objective.design.apply_t_vector((&*u * &objective.weight).view());
            let right = Mat::from_fn(free.len(), 1, |a, _| products[free[a]] * unit(a));
            let solved = factor.solve(&right);
            let mut a = Array1::zeros(at.x.len());
            free.iter().enumerate().for_each(|(i, j)| a[*j] = solved[(i, 0)] * unit(i));
            let moved = objective.design.apply_vector(a.view());
            (0..n).for_each(|i| u[i] -= d2[i] * moved[i]);
        }
        let products = objective.design.apply_t_vector((&*u * &objective.weight).view());
        let squares = objective.design.column_squares(objective.weight.view());
        let exact = free.iter().all(|j| products[*j].abs() <= ORTHOGONAL * squares[*j].sqrt() * size);
        exact.then_some(())
    }
}
