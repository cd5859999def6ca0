//! The stop rule: duality gap or stationarity of the iterate, and the residual of its derivatives.

use rayon::prelude::*;

use super::super::LaneOutcome;
use super::passes::{Probe, distance, norm, sum};
use super::state::State;
use crate::problem::{LossFunction, PenaltyFunction, Prox, Real, with_loss, with_penalty};

impl LaneOutcome {
    /// Whether both the iterate and its derivatives are within `tol`.
    pub(crate) fn meets(&self, tol: f64) -> bool {
        // A NaN compares false: no convergence.
        self.gap.unwrap_or(self.stationarity) <= tol && self.derivative_residual <= tol
    }
}

impl<T: Real> State<T> {
    /// Measures every active lane at its iterate `x`: one more product `Xᵀ r`, at `x` itself.
    ///
    /// With `u = s ω φ'(X x)` and `v = −Xᵀ u`, `s ≤ 1` making `v` feasible, the gap is the sum of the Fenchel–Young terms
    /// of loss and penalty: all non-negative, so nothing cancels (Fenchel 1949; for the lasso, El Ghaoui et al. 2012).
    pub(super) fn criterion(&mut self) {
        self.residual(Probe::Here);
        self.gradient();
        with_penalty!(self.penalty, f => self.scale_dual(f));
        with_loss!(self.loss, f => self.gap_of_loss(f));
        with_penalty!(self.penalty, f => self.gap_of_penalty_and_residuals(f));
    }

    /// The scale `s` that makes the dual point feasible.
    fn scale_dual<P: PenaltyFunction>(&mut self, penalty: P) {
        let (q, d) = (self.q, self.d);
        let (g, factors, numbers, active) = (&self.g, &self.factors, &self.numbers, &self.active);
        self.measures.par_iter_mut().enumerate().for_each(|(slot, measures)| {
            let i = active[slot];
            let (l1, l2) = (T::of(numbers.l1[i]), T::of(numbers.l2[i]));
            let lane = &g[slot * (1 + d) * q..][..numbers.penalised];
            let ratio = (0..lane.len())
                .map(|j| penalty.dual_ratio(-lane[j], l1 * factors[j], l2 * factors[j]))
                .fold(T::one(), |a, b| if b > a { b } else { a });
            measures.dual_scale = (T::one() / ratio).f64();
        });
    }

    fn gap_of_loss<L: LossFunction>(&mut self, loss: L) {
        let (n, d) = (self.n, self.d);
        let (z, y, weight, numbers, active) =
            (&self.z, &self.target[..n], &self.weight[..n], &self.numbers, &self.active);
        self.measures.par_iter_mut().enumerate().for_each(|(slot, measures)| {
            let (lane, scale) = (&z[slot * (1 + d) * n..][..n], T::of(measures.dual_scale));
            measures.gap =
                numbers.has_gap[active[slot]].then(|| sum(n, |i| weight[i] * loss.gap(lane[i], y[i], scale)).f64());
        });
    }

    fn gap_of_penalty_and_residuals<P: PenaltyFunction>(&mut self, penalty: P) {
        let (q, d) = (self.q, self.d);
        let (x, g, factors) = (&self.x, &self.g, &self.factors[..q]);
        let (numbers, active) = (&self.numbers, &self.active);
        self.measures.par_iter_mut().enumerate().for_each_init(
            || vec![Prox::identity(T::zero()); q],
            |prox, (slot, measures)| {
                let i = active[slot];
                let column = |t: usize| (slot * (1 + d) + t) * q..(slot * (1 + d) + t + 1) * q;
                let (l1, l2) = (T::of(numbers.l1[i]), T::of(numbers.l2[i]));
                let (lane_x, lane_g) = (&x[column(0)], &g[column(0)]);
                let strengths = |j: usize| (l1 * factors[j], l2 * factors[j]);

                let scale = T::of(measures.dual_scale);
                measures.gap = measures.gap.map(|of_loss| {
                    let of_penalty = sum(numbers.penalised, |j| {
                        penalty.gap(lane_x[j], -scale * lane_g[j], strengths(j).0, strengths(j).1)
                    });
                    (of_loss + of_penalty.f64()) / numbers.gap_unit
                });

                let a = T::of(numbers.probe_step[i]);
                let ridge = if P::RIDGE_IN_LOSS { l2 } else { T::zero() };
                for j in 0..q {
                    let w = lane_x[j] - a * (lane_g[j] + ridge * factors[j] * lane_x[j]);
                    prox[j] = if j < numbers.penalised {
                        penalty.prox(w, a, strengths(j).0, strengths(j).1)
                    } else {
                        Prox::identity(w)
                    };
                }
                let image: Vec<T> = prox.iter().map(|p| p.value).collect();
                measures.stationarity = relative(lane_x, &image);

                measures.derivative_residual = 0.0;
                for t in (0..d).filter(|t| numbers.tested[*t]) {
                    let (dx, dg) = (&x[column(t + 1)], &g[column(t + 1)]);
                    let (dl1, dl2) = (T::of(numbers.dl1[[i, t]]), T::of(numbers.dl2[[i, t]]));
                    let image: Vec<T> = (0..q)
                        .map(|j| {
                            let moves = match numbers.only[t] {
                                None => factors[j],
                                Some(feature) if feature == j => T::one(),
                                Some(_) => T::zero(),
                            };
                            let dridge = if P::RIDGE_IN_LOSS { dl2 * moves } else { T::zero() };
                            let dw = dx[j] - a * (dg[j] + ridge * factors[j] * dx[j] + dridge * lane_x[j]);
                            prox[j].by_input * dw + moves * (prox[j].by_l1 * dl1 + prox[j].by_l2 * dl2)
                        })
                        .collect();
                    let residual = relative(dx, &image);
                    // `max` would swallow a NaN.
                    if residual > measures.derivative_residual || residual.is_nan() {
                        measures.derivative_residual = residual;
                    }
                }
            },
        );
    }
}

/// `‖a − b‖ / max(‖a‖, ‖b‖)`, 0 where both vanish.
fn relative<T: Real>(a: &[T], b: &[T]) -> f64 {
    let size = norm(a).max(norm(b)).f64();
    if size == 0.0 { 0.0 } else { distance(a, b).f64() / size }
}
