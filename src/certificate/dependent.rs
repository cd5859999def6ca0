//! Moves that leave out dependent columns: along them the objective has no curvature and, if it has a slope,
//! decreases to a kink, so that a minimum needs independent columns only. Newton steps are too long in these
//! directions, and proximal steps drift.

use ndarray::Array1;

use super::gap::Point;
use super::newton::Newton;
use super::system::System;

/// A slope along a direction, relative to the largest that its columns can have, that counts as zero: then
/// every point of it is as good.
const FLAT: f64 = 1e-9;
/// An entry of a direction, relative to the largest, that counts as zero.
const NO_ENTRY: f64 = 1e-12;

impl Newton<'_, '_> {
    /// The coefficients after moves along the directions in which the matrix vanishes, each to the first
    /// kink; `None` if nothing moves.
    pub(super) fn without_dependent(&self, at: &Point, system: &System) -> Option<Array1<f64>> {
        let active = &self.manifold.active;
        let has_end = |j: &usize| {
            let (lower, upper) = self.segment(*j, at.x[*j]);
            lower.is_finite() || upper.is_finite()
        };
        if !self.manifold.objective.penalty().capabilities().convex || !active.iter().any(has_end) {
            return None;
        }
        let slope = self.slope(at);
        let mut x = at.x.clone();
        let mut directions = system.null_directions();
        let mut moved = false;
        while let Some(mut along) = directions.pop() {
            if (self.limits.stopped)() {
                return None;
            }
            let total: f64 = slope.iter().zip(&along).map(|(s, d)| s * d).sum();
            // Slopes are small differences of large numbers, so their own size is no measure of rounding.
            let sizes = active.iter().map(|j| self.scales.residual * self.scales.squares[*j].sqrt());
            if total.abs() <= FLAT * sizes.zip(&along).map(|(size, d)| size * d.abs()).sum::<f64>() {
                continue;
            }
            along.iter_mut().for_each(|d| *d *= -total.signum());
            let least = NO_ENTRY * along.iter().fold(0.0, |top: f64, d| top.max(d.abs()));
            let to_kink = |(a, &j): (usize, &usize)| {
                let (lower, upper) = self.segment(j, at.x[j]);
                let end = if along[a] > 0.0 { upper } else { lower };
                (along[a].abs() > least).then(|| ((end - x[j]) / along[a], a, end))
            };
            let nearest = active.iter().enumerate().filter_map(to_kink).min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((length, first, end)) = nearest.filter(|(length, ..)| length.is_finite()) else {
                continue;
            };
            for (&j, d) in active.iter().zip(&along) {
                let (lower, upper) = self.segment(j, at.x[j]);
                x[j] = (x[j] + length * d).max(lower).min(upper);
            }
            x[active[first]] = end;
            moved = true;
            // The other directions leave that coefficient where it is.
            for other in &mut directions {
                let by = other[first] / along[first];
                other.iter_mut().zip(&along).for_each(|(o, d)| *o -= by * d);
                other[first] = 0.0;
            }
        }
        moved.then_some(x)
    }
}
