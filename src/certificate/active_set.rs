//! Towards the minimum of the quadratic model on the segments of the coefficients, by the inner loop of the
//! active-set method of Lawson & Hanson (1974, chapter 23): what it fixes, a later round may let go.

use faer::Mat;
use faer::Side;
use faer::linalg::solvers::Solve;
use ndarray::Array1;

use super::gap::Point;
use super::newton::Newton;
use super::system::System;

/// Most coefficients that are fixed with the same factorisation.
const FIXED: usize = 128;

/// A coefficient at an end of its segment.
struct Fixed {
    place: usize,
    end: f64,
    /// `H⁻¹ e`.
    column: Vec<f64>,
}

impl Newton<'_, '_> {
    /// Goes to the minimum of the model, `step` away; where a coefficient meets the end of its segment it is
    /// fixed there, and the way goes on to the minimum over the others.
    pub(super) fn go_around_kinks(&self, at: &Point, system: &System, step: &[f64]) -> Array1<f64> {
        let active = &self.manifold.active;
        let ends: Vec<(f64, f64)> = active.iter().map(|j| self.segment(*j, at.x[*j])).collect();
        let mut x: Vec<f64> = active.iter().map(|j| at.x[*j]).collect();
        let minimum: Vec<f64> = x.iter().zip(step).map(|(x, d)| x - d).collect();
        let is_beyond = |a: usize, to: f64| to < ends[a].0 || to > ends[a].1;
        // Most that will be fixed are known, and solving for them together is faster.
        let mut known: Vec<usize> = (0..x.len()).filter(|a| is_beyond(*a, minimum[*a])).collect();
        known.truncate(FIXED);
        let columns = system.inverse_columns(&known);
        let mut fixed: Vec<Fixed> = Vec::new();
        while fixed.len() < FIXED && !(self.limits.stopped)() {
            let Some(target) = with_fixed(&minimum, &fixed) else { break };
            let to_end = |a: usize| {
                let (lower, upper) = ends[a];
                let end = if target[a] < lower { lower } else { upper };
                (is_beyond(a, target[a]) && fixed.iter().all(|f| f.place != a))
                    .then(|| ((end - x[a]) / (target[a] - x[a]), a, end))
            };
            let nearest = (0..x.len()).filter_map(to_end).min_by(|a, b| a.0.total_cmp(&b.0));
            let length = nearest.map_or(1.0, |(length, ..)| length);
            for ((x, to), (lower, upper)) in x.iter_mut().zip(&target).zip(&ends) {
                *x = (*x + length * (to - *x)).max(*lower).min(*upper);
            }
            let Some((_, place, end)) = nearest else { break };
            let column = match known.binary_search(&place) {
                Ok(of) => columns[of].clone(),
                Err(_) => system.inverse_columns(&[place]).remove(0),
            };
            fixed.push(Fixed { place, end, column });
            fixed.iter().for_each(|f| x[f.place] = f.end);
        }
        let mut moved = at.x.clone();
        active.iter().zip(&x).for_each(|(j, v)| moved[*j] = *v);
        moved
    }
}

/// The minimum over the coefficients that are not fixed: `u − V λ` with `V = H⁻¹ E`, `Eᵀ V λ = Eᵀ u − ends`.
fn with_fixed(minimum: &[f64], fixed: &[Fixed]) -> Option<Vec<f64>> {
    let mut target = minimum.to_vec();
    let count = fixed.len();
    let schur = Mat::from_fn(count, count, |a, b| fixed[b].column[fixed[a].place]);
    let mut multipliers = Mat::from_fn(count, 1, |a, _| minimum[fixed[a].place] - fixed[a].end);
    schur.llt(Side::Lower).ok()?.solve_in_place(multipliers.as_mut());
    for (b, of) in fixed.iter().enumerate() {
        target.iter_mut().zip(&of.column).for_each(|(t, v)| *t -= multipliers[(b, 0)] * v);
    }
    fixed.iter().for_each(|f| target[f.place] = f.end);
    Some(target)
}
