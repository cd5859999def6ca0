//! The stop rule: duality gap or stationarity of the iterate, and the residual of its derivatives.

use rayon::prelude::*;

use super::super::LaneOutcome;
use super::block::Block;
use super::step::strength_seed;
use super::vector::sum;
use crate::objective::{
    LossDual, LossFunction, PenaltyDual, PenaltyFunction, Prox, Real, with_loss, with_penalty,
};

impl LaneOutcome {
    /// Whether both the iterate and its derivatives are within `tol`.
    pub(crate) fn meets(&self, tol: f64) -> bool {
        // A NaN compares false: no convergence.
        self.gap.unwrap_or(self.stationarity) <= tol && self.derivative_residual <= tol
    }
}

impl<T: Real> Block<'_, T> {
    /// Measures every lane at its iterate `x`, given the residual there: one more product `Xᵀ r`.
    ///
    /// With `u = s ω φ'(X x)` and `v = −Xᵀ u`, `s ≤ 1` making `v` feasible, the gap is the sum of the Fenchel–Young terms
    /// of loss and penalty: all non-negative, so nothing cancels (Fenchel 1949; for the lasso, El Ghaoui et al. 2012).
    pub(super) fn measure(&mut self) {
        self.gradient();
        with_penalty!(self.common.penalty, f => self.scale_dual(f));
        with_loss!(self.common.loss, f => self.gap_of_loss(f));
        with_penalty!(self.common.penalty, f => self.gap_of_penalty_and_residuals(f));
    }

    /// The scale `s` that makes the dual point feasible.
    fn scale_dual<P: PenaltyFunction>(&mut self, penalty: P) {
        let width = self.design.q * (1 + self.common.d);
        let (factors, penalised, dual) = (self.factors, self.penalised, penalty.dual());
        self.slots.par_iter_mut().zip(self.g.par_chunks_exact(width)).for_each(|(slot, g)| {
            let (l1, l2) = (T::of(slot.numbers.l1), T::of(slot.numbers.l2));
            let ratio = (0..penalised)
                .map(|j| dual.dual_ratio(-g[j], l1 * factors[j], l2 * factors[j]))
                .fold(T::one(), |a, b| if b > a { b } else { a });
            slot.measures.dual_scale = (T::one() / ratio).f64();
        });
    }

    fn gap_of_loss<L: LossFunction>(&mut self, loss: L) {
        let rows = &self.common.rows;
        let (n, width) = (self.design.n, self.design.n * (1 + self.common.d));
        let (y, weight, dual) = (&rows.target[..n], &rows.weight[..n], loss.dual());
        self.slots.par_iter_mut().zip(self.z.par_chunks_exact(width)).for_each(|(slot, z)| {
            let (z, scale) = (&z[..n], T::of(slot.measures.dual_scale));
            let gap = || sum(n, |i| weight[i] * dual.gap(z[i], y[i], scale)).f64();
            slot.measures.gap = slot.numbers.has_gap.then(gap);
        });
    }

    fn gap_of_penalty_and_residuals<P: PenaltyFunction>(&mut self, penalty: P) {
        let common = self.common;
        let q = self.design.q;
        let (factors, penalised, factor_seeds) = (self.factors, self.penalised, self.factor_seeds);
        let width = q * (1 + common.d);
        let lanes =
            self.slots.par_iter_mut().zip(self.x.par_chunks_exact(width)).zip(self.g.par_chunks_exact(width));
        lanes.for_each(|((slot, x), g)| {
            common.with_scratch(|scratch| {
                let (prox, image) = (&mut scratch.partials.prox[..q], &mut scratch.partials.image[..q]);
                let numbers = &slot.numbers;
                let (l1, l2) = (T::of(numbers.l1), T::of(numbers.l2));
                let ((x, dx), (g, dg)) = (x.split_at(q), g.split_at(q));
                let measures = &mut slot.measures;

                let scale = T::of(measures.dual_scale);
                measures.gap = measures.gap.map(|of_loss| {
                    let of_penalty = sum(penalised, |j| {
                        penalty.dual().gap(x[j], -scale * g[j], l1 * factors[j], l2 * factors[j])
                    });
                    (of_loss + of_penalty.f64()) / common.gap_unit
                });

                let a = T::of(numbers.probe_step);
                let ridge = if P::RIDGE_IN_LOSS { l2 } else { T::zero() };
                for j in 0..q {
                    let w = x[j] - a * (g[j] + ridge * factors[j] * x[j]);
                    prox[j] = if j < penalised {
                        penalty.prox(w, a, l1 * factors[j], l2 * factors[j])
                    } else {
                        Prox::identity(w)
                    };
                    image[j] = prox[j].value;
                }
                measures.stationarity = relative(x, image);

                measures.derivative_residual = 0.0;
                let tangents = dx.chunks_exact(q).zip(dg.chunks_exact(q)).enumerate();
                for (t, (dx, dg)) in tangents.filter(|(t, _)| common.tested[*t]) {
                    let (dl1, dl2) = (T::of(numbers.dl1[t]), T::of(numbers.dl2[t]));
                    for j in 0..q {
                        let moves = strength_seed(factor_seeds[t], factors, j);
                        let dridge = if P::RIDGE_IN_LOSS { dl2 * moves } else { T::zero() };
                        let dw = dx[j] - a * (dg[j] + ridge * factors[j] * dx[j] + dridge * x[j]);
                        image[j] =
                            prox[j].by_input * dw + moves * (prox[j].by_l1 * dl1 + prox[j].by_l2 * dl2);
                    }
                    let residual = relative(dx, image);
                    // `max` would swallow a NaN.
                    if residual > measures.derivative_residual || residual.is_nan() {
                        measures.derivative_residual = residual;
                    }
                }
            });
        });
    }
}

/// `‖a − b‖ / max(‖a‖, ‖b‖)`, 0 where both vanish.
fn relative<T: Real>(a: &[T], b: &[T]) -> f64 {
    let norm = |a: &[T]| sum(a.len(), |j| a[j] * a[j]).sqrt();
    let size = norm(a).max(norm(b)).f64();
    if size == 0.0 { 0.0 } else { sum(a.len(), |j| (a[j] - b[j]) * (a[j] - b[j])).sqrt().f64() / size }
}
