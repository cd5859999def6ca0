//! A solution with the linear system on its active set: derivatives of the solution, and of functions of it.
//!
//! `(H + G)_SS dx_S = −(∂_u∇f + ∂_u∇g)_S`; for a function with the gradient `c`, `v = (H + G)⁻¹ c` gives
//! `dC/du = −vᵀ (∂_u∇f + ∂_u∇g)`, all hyperparameters by one system (Bertrand et al. 2022).

use ndarray::{Array1, ArrayView1};

use super::implicit::Manifold;
use super::newton::Stationary;
use crate::objective::{Derivative, PenaltyDerivatives};

/// A solution on the manifold of its active coefficients.
pub(crate) struct OnManifold<'a> {
    pub(super) manifold: Manifold<'a>,
    pub(super) found: Stationary,
}

impl OnManifold<'_> {
    /// `[q]`: the solution.
    pub(crate) fn x(&self) -> Array1<f64> {
        self.found.at.x.mapv(|v| if v.abs() <= f64::MIN_POSITIVE { 0.0 } else { v })
    }

    /// `[n]`: its predictions.
    pub(crate) fn predictions(&self) -> &Array1<f64> {
        &self.found.at.z
    }

    /// Active rows of the state, ascending.
    pub(crate) fn active(&self) -> &[usize] {
        &self.manifold.active
    }

    /// Derivatives of the penalty at an active row.
    pub(crate) fn penalty(&self, j: usize) -> PenaltyDerivatives {
        self.manifold.penalty(j, self.found.at.x[j])
    }

    /// `(H + G)_SS⁻¹` times the active rows of `right`, `[q]`; zeros in the others. NaN if columns depend on
    /// each other.
    pub(crate) fn solve(&self, right: ArrayView1<'_, f64>) -> Array1<f64> {
        let active = self.active();
        let solved = self.found.system.solve(&active.iter().map(|j| right[*j]).collect::<Vec<_>>());
        let mut out = Array1::zeros(right.len());
        active.iter().zip(solved).for_each(|(j, v)| out[*j] = v);
        out
    }

    /// `[q]`: the derivative of the solution.
    pub(crate) fn derivative(&self, by: &Derivative) -> Array1<f64> {
        let x = &self.found.at.x;
        let mut right = Array1::zeros(x.len());
        let mixed = self.manifold.mixed(x, by);
        self.active().iter().zip(mixed).for_each(|(j, v)| right[*j] = -v);
        self.solve(right.view())
    }
}
