//! The element-wise ends of an iteration: residual, step, and what is recorded of it. One lane is one unit of work; its
//! arithmetic does not depend on the other lanes.

use rayon::prelude::*;

use super::super::Directive;
use super::state::State;
use crate::plan::RecordLayout;
use crate::problem::{LossFunction, PenaltyFunction, Prox, Real, with_loss, with_penalty};
use crate::schedule::Row;

/// Sums `term(i)` in eight interleaved partial sums: vectorises, and rounds less than one running sum.
pub(super) fn sum<T: Real>(len: usize, term: impl Fn(usize) -> T) -> T {
    let mut parts = [T::zero(); 8];
    for block in 0..len / 8 {
        for (lane, part) in parts.iter_mut().enumerate() {
            *part += term(8 * block + lane);
        }
    }
    for i in len / 8 * 8..len {
        parts[i % 8] += term(i);
    }
    let [a, b, c, d, e, f, g, h] = parts;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// `‖a − b‖₂`.
pub(super) fn distance<T: Real>(a: &[T], b: &[T]) -> T {
    let b = &b[..a.len()];
    sum(a.len(), |i| (a[i] - b[i]) * (a[i] - b[i])).sqrt()
}

/// `‖a‖₂`.
pub(super) fn norm<T: Real>(a: &[T]) -> T {
    sum(a.len(), |i| a[i] * a[i]).sqrt()
}

/// Where a gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// At `x`.
    Here,
    /// At `e = x + look (x − x₋)`, as the lane's directive says.
    Ahead,
}

impl<T: Real> State<T> {
    /// Decides what every active lane does at iteration `k`.
    pub(super) fn direct(&mut self, k: usize, row: &Row) {
        // Rows were made for the lanes active at the start of the chunk, in this order.
        let b = self.active.len();
        let of = |(i, lane): (usize, &usize)| self.controls[*lane].direct(&self.rules, k, row, (i, b), &self.seen[i]);
        self.directives = self.active.iter().enumerate().map(of).collect();
        for slot in 0..b {
            if self.directives[slot].restore {
                self.restore(slot);
            }
        }
    }

    /// Takes the last step of a lane back: `x = x₋`.
    fn restore(&mut self, slot: usize) {
        let width = 1 + self.d;
        let columns = |rows: usize| slot * width * rows..(slot + 1) * width * rows;
        self.x[columns(self.q)].copy_from_slice(&self.x_previous[columns(self.q)]);
        self.z[columns(self.n)].copy_from_slice(&self.z_previous[columns(self.n)]);
    }

    /// `r = ω φ'(X e)` and `dr = ω (φ''(X e) X de + ∂_y φ' dy)`, with `X e = z + look (z − z_previous)` per lane.
    pub(super) fn residual(&mut self, probe: Probe) {
        with_loss!(self.loss, f => self.residual_of(f, probe));
    }

