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
    /// `[n]`: its predictions; any for a squared loss, whose second derivatives do not depend on them.
    z: Array1<f64>,
    /// Absent if it is too large.
    system: Option<System>,
}

impl<'a> OnManifold<'a> {
    /// The manifold of a solution that Newton's method found, with its system.
    pub(super) fn of_found(manifold: Manifold<'a>, found: Stationary) -> Self {
        let x = found.at.x.mapv(|v| if v.abs() <= f64::MIN_POSITIVE { 0.0 } else { v });
        OnManifold { manifold, x, z: found.at.z, system: Some(found.system) }
    }

    /// That of a solution `[q]` which is known, without its system.
    pub(super) fn new(objective: &'a Objective, lane: &'a Lane, x: ArrayView1<'_, f64>) -> Self {
        let x = objective.within_domain(x);
        let manifold = Manifold::new(objective, lane, x.view());
        let z = predictions(objective, &manifold.active, &x);
        OnManifold { manifold, x, z, system: None }
    }

    /// The same with its system, which must not be too large.
    pub(super) fn with_system(mut self) -> Self {
        let hessian = self.manifold.loss_hessian(&self.z);
        let of_penalty: Vec<f64> = self.active().iter().map(|j| self.penalty(*j).d2).collect();
        let mut system = System::new(&hessian, &of_penalty, &[]);
        system.damp();
        self.system = Some(system);
        self
    }

    /// True if it has a system.
    pub(crate) fn has_system(&self) -> bool {
        self.system.is_some()
    }

    /// `[n]`: `ω φ''` at the predictions.
    pub(crate) fn curvatures(&self) -> Vec<f64> {
        self.manifold.curvatures(&self.z)
    }

    /// `[q]`: the solution.
    pub(crate) fn x(&self) -> &Array1<f64> {
        &self.x
    }

    /// `[n]`: its predictions; any for a squared loss, whose second derivatives do not depend on them.
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

    /// `(H + G)_SS⁻¹` times the active rows of `right`, `[q]`; zeros in the others. NaN if columns depend on
    /// each other, or without a system.
    pub(crate) fn solve(&self, right: ArrayView1<'_, f64>) -> Array1<f64> {
        let active = self.active();
        let Some(system) = &self.system else { return Array1::from_elem(right.len(), f64::NAN) };
        let solved = system.solve(&active.iter().map(|j| right[*j]).collect::<Vec<_>>());
        let mut out = Array1::zeros(right.len());
        active.iter().zip(solved).for_each(|(j, v)| out[*j] = v);
        out
    }

    /// `[q]`: `−(∂_u∇f + ∂_u∇g)` on the active rows: the right side for a derivative of the solution.
    pub(crate) fn right_side(&self, by: &Derivative) -> Array1<f64> {
        let mut right = Array1::zeros(self.x.len());
        let mixed = self.manifold.mixed(&self.x, by);
        self.active().iter().zip(mixed).for_each(|(j, v)| right[*j] = -v);
        right
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
