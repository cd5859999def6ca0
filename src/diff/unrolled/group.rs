//! Some lanes on the columns of their active sets, and the products with these.

use std::borrow::Cow;
use std::ops::Range;

use super::Unrolled;
use super::linear::Linear;
use crate::design::{Design, Gram, Threads};
use crate::objective::{LossFunction, with_loss};

/// Iterations for which a group keeps its columns at least.
pub(super) const PIECE: usize = 16;
/// Share of all columns from which a group uses all.
const ALL_FROM: f64 = 0.6;
/// A group keeps columns that it does not need until they are as many as these times those that it does.
const SLACK: usize = 2;

/// Some lanes on the columns of their active sets.
pub(super) struct Group<'a> {
    pub(super) of: &'a Unrolled<'a>,
    pub(super) lanes: Range<usize>,
    threads: Threads,
    /// `[m]`: rows of the state, ascending; the columns of `design`.
    pub(super) rows: Vec<usize>,
    /// `[q]`: the place of each among them; `m` or more if it is not.
    place: Vec<u32>,
    design: Cow<'a, Design>,
    gram: Gram<f64>,
    has_gram: bool,
    /// True if `φ'' = 1`.
    least_squares: bool,
    /// `[lanes][n]`: `ω φ''(X e)` and, if asked for, `ω ∂φ'/∂y`.
    pub(super) curvature: Vec<f64>,
    pub(super) by_target: Vec<f64>,
    /// Scratch.
    z: Vec<f64>,
    e: Vec<f64>,
}

impl<'a> Group<'a> {
    pub(super) fn new(of: &'a Unrolled<'a>, lanes: Range<usize>, threads: Threads) -> Self {
        let q = of.problem.state_rows();
        Group {
            of,
            lanes,
            threads,
            rows: Vec::new(),
            place: vec![u32::MAX; q],
            design: Cow::Owned(of.problem.design.without_columns()),
            gram: Gram::empty(),
            has_gram: false,
            least_squares: of.problem.loss().capabilities().least_squares,
            curvature: Vec::new(),
            by_target: Vec::new(),
            z: Vec::new(),
            e: Vec::new(),
        }
    }

    /// True if the loss is `½ (z − y)²`.
    pub(super) fn least_squares(&self) -> bool {
        self.least_squares
    }

