//! Curvature bounds of the lanes in the metric of the run, with their derivatives.

use ndarray::{Array1, Axis};

use crate::lanes::{Lane, MetricSource};
use crate::objective::{Derivative, Objective, Spectrum};
use crate::schedule::{LaneCurvature, Metric};

/// The metric in the engines' format, and curvature bounds in it.
pub(super) struct MetricCurvature {
    pub(super) source: MetricSource,
    spectrum: Spectrum,
    /// `[q]`: bounds of the diagonal.
    lower: Array1<f64>,
    upper: Array1<f64>,
}

impl MetricCurvature {
    pub(super) fn new(problem: &Objective, metric: &Metric, lanes: &[Lane]) -> Self {
        let q = problem.state_rows();
        let inverse = || problem.curvature_bound().mapv(|h| if h > 0.0 { 1.0 / h } else { 1.0 });
        let one = |d: Array1<f64>, source| MetricCurvature {
            spectrum: problem.spectrum_in_metric(&d, &d),
            lower: d.clone(),
            upper: d,
            source,
        };
        match metric {
            Metric::None => MetricCurvature {
                source: MetricSource::None,
                spectrum: *problem.spectrum(),
                lower: Array1::ones(q),
                upper: Array1::ones(q),
            },
            Metric::Auto => {
                let d = with_ridge(problem, lanes);
                one(d.clone(), MetricSource::Fixed(d))
            }
            Metric::Diagonal => one(inverse(), MetricSource::Fixed(inverse())),
            Metric::Hessian { every, gain } => {
                let bound = problem.curvature_bound();
                one(inverse(), MetricSource::Hessian { every: *every, gain: *gain, bound })
            }
            Metric::Table(table) => {
                // An intercept column keeps the metric 1.
                let last = Axis(table.ndim() - 1);
                let mut wide = table.shape().to_vec();
                wide[last.index()] = q;
                let mut all = ndarray::ArrayD::ones(wide);
                all.slice_axis_mut(last, (..problem.features()).into()).assign(table);
                if table.ndim() == 1 {
                    let d: Array1<f64> = all.iter().copied().collect();
                    return one(d.clone(), MetricSource::Fixed(d));
                }
                let extreme = |start: f64, pick: fn(f64, f64) -> f64| -> Array1<f64> {
                    all.axis_iter(last).map(|column| column.iter().fold(start, |a, b| pick(a, *b))).collect()
                };
                let (lower, upper) = (extreme(f64::INFINITY, f64::min), extreme(0.0, f64::max));
                let spectrum = problem.spectrum_in_metric(&lower, &upper);
                MetricCurvature { source: MetricSource::Table(all), spectrum, lower, upper }
            }
        }
    }

    /// Bounds of every lane, and their derivatives. A bound by the largest of several equal factors has a
    /// kink; there its derivative is the mean of both sides, like a central difference.
    pub(super) fn of_lanes(
        &self,
        problem: &Objective,
        lanes: &[Lane],
        derivatives: &[Derivative],
    ) -> (Vec<LaneCurvature>, Vec<Vec<LaneCurvature>>) {
        let penalty = problem.penalty();
        let in_loss = penalty.ridge_in_loss();
        let in_prox = problem.prox_strong_convexity(1.0) > 0.0;
        let has_column = problem.state_rows() > problem.features();
        let factors = problem.penalty_factors();
        let most: Vec<f64> = factors.iter().zip(&self.upper).map(|(f, d)| f * d).collect();
        let least: Vec<f64> = factors.iter().zip(&self.lower).map(|(f, d)| f * d).collect();
        let top = most.iter().copied().fold(0.0, f64::max);
        let bottom = least.iter().copied().fold(f64::INFINITY, f64::min);
        let ridge = |l2: f64, top: f64, bottom: f64| LaneCurvature {
            lipschitz: if in_loss { l2 * top } else { 0.0 },
            strong_convexity: if in_loss && !has_column { l2 * bottom } else { 0.0 },
            prox_strong_convexity: if in_prox { l2 * bottom } else { 0.0 },
        };
        let share = |all: &[f64], j: usize, extreme: f64| match all.iter().filter(|v| **v == extreme).count()
        {
            _ if all[j] != extreme => 0.0,
            1 => 1.0,
            _ => 0.5,
        };
        // For each derivative: the change of both extremes along its direction.
        let extremes: Vec<(f64, f64)> = derivatives
            .iter()
            .map(|derivative| match derivative.strengths(problem, 0.0, 0.0).factor_seed {
                None => (top, bottom),
                Some(j) => (self.upper[j] * share(&most, j, top), self.lower[j] * share(&least, j, bottom)),
            })
            .collect();
        let of = |lane: &Lane| {
            let l2 = if penalty.uses_alpha() { lane.alpha * (1.0 - lane.l1_ratio) } else { 0.0 };
            let mut of = ridge(l2, top, bottom);
            of.lipschitz += self.spectrum.lipschitz;
            of.strong_convexity += self.spectrum.strong_convexity;
            let tangents = derivatives.iter().zip(&extremes).map(|(derivative, (top, bottom))| {
                ridge(derivative.strengths(problem, lane.alpha, lane.l1_ratio).l2, *top, *bottom)
            });
            (of, tangents.collect())
        };
        lanes.iter().map(of).unzip()
    }
}

/// `1/(ĥ_j + r_j)`, `[q]`: `r` is the curvature of a ridge that belongs to the loss, in the geometric mean
/// over the lanes. Without it, a column of small scale would limit the step of all others.
fn with_ridge(problem: &Objective, lanes: &[Lane]) -> Array1<f64> {
    let ridges: Vec<f64> = lanes.iter().map(|l| l.alpha * (1.0 - l.l1_ratio)).filter(|r| *r > 0.0).collect();
    let mean = (ridges.iter().map(|r| r.ln()).sum::<f64>() / ridges.len() as f64).exp();
    let in_loss = problem.penalty().ridge_in_loss() && !ridges.is_empty();
    let mut all = problem.curvature_bound();
    for (h, factor) in all.iter_mut().zip(problem.penalty_factors()) {
        *h += if in_loss { mean * factor } else { 0.0 };
    }
    // Steps stay within the limit of the penalty.
    let most = problem.penalty().step_limit().map_or(f64::INFINITY, |(_, limit)| WITHIN * limit);
    all.mapv(|h| if h > 0.0 { f64::min(1.0 / h, most) } else { 1.0 })
}

/// Share of a penalty's step limit that the automatic metric uses at most.
const WITHIN: f64 = 0.9;
