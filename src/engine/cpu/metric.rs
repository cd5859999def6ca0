//! The diagonal of the metric, lane by lane, with its tangents.

use rayon::prelude::*;

use super::block::{Block, Predictions};
use crate::lanes::MetricSource;
use crate::objective::{LossFunction, Real, with_loss};

impl<T: Real> Block<'_, T> {
    /// Sets the metric of the lanes that refresh it in this iteration. Metrics that change exclude working
    /// sets; a working set copies its metric from here.
    pub(super) fn refresh_metric(&mut self, source: &MetricSource) {
        if self.coefficients.full.metric.is_empty() {
            return;
        }
        let due: Vec<bool> =
            self.lanes.iter().map(|lane| source.refreshes(lane.outcome.iterations)).collect();
        if !due.contains(&true) {
            return;
        }
        if let (MetricSource::Hessian { gain, bound, .. }, Some(squares)) = (source, &self.shared.squares) {
            with_loss!(self.shared.loss, f => self.curvatures(f));
            squares.apply_t(self.coefficients.full.g, self.predictions.r, self.threads);
            return self.invert_curvatures(*gain, bound.as_slice().expect("a vector of its own"), &due);
        }
        let shared = self.shared;
        let q = shared.shape().1;
        let metric = self.coefficients.full.metric.chunks_exact_mut(q * self.shared.width());
        for ((columns, lane), _) in metric.zip(&*self.lanes).zip(&due).filter(|(_, due)| **due) {
            let entry = |j: usize| T::of(source.entry(lane.outcome.iterations, lane.lane, shared.place(j)));
            columns[..q].iter_mut().enumerate().for_each(|(j, d)| *d = entry(j));
        }
    }

    /// `r = ω φ''(z)` and `dr = ω φ'''(z) dz`.
    fn curvatures<L: LossFunction>(&mut self, loss: L) {
        let fewest = self.lanes_per_task();
        let n = self.shared.shape().0;
        let width = n * self.shared.width();
        let shared = self.shared;
        let y = &shared.rows.target[..n];
        let Predictions { z, r, .. } = self.predictions.each_mut();
        let lanes = r.par_chunks_exact_mut(width).zip(z.par_chunks_exact(width)).zip(&*self.lanes);
        lanes.with_min_len(fewest).for_each(|((r, z), lane)| {
            let weight = &shared.weight(lane.fold)[..n];
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

    /// `d = 1/h`, clamped to `[1/bound, gain/bound]`; where it is clamped its tangents are zero.
    fn invert_curvatures(&mut self, gain: f64, bound: &[f64], due: &[bool]) {
        let q = self.shared.shape().1;
        let width = q * self.shared.width();
        let full = &mut self.coefficients.full;
        let lanes = full.metric.chunks_exact_mut(width).zip(full.g.chunks_exact(width)).zip(due);
        for ((metric, h), _) in lanes.filter(|(_, due)| **due) {
            let (d, dd) = metric.split_at_mut(q);
            for j in 0..q {
                // A column of zeros has no curvature: any step is valid.
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
