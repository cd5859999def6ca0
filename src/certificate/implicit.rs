//! The solution and its derivatives to rounding, by Newton's method and the implicit linear system on the
//! identified manifold.
//!
//! On the manifold of the active coefficients `S` the objective is smooth: `(H + G)_SS dx_S = −(∂_u∇f +
//! ∂_u∇g)_S` (Mehmood & Ochs 2025; for the lasso Bertrand et al. 2022), `G` the Hessian of the penalty.

use std::cell::LazyCell;

use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView1};

use crate::error::{Error, ErrorKind, Result};
use crate::lanes::{Lane, MetricSource};
use crate::objective::{Derivative, Need, Objective, PenaltyDerivatives, Zeros};

use super::Obstacle;
use super::gap::Point;
use super::newton::{Limits, Newton, Scales};

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

/// A smaller distance to a change of the active set counts as zero.
const KINK: f64 = 1e-10;

/// The solution of a lane near `start`, `[q]`, an iterate whose active set is that of the solution.
///
/// # Errors
/// A system that is too large or not positive definite, or a start from which Newton's method finds no
/// solution.
pub fn solve(
    objective: &Objective,
    (index, lane): (usize, &Lane),
    derivatives: &[Derivative],
    metric: &MetricSource,
    start: ArrayView1<'_, f64>,
) -> Result<Solution> {
    objective.require(Need::ImplicitSolution).map_err(|missing| missing.at("implicit derivative"))?;
    let q = objective.state_rows();
    let start = objective.within_domain(start);
    let mut manifold = Manifold::new(objective, lane, start.view());
    let point = Point::new(&manifold, start);
    let scales = Scales::new(objective);
    let found = match Newton::new(&mut manifold, &scales, Limits::OF_ONE).solve(point) {
        Ok(found) => found,
        Err(Obstacle::TooLarge) => {
            let found = format!("{} active coefficients", manifold.active.len());
            let expected = format!("at most {}, a dense system of 1 GiB", Limits::OF_ONE.active);
            let remedy = "Choose a larger alpha, or do without the reference solution.";
            return Err(Error::new(ErrorKind::Memory, "implicit derivative", found, expected, remedy));
        }
        Err(obstacle) => {
            let remedy = match obstacle {
                Obstacle::Unbounded => "Penalise every coefficient.",
                _ => "Run more iterations, so that the active set settles.",
            };
            return Err(Error::data("implicit derivative", obstacle.words(), "an isolated minimum", remedy));
        }
    };
    if found.system.is_damped() {
        return Err(Error::data(
            "implicit derivative",
            "a Hessian that is not positive definite on the active set",
            "an isolated minimum",
            "Active columns depend on each other, or the penalty bends down more than the loss bends up: use \
             a larger alpha, a penalty with a ridge part, fewer features, or weaker concavity.",
        ));
    }
    let state = found.at.x.mapv(|v| if v.abs() <= f64::MIN_POSITIVE { 0.0 } else { v });
    let mut dstate = Array2::zeros((derivatives.len(), q));
    for (t, derivative) in derivatives.iter().enumerate() {
        let solved = found.system.solve(&manifold.mixed(&found.at.x, derivative));
        manifold.active.iter().zip(&solved).for_each(|(j, v)| dstate[[t, *j]] = -v);
    }
    let (eigenvalues, prox_curvature) = manifold.spectrum(&state, metric, index)?;
    let margin = manifold.margin(&found.at.g);
    let at_kink = margin < KINK
        || manifold.is_at_kink(&state, &scales, KINK)
        || manifold.rests_freely(&found.at.g, &scales, KINK);
    Ok(Solution { margin, at_kink, state, dstate, active: manifold.active, eigenvalues, prox_curvature })
}

/// The objective of a lane on the manifold of its active coefficients.
pub(super) struct Manifold<'a> {
    pub(super) objective: &'a Objective,
    pub(super) lane: &'a Lane,
    pub(super) active: Vec<usize>,
    /// The lane's strengths of l1 and l2.
    of_lane: (f64, f64),
    /// True if no bound restricts a coefficient.
    pub(super) is_unbounded: bool,
}

impl<'a> Manifold<'a> {
    /// The manifold of some rows.
    pub(super) fn of(objective: &'a Objective, lane: &'a Lane, active: Vec<usize>) -> Self {
        let (lower, upper) = objective.penalty().domain();
        let is_unbounded = lower.is_infinite() && upper.is_infinite();
        Manifold { objective, lane, active, of_lane: lane.strengths(objective), is_unbounded }
    }

    /// The manifold of the active rows of a state.
    pub(super) fn new(objective: &'a Objective, lane: &'a Lane, x: ArrayView1<'_, f64>) -> Self {
        let mut manifold = Self::of(objective, lane, Vec::new());
        let active = |j: &usize| manifold.is_free(*j) || objective.penalty().is_active(x[*j]);
        manifold.active = (0..x.len()).filter(active).collect();
        manifold
    }

