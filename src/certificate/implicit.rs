//! The solution and its derivatives to rounding, by Newton's method and the implicit linear system on the
//! identified manifold.
//!
//! On the manifold of the active coefficients `S` the objective is smooth: `(H + G)_SS dx_S = −(∂_u∇f +
//! ∂_u∇g)_S` (Mehmood & Ochs 2025; for the lasso Bertrand et al. 2022), `G` the Hessian of the penalty.

use std::cell::LazyCell;

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView1};

use crate::error::{Error, ErrorKind, Result, bytes};
use crate::lanes::{Lane, MetricSource};
use crate::objective::{Derivative, Need, Objective, PenaltyDerivatives, Prox, Zeros};

/// A solution with its derivatives, and the spectrum that determines the rate of convergence.
#[derive(Debug, Clone)]
pub struct Solution {
    /// `[q]`: the state.
    pub state: Array1<f64>,
    /// `[d, q]`: its derivatives.
    pub dstate: Array2<f64>,
    /// Active state rows.
    pub active: Vec<usize>,
    /// `1 − max_j |∂_j f| / l1_j` over the inactive coefficients: 1 is far from a change of the active set, 0
    /// is at one.
    pub margin: f64,
    /// True if a coefficient is about to enter or leave the active set, within rounding: then the solution
    /// has no derivative.
    pub at_kink: bool,
    /// Eigenvalues, ascending, of `D^½ H D^½` restricted to the active rows; `H` is the Hessian of the smooth
    /// loss (`D = 1` if the metric does not converge).
    pub eigenvalues: Vec<f64>,
    /// Curvature of the proximal part in the metric, if the metric converges and the curvature is the same
    /// for all active rows.
    pub prox_curvature: Option<f64>,
}

/// Maximum bytes of the dense system on the manifold.
const MAX_BYTES: u64 = 1 << 30;
/// If the fixed-point residual is larger, the manifold is not that of the solution.
const RESIDUAL: f64 = 1e-8;
/// A smaller distance to a change of the active set counts as zero.
const KINK: f64 = 1e-10;
/// Maximum number of Newton steps; from an identified iterate a few suffice.
const STEPS: usize = 50;

/// The solution of a lane near `start`, `[q]`, an iterate whose active set is that of the solution.
///
/// # Errors
/// A system that is too large or not positive definite, or an active set that changes on the way: `start` is
/// not near enough, or the solution is degenerate.
pub fn solve(
    objective: &Objective,
    (index, lane): (usize, &Lane),
    derivatives: &[Derivative],
    metric: &MetricSource,
    start: ArrayView1<'_, f64>,
) -> Result<Solution> {
    objective.require(Need::ImplicitSolution).map_err(|missing| missing.at("implicit derivative"))?;
    let penalty = objective.penalty();
    let q = objective.state_rows();
    let active: Vec<usize> =
        (0..q).filter(|j| *j >= objective.features() || penalty.is_active(start[*j])).collect();
    let needed = 8 * (active.len() as u64).pow(2);
    if needed > MAX_BYTES {
        let found = format!("{} active coefficients, a system of {}", active.len(), bytes(needed));
        let remedy = "Choose a larger alpha, or do without the reference solution.";
        return Err(Error::new(ErrorKind::Memory, "implicit derivative", found, bytes(MAX_BYTES), remedy));
    }
    let mut manifold = Manifold { objective, lane, active, step: objective.probe_step(0.0) };
    let mut state = start.to_owned();
    let mut size = f64::INFINITY;
    for _ in 0..STEPS {
        manifold.drop_kinks(&mut state);
        let (slope, _) = manifold.d1(&state);
        let change = manifold.solve(&manifold.hessian(&state), &slope)?;
        manifold.active.iter().zip(&change).for_each(|(j, c)| state[*j] -= c);
        let norm = change.iter().map(|c| c * c).sum::<f64>().sqrt();
        // Newton's method has converged: steps that no longer shrink are rounding errors.
        if norm == 0.0 || (norm >= 0.5 * size && norm <= 1e-10 * state.dot(&state).sqrt()) {
            break;
        }
        size = norm;
    }
    let (_, gradient) = manifold.d1(&state);
    let residual = manifold.residual(&state, &gradient);
    if residual.is_nan() || residual > RESIDUAL {
        return Err(Error::data(
            "implicit derivative",
            format!("a fixed-point residual of {residual:.1e} on the active set of the last iterate"),
            "the active set of the solution",
            "Run more iterations, so that the active set settles.",
        ));
    }
    let hessian = manifold.hessian(&state);
    let mut dstate = Array2::zeros((derivatives.len(), q));
    for (t, derivative) in derivatives.iter().enumerate() {
        let solved = manifold.solve(&hessian, &manifold.mixed(&state, derivative))?;
        manifold.active.iter().zip(&solved).for_each(|(j, v)| dstate[[t, *j]] = -v);
    }
    let (eigenvalues, prox_curvature) = manifold.spectrum(&state, metric, index)?;
    let margin = manifold.margin(&gradient);
    let at_kink = margin < KINK || manifold.at_kink(&state);
    Ok(Solution { margin, at_kink, state, dstate, active: manifold.active, eigenvalues, prox_curvature })
}

