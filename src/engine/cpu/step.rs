//! The step of all lanes of a block, and the measurements of it that the schedules' rules use.

use rayon::prelude::*;

use super::block::{Block, Iterates};
use super::prox::{Partials, Primal, ProxStep, Tangent};
use super::vector::{sum, vectorised};
use crate::lanes::Seen;
use crate::objective::{PenaltyFunction, Real, with_penalty};

impl<T: Real> Block<'_, T> {
    /// `x⁺ = prox(y − α D g)`, `y = x + β(x − x₋)`, and the tangents `dx⁺ = J dw + ∂_u prox`. The new iterate
    /// replaces the previous one, and the two swap names. A lane that ended keeps its state.
    pub(super) fn step(&mut self) {
        with_penalty!(self.shared.penalty, f => self.step_of(f));
        self.coefficients.swap();
    }

    fn step_of<P: PenaltyFunction>(&mut self, penalty: P) {
        let fewest = self.lanes_per_task();
        let shared = self.shared;
        let measures_curvature = !self.predictions.extrapolated.is_empty();
        let (columns, Iterates { x, x_previous, g, metric }) = self.coefficients.current();
        let q = columns.design.columns();
        let width = q * shared.width();
        let metric = &*metric;
        x_previous
            .par_chunks_exact_mut(width)
            .zip(x.par_chunks_exact(width))
            .zip(g.par_chunks_exact(width))
            .zip(&mut *self.lanes)
            .enumerate()
            .with_min_len(fewest)
            .for_each(|(i, (((xp, x), g), lane))| {
                if !lane.is_running() {
                    xp.copy_from_slice(x);
                    return;
                }
                let metric = if metric.is_empty() { metric } else { &metric[i * width..(i + 1) * width] };
                let step =
                    ProxStep::next(penalty, columns, (&lane.numbers, &lane.params), metric, &shared.ones);
                let seen = &mut lane.control.seen;
                shared.with_scratch(|scratch| {
                    let partials = &mut scratch.partials;
                    let (xp, dxp) = xp.split_at_mut(q);
                    let ((x, dx), (g, dg)) = (x.split_at(q), g.split_at(q));
                    let keeps_y = shared.watches_restarts;
                    vectorised(Primal { step: &step, x_previous: xp, x, g, partials, keeps_y });
                    if shared.watches_restarts {
                        seen.restart = sum(q, |j| (partials.y[j] - xp[j]) * (xp[j] - x[j]));
                    }
                    if measures_curvature {
                        step.see_curvature(xp, partials, seen);
                    }
                    let tangents = dxp.chunks_exact_mut(q).zip(dx.chunks_exact(q)).zip(dg.chunks_exact(q));
                    for (t, ((dxp, dx), dg)) in tangents.enumerate() {
                        if !lane.params.tangents {
                            dxp.fill(T::zero());
                            continue;
                        }
                        if measures_curvature {
                            step.store_tangent_of_e(t, dx, dxp, partials);
                        }
                        vectorised(Tangent { step: &step, t, dx_previous: dxp, dx, dg, partials });
                        if measures_curvature {
                            step.see_curvature_tangent(t, dxp, partials, seen);
                        }
                    }
                });
            });
    }
}

impl<T: Real, P: PenaltyFunction> ProxStep<'_, T, P> {
    /// `‖s‖²` and the ridge term of `⟨s, ∇f(x⁺) − ∇f(e)⟩`, `s = x⁺ − e`.
    fn see_curvature(&self, x: &[T], partials: &mut Partials<T>, seen: &mut Seen<T>) {
        let Partials { s, e, .. } = partials;
        (0..x.len()).for_each(|j| s[j] = x[j] - e[j]);
        seen.square = sum(x.len(), |j| s[j] * s[j]);
        seen.secant = sum(x.len(), |j| self.ridge(j) * s[j] * s[j]);
    }

    /// Their tangents.
    fn see_curvature_tangent(&self, t: usize, dx: &[T], partials: &Partials<T>, seen: &mut Seen<T>) {
        let Partials { s, de, .. } = partials;
        let ds = |j: usize| dx[j] - de[j];
        seen.dsquare[t] = sum(dx.len(), |j| (s[j] + s[j]) * ds(j));
        seen.dsecant[t] =
            sum(dx.len(), |j| s[j] * (self.dridge(t, j) * s[j] + self.ridge(j) * (ds(j) + ds(j))));
    }
}