    fn residual_of<L: LossFunction>(&mut self, loss: L, probe: Probe) {
        let (n, d) = (self.n, self.d);
        let width = n * (1 + d);
        let (y, weight, dy) = (&self.target[..n], &self.weight[..n], &self.target_tangent);
        self.r
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&self.directives)
            .for_each_init(
                || vec![T::zero(); n],
                |curve, (((r, z), zp), directive)| {
                    let look = if probe == Probe::Ahead { directive.look } else { T::zero() };
                    let (r, dr) = r.split_at_mut(n);
                    let (z, dz) = z.split_at(n);
                    let (zp, dzp) = zp.split_at(n);
                    if d == 0 {
                        for i in 0..n {
                            r[i] = weight[i] * loss.slope(z[i] + look * (z[i] - zp[i]), y[i]);
                        }
                        return;
                    }
                    for i in 0..n {
                        let e = z[i] + look * (z[i] - zp[i]);
                        r[i] = weight[i] * loss.slope(e, y[i]);
                        curve[i] = weight[i] * loss.curve(e, y[i]);
                    }
                    let tangents = dr.chunks_exact_mut(n).zip(dz.chunks_exact(n)).zip(dzp.chunks_exact(n));
                    for (t, ((dr, dz), dzp)) in tangents.enumerate() {
                        let dlook = if probe == Probe::Ahead { directive.dlook[t] } else { T::zero() };
                        for i in 0..n {
                            dr[i] = curve[i] * (dz[i] + look * (dz[i] - dzp[i]));
                        }
                        if dlook != T::zero() {
                            for i in 0..n {
                                dr[i] += curve[i] * dlook * (z[i] - zp[i]);
                            }
                        }
                        if let Some(dy) = dy.get(t) {
                            for i in 0..n {
                                let e = z[i] + look * (z[i] - zp[i]);
                                dr[i] += weight[i] * loss.slope_by_target(e, y[i]) * dy[i];
                            }
                        }
                    }
                },
            );
        if probe == Probe::Ahead {
            self.keep_extrapolated();
        }
    }

    /// Predictions of `e`, where the schedule measures the curvature of the step that follows.
    fn keep_extrapolated(&mut self) {
        let (n, width) = (self.n, self.n * (1 + self.d));
        let Some(extrapolated) = &mut self.extrapolated else { return };
        extrapolated
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(&self.directives)
            .for_each(|(((e, z), zp), directive)| {
                for i in 0..width {
                    e[i] = z[i] + directive.look * (z[i] - zp[i]);
                }
                for (t, dlook) in directive.dlook.iter().enumerate() {
                    for i in 0..n {
                        e[(t + 1) * n + i] += *dlook * (z[i] - zp[i]);
                    }
                }
            });
    }

    /// `w = x + β(x − x₋) − α D g`, `x⁺ = prox(w)`, and the tangents `dx⁺ = J dw + ∂_u prox`. The new iterate replaces
    /// the previous one, and the two change names.
    pub(super) fn step(&mut self) {
        with_penalty!(self.penalty, f => self.step_of(f));
        std::mem::swap(&mut self.x, &mut self.x_previous);
    }

    fn step_of<P: PenaltyFunction>(&mut self, penalty: P) {
        let (q, d) = (self.q, self.d);
        let width = q * (1 + d);
        let (numbers, factors, active) = (&self.numbers, &self.factors[..q], &self.active);
        let (directives, metric, ones) = (&self.directives, &self.metric, &self.ones);
        let (measures_curvature, watches_restarts) = (self.extrapolated.is_some(), self.watches_restarts);
        let frozen = self.is_frozen().to_vec();
        self.x_previous
            .par_chunks_exact_mut(width)
            .zip(self.x.par_chunks_exact(width))
            .zip(self.g.par_chunks_exact(width))
            .zip(&mut self.seen)
            .enumerate()
            .for_each_init(
                || Partials::new(q),
                |partials, (slot, (((xp, x), g), seen))| {
                    if frozen[slot] {
                        xp.copy_from_slice(x);
                        return;
                    }
                    let i = active[slot];
                    let l2 = T::of(numbers.l2[i]);
                    let diagonal = metric.as_ref().map(|m| &m[slot * width..(slot + 1) * width]);
                    let lane = LaneStep {
                        told: &directives[slot],
                        l1: T::of(numbers.l1[i]),
                        l2,
                        ridge: if P::RIDGE_IN_LOSS { l2 } else { T::zero() },
                        factors,
                        penalised: numbers.penalised,
                        diagonal: diagonal.map_or(ones, |m| &m[..q]),
                        ddiagonal: diagonal.map(|m| &m[q..]),
                        watches_restarts,
                    };
                    let mut columns = xp.chunks_exact_mut(q).zip(x.chunks_exact(q)).zip(g.chunks_exact(q));
                    if let Some(((xp, x), g)) = columns.next() {
                        lane.iterate(penalty, xp, x, g, partials);
                        if watches_restarts {
                            seen.restart = sum(q, |j| (partials.y[j] - xp[j]) * (xp[j] - x[j]));
                        }
                        if measures_curvature {
                            (0..q).for_each(|j| partials.s[j] = xp[j] - partials.e[j]);
                            let s = &partials.s;
                            seen.square = sum(q, |j| s[j] * s[j]);
                            seen.secant = sum(q, |j| lane.ridge * factors[j] * s[j] * s[j]);
                        }
                    }
                    for (t, ((dxp, dx), dg)) in columns.enumerate() {
                        if !lane.told.tangents {
                            dxp.fill(T::zero());
                            continue;
                        }
                        if measures_curvature {
                            lane.keep_tangent_of_e(dxp, dx, t, partials);
                        }
                        let by = (T::of(numbers.dl1[[i, t]]), T::of(numbers.dl2[[i, t]]));
                        lane.tangent::<P>(dxp, dx, dg, partials, (t, by), numbers.only[t]);
                        if measures_curvature {
                            let p = &partials;
                            let ds = |j: usize| dxp[j] - p.de[j];
                            seen.dsquare[t] = sum(q, |j| (p.s[j] + p.s[j]) * ds(j));
                            seen.dsecant[t] = sum(q, |j| {
                                let moves = lane.moves(numbers.only[t], j);
                                let dridge = if P::RIDGE_IN_LOSS { by.1 * moves } else { T::zero() };
                                p.s[j] * (dridge * p.s[j] + lane.ridge * factors[j] * (ds(j) + ds(j)))
                            });
                        }
                    }
                },
            );
    }

    /// Records the new iterate: objective, changes, support, and the validation loss with its derivative.
    pub(super) fn observe(&mut self) {
        with_penalty!(self.penalty, f => self.record_step(f));
        with_loss!(self.loss, f => self.record_loss(f));
        with_loss!(self.loss, f => self.measure_secant(f));
        for (seen, record) in self.seen.iter_mut().zip(&self.records) {
            seen.objective = T::of(record[RecordLayout::OBJECTIVE]);
            seen.moved = record[RecordLayout::ACTIVE_CHANGE] > 0.0;
        }
    }

    /// Changes, support and the penalty's part of the objective.
    fn record_step<P: PenaltyFunction>(&mut self, penalty: P) {
        let (q, d) = (self.q, self.d);
        let layout = RecordLayout::new(d);
        let (x, xp, factors, numbers, active) = (&self.x, &self.x_previous, &self.factors, &self.numbers, &self.active);
        let directives = &self.directives;
        self.records.par_iter_mut().enumerate().for_each(|(slot, record)| {
            let i = active[slot];
            let (l1, l2) = (T::of(numbers.l1[i]), T::of(numbers.l2[i]));
            let column = |t: usize| (slot * (1 + d) + t) * q..(slot * (1 + d) + t + 1) * q;
            let lane = &x[column(0)][..numbers.penalised];
            let price = sum(lane.len(), |j| penalty.value(lane[j], l1 * factors[j], l2 * factors[j]));
            record[RecordLayout::OBJECTIVE] = price.f64();
            let mark = |on: bool| if on { T::one() } else { T::zero() };
            record[RecordLayout::SUPPORT] = sum(lane.len(), |j| mark(lane[j] != T::zero())).f64();
            let was = &xp[column(0)][..numbers.penalised];
            let moved = |j: usize| mark(penalty.is_active(lane[j]) != penalty.is_active(was[j]));
            record[RecordLayout::ACTIVE_CHANGE] = sum(lane.len(), moved).f64();
            record[RecordLayout::STEP] = directives[slot].step.f64();
            record[RecordLayout::MOMENTUM] =
                if directives[slot].restore { -1.0 } else { directives[slot].momentum.f64() };
            record[RecordLayout::CHANGE] = distance(&x[column(0)], &xp[column(0)]).f64();
            for t in 0..d {
                record[layout.derivative_change(t)] = distance(&x[column(t + 1)], &xp[column(t + 1)]).f64();
            }
        });
    }

    /// Adds the loss's part to `⟨s, ∇f(x⁺) − ∇f(e)⟩` and its tangents: `⟨X s, ω (φ'(z⁺) − φ'(X e))⟩`.
    fn measure_secant<L: LossFunction>(&mut self, loss: L) {
        let (n, width) = (self.n, self.n * (1 + self.d));
        let (y, weight, dy) = (&self.target[..n], &self.weight[..n], &self.target_tangent);
        let (z, r) = (&self.z, &self.r);
        let Some(e) = &self.extrapolated else { return };
        self.seen.par_iter_mut().enumerate().for_each(|(slot, seen)| {
            let own = slot * width..(slot + 1) * width;
            let (z, e, r) = (&z[own.clone()], &e[own.clone()], &r[own]);
            let turned = |i: usize| weight[i] * loss.slope(z[i], y[i]) - r[i];
            seen.secant += sum(n, |i| (z[i] - e[i]) * turned(i));
            for (t, dsecant) in seen.dsecant.iter_mut().enumerate() {
                *dsecant += sum(n, |i| {
                    let c = (t + 1) * n + i;
                    let by_target = dy.get(t).map_or(T::zero(), |dy| loss.slope_by_target(z[i], y[i]) * dy[i]);
                    let dturned = weight[i] * (loss.curve(z[i], y[i]) * z[c] + by_target) - r[c];
                    (z[c] - e[c]) * turned(i) + (z[i] - e[i]) * dturned
                });
            }
        });
    }

    /// The loss's part of the objective, and the held-out rows.
    fn record_loss<L: LossFunction>(&mut self, loss: L) {
        let (n, d) = (self.n, self.d);
        let layout = RecordLayout::new(d);
        let (z, y, weight, held_out) = (&self.z, &self.target[..n], &self.weight[..n], &self.held_out);
        self.records.par_iter_mut().enumerate().for_each(|(slot, record)| {
            let lane = &z[slot * (1 + d) * n..][..n];
            record[RecordLayout::OBJECTIVE] += sum(n, |i| weight[i] * loss.value(lane[i], y[i])).f64();
            let Some(h) = held_out else { return };
            let column = |t: usize| &h.z[(slot * (1 + d) + t) * h.n..][..h.n];
            let v = column(0);
            record[RecordLayout::VALIDATION] = sum(h.n, |i| h.weight[i] * loss.value(v[i], h.target[i])).f64();
            for t in 0..d {
                let dv = column(t + 1);
                let slope = sum(h.n, |i| h.weight[i] * loss.slope(v[i], h.target[i]) * dv[i]);
                record[layout.hypergradient(t)] = slope.f64();
            }
        });
    }
}

