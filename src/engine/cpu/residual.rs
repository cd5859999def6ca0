//! The residual: the loss's slope at the point where the gradient is taken.

use rayon::prelude::*;

use super::block::{Block, Rows};
use super::vector::vectorised;
use crate::objective::{LossFunction, Real, with_loss};

/// Where a gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// At `x`.
    Here,
    /// At `e = x + extrapolation (x − x₋)`, as the lane's step_params says.
    Ahead,
}

impl<T: Real> Block<'_, T> {
    /// `r = ω φ'(X e)` and `dr = ω (φ''(X e) X de + ∂_y φ' dy)`, with `X e = z + extrapolation (z − z_previous)` per lane.
    pub(super) fn residual(&mut self, probe: Probe) {
        with_loss!(self.common.loss, f => self.residual_of(f, probe));
        if probe == Probe::Ahead {
            self.store_extrapolated();
        }
    }

    fn residual_of<L: LossFunction>(&mut self, loss: L, probe: Probe) {
        let common = self.common;
        let (n, width) = (self.design.rows(), self.design.rows() * (1 + common.d));
        self.r
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&*self.slots)
            .for_each(|(((r, z), zp), slot)| {
                let (extrapolation, dextrapolation) = match probe {
                    Probe::Ahead => (slot.params.extrapolation, &slot.params.dextrapolation[..]),
                    Probe::Here => (T::zero(), &[][..]),
                };
                common.with_scratch(|scratch| {
                    let d2 = &mut scratch.d2[..n];
                    vectorised(LaneResidual {
                        loss,
                        rows: &common.rows,
                        extrapolation,
                        dextrapolation,
                        z,
                        zp,
                        r,
                        d2,
                    });
                });
            });
    }

    /// Predictions of `e`, where the schedule measures the curvature of the step that follows.
    fn store_extrapolated(&mut self) {
        let (n, width) = (self.design.rows(), self.design.rows() * (1 + self.common.d));
        let Some(extrapolated) = &mut self.extrapolated else { return };
        extrapolated
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&*self.slots)
            .for_each(|(((e, z), zp), slot)| {
                for i in 0..width {
                    e[i] = z[i] + slot.params.extrapolation * (z[i] - zp[i]);
                }
                for (t, dextrapolation) in slot.params.dextrapolation.iter().enumerate() {
                    for i in 0..n {
                        e[(t + 1) * n + i] += *dextrapolation * (z[i] - zp[i]);
                    }
                }
            });
    }
}

/// The residual of one lane; `d2` is room for `n` numbers.
struct LaneResidual<'a, T, L> {
    loss: L,
    rows: &'a Rows<T>,
    extrapolation: T,
    /// `[d]`, or empty.
    dextrapolation: &'a [T],
    z: &'a [T],
    zp: &'a [T],
    r: &'a mut [T],
    d2: &'a mut [T],
}

impl<T: Real, L: LossFunction> pulp::WithSimd for LaneResidual<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let LaneResidual { loss, rows, extrapolation, dextrapolation, z, zp, r, d2 } = self;
        let n = d2.len();
        let (y, weight) = (&rows.target[..n], &rows.weight[..n]);
        let (r, dr) = r.split_at_mut(n);
        let (z, dz) = z.split_at(n);
        let (zp, dzp) = zp.split_at(n);
        if dr.is_empty() {
            for i in 0..n {
                r[i] = weight[i] * loss.d1(z[i] + extrapolation * (z[i] - zp[i]), y[i]);
            }
            return;
        }
        for i in 0..n {
            let e = z[i] + extrapolation * (z[i] - zp[i]);
            r[i] = weight[i] * loss.d1(e, y[i]);
            d2[i] = weight[i] * loss.d2(e, y[i]);
        }
        let tangents = dr.chunks_exact_mut(n).zip(dz.chunks_exact(n)).zip(dzp.chunks_exact(n));
        for (t, ((dr, dz), dzp)) in tangents.enumerate() {
            for i in 0..n {
                dr[i] = d2[i] * (dz[i] + extrapolation * (dz[i] - dzp[i]));
            }
            if let Some(dextrapolation) = dextrapolation.get(t).filter(|v| **v != T::zero()) {
                for i in 0..n {
                    dr[i] += d2[i] * *dextrapolation * (z[i] - zp[i]);
                }
            }
            if let Some(dy) = rows.target_tangent.get(t) {
                for i in 0..n {
                    let e = z[i] + extrapolation * (z[i] - zp[i]);
                    dr[i] += weight[i] * loss.d1_by_target(e, y[i]) * dy[i];
                }
            }
        }
    }
}
