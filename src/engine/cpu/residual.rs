//! The residual: the derivative of the loss at the point where the gradient is taken.

use rayon::prelude::*;

use super::block::{Block, Predictions};
use super::shared::Rows;
use super::vector::{extrapolate, vectorised};
use crate::lanes::StepParams;
use crate::objective::{LossFunction, Real, with_loss};

/// The point at which a gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At `x`.
    Iterate,
    /// At `e = x + β_e (x − x₋)`, with the extrapolation coefficient `β_e` of each lane's step parameters.
    Extrapolated,
}

impl At {
    /// The extrapolation coefficient `β_e` of a lane, and its tangents, which are empty if they are zero.
    pub(super) fn of<T: Real>(self, params: &StepParams<T>) -> (T, &[T]) {
        match self {
            At::Extrapolated => (params.extrapolation, &params.dextrapolation),
            At::Iterate => (T::zero(), &[]),
        }
    }
}

impl<T: Real> Block<'_, T> {
    /// `r = ω φ'(X e)` and `dr = ω (φ''(X e) X de + ∂_y φ' dy)`, with `X e = z + β_e (z − z₋)` per lane.
    /// With a Gram matrix it isn't needed, and stays what it was.
    pub(super) fn residual(&mut self, at: At) {
        if self.has_gram() {
            return;
        }
        with_loss!(self.shared.loss, f => self.residual_of(f, at));
    }

    fn residual_of<L: LossFunction>(&mut self, loss: L, at: At) {
        let fewest = self.lanes_per_task();
        let shared = self.shared;
        let (n, _) = shared.shape();
        let width = n * shared.width();
        let Predictions { z, z_previous, r, .. } = self.predictions.each_mut();
        r.par_chunks_exact_mut(width)
            .zip(z.par_chunks_exact(width))
            .zip(z_previous.par_chunks_exact(width))
            .zip(&*self.lanes)
            .with_min_len(fewest)
            .for_each(|(((r, z), z_previous), lane)| {
                let (extrapolation, dextrapolation) = at.of(&lane.params);
                shared.with_scratch(|scratch| {
                    vectorised(LaneResidual {
                        loss,
                        rows: &shared.rows,
                        weight: shared.weight(lane.fold),
                        extrapolation,
                        dextrapolation,
                        z,
                        z_previous,
                        r,
                        d2: &mut scratch.d2[..n],
                    });
                });
            });
    }

    /// Stores the predictions `X e` and `X de`, if a rule measures the curvature of the next step.
    pub(super) fn store_extrapolated(&mut self) {
        let fewest = self.lanes_per_task();
        let n = self.shared.shape().0;
        let width = n * self.shared.width();
        let Predictions { z, z_previous, extrapolated, .. } = self.predictions.each_mut();
        extrapolated
            .par_chunks_exact_mut(width)
            .zip(z.par_chunks_exact(width))
            .zip(z_previous.par_chunks_exact(width))
            .zip(&*self.lanes)
            .with_min_len(fewest)
            .for_each(|(((e, z), z_previous), lane)| {
                for i in 0..width {
                    e[i] = extrapolate(z[i], z_previous[i], lane.params.extrapolation);
                }
                for (t, dextrapolation) in lane.params.dextrapolation.iter().enumerate() {
                    for i in 0..n {
                        e[(t + 1) * n + i] += *dextrapolation * (z[i] - z_previous[i]);
                    }
                }
            });
    }
}

/// The residual of one lane; `d2` is a buffer of `n` numbers.
struct LaneResidual<'a, T, L> {
    loss: L,
    rows: &'a Rows<T>,
    /// `[n]`.
    weight: &'a [T],
    extrapolation: T,
    /// `[d]`, or empty.
    dextrapolation: &'a [T],
    z: &'a [T],
    z_previous: &'a [T],
    r: &'a mut [T],
    d2: &'a mut [T],
}

impl<T: Real, L: LossFunction> pulp::WithSimd for LaneResidual<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let LaneResidual { loss, rows, weight, extrapolation, dextrapolation, z, z_previous, r, d2 } = self;
        let n = d2.len();
        let (y, weight) = (&rows.target[..n], &weight[..n]);
        let (r, dr) = r.split_at_mut(n);
        let (z, dz) = z.split_at(n);
        let (zp, dzp) = z_previous.split_at(n);
        if dr.is_empty() {
            for i in 0..n {
                r[i] = weight[i] * loss.d1(extrapolate(z[i], zp[i], extrapolation), y[i]);
            }
            return;
        }
        for i in 0..n {
            let e = extrapolate(z[i], zp[i], extrapolation);
            r[i] = weight[i] * loss.d1(e, y[i]);
            d2[i] = weight[i] * loss.d2(e, y[i]);
        }
        let tangents = dr.chunks_exact_mut(n).zip(dz.chunks_exact(n)).zip(dzp.chunks_exact(n));
        for (t, ((dr, dz), dzp)) in tangents.enumerate() {
            for i in 0..n {
                dr[i] = d2[i] * extrapolate(dz[i], dzp[i], extrapolation);
            }
            if let Some(dextrapolation) = dextrapolation.get(t).filter(|v| **v != T::zero()) {
                for i in 0..n {
                    dr[i] += d2[i] * *dextrapolation * (z[i] - zp[i]);
                }
            }
            if let Some(dy) = rows.target_tangent.get(t) {
                for i in 0..n {
                    let e = extrapolate(z[i], zp[i], extrapolation);
                    dr[i] += weight[i] * loss.d1_by_target(e, y[i]) * dy[i];
                }
            }
        }
    }
}
