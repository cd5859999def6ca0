//! The residual: the loss's slope at the point where the gradient is taken.

use rayon::prelude::*;

use super::part::{Part, Rows};
use super::vector::vectorised;
use crate::problem::{LossFunction, Real, with_loss};

/// Where a gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// At `x`.
    Here,
    /// At `e = x + look (x − x₋)`, as the lane's directive says.
    Ahead,
}

impl<T: Real> Part<'_, T> {
    /// `r = ω φ'(X e)` and `dr = ω (φ''(X e) X de + ∂_y φ' dy)`, with `X e = z + look (z − z_previous)` per lane.
    pub(super) fn residual(&mut self, probe: Probe) {
        with_loss!(self.common.loss, f => self.residual_of(f, probe));
        if probe == Probe::Ahead {
            self.keep_extrapolated();
        }
    }

    fn residual_of<L: LossFunction>(&mut self, loss: L, probe: Probe) {
        let common = self.common;
        let (n, width) = (self.design.n, self.design.n * (1 + common.d));
        self.r
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&*self.seats)
            .for_each(|(((r, z), zp), seat)| {
                let (look, dlook) = match probe {
                    Probe::Ahead => (seat.told.look, &seat.told.dlook[..]),
                    Probe::Here => (T::zero(), &[][..]),
                };
                common.with_scratch(|scratch| {
                    let curve = &mut scratch.curve[..n];
                    vectorised(LaneResidual { loss, rows: &common.rows, look, dlook, z, zp, r, curve });
                });
            });
    }

    /// Predictions of `e`, where the schedule measures the curvature of the step that follows.
    fn keep_extrapolated(&mut self) {
        let (n, width) = (self.design.n, self.design.n * (1 + self.common.d));
        let Some(extrapolated) = &mut self.extrapolated else { return };
        extrapolated
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&*self.seats)
            .for_each(|(((e, z), zp), seat)| {
                for i in 0..width {
                    e[i] = z[i] + seat.told.look * (z[i] - zp[i]);
                }
                for (t, dlook) in seat.told.dlook.iter().enumerate() {
                    for i in 0..n {
                        e[(t + 1) * n + i] += *dlook * (z[i] - zp[i]);
                    }
                }
            });
    }
}

/// The residual of one lane; `curve` is room for `n` numbers.
struct LaneResidual<'a, T, L> {
    loss: L,
    rows: &'a Rows<T>,
    look: T,
    /// `[d]`, or empty.
    dlook: &'a [T],
    z: &'a [T],
    zp: &'a [T],
    r: &'a mut [T],
    curve: &'a mut [T],
}

impl<T: Real, L: LossFunction> pulp::WithSimd for LaneResidual<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let LaneResidual { loss, rows, look, dlook, z, zp, r, curve } = self;
        let n = curve.len();
        let (y, weight) = (&rows.target[..n], &rows.weight[..n]);
        let (r, dr) = r.split_at_mut(n);
        let (z, dz) = z.split_at(n);
        let (zp, dzp) = zp.split_at(n);
        if dr.is_empty() {
            for i in 0..n {
                r[i] = weight[i] * loss.slope(z[i] + look * (z[i] - zp[i]), y[i]);
            }
            return;
        }
        for i in 0..n {
            let e = z[i] + look * (z[i] - zp[i]);
            r[i] = weight[i] * loss.slope(e, y[i]);
            curve[i] = weight[i] * loss.curve(e, y[i]);
        }
        let tangents = dr.chunks_exact_mut(n).zip(dz.chunks_exact(n)).zip(dzp.chunks_exact(n));
        for (t, ((dr, dz), dzp)) in tangents.enumerate() {
            for i in 0..n {
                dr[i] = curve[i] * (dz[i] + look * (dz[i] - dzp[i]));
            }
            if let Some(dlook) = dlook.get(t).filter(|v| **v != T::zero()) {
                for i in 0..n {
                    dr[i] += curve[i] * *dlook * (z[i] - zp[i]);
                }
            }
            if let Some(dy) = rows.target_tangent.get(t) {
                for i in 0..n {
                    let e = z[i] + look * (z[i] - zp[i]);
                    dr[i] += weight[i] * loss.slope_by_target(e, y[i]) * dy[i];
                }
            }
        }
    }
}