    /// `[n]`: the weights of the rows that a lane is fitted on.
    pub(super) fn weight(&self, lane: usize) -> &'a [f64] {
        let problem = self.of.problem;
        let weight = match self.of.lanes[lane].fold {
            Some(fold) => &problem.folds[fold].fitted,
            None => &problem.weight,
        };
        weight.as_slice().expect("a vector of its own")
    }

    /// Writes iterate `k` of a lane on the group's rows, over zeros.
    pub(super) fn scatter(&self, lane: usize, k: usize, out: &mut [f64]) {
        self.of.tape.lanes[lane].for_each(k, |j, v| {
            // Others are not in the set because nothing depends on them.
            if let Some(to) = out.get_mut(self.place[j] as usize) {
                *to = v;
            }
        });
    }

    /// Makes sure that the columns of some iterations, of each lane, are there. `steps` are the iterations
    /// left, `width` the columns of a lane, and `by_rows` is true if products with rows are needed. Returns
    /// the rows before if they changed.
    pub(super) fn prepare(
        &mut self,
        iterations: &[Range<usize>],
        (steps, width): (usize, usize),
        by_rows: bool,
    ) -> Option<Vec<usize>> {
        let needed = self.needed(iterations);
        let has = |j: &usize| (self.place[*j] as usize) < self.rows.len();
        if needed.iter().all(has) && self.rows.len() <= (SLACK * needed.len()).max(PIECE) {
            return None;
        }
        let problem = self.of.problem;
        let before = std::mem::replace(&mut self.rows, needed);
        self.place.fill(u32::MAX);
        self.rows.iter().enumerate().for_each(|(u, j)| self.place[*j] = u as u32);
        let (n, m) = (problem.design.rows(), self.rows.len());
        let columns = width * self.lanes.len();
        let saved = steps as f64 * (columns * m) as f64 * (2.0 * n as f64 - m as f64);
        let cost = self.gram.missing(self.rows.iter().copied()) as f64 * (n * m) as f64;
        let has_folds = !problem.folds.is_empty();
        let dense = problem.design.stored().is_none();
        self.has_gram = self.least_squares && dense && !has_folds && !by_rows && saved > cost;
        if self.has_gram {
            let weight = self.weight(self.lanes.start);
            self.gram.set_columns(&problem.design, weight, &self.rows);
        } else if m == self.place.len() {
            self.design = Cow::Borrowed(&problem.design);
        } else {
            if let Cow::Borrowed(all) = &self.design {
                // Else the entries of all columns would be copied first.
                self.design = Cow::Owned(all.without_columns());
            }
            problem.design.select_columns(&self.rows, self.design.to_mut());
        }
        Some(before)
    }

    /// The rows of the state that some iterations need, ascending.
    fn needed(&self, iterations: &[Range<usize>]) -> Vec<usize> {
        let q = self.place.len();
        if !self.of.is_sparse() {
            return (0..q).collect();
        }
        let mut marked = vec![false; q];
        marked[self.of.problem.features()..].fill(true);
        for (lane, range) in self.lanes.clone().zip(iterations) {
            let tape = &self.of.tape.lanes[lane];
            // Of a lane that rests its iterate and the previous one.
            let first = match range.is_empty() {
                true => range.end.saturating_sub(1),
                false => tape.previous_of(range.start),
            };
            let has = |k: &usize| tape.has(*k) && (*k == first || !tape.is_like_before(*k));
            for k in (first..=range.end).filter(has) {
                tape.for_each(k, |j, v| marked[j] |= v != 0.0);
            }
        }
        let needed: Vec<usize> = (0..q).filter(|j| marked[*j]).collect();
        if needed.len() as f64 > ALL_FROM * q as f64 { (0..q).collect() } else { needed }
    }

    /// Moves `[m]`-columns from the rows before to those of now; rows that are new are zero.
    pub(super) fn moved(&self, columns: &[f64], before: &[usize]) -> Vec<f64> {
        let (m, old) = (self.rows.len(), before.len());
        if old == 0 {
            return vec![0.0; m * self.lanes.len()];
        }
        let count = columns.len() / old;
        let mut out = vec![0.0; m * count];
        for (to, from) in out.chunks_exact_mut(m.max(1)).zip(columns.chunks_exact(old)) {
            for (j, v) in before.iter().zip(from) {
                if let Some(to) = to.get_mut(self.place[*j] as usize) {
                    *to = *v;
                }
            }
        }
        out
    }

    /// Computes `ω φ''(X e)` of each lane's linearised iteration, unless it is constant, and `ω ∂φ'/∂y` if
    /// asked for.
    pub(super) fn see_rows(&mut self, linear: &[Linear], by_target: bool) {
        let n = self.of.problem.design.rows();
        if self.least_squares {
            return;
        }
        let m = self.rows.len();
        self.e.clear();
        for of in linear {
            self.e.extend((0..m).map(|u| of.e(u)));
        }
        let count = linear.len();
        self.z.resize(n * count, 0.0);
        self.design.apply(&mut self.z, &self.e, self.threads);
        self.curvature.resize(n * count, 0.0);
        self.by_target.resize(if by_target { n * count } else { 0 }, 0.0);
        let target = self.of.problem.target.as_slice().expect("a vector of its own");
        with_loss!(self.of.problem.loss(), f => self.see_rows_of(f, target));
    }

    fn see_rows_of<L: LossFunction>(&mut self, loss: L, target: &[f64]) {
        let n = target.len();
        for (i, lane) in self.lanes.clone().enumerate() {
            let weight = self.weight(lane);
            let own = i * n..(i + 1) * n;
            let rows = weight.iter().zip(target).zip(&self.z[own.clone()]);
            let curvature = self.curvature[own.clone()].iter_mut();
            rows.clone().zip(curvature).for_each(|(((w, y), z), to)| *to = w * loss.d2(*z, *y));
            if !self.by_target.is_empty() {
                let by_target = self.by_target[own].iter_mut();
                rows.zip(by_target).for_each(|(((w, y), z), to)| *to = w * loss.d1_by_target(*z, *y));
            }
        }
    }

    /// `h = Xᵀ diag(ω φ'') X v` of `[m]`-columns, `width` for each lane. `on_rows` may change the lanes' row
    /// vectors `ω φ'' X v`, given with `X v`; it is not called where `XᵀΩX` is known.
    pub(super) fn hessian(
        &mut self,
        v: &[f64],
        h: &mut Vec<f64>,
        width: usize,
        mut on_rows: impl FnMut(&Self, usize, &mut [f64]),
    ) {
        h.resize(v.len(), 0.0);
        if self.rows.is_empty() {
            return;
        }
        if self.has_gram {
            self.gram.apply(h, v, self.threads);
            return;
        }
        let n = self.of.problem.design.rows();
        let mut z = std::mem::take(&mut self.z);
        z.resize(n * width * self.lanes.len(), 0.0);
        self.design.apply(&mut z, v, self.threads);
        for (c, z) in z.chunks_exact_mut(n).enumerate() {
            on_rows(self, c, z);
        }
        self.design.apply_t(h, &z, self.threads);
        self.z = z;
    }

    /// Multiplies the products of a lane, `[n]`, by `ω φ''`.
    pub(super) fn times_curvature(&self, lane: usize, z: &mut [f64]) {
        let n = z.len();
        let curvature = match self.least_squares {
            true => self.weight(self.lanes.start + lane),
            false => &self.curvature[lane * n..(lane + 1) * n],
        };
        z.iter_mut().zip(curvature).for_each(|(z, c)| *z *= c);
    }

    /// The place of a row of the state, if the group has it.
    pub(super) fn place_of(&self, j: usize) -> Option<usize> {
        Some(self.place[j] as usize).filter(|u| *u < self.rows.len())
    }
}
