//! A solution with the linear system on its active set: derivatives of the solution, and of functions of it.
//!
//! `(H + G)_SS dx_S = −(∂_u∇f + ∂_u∇g)_S`; for a function with the gradient `c`, `v = (H + G)⁻¹ c` gives
//! `dC/du = −vᵀ (∂_u∇f + ∂_u∇g)`, all hyperparameters by one system (Bertrand et al. 2022).

use ndarray::{Array1, ArrayView1};

use super::implicit::Manifold;
use super::newton::Stationary;
use super::system::System;
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective, PenaltyDerivatives};

/// A solution on the manifold of its active coefficients.
pub(crate) struct OnManifold<'a> {
    manifold: Manifold<'a>,
    x: Array1<f64>,
    /// `[n]`: its predictions; may be zeros for a squared loss, whose second derivatives do not depend
    /// on them.
    z: Array1<f64>,
    /// True if its system is not too large for a dense matrix.
    is_dense: bool,
}

/// The linear system of a manifold, factored.
pub(crate) struct Factored<'m, 'a> {
    on: &'m OnManifold<'a>,
    system: System,
}

impl<'a> OnManifold<'a> {
    /// The manifold of a solution that Newton's method found.
    pub(super) fn of_found(manifold: Manifold<'a>, found: Stationary) -> Self {
        let x = found.at.x.mapv(|v| if v.abs() <= f64::MIN_POSITIVE { 0.0 } else { v });
        OnManifold { manifold, x, z: found.at.z, is_dense: true }
    }

    /// That of a solution `[q]` which is known.
    pub(super) fn new(
        objective: &'a Objective,
        lane: &'a Lane,
        x: ArrayView1<'_, f64>,
        is_dense: bool,
    ) -> Self {
        let x = objective.within_domain(x);
        let manifold = Manifold::new(objective, lane, x.view());
        let z = predictions(objective, &manifold.active, &x);
        OnManifold { manifold, x, z, is_dense }
    }

    /// Its system, factored; `None` if that is too large.
    pub(crate) fn factored(&self) -> Option<Factored<'_, 'a>> {
        if !self.is_dense {
            return None;
        }
        let hessian = self.manifold.loss_hessian(&self.z);
        let of_penalty: Vec<f64> = self.active().iter().map(|j| self.penalty(*j).d2).collect();
        let mut system = System::new(&hessian, &of_penalty, &[]);
        system.damp();
        Some(Factored { on: self, system })
    }

    /// True if its system is not too large for a dense matrix.
    pub(crate) fn is_dense(&self) -> bool {
        self.is_dense
    }

    /// `[n]`: `ω φ''` at the predictions.
    pub(crate) fn curvatures(&self) -> Vec<f64> {
        self.manifold.curvatures(&self.z)
    }

    /// `[q]`: the solution.
    pub(crate) fn x(&self) -> &Array1<f64> {
        &self.x
    }

    /// `[n]`: its predictions; may be zeros for a squared loss, whose second derivatives do not depend
    /// on them.
    pub(crate) fn predictions(&self) -> &Array1<f64> {
        &self.z
    }

    /// Active rows of the state, ascending.
    pub(crate) fn active(&self) -> &[usize] {
        &self.manifold.active
    }

    /// Derivatives of the penalty at an active row.
    pub(crate) fn penalty(&self, j: usize) -> PenaltyDerivatives {
        self.manifold.penalty(j, self.x[j])
    }

    /// `[q]`: `−(∂_u∇f + ∂_u∇g)` on the active rows: the right side for a derivative of the solution.
    pub(crate) fn right_side(&self, by: &Derivative) -> Array1<f64> {
        let mut right = Array1::zeros(self.x.len());
        let mixed = self.manifold.mixed(&self.x, by);
        self.active().iter().zip(mixed).for_each(|(j, v)| right[*j] = -v);
        right
    }
}

impl Factored<'_, '_> {
    /// `(H + G)_SS⁻¹` times the active rows of `right`, `[q]`; zeros in the others. Where columns depend on
    /// each other, the least of some multiples of the identity is added.
    pub(crate) fn solve(&self, right: ArrayView1<'_, f64>) -> Array1<f64> {
        let active = self.on.active();
        let solved = self.system.solve(&active.iter().map(|j| right[*j]).collect::<Vec<_>>());
        let mut out = Array1::zeros(right.len());
        active.iter().zip(solved).for_each(|(j, v)| out[*j] = v);
        out
    }
}

/// Predictions at `x` for second derivatives, from the active columns alone if these are few.
fn predictions(objective: &Objective, active: &[usize], x: &Array1<f64>) -> Array1<f64> {
    if objective.loss().capabilities().least_squares {
        return Array1::zeros(objective.design.rows());
    }
    let rests = |j: &usize| active.binary_search(j).is_err() && x[*j] != 0.0;
    if 8 * active.len() > x.len() || (0..x.len()).any(|j| rests(&j)) {
        return objective.design.apply_vector(x.view());
    }
    let mut z = Array1::zeros(objective.design.rows());
    active.iter().for_each(|j| z.scaled_add(x[*j], &objective.design.column(*j)));
    z
}
