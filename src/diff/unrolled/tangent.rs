//! The sweep forward: derivatives of the last iterates in given directions.

use ndarray::Array2;

use super::group::{Group, PIECE};
use super::linear::Linear;

/// A direction in what a lane's iterations use, at fixed steps and momenta.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seeds {
    /// `[q]`: of the strengths of each coefficient.
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
    /// `[n]`: of the target; empty if it does not move.
    pub(crate) target: Vec<f64>,
}

impl Group<'_> {
    pub(super) fn push_forward(&mut self, seeds: &[Vec<Seeds>], first: &[usize]) -> Vec<Array2<f64>> {
        let (count, q) = (self.lanes.len(), self.of.problem.state_rows());
        let width = seeds.iter().map(Vec::len).max().unwrap_or(0);
        let iterations: Vec<usize> =
            self.lanes.clone().map(|lane| self.of.tape.lanes[lane].iterations()).collect();
        let (mut dx, mut before) = (Vec::new(), Vec::new());
        let mut linear = vec![Linear::default(); count];
        let most = iterations.iter().zip(first).map(|(k, first)| k.saturating_sub(*first)).max().unwrap_or(0);
        let by_rows = seeds.iter().flatten().any(|of| !of.target.is_empty());
        for done in (0..most).step_by(PIECE) {
            let piece = |(k, first): (&usize, &usize)| {
                let begin = (first + done).min(*k);
                begin..(begin + PIECE).min(*k)
            };
            let pieces: Vec<_> = iterations.iter().zip(first).map(piece).collect();
            if let Some(rows) = self.prepare(&pieces, (most - done, width), by_rows) {
                let columns = self.rows.len() * count * width;
                for of in [&mut dx, &mut before] {
                    *of = if rows.is_empty() { vec![0.0; columns] } else { self.moved(of, &rows) };
                }
            }
            for i in 0..PIECE {
                let k: Vec<Option<usize>> =
                    pieces.iter().map(|of| (i < of.len()).then(|| of.start + i)).collect();
                self.step_forward(&k, seeds, (&mut dx, &mut before), &mut linear);
            }
        }
        let m = self.rows.len();
        let column =
            |i: usize, t: usize, j: usize| self.place_of(j).map_or(0.0, |u| dx[(i * width + t) * m + u]);
        (0..count).map(|i| Array2::from_shape_fn((seeds[i].len(), q), |(t, j)| column(i, t, j))).collect()
    }

    /// One iteration, of each lane that has one.
    fn step_forward(
        &mut self,
        k: &[Option<usize>],
        seeds: &[Vec<Seeds>],
        (dx, before): (&mut Vec<f64>, &mut Vec<f64>),
        linear: &mut [Linear],
    ) {
        let m = self.rows.len();
        if m == 0 || k.iter().all(Option::is_none) {
            return;
        }
        let width = dx.len() / (m * linear.len());
        for (i, of) in linear.iter_mut().enumerate() {
            let own = i * width * m..(i + 1) * width * m;
            let Some(k) = k[i] else {
                of.clear(m);
                continue;
            };
            self.linearise(self.lanes.start + i, k, of);
            if of.takes_back {
                dx[own.clone()].copy_from_slice(&before[own.clone()]);
            }
            if of.rests {
                before[own.clone()].copy_from_slice(&dx[own]);
            }
        }
        let by_target = seeds.iter().flatten().any(|of| !of.target.is_empty());
        self.see_rows(linear, by_target);
        let mut de = vec![0.0; dx.len()];
        for (c, de) in de.chunks_exact_mut(m).enumerate() {
            let (of, own) = (&linear[c / width], c * m..(c + 1) * m);
            let (dx, before) = (&dx[own.clone()], &before[own]);
            for u in 0..m {
                de[u] = dx[u] + of.extrapolation * (dx[u] - before[u]);
            }
        }
        let mut h = Vec::new();
        self.hessian(&de, &mut h, width, |group, c, z| {
            group.times_curvature(c / width, z);
            let Some(dy) = seeds[c / width].get(c % width).map(|of| &of.target) else { return };
            group.add_target(c / width, dy, z);
        });
        for c in 0..width * linear.len() {
            let (of, own) = (&linear[c / width], c * m..(c + 1) * m);
            let (Some(_), Some(seed)) = (k[c / width], seeds[c / width].get(c % width)) else { continue };
            let dx = (&mut dx[own.clone()], &mut before[own.clone()]);
            of.forward(&self.rows, seed, dx, (&de[own.clone()], &h[own]));
        }
    }

    /// Adds `ω ∂φ'/∂y dy`; for a squared loss `∂φ'/∂y` is −1.
    fn add_target(&self, lane: usize, dy: &[f64], z: &mut [f64]) {
        let n = z.len();
        if self.least_squares() {
            let weight = self.weight(self.lanes.start + lane);
            z.iter_mut().zip(weight).zip(dy).for_each(|((z, w), dy)| *z -= w * dy);
        } else if !self.by_target.is_empty() {
            let by = &self.by_target[lane * n..(lane + 1) * n];
            z.iter_mut().zip(by).zip(dy).for_each(|((z, by), dy)| *z += by * dy);
        }
    }
}

impl Linear {
    /// `dx⁺ = J (dy − α D dg) + ∂_u prox`, over `dx₋`; the names are exchanged.
    fn forward(
        &self,
        rows: &[usize],
        seed: &Seeds,
        (dx, before): (&mut [f64], &mut [f64]),
        (de, h): (&[f64], &[f64]),
    ) {
        for (u, &j) in rows.iter().enumerate() {
            let by = |of: &[f64]| of.get(j).copied().unwrap_or(0.0);
            let (dl1, dl2) = (by(&seed.l1), by(&seed.l2));
            let dy = dx[u] + self.momentum * (dx[u] - before[u]);
            let ridge = if self.has_ridge { self.ridge[u] * de[u] + dl2 * self.e(u) } else { 0.0 };
            let dw = dy - self.scaled_step[u] * (h[u] + ridge);
            let next = self.by_input[u] * dw + self.by_l1[u] * dl1 + self.by_l2[u] * dl2;
            (dx[u], before[u]) = (next, dx[u]);
        }
    }
}
