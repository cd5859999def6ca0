//! The diagonal of the metric, lane by lane, with its tangents.

use rayon::prelude::*;

use super::block::Block;
use crate::design::Design;
use crate::lanes::MetricSource;
use crate::objective::{LossFunction, Real, with_loss};

impl<T: Real> Block<'_, T> {
    /// Sets the metric of the lanes that refresh it now; `squares` is the design squared, where curvatures are asked for.
    pub(super) fn refresh_metric(&mut self, source: &MetricSource, squares: Option<&Design<T>>) {
        if self.metric.is_none() {
            return;
        }
        let due: Vec<bool> =
            self.slots.iter().map(|slot| source.refreshes(slot.outcome.iterations)).collect();
        if !due.contains(&true) {
            return;
        }
        if let (MetricSource::Hessian { gain, bound, .. }, Some(squares)) = (source, squares) {
            with_loss!(self.common.loss, f => self.curvatures(f));
            squares.apply_t(self.g, self.r, self.threads);
            return self.invert_curvatures(*gain, bound.as_slice().expect("a vector of its own"), &due);
        }
        let (q, width) = (self.design.columns(), self.design.columns() * (1 + self.common.d));
        let Some(metric) = &mut self.metric else { return };
        let lanes = metric.chunks_exact_mut(width).zip(&*self.slots).zip(&due).filter(|(_, due)| **due);
        for ((columns, slot), _) in lanes {
            let entry = |j: usize| T::of(source.entry(slot.outcome.iterations, slot.lane, j));
            columns[..q].iter_mut().enumerate().for_each(|(j, d)| *d = entry(j));
        }
    }

    /// `r = ω φ''(z)` and `dr = ω φ'''(z) dz`.
    fn curvatures<L: LossFunction>(&mut self, loss: L) {
        let (n, width) = (self.design.rows(), self.design.rows() * (1 + self.common.d));
        let rows = &self.common.rows;
        let (y, weight) = (&rows.target[..n], &rows.weight[..n]);
        self.r.par_chunks_exact_mut(width).zip(self.z.par_chunks_exact(width)).for_each(|(r, z)| {
            for i in 0..n {
                r[i] = weight[i] * loss.d2(z[i], y[i]);
            }
            let (z, dz) = z.split_at(n);
            for (dr, dz) in r[n..].chunks_exact_mut(n).zip(dz.chunks_exact(n)) {
                for i in 0..n {
                    dr[i] = weight[i] * loss.d3(z[i], y[i]) * dz[i];
                }
            }
        });
    }

    /// `d = 1/h` held between `1/bound` and `gain/bound`, where it does not move.
    fn invert_curvatures(&mut self, gain: f64, bound: &[f64], due: &[bool]) {
        let (q, width) = (self.design.columns(), self.design.columns() * (1 + self.common.d));
        let Some(metric) = &mut self.metric else { return };
        let lanes = metric.chunks_exact_mut(width).zip(self.g.chunks_exact(width)).zip(due);
        for ((metric, h), _) in lanes.filter(|(_, due)| **due) {
            let (d, dd) = metric.split_at_mut(q);
            for j in 0..q {
                // A column of zeros has no curvature: any step will do.
                let most = T::of(if bound[j] > 0.0 { bound[j] } else { 1.0 });
                let least = most / T::of(gain);
                let inside = h[j] > least && h[j] < most;
                d[j] = T::one() / h[j].max(least).min(most);
                for t in 0..width / q - 1 {
                    dd[t * q + j] = if inside { -d[j] * d[j] * h[(t + 1) * q + j] } else { T::zero() };
                }
            }
        }
    }
}
