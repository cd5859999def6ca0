//! Rates of convergence of iterates and derivatives, measured and predicted from the spectrum on the
//! manifold.

use crate::certificate::implicit::Solution;
use crate::schedule::{Algorithm, LaneSchedule, Until};

/// A rate `q` fitted to a sequence that falls like `q^k`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rate {
    /// Factor per iteration.
    pub q: f64,
    /// First and last iteration of the fit.
    pub window: (usize, usize),
    /// Standard error of `log q`, from the scatter about the fit.
    pub error: f64,
}

/// Maximum number of points of a fit; more are thinned out evenly.
const POINTS: usize = 160;
/// Minimum number of points of a fit.
const FEWEST: usize = 8;

/// The iterations, first and last, over which `errors` fall from `from` (identification) down to `floor`
/// times the largest of them, without the first quarter, in which slower modes are not yet visible. Errors
/// that are not finite end it. `None` if no iteration is left.
pub(crate) fn linear_phase(
    iterations: &[usize],
    errors: &[f64],
    from: usize,
    floor: f64,
) -> Option<(usize, usize)> {
    let top = errors.iter().copied().filter(|e| e.is_finite()).fold(0.0, f64::max);
    let after = iterations.iter().zip(errors).filter(|(k, _)| **k >= from);
    let stretch: Vec<usize> =
        after.take_while(|(_, e)| **e > floor * top && e.is_finite()).map(|(k, _)| *k).collect();
    Some((*stretch.get(stretch.len() / 4)?, *stretch.last()?))
}

/// Fits a rate to `errors` between two iterations, both included, by the median of pairwise slopes (Theil
/// 1950; Sen 1968) of pairs at least half the window apart, so that neither the steps of a random rule nor
/// stray points move it much. `None` if the window has fewer than eight points.
pub fn fit(iterations: &[usize], errors: &[f64], (first, last): (usize, usize)) -> Option<Rate> {
    let inside = iterations.iter().zip(errors).filter(|(k, e)| (first..=last).contains(k) && **e > 0.0);
    let points: Vec<(f64, f64)> = inside.map(|(k, e)| (*k as f64, e.ln())).collect();
    fit_points(&points)
}

/// A line through (iteration, log error).
fn fit_points(points: &[(f64, f64)]) -> Option<Rate> {
    if points.len() < FEWEST {
        return None;
    }
    let points: Vec<(f64, f64)> = points.iter().copied().step_by(points.len().div_ceil(POINTS)).collect();
    let half = points.len() / 2;
    let mut slopes: Vec<f64> = points
        .iter()
        .enumerate()
        .flat_map(|(i, a)| {
            points.iter().skip(i + half).filter(|b| b.0 > a.0).map(|b| (b.1 - a.1) / (b.0 - a.0))
        })
        .collect();
    let slope = median(&mut slopes)?;
    let mut offsets: Vec<f64> = points.iter().map(|(k, e)| e - slope * k).collect();
    let offset = median(&mut offsets)?;
    let mut scatter: Vec<f64> = points.iter().map(|(k, e)| (e - slope * k - offset).abs()).collect();
    let middle = points.iter().map(|p| p.0).sum::<f64>() / points.len() as f64;
    let spread = points.iter().map(|p| (p.0 - middle).powi(2)).sum::<f64>().sqrt();
    Some(Rate {
        q: slope.exp(),
        window: (points[0].0 as usize, points[points.len() - 1].0 as usize),
        // 1.4826: the median absolute deviation of normal scatter in units of its standard deviation.
        error: 1.4826 * median(&mut scatter)? / spread,
    })
}

fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The linear recursion that errors on the manifold follow, one number per eigenvalue `h` of the restricted
/// Hessian: `e⁺ = s ((e + β(e − e₋)) − α h (e + extrapolation (e − e₋)))`, `s = 1/(1 + α g)`, `g` the
/// curvature of the proximal part. With the steps and momenta of a run it predicts constant, random and
/// cyclic steps, momenta that tend to 1 with their polynomial factor, heavy ball and phases alike.
#[derive(Debug, Clone)]
pub struct Recursion {
    modes: Vec<(f64, [f64; 2])>,
    prox_curvature: f64,
}

impl Recursion {
    /// Starts with all modes at 1 and without movement. `None` if the proximal part differs between
    /// coefficients: then no scalar recursion exists.
    pub fn new(solution: &Solution) -> Option<Self> {
        let modes = solution.eigenvalues.iter().map(|h| (*h, [1.0, 1.0])).collect();
        Some(Recursion { modes, prox_curvature: solution.prox_curvature? })
    }

