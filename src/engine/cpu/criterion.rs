//! The stop rule: duality gap or stationarity of the iterate, and the residual of its derivatives.

use rayon::prelude::*;

use super::super::LaneOutcome;
use super::block::{Block, Iterates};
use super::lane::Measures;
use super::prox::{Primal, ProxStep, Tangent};
use super::shared::Scratch;
use super::vector::{sum, vectorised};
use crate::lanes::LaneNumbers;
use crate::objective::{LossDual, LossFunction, PenaltyDual, PenaltyFunction, Real, with_loss, with_penalty};

impl LaneOutcome {
    /// True if both the iterate and its derivatives are within `tol`.
    pub(crate) fn meets(&self, tol: f64) -> bool {
        // A NaN compares false: no convergence.
        self.gap.unwrap_or(self.stationarity) <= tol && self.derivative_residual <= tol
    }
}

impl<T: Real> Block<'_, T> {
    /// Measures the stop rule of every lane at its iterate `x`, given residual and gradient at `x`.
    ///
    /// With `u = s ω φ'(X x)` and `v = −Xᵀ u`, where `s ≤ 1` makes `v` feasible, the gap is the sum of the
    /// Fenchel–Young terms of loss and penalty: all are non-negative, so there is no cancellation (Fenchel
    /// 1949; for the lasso, El Ghaoui et al. 2012).
    pub(super) fn measure(&mut self) {
        with_penalty!(self.shared.penalty, f => self.scale_dual(f));
        with_loss!(self.shared.loss, f => self.gap_of_loss(f));
        with_penalty!(self.shared.penalty, f => self.gap_of_penalty(f));
        with_penalty!(self.shared.penalty, f => self.fixed_point_residual(f));
    }

    /// The scale `s` that makes the dual point feasible.
    fn scale_dual<P: PenaltyFunction>(&mut self, penalty: P) {
        let fewest = self.lanes_per_task();
        let (columns, Iterates { g, .. }) = self.coefficients.current();
        let (factors, penalised, dual) = (&columns.factors[..], columns.penalised, penalty.dual());
        let g = g.par_chunks_exact(columns.design.columns() * self.shared.width());
        self.lanes.par_iter_mut().zip(g).with_min_len(fewest).for_each(|(lane, g)| {
            let (l1, l2) = (T::of(lane.numbers.l1), T::of(lane.numbers.l2));
            let ratio = (0..penalised)
                .map(|j| dual.dual_ratio(-g[j], l1 * factors[j], l2 * factors[j]))
                .fold(T::one(), |a, b| if b > a { b } else { a });
            lane.measures.dual_scale = (T::one() / ratio).f64();
        });
    }

    fn gap_of_loss<L: LossFunction>(&mut self, loss: L) {
        let fewest = self.lanes_per_task();
        let n = self.shared.shape().0;
        let shared = self.shared;
        let y = &shared.rows.target[..n];
        let dual = loss.dual();
        let z = self.predictions.z.par_chunks_exact(n * self.shared.width());
        self.lanes.par_iter_mut().zip(z).with_min_len(fewest).for_each(|(lane, z)| {
            let weight = &shared.weight(lane.fold)[..n];
            let (z, scale) = (&z[..n], T::of(lane.measures.dual_scale));
            let gap = || sum(n, |i| weight[i] * dual.gap(z[i], y[i], scale)).f64();
            lane.measures.gap = lane.numbers.has_gap.then(gap);
        });
    }

    /// Adds the penalty term to the gap, and makes it relative.
    fn gap_of_penalty<P: PenaltyFunction>(&mut self, penalty: P) {
        let fewest = self.lanes_per_task();
        let (columns, Iterates { x, g, .. }) = self.coefficients.current();
        let (factors, penalised, dual) = (&columns.factors[..], columns.penalised, penalty.dual());
        let width = columns.design.columns() * self.shared.width();
        let lanes = self.lanes.par_iter_mut().zip(x.par_chunks_exact(width)).zip(g.par_chunks_exact(width));
        lanes.with_min_len(fewest).for_each(|((lane, x), g)| {
            let (l1, l2) = (T::of(lane.numbers.l1), T::of(lane.numbers.l2));
            let scale = T::of(lane.measures.dual_scale);
            lane.measures.gap = lane.measures.gap.map(|of_loss| {
                let of_penalty =
                    sum(penalised, |j| dual.gap(x[j], -scale * g[j], l1 * factors[j], l2 * factors[j]));
                (of_loss + of_penalty.f64()) / self.shared.gap_unit
            });
        });
    }

    /// The length of a step of size `1/L` from the iterate, and the change of the derivatives by it.
    fn fixed_point_residual<P: PenaltyFunction>(&mut self, penalty: P) {
        let fewest = self.lanes_per_task();
        let shared = self.shared;
        let (columns, Iterates { x, g, .. }) = self.coefficients.current();
        let width = columns.design.columns() * shared.width();
        let lanes = self.lanes.par_iter_mut().zip(x.par_chunks_exact(width)).zip(g.par_chunks_exact(width));
        lanes.with_min_len(fewest).for_each(|((lane, x), g)| {
            let step = ProxStep::fixed_point(penalty, columns, &lane.numbers, &shared.ones);
            let (numbers, measures) = (&lane.numbers, &mut lane.measures);
            shared.with_scratch(|scratch| step.residual((x, g), &shared.tested, numbers, scratch, measures));
        });
    }
}

impl<T: Real, P: PenaltyFunction> ProxStep<'_, T, P> {
    /// `‖x − T(x)‖` and `‖dx − DT(x, dx)‖`, relative, of a lane's columns `[1 + d, q]`, for
    /// the `tested` tangents.
    fn residual(
        &self,
        (x, g): (&[T], &[T]),
        tested: &[bool],
        numbers: &LaneNumbers,
        scratch: &mut Scratch<T>,
        measures: &mut Measures,
    ) {
        let q = x.len() / (1 + tested.len());
        let ((x, dx), (g, dg)) = (x.split_at(q), g.split_at(q));
        // The step reads the previous iterate from its output: here, the iterate itself.
        let (image, partials) = (&mut scratch.image[..q], &mut scratch.partials);
        image.copy_from_slice(x);
        vectorised(Primal { step: self, x_previous: image, x, g, partials, keeps_y: false });
        let length = norm(x).max(norm(image)).f64().max(numbers.least_norm);
        measures.stationarity = relative(x, image, numbers.least_norm);

        measures.derivative_residual = 0.0;
        let tangents = dx.chunks_exact(q).zip(dg.chunks_exact(q)).enumerate();
        for (t, (dx, dg)) in tangents.filter(|(t, _)| tested[*t]) {
            image.copy_from_slice(dx);
            vectorised(Tangent { step: self, t, dx_previous: image, dx, dg, partials });
            let residual = relative(dx, image, numbers.least_tangents[t] * length);
            // `max` would drop a NaN.
            if residual > measures.derivative_residual || residual.is_nan() {
                measures.derivative_residual = residual;
            }
        }
    }
}

fn norm<T: Real>(a: &[T]) -> T {
    sum(a.len(), |j| a[j] * a[j]).sqrt()
}

/// `‖a − b‖ / max(‖a‖, ‖b‖, least)`, 0 if all vanish.
fn relative<T: Real>(a: &[T], b: &[T], least: f64) -> f64 {
    let size = norm(a).max(norm(b)).f64().max(least);
    if size == 0.0 { 0.0 } else { sum(a.len(), |j| (a[j] - b[j]) * (a[j] - b[j])).sqrt().f64() / size }
}
