//! The sweep backward: gradients by everything that the iterations used, all at once.

use std::ops::Range;

use ndarray::Array1;

use super::group::{Group, PIECE};
use super::linear::Linear;
use super::{Cotangents, Pulled};

/// The cotangents of a group on its rows, `[lanes][m]`.
#[derive(Default)]
struct State {
    /// True if it has the cotangents that the parts begin with.
    begun: bool,
    /// Of the iterate, and of the one that the iteration before it began from.
    x: Vec<f64>,
    previous: Vec<f64>,
    /// `J x̄`, `α D J x̄`, its image under the Hessian, and the sum of `α D J x̄`.
    q: Vec<f64>,
    v: Vec<f64>,
    h: Vec<f64>,
    sum: Vec<f64>,
}

impl Group<'_> {
    pub(super) fn pull_back(&mut self, mut parts: Vec<Pulled>) -> Vec<Pulled> {
        let mut state = State::default();
        let mut linear = vec![Linear::default(); parts.len()];
        let moves: Vec<bool> = parts.iter().map(|of| !of.next.is_empty()).collect();
        // The sums of `v` give the gradient by the target where `φ''` is constant.
        let by_target = parts.iter().any(|of| !of.found.target.is_empty());
        let by_rows = by_target && !self.least_squares();
        loop {
            // Pieces end at multiples of their length, so that parts have the same ones.
            let piece = |of: &Pulled| {
                let Range { start, end } = of.next;
                (end.saturating_sub(1) / PIECE * PIECE).clamp(start, end)..end
            };
            let pieces: Vec<Range<usize>> = parts.iter().map(piece).collect();
            let left = parts.iter().map(|of| of.next.end - of.first).max().unwrap_or(0);
            if pieces.iter().all(Range::is_empty) {
                break;
            }
            let before = self.prepare(&pieces, (left, 1), by_rows);
            if !state.begun {
                self.begin_state(&mut state, &parts);
            } else if let Some(before) = before {
                self.move_state(&mut state, &before, &mut parts);
            }
            for i in 0..PIECE {
                let k: Vec<Option<usize>> =
                    pieces.iter().map(|of| (i < of.len()).then(|| of.end - 1 - i)).collect();
                self.step_back(&k, &mut state, &mut linear, &mut parts);
            }
            parts.iter_mut().zip(&pieces).for_each(|(of, piece)| of.next.end = piece.start);
        }
        self.store_state(&state, &mut parts, &moves);
        parts
    }

    /// The cotangents that the parts begin with, on the group's rows: the others have no influence.
    fn begin_state(&self, state: &mut State, parts: &[Pulled]) {
        let of = |all: fn(&Pulled) -> &Array1<f64>| -> Vec<f64> {
            parts.iter().flat_map(|part| self.rows.iter().map(move |j| all(part)[*j])).collect()
        };
        (state.x, state.previous) = (of(|part| &part.x), of(|part| &part.previous));
        state.sum = vec![0.0; state.x.len()];
        state.begun = true;
    }

    /// Moves the cotangents to the group's new rows.
    fn move_state(&self, state: &mut State, before: &[usize], parts: &mut [Pulled]) {
        self.add_sums(state, before, parts);
        state.x = self.moved(&state.x, before);
        state.previous = self.moved(&state.previous, before);
        state.sum = vec![0.0; state.x.len()];
    }

    /// Stores the cotangents of where the parts that moved got to.
    fn store_state(&self, state: &State, parts: &mut [Pulled], moves: &[bool]) {
        let m = self.rows.len();
        self.add_sums(state, &self.rows, parts);
        for (i, part) in parts.iter_mut().enumerate().filter(|(i, _)| moves[*i]) {
            part.x.fill(0.0);
            part.previous.fill(0.0);
            for (u, j) in self.rows.iter().enumerate() {
                part.x[*j] = state.x[i * m + u];
                part.previous[*j] = state.previous[i * m + u];
            }
        }
    }

    /// One iteration back, of each lane that has one.
    fn step_back(
        &mut self,
        k: &[Option<usize>],
        state: &mut State,
        linear: &mut [Linear],
        parts: &mut [Pulled],
    ) {
        let m = self.rows.len();
        if m == 0 || k.iter().all(Option::is_none) {
            return;
        }
        for (i, k) in k.iter().enumerate() {
            match k {
                Some(k) => self.linearise(self.lanes.start + i, *k, &mut linear[i]),
                None => linear[i].clear(m),
            }
        }
        let by_target = parts.iter().any(|of| !of.found.target.is_empty());
        self.see_rows(linear, by_target);
        state.q.resize(m * linear.len(), 0.0);
        state.v.resize(m * linear.len(), 0.0);
        for (i, of) in linear.iter().enumerate() {
            let own = i * m..(i + 1) * m;
            let (q, v) = (&mut state.q[own.clone()], &mut state.v[own.clone()]);
            if k[i].is_none() {
                q.fill(0.0);
                v.fill(0.0);
                continue;
            }
            let (x, sum) = (&state.x[own.clone()], &mut state.sum[own]);
            for u in 0..m {
                q[u] = of.by_input[u] * x[u];
                v[u] = of.scaled_step[u] * q[u];
                sum[u] += v[u];
            }
            let found = &mut parts[i].found;
            for (u, &j) in self.rows.iter().enumerate() {
                found.l1[j] += of.by_l1[u] * x[u];
                found.l2[j] += of.by_l2[u] * x[u];
                if of.has_ridge {
                    found.l2[j] -= v[u] * of.e(u);
                }
            }
        }
        let mut h = std::mem::take(&mut state.h);
        self.hessian(&state.v, &mut h, 1, |group, i, z| {
            // With a constant curvature the target's gradient is that of the sums.
            let target = parts[i].found.target.iter_mut();
            target.zip(group.target_derivatives(i, z.len())).zip(&*z).for_each(|((to, by), z)| *to -= by * z);
            group.times_curvature(i, z);
        });
        for (i, of) in linear.iter().enumerate() {
            if let Some(k) = k[i] {
                let own = i * m..(i + 1) * m;
                let of_state = (&mut state.x[own.clone()], &mut state.previous[own.clone()]);
                let products = (&state.q[own.clone()], &state.v[own.clone()], &mut h[own]);
                of.back(k, of_state, products, &mut parts[i].found);
            }
        }
        state.h = h;
    }

    /// `ω ∂φ'/∂y` of a lane; empty where it is constant.
    fn target_derivatives(&self, i: usize, n: usize) -> &[f64] {
        if self.by_target.is_empty() { &[] } else { &self.by_target[i * n..(i + 1) * n] }
    }

    /// Adds `ω X Σ v` to the gradient by the target of a squared loss, for the rows before.
    fn add_sums(&self, state: &State, before: &[usize], parts: &mut [Pulled]) {
        if !self.least_squares() || before.is_empty() {
            return;
        }
        let problem = self.of.problem;
        for (i, part) in parts.iter_mut().enumerate().filter(|(_, part)| !part.found.target.is_empty()) {
            let mut all = Array1::zeros(problem.state_rows());
            let own = &state.sum[i * before.len()..(i + 1) * before.len()];
            before.iter().zip(own).for_each(|(j, v)| all[*j] = *v);
            let moved = problem.design.apply_vector(all.view());
            let weight = self.weight(self.lanes.start + i);
            let target = part.found.target.iter_mut();
            target.zip(weight).zip(&moved).for_each(|((to, w), z)| *to += w * z);
        }
    }
}