/// The step of one lane.
struct LaneStep<'a, T> {
    told: &'a Directive<T>,
    l1: T,
    l2: T,
    /// Strength of the ridge in the smooth loss.
    ridge: T,
    factors: &'a [T],
    penalised: usize,
    /// The metric and its tangents.
    diagonal: &'a [T],
    ddiagonal: Option<&'a [T]>,
    watches_restarts: bool,
}

impl<T: Real> LaneStep<'_, T> {
    /// Whether a tangent moves the step or the momentum of coefficients.
    fn moves_schedule(&self) -> bool {
        let told = self.told;
        self.ddiagonal.is_some() || told.dstep.iter().chain(&told.dmomentum).any(|v| *v != T::zero())
    }

    /// `x⁺ = prox(x + β(x − x₋) − α D (g + ridge e))`, written over `x₋`; the partials serve the tangents.
    fn iterate<P: PenaltyFunction>(&self, penalty: P, xp: &mut [T], x: &[T], g: &[T], partials: &mut Partials<T>) {
        let (step, momentum, look) = (self.told.step, self.told.momentum, self.told.look);
        let moves_schedule = self.moves_schedule();
        if moves_schedule {
            (0..x.len()).for_each(|j| partials.moved[j] = x[j] - xp[j]);
        }
        for j in 0..x.len() {
            let moved = x[j] - xp[j];
            let e = x[j] + look * moved;
            let a = step * self.diagonal[j];
            let slope = if P::RIDGE_IN_LOSS { g[j] + self.ridge * self.factors[j] * e } else { g[j] };
            let y = x[j] + momentum * moved;
            if self.watches_restarts {
                partials.y[j] = y;
            }
            let w = y - a * slope;
            let prox = if j < self.penalised {
                penalty.prox(w, a, self.l1 * self.factors[j], self.l2 * self.factors[j])
            } else {
                Prox::identity(w)
            };
            xp[j] = prox.value;
            partials.keep(j, &prox, e);
        }
        if moves_schedule {
            for j in 0..x.len() {
                // ∂x⁺/∂a = J (x⁺ − x − β(x − x₋))/a: the step enters w, and the proximal map by −J (w − x⁺)/a.
                let travelled = xp[j] - x[j] - momentum * partials.moved[j];
                partials.by_step[j] = partials.by_input[j] * travelled / (step * self.diagonal[j]);
            }
        }
    }

    /// `dx⁺ = J dw + ∂_u prox`, written over `dx₋`; `by` is the tangent of the strengths, of all coefficients or of `only`.
    fn tangent<P: PenaltyFunction>(
        &self,
        dxp: &mut [T],
        dx: &[T],
        dg: &[T],
        p: &Partials<T>,
        (t, by): (usize, (T, T)),
        only: Option<usize>,
    ) {
        let told = self.told;
        let (step, momentum, look) = (told.step, told.momentum, told.look);
        // ∂_u of the proximal map and of the ridge's gradient, per unit of factor
        let by_strength = |j: usize| {
            let by_prox = p.by_l1[j] * by.0 + p.by_l2[j] * by.1;
            if P::RIDGE_IN_LOSS { by_prox - p.by_input[j] * step * self.diagonal[j] * by.1 * p.e[j] } else { by_prox }
        };
        for (j, dxp) in dxp.iter_mut().enumerate() {
            let a = step * self.diagonal[j];
            let moved = dx[j] - *dxp;
            let dslope =
                if P::RIDGE_IN_LOSS { dg[j] + self.ridge * self.factors[j] * (dx[j] + look * moved) } else { dg[j] };
            let dw = dx[j] + momentum * moved - a * dslope;
            let moves = if only.is_none() { self.factors[j] } else { T::zero() };
            *dxp = p.by_input[j] * dw + moves * by_strength(j);
        }
        if let Some(feature) = only {
            dxp[feature] += by_strength(feature);
        }
        let (dstep, dmomentum, dlook) = (told.dstep[t], told.dmomentum[t], told.dlook[t]);
        if dmomentum != T::zero() {
            for (j, dxp) in dxp.iter_mut().enumerate() {
                let a = step * self.diagonal[j];
                *dxp += p.by_input[j] * (dmomentum - a * self.ridge * self.factors[j] * dlook) * p.moved[j];
            }
        }
        if dstep != T::zero() || self.ddiagonal.is_some() {
            for (j, dxp) in dxp.iter_mut().enumerate() {
                let dd = self.ddiagonal.map_or(T::zero(), |m| m[t * dx.len() + j]);
                *dxp += p.by_step[j] * (dstep * self.diagonal[j] + step * dd);
            }
        }
    }

    /// Keeps `de` before `dx₋` is overwritten.
    fn keep_tangent_of_e(&self, dxp: &[T], dx: &[T], t: usize, partials: &mut Partials<T>) {
        let (look, dlook) = (self.told.look, self.told.dlook[t]);
        for j in 0..dx.len() {
            partials.de[j] = dx[j] + look * (dx[j] - dxp[j]);
        }
        if dlook != T::zero() {
            (0..dx.len()).for_each(|j| partials.de[j] += dlook * partials.moved[j]);
        }
    }

    /// By how much a tangent moves the strengths of coefficient `j`, per unit.
    fn moves(&self, only: Option<usize>, j: usize) -> T {
        match only {
            None => self.factors[j],
            Some(feature) if feature == j => T::one(),
            Some(_) => T::zero(),
        }
    }
}

/// Partials of the step along the coefficients of a lane, shared by its tangents.
struct Partials<T> {
    by_input: Vec<T>,
    by_l1: Vec<T>,
    by_l2: Vec<T>,
    by_step: Vec<T>,
    e: Vec<T>,
    /// `x + β(x − x₋)`, where restarts are watched.
    y: Vec<T>,
    /// `x − x₋`, which the new iterate overwrites; where a tangent moves the schedule.
    moved: Vec<T>,
    /// `x⁺ − e` and the tangent of `e`, where curvature is measured.
    s: Vec<T>,
    de: Vec<T>,
}

impl<T: Real> Partials<T> {
    fn new(q: usize) -> Self {
        let zeros = || vec![T::zero(); q];
        Partials {
            by_input: zeros(),
            by_l1: zeros(),
            by_l2: zeros(),
            by_step: zeros(),
            e: zeros(),
            y: zeros(),
            moved: zeros(),
            s: zeros(),
            de: zeros(),
        }
    }
    fn keep(&mut self, j: usize, prox: &Prox<T>, e: T) {
        self.by_input[j] = prox.by_input;
        self.by_l1[j] = prox.by_l1;
        self.by_l2[j] = prox.by_l2;
        self.e[j] = e;
    }
}