    /// Runs one iteration, from the previous iterate if the momentum is −1; returns the largest error of all
    /// modes.
    pub fn advance(&mut self, step: f64, momentum: f64, extrapolation: f64) -> f64 {
        let shrink = 1.0 / (1.0 + step * self.prox_curvature);
        for (h, [e, before]) in &mut self.modes {
            if momentum == -1.0 {
                *e = *before;
            }
            let moved = *e - *before;
            let next = shrink * ((*e + momentum * moved) - step * *h * (*e + extrapolation * moved));
            (*before, *e) = (*e, next);
        }
        self.modes.iter().fold(0.0, |top, (_, [e, _])| top.max(e.abs()))
    }
}

/// The extrapolation coefficient of iteration `k`, given its momentum; `None` if phases with different
/// algorithms depend on identification, whose iteration differs between lanes.
pub fn extrapolation_at(schedule: &LaneSchedule, k: usize, momentum: f64) -> Option<f64> {
    if momentum == -1.0 || momentum == 0.0 {
        return Some(0.0);
    }
    let phases = schedule.schedule().phases();
    // Without momentum the extrapolation is zero for every algorithm.
    let mut kinds =
        phases.iter().filter(|p| p.algorithm != Algorithm::Pgd).map(|p| p.algorithm.extrapolates());
    let first = kinds.next()?;
    let extrapolates = if kinds.all(|kind| kind == first) {
        first
    } else if phases.iter().any(|p| p.until == Until::Identified) {
        return None;
    } else {
        let goes_on = |p: &&crate::schedule::Phase| !matches!(p.until, Until::Iteration(end) if end <= k);
        phases.iter().find(goes_on)?.algorithm.extrapolates()
    };
    Some(if extrapolates { momentum } else { 0.0 })
}

/// The predicted errors of iterates `from ..= steps.len()`, relative to that of `from`, and their iterations;
/// `steps` has (step, momentum) of every iteration.
pub fn predict(
    solution: &Solution,
    schedule: &LaneSchedule,
    steps: &[(f64, f64)],
    from: usize,
) -> Option<(Vec<usize>, Vec<f64>)> {
    let mut recursion = Recursion::new(solution)?;
    let (mut iterations, mut errors) = (vec![from], vec![1.0]);
    for (k, (step, momentum)) in steps.iter().enumerate().skip(from) {
        iterations.push(k + 1);
        errors.push(recursion.advance(*step, *momentum, extrapolation_at(schedule, k, *momentum)?));
    }
    Some((iterations, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometric_sequence_has_its_rate_whatever_comes_before_and_after() {
        let iterations: Vec<usize> = (0..400).collect();
        let noisy = |k: usize| 1.0 + 0.3 * (k as f64 * 12.9898).sin();
        let error = |k: usize| if k < 30 { 5.0 } else { 0.93f64.powi(k as i32) * noisy(k) + 1e-13 };
        let errors: Vec<f64> = iterations.iter().map(|k| error(*k)).collect();
        let rate = fit(&iterations, &errors, linear_phase(&iterations, &errors, 30, 1e-11).unwrap()).unwrap();
        assert!((rate.q / 0.93 - 1.0).abs() < 1e-3 && rate.error < 1e-3, "{rate:?}");
        assert!(rate.window.0 >= 30 && rate.window.1 < 360, "{rate:?}");
        assert!(fit(&iterations, &errors, (15, 20)).is_none());
        assert!(linear_phase(&iterations, &errors, 400, 1e-11).is_none());
    }

    #[test]
    fn the_recursion_has_the_rates_of_the_textbooks() {
        let (m, l) = (0.222, 5.578);
        let solution = Solution {
            state: ndarray::Array1::zeros(2),
            dstate: ndarray::Array2::zeros((0, 2)),
            active: vec![0, 1],
            margin: 1.0,
            at_kink: false,
            eigenvalues: vec![m, 1.0, 2.148],
            prox_curvature: Some(0.0),
        };
        let rate = |step: f64, momentum: f64, extrapolates: bool| {
            let mut recursion = Recursion::new(&solution).unwrap();
            let extrapolation = if extrapolates { momentum } else { 0.0 };
            let errors: Vec<f64> =
                (0..600).map(|_| recursion.advance(step, momentum, extrapolation)).collect();
            fit(&(0..600).collect::<Vec<_>>(), &errors, (150, 600)).unwrap().q
        };
        assert!((rate(1.0 / l, 0.0, false) - (1.0 - m / l)).abs() < 1e-6);
        assert!((rate(2.0 / (l + m), 0.0, false) - (1.0 - 2.0 * m / (l + m))).abs() < 1e-6);
        // A double root: q times a factor k, for which a fit over k = 150..600 gives a little more than q.
        let root = (m / l).sqrt();
        let q = rate(1.0 / l, (1.0 - root) / (1.0 + root), true);
        assert!(q > 1.0 - root && q < (1.0 - root) * 1.005, "{q}");
        let ball = (l.sqrt() - m.sqrt()) / (l.sqrt() + m.sqrt());
        let q = rate(4.0 / (l.sqrt() + m.sqrt()).powi(2), ball * ball, false);
        assert!(q > ball * 0.999 && q < ball * 1.005, "{q} {ball}");
    }
}