impl Linear {
    /// The cotangents of the iterate and of the previous one from those of the next, and the gradients by
    /// step and momentum.
    fn back(
        &self,
        k: usize,
        (x, previous): (&mut [f64], &mut [f64]),
        (q, v, h): (&[f64], &[f64], &mut [f64]),
        found: &mut Cotangents,
    ) {
        let (beta, eta) = (self.momentum, self.extrapolation);
        if self.has_ridge {
            (0..q.len()).for_each(|u| h[u] += self.ridge[u] * v[u]);
        }
        if !found.step.is_empty() {
            let along = |of: &[f64]| (0..q.len()).map(|u| of[u] * self.difference(u)).sum::<f64>();
            // `by_step` has J, which q has too: that of the cotangent is x̄.
            found.step[k] = (0..q.len()).map(|u| x[u] * self.by_step(u)).sum();
            found.momentum[k] = along(q) - if self.extrapolates { along(h) } else { 0.0 };
        }
        for u in 0..q.len() {
            let of_start = (1.0 + beta) * q[u] - (1.0 + eta) * h[u];
            let of_previous = eta * h[u] - beta * q[u];
            (x[u], previous[u]) = (previous[u] + of_start, of_previous);
        }
        if self.rests {
            (0..q.len()).for_each(|u| x[u] += std::mem::take(&mut previous[u]));
        }
        if self.takes_back {
            // The iterate was dropped: the iteration began where the one before did.
            (0..q.len()).for_each(|u| previous[u] += std::mem::take(&mut x[u]));
        }
    }
}
