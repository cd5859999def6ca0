//! The diagonal of the metric, lane by lane, with its tangents.

use rayon::prelude::*;

use super::super::MetricSource;
use super::state::State;
use crate::problem::{LossFunction, Real, with_loss};

impl<T: Real> State<T> {
    /// Sets the metric of iteration `k`; the batch begins at lane `first` of the sweep.
    pub(super) fn refresh_metric(&mut self, source: &MetricSource, k: usize, first: usize) {
        if let MetricSource::Hessian { gain, bound, .. } = source {
            with_loss!(self.loss, f => self.curvatures(f));
            self.gradient_of_squares();
            return self.invert_curvatures(*gain, bound.as_slice().expect("a vector of its own"));
        }
        let (q, width) = (self.q, self.q * (1 + self.d));
        let active = &self.active;
        let Some(metric) = &mut self.metric else { return };
        for (slot, columns) in metric.chunks_exact_mut(width).enumerate() {
            columns[..q].iter_mut().enumerate().for_each(|(j, d)| *d = T::of(source.entry(k, first + active[slot], j)));
        }
    }

    /// `r = ω φ''(z)` and `dr = ω φ'''(z) dz`.
    fn curvatures<L: LossFunction>(&mut self, loss: L) {
        let (n, width) = (self.n, self.n * (1 + self.d));
        let (y, weight) = (&self.target[..n], &self.weight[..n]);
        self.r.par_chunks_exact_mut(width).zip(self.z.par_chunks_exact(width)).for_each(|(r, z)| {
            for i in 0..n {
                r[i] = weight[i] * loss.curve(z[i], y[i]);
            }
            let (z, dz) = z.split_at(n);
            for (dr, dz) in r[n..].chunks_exact_mut(n).zip(dz.chunks_exact(n)) {
                for i in 0..n {
                    dr[i] = weight[i] * loss.curve_slope(z[i], y[i]) * dz[i];
                }
            }
        });
    }

    /// `d = 1/h` held between `1/bound` and `gain/bound`, where it does not move.
    fn invert_curvatures(&mut self, gain: f64, bound: &[f64]) {
        let (q, width) = (self.q, self.q * (1 + self.d));
        let Some(metric) = &mut self.metric else { return };
        metric.par_chunks_exact_mut(width).zip(self.g.par_chunks_exact(width)).for_each(|(metric, h)| {
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
        });
    }
}