    pub(super) fn strengths(&self, j: usize) -> (f64, f64) {
        let Some(factor) = self.objective.penalty_factors.get(j) else { return (0.0, 0.0) };
        let (l1, l2) = self.of_lane;
        (l1 * factor, l2 * factor)
    }

    /// Derivatives of the penalty at an active row.
    pub(super) fn penalty(&self, j: usize, x: f64) -> PenaltyDerivatives {
        if j >= self.objective.features() {
            return PenaltyDerivatives::default();
        }
        let (l1, l2) = self.strengths(j);
        self.objective.penalty().derivatives(x, l1, l2)
    }

    /// `X_Sᵀ diag(ω φ'') X_S` at predictions `z`.
    pub(super) fn loss_hessian(&self, z: &Array1<f64>) -> Mat<f64> {
        self.objective.design.weighted_gram(&self.curvatures(z), &self.active)
    }

    /// The same from that of another active set, for a loss whose curvature does not change: only the columns
    /// that are new are multiplied.
    pub(super) fn loss_hessian_from(&self, z: &Array1<f64>, (of, matrix): (&[usize], &Mat<f64>)) -> Mat<f64> {
        let place = |j: &usize| of.binary_search(j).ok();
        let new: Vec<usize> = self.active.iter().filter(|j| place(j).is_none()).copied().collect();
        if 2 * new.len() > self.active.len() {
            return self.loss_hessian(z);
        }
        let before: Vec<Option<usize>> = self.active.iter().map(place).collect();
        let mut hessian = Mat::zeros(self.active.len(), self.active.len());
        let kept: Vec<(usize, usize)> =
            before.iter().enumerate().filter_map(|(a, of)| of.map(|of| (a, of))).collect();
        for &(b, of) in &kept {
            let (column, from) = (hessian.col_as_slice_mut(b), matrix.col_as_slice(of));
            kept.iter().for_each(|(a, of)| column[*a] = from[*of]);
        }
        if new.is_empty() {
            return hessian;
        }
        let products = self.objective.design.weighted_products(&self.curvatures(z), &new, &self.active);
        let of_new = (0..before.len()).filter(|a| before[*a].is_none());
        for (row, a) in of_new.enumerate() {
            // Both halves from the same product, so that the matrix is symmetric.
            for b in (0..before.len()).filter(|b| before[*b].is_some() || *b <= a) {
                hessian[(a, b)] = products[(row, b)];
                hessian[(b, a)] = products[(row, b)];
            }
        }
        hessian
    }

    /// `[n]`: `ω φ''` at predictions `z`.
    pub(super) fn curvatures(&self, z: &Array1<f64>) -> Vec<f64> {
        let objective = self.objective;
        let of = |i: usize| (objective.weight[i] * objective.loss().d2(z[i], objective.target[i])).max(0.0);
        (0..z.len()).map(of).collect()
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
            let (dl1, dl2) = by.of_coefficient(*j, &objective.penalty_factors);
            let of_penalty = self.penalty(*j, state[*j]);
            dl1 * of_penalty.d1_by_l1 + dl2 * of_penalty.d1_by_l2 + by_target.as_ref().map_or(0.0, |v| v[*j])
        };
        self.active.iter().map(of).collect()
    }

    /// True if an active coefficient is almost at a kink, relative to its natural length.
    pub(super) fn is_at_kink(&self, x: &Array1<f64>, scales: &Scales, tolerance: f64) -> bool {
        let length = (2.0 * scales.loss).sqrt();
        let rests = self.objective.penalty().capabilities().zeros != Zeros::Absent;
        let has_kinks = |j: &&usize| {
            !self.is_free(**j) && scales.squares[**j] > 0.0 && !(rests && self.strengths(**j).0 == 0.0)
        };
        self.active.iter().filter(has_kinks).any(|&j| {
            let near = tolerance * length / scales.squares[j].sqrt();
            let kinks = self.objective.penalty().kinks(self.strengths(j).0);
            kinks.iter().any(|kink| (x[j] - kink).abs() < near)
        })
    }

    /// True if some inactive coefficient rests where nothing holds it: at a bound, or at zero without a
    /// threshold, with almost no gradient for its column.
    pub(super) fn rests_freely(&self, gradient: &Array1<f64>, scales: &Scales, tolerance: f64) -> bool {
        let has_threshold = |j: usize| {
            self.objective.penalty().capabilities().zeros != Zeros::Absent && self.strengths(j).0 > 0.0
        };
        let mut active = self.active.iter().peekable();
        (0..self.objective.features()).filter(|j| active.next_if_eq(&j).is_none()).any(|j| {
            let largest = scales.residual * scales.squares[j].sqrt();
            largest > 0.0 && !has_threshold(j) && gradient[j].abs() < tolerance * largest
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
        let mut hessian = self.loss_hessian(&z);
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