/// The objective of a lane on the manifold of its active coefficients.
pub(super) struct Manifold<'a> {
    pub(super) objective: &'a Objective,
    pub(super) lane: &'a Lane,
    pub(super) active: Vec<usize>,
    /// Any step will do: the penalty's derivatives are computed from its proximal map.
    pub(super) step: f64,
}

impl Manifold<'_> {
    pub(super) fn strengths(&self, j: usize) -> (f64, f64) {
        let Some(factor) = self.objective.penalty_factors.get(j) else { return (0.0, 0.0) };
        let (l1, l2) = self.lane.strengths(self.objective);
        (l1 * factor, l2 * factor)
    }

    fn prox(&self, j: usize, x: f64, gradient: f64) -> Prox<f64> {
        let (l1, l2) = self.strengths(j);
        self.objective.penalty().prox(x - self.step * gradient, self.step, l1, l2)
    }

    /// Drops active rows that a proximal step makes inactive: at a kink, as at alpha_max, a coefficient that
    /// is almost zero belongs to neither side. A coefficient that a step moves across zero is set to zero.
    fn drop_kinks(&mut self, state: &mut Array1<f64>) {
        let (_, gradient) = self.d1(state);
        let rests = self.objective.penalty().capabilities().zeros != Zeros::Absent;
        let mut active = std::mem::take(&mut self.active);
        active.retain(|&j| {
            if j >= self.objective.features() {
                return true;
            }
            let Prox { value, by_input, .. } = self.prox(j, state[j], gradient[j]);
            if by_input == 0.0 || (rests && value.signum() != state[j].signum()) {
                state[j] = value;
            }
            by_input != 0.0
        });
        self.active = active;
    }

    /// Derivatives of the penalty at an active row.
    pub(super) fn penalty(&self, j: usize, x: f64) -> PenaltyDerivatives {
        if j >= self.objective.features() {
            return PenaltyDerivatives::default();
        }
        let (l1, l2) = self.strengths(j);
        self.objective.penalty().derivatives(x, l1, l2)
    }

    /// `∇f + ∇g` on the active rows, and `∇f` without a ridge on all.
    fn d1(&self, state: &Array1<f64>) -> (Vec<f64>, Array1<f64>) {
        let objective = self.objective;
        let z = objective.design.apply_vector(state.view());
        let gradient = objective.design.apply_t_vector(objective.weighted_d1(&z).view());
        let of = |j: &usize| gradient[*j] + self.penalty(*j, state[*j]).d1;
        (self.active.iter().map(of).collect(), gradient)
    }

    /// `X_Sᵀ diag(ω φ'') X_S`.
    pub(super) fn loss_hessian(&self, state: &Array1<f64>) -> Mat<f64> {
        let objective = self.objective;
        let z = objective.design.apply_vector(state.view());
        let of = |i: usize| (objective.weight[i] * objective.loss().d2(z[i], objective.target[i])).max(0.0);
        let weight: Vec<f64> = (0..z.len()).map(of).collect();
        objective.design.weighted_gram(&weight, &self.active)
    }

    fn hessian(&self, state: &Array1<f64>) -> Mat<f64> {
        let mut hessian = self.loss_hessian(state);
        for (a, &j) in self.active.iter().enumerate() {
            hessian[(a, a)] += self.penalty(j, state[j]).d2;
        }
        hessian
    }

    /// `∂_u (∇f + ∇g)` on the active rows.
    pub(super) fn mixed(&self, state: &Array1<f64>, derivative: &Derivative) -> Vec<f64> {
        let objective = self.objective;
        let by = derivative.strengths(objective, self.lane.alpha, self.lane.l1_ratio);
        let by_target = derivative.target_tangent(objective).map(|(dy, _)| {
            let z = objective.design.apply_vector(state.view());
            let of = |i: usize| {
                objective.weight[i] * objective.loss().d1_by_target(z[i], objective.target[i]) * dy[i]
            };
            objective.design.apply_t_vector((0..z.len()).map(of).collect::<Array1<f64>>().view())
        });
        let of = |j: &usize| {
            let moves = match by.factor_seed {
                _ if *j >= objective.features() => 0.0,
                None => objective.penalty_factors()[*j],
                Some(feature) => f64::from(u8::from(feature == *j)),
            };
            let of_penalty = self.penalty(*j, state[*j]);
            moves * (by.l1 * of_penalty.d1_by_l1 + by.l2 * of_penalty.d1_by_l2)
                + by_target.as_ref().map_or(0.0, |v| v[*j])
        };
        self.active.iter().map(of).collect()
    }

    /// `‖x − prox(x − step ∇f(x))‖ / max(‖x‖, ‖step ∇f(x)‖)` over all coefficients, active or not: if they
    /// are almost zero, as at alpha_max, the gradient gives the scale.
    fn residual(&self, state: &Array1<f64>, gradient: &Array1<f64>) -> f64 {
        let penalty = self.objective.penalty();
        let in_loss = penalty.ridge_in_loss();
        let of = |j: usize| {
            let (l1, l2) = self.strengths(j);
            let ridge = if in_loss { l2 * state[j] } else { 0.0 };
            let w = state[j] - self.step * (gradient[j] + ridge);
            state[j]
                - if j < self.objective.features() { penalty.prox(w, self.step, l1, l2).value } else { w }
        };
        let gap = (0..state.len()).map(|j| of(j).powi(2)).sum::<f64>().sqrt();
        let scale = state.dot(state).sqrt().max(self.step * gradient.dot(gradient).sqrt());
        if gap == 0.0 { 0.0 } else { gap / scale }
    }

    fn solve(&self, hessian: &Mat<f64>, right: &[f64]) -> Result<Vec<f64>> {
        if right.is_empty() {
            return Ok(Vec::new());
        }
        let factor = hessian.llt(Side::Lower).map_err(|_| {
            Error::data(
                "implicit derivative",
                "a Hessian that is not positive definite on the active set",
                "an isolated minimum",
                "Active columns depend on each other, or the penalty bends down more than the loss bends up: \
                    use \
                 a larger alpha, a penalty with a ridge part, fewer features, or weaker concavity.",
            )
        })?;
        let right = Mat::from_fn(right.len(), 1, |i, _| right[i]);
        let solved = factor.solve(&right);
        Ok((0..solved.nrows()).map(|i| solved[(i, 0)]).collect())
    }

    /// True if an active coefficient is almost at a kink, relative to the change by the penalty's step.
    fn at_kink(&self, state: &Array1<f64>) -> bool {
        let penalty = self.objective.penalty();
        self.active.iter().any(|&j| {
            let (l1, _) = self.strengths(j);
            penalty.kinks(l1).iter().any(|kink| (state[j] - kink).abs() < KINK * self.step * l1)
        })
    }

    pub(super) fn margin(&self, gradient: &Array1<f64>) -> f64 {
        let zeros = self.objective.penalty().capabilities().zeros;
        if zeros == Zeros::Absent {
            return 1.0;
        }
        let mut active = self.active.iter().peekable();
        let nearest = (0..self.objective.features()).filter(|j| active.next_if_eq(&j).is_none()).fold(
            0.0,
            |top: f64, j| {
                let (l1, _) = self.strengths(j);
                if l1 > 0.0 { top.max(zeros.pull(-gradient[j]) / l1) } else { top }
            },
        );
        1.0 - nearest
    }

    /// Eigenvalues of the smooth loss in the metric, and the curvature of the proximal part if it is uniform
    /// and the metric converges.
    fn spectrum(
        &self,
        state: &Array1<f64>,
        metric: &MetricSource,
        lane: usize,
    ) -> Result<(Vec<f64>, Option<f64>)> {
        let objective = self.objective;
        let z = objective.design.apply_vector(state.view());
        let curvature = LazyCell::new(|| {
            let of = |i: usize| objective.weight[i] * objective.loss().d2(z[i], objective.target[i]);
            objective.design.column_squares((0..z.len()).map(of).collect::<Array1<f64>>().view())
        });
        let entries: Option<Vec<f64>> =
            self.active.iter().map(|j| metric.entry_at_solution(lane, *j, || curvature[*j])).collect();
        let settles = entries.is_some();
        let diagonal = entries.unwrap_or_else(|| vec![1.0; self.active.len()]);
        if diagonal.is_empty() {
            return Ok((Vec::new(), Some(0.0)));
        }
        let mut hessian = self.loss_hessian(state);
        let in_loss = objective.penalty().ridge_in_loss();
        let mut curvatures = Vec::new();
        for (a, &j) in self.active.iter().enumerate() {
            let d2 = self.penalty(j, state[j]).d2;
            hessian[(a, a)] += if in_loss { d2 } else { 0.0 };
            curvatures.push(if in_loss { 0.0 } else { d2 * diagonal[a] });
        }
        let scaled = Mat::from_fn(diagonal.len(), diagonal.len(), |a, b| {
            hessian[(a, b)] * (diagonal[a] * diagonal[b]).sqrt()
        });
        let eigenvalues = scaled.self_adjoint_eigenvalues(Side::Lower).map_err(|_| {
            Error::data("implicit derivative", "no eigenvalues", "a finite Hessian on the active set", "")
        })?;
        let uniform = curvatures.iter().all(|c| (c - curvatures[0]).abs() <= 1e-12 * curvatures[0].abs());
        Ok((eigenvalues, (uniform && settles).then(|| curvatures[0])))
    }
}
