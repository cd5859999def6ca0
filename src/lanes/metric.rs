//! The source of the metric's diagonal.

use ndarray::{Array1, ArrayD};

/// The source of the metric's diagonal; every diagonal has one entry per state row, `[q]`.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricSource {
    /// The identity.
    None,
    /// One diagonal for the whole run.
    Fixed(Array1<f64>),
    /// `[iterations, q]` or `[iterations, b, q]`.
    Table(ArrayD<f64>),
    /// The diagonal of the Hessian at the iterate, within `[q]` bounds.
    Hessian {
        /// Iterations between refreshes.
        every: usize,
        /// Largest multiple of `1/bound`.
        gain: f64,
        /// The largest curvature along each state row.
        bound: Array1<f64>,
    },
}

impl MetricSource {
    /// Entry `j` of a lane's diagonal at the start of iteration `k`; 1 if it depends on the iterate.
    pub(crate) fn entry(&self, k: usize, lane: usize, j: usize) -> f64 {
        match self {
            MetricSource::None | MetricSource::Hessian { .. } => 1.0,
            MetricSource::Fixed(d) => d[j],
            MetricSource::Table(table) if table.ndim() == 2 => table[[k, j]],
            MetricSource::Table(table) => table[[k, lane, j]],
        }
    }

    /// The largest possible value of entry `j` for a lane at iteration `k`.
    pub(crate) fn largest_entry(&self, k: usize, lane: usize, j: usize) -> f64 {
        match self {
            MetricSource::Hessian { gain, bound, .. } if bound[j] > 0.0 => gain / bound[j],
            MetricSource::Hessian { gain, .. } => *gain,
            _ => self.entry(k, lane, j),
        }
    }

    /// Entry `j` of a lane's diagonal at a solution, given the curvature along it; `None` if the table
    /// varies.
    pub(crate) fn entry_at_solution(
        &self,
        lane: usize,
        j: usize,
        curvature: impl FnOnce() -> f64,
    ) -> Option<f64> {
        match self {
            MetricSource::None | MetricSource::Fixed(_) => Some(self.entry(0, lane, j)),
            MetricSource::Table(table) => {
                let constant =
                    (0..table.shape()[0]).all(|k| self.entry(k, lane, j) == self.entry(0, lane, j));
                constant.then(|| self.entry(0, lane, j))
            }
            MetricSource::Hessian { gain, bound, .. } => {
                let most = if bound[j] > 0.0 { bound[j] } else { 1.0 };
                Some(1.0 / curvature().max(most / gain).min(most))
            }
        }
    }

    /// True if the metric is recomputed at the start of iteration `k`.
    pub(crate) fn refreshes(&self, k: usize) -> bool {
        match self {
            MetricSource::None => false,
            MetricSource::Fixed(_) => k == 0,
            MetricSource::Table(_) => true,
            MetricSource::Hessian { every, .. } => k.is_multiple_of(*every),
        }
    }
}
