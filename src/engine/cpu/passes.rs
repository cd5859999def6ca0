//! The element-wise ends of an iteration: residual, step, and what is recorded of it. One lane is one unit of work; its
//! arithmetic does not depend on the other lanes.

use rayon::prelude::*;

use super::state::State;
use crate::plan::RecordLayout;
use crate::problem::{LossFunction, PenaltyFunction, Prox, Real, with_loss, with_penalty};

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

impl<T: Real> State<T> {
    /// `r = ω φ'(X e)` and `dr = ω (φ''(X e) X de + ∂_y φ' dy)`, with `X e = z + look (z − z_previous)` per lane.
    pub(super) fn residual(&mut self, look: &[T]) {
        with_loss!(self.loss, f => self.residual_of(f, look));
    }

    fn residual_of<L: LossFunction>(&mut self, loss: L, look: &[T]) {
        let (n, d) = (self.n, self.d);
        let width = n * (1 + d);
        let (y, weight, dy) = (&self.target[..n], &self.weight[..n], &self.target_tangent);
        self.r
            .par_chunks_exact_mut(width)
            .zip(self.z.par_chunks_exact(width))
            .zip(self.z_previous.par_chunks_exact(width))
            .zip(look)
            .for_each_init(
                || vec![T::zero(); n],
                |curve, (((r, z), zp), &look)| {
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
                        for i in 0..n {
                            dr[i] = curve[i] * (dz[i] + look * (dz[i] - dzp[i]));
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
    }

    /// `w = x + β(x − x₋) − α g`, `x⁺ = prox(w)`, and the tangents `dx⁺ = J dw + ∂_u prox`. The new iterate replaces
    /// the previous one, and the two change names.
    pub(super) fn step(&mut self, steps: &[T], momenta: &[T], look: &[T]) {
        with_penalty!(self.penalty, f => self.step_of(f, steps, momenta, look));
        std::mem::swap(&mut self.x, &mut self.x_previous);
    }

    fn step_of<P: PenaltyFunction>(&mut self, penalty: P, steps: &[T], momenta: &[T], look: &[T]) {
        let (q, d) = (self.q, self.d);
        let width = q * (1 + d);
        let (numbers, factors, active) = (&self.numbers, &self.factors[..q], &self.active);
        let frozen = self.is_frozen().to_vec();
        self.x_previous
            .par_chunks_exact_mut(width)
            .zip(self.x.par_chunks_exact(width))
            .zip(self.g.par_chunks_exact(width))
            .enumerate()
            .for_each_init(
                || Partials::new(q),
                |partials, (slot, ((xp, x), g))| {
                    if frozen[slot] {
                        xp.copy_from_slice(x);
                        return;
                    }
                    let i = active[slot];
                    let l2 = T::of(numbers.l2[i]);
                    let lane = LaneStep {
                        alpha: steps[slot],
                        beta: momenta[slot],
                        look: look[slot],
                        l1: T::of(numbers.l1[i]),
                        l2,
                        ridge: if P::RIDGE_IN_LOSS { l2 } else { T::zero() },
                        factors,
                        penalised: numbers.penalised,
                    };
                    let mut columns = xp.chunks_exact_mut(q).zip(x.chunks_exact(q)).zip(g.chunks_exact(q));
                    if let Some(((xp, x), g)) = columns.next() {
                        lane.iterate(penalty, xp, x, g, partials);
                    }
                    for (t, ((dxp, dx), dg)) in columns.enumerate() {
                        let by = (T::of(numbers.dl1[[i, t]]), T::of(numbers.dl2[[i, t]]));
                        lane.tangent::<P>(dxp, dx, dg, partials, by, numbers.only[t]);
                    }
                },
            );
    }

    /// Records the new iterate: objective, changes, support, and the validation loss with its derivative.
    pub(super) fn observe(&mut self) {
        with_penalty!(self.penalty, f => self.record_step(f));
        with_loss!(self.loss, f => self.record_loss(f));
    }

    /// Changes, support and the penalty's part of the objective.
    fn record_step<P: PenaltyFunction>(&mut self, penalty: P) {
        let (q, d) = (self.q, self.d);
        let layout = RecordLayout::new(d);
        let (x, xp, factors, numbers, active) = (&self.x, &self.x_previous, &self.factors, &self.numbers, &self.active);
        self.records.par_iter_mut().enumerate().for_each(|(slot, record)| {
            let i = active[slot];
            let (l1, l2) = (T::of(numbers.l1[i]), T::of(numbers.l2[i]));
            let column = |t: usize| (slot * (1 + d) + t) * q..(slot * (1 + d) + t + 1) * q;
            let lane = &x[column(0)][..numbers.penalised];
            let price = sum(lane.len(), |j| penalty.value(lane[j], l1 * factors[j], l2 * factors[j]));
            record[RecordLayout::OBJECTIVE] = price.f64();
            record[RecordLayout::SUPPORT] = lane.iter().filter(|v| **v != T::zero()).count() as f64;
            record[RecordLayout::CHANGE] = distance(&x[column(0)], &xp[column(0)]).f64();
            for t in 0..d {
                record[layout.derivative_change(t)] = distance(&x[column(t + 1)], &xp[column(t + 1)]).f64();
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
    alpha: T,
    beta: T,
    look: T,
    l1: T,
    l2: T,
    /// Strength of the ridge in the smooth loss.
    ridge: T,
    factors: &'a [T],
    penalised: usize,
}

impl<T: Real> LaneStep<'_, T> {
    /// `x⁺ = prox(x + β(x − x₋) − α (g + ridge e))`, written over `x₋`; the partials serve the tangents.
    fn iterate<P: PenaltyFunction>(&self, penalty: P, xp: &mut [T], x: &[T], g: &[T], partials: &mut Partials<T>) {
        for j in 0..x.len() {
            let moved = x[j] - xp[j];
            let e = x[j] + self.look * moved;
            let w = x[j] + self.beta * moved - self.alpha * (g[j] + self.ridge * self.factors[j] * e);
            let prox = if j < self.penalised {
                penalty.prox(w, self.alpha, self.l1 * self.factors[j], self.l2 * self.factors[j])
            } else {
                Prox::identity(w)
            };
            xp[j] = prox.value;
            partials.keep(j, &prox, e);
        }
    }

    /// `dx⁺ = J dw + ∂_u prox`, written over `dx₋`; `by` is the tangent of the strengths, of all coefficients or of `only`.
    fn tangent<P: PenaltyFunction>(
        &self,
        dxp: &mut [T],
        dx: &[T],
        dg: &[T],
        partials: &Partials<T>,
        by: (T, T),
        only: Option<usize>,
    ) {
        let p = partials;
        let dridge = if P::RIDGE_IN_LOSS { by.1 } else { T::zero() };
        // ∂_u of the proximal map and of the ridge's gradient, per unit of factor
        let by_strength =
            |j: usize| p.by_l1[j] * by.0 + p.by_l2[j] * by.1 - p.by_input[j] * self.alpha * dridge * p.e[j];
        for (j, dxp) in dxp.iter_mut().enumerate() {
            let moved = dx[j] - *dxp;
            let de = dx[j] + self.look * moved;
            let dw = dx[j] + self.beta * moved - self.alpha * (dg[j] + self.ridge * self.factors[j] * de);
            let moves = if only.is_none() { self.factors[j] } else { T::zero() };
            *dxp = p.by_input[j] * dw + moves * by_strength(j);
        }
        if let Some(feature) = only {
            dxp[feature] += by_strength(feature);
        }
    }
}

/// Partials of the proximal map along the coefficients of a lane, shared by its tangents.
struct Partials<T> {
    by_input: Vec<T>,
    by_l1: Vec<T>,
    by_l2: Vec<T>,
    e: Vec<T>,
}

impl<T: Real> Partials<T> {
    fn new(q: usize) -> Self {
        let zeros = || vec![T::zero(); q];
        Partials { by_input: zeros(), by_l1: zeros(), by_l2: zeros(), e: zeros() }
    }
    fn keep(&mut self, j: usize, prox: &Prox<T>, e: T) {
        self.by_input[j] = prox.by_input;
        self.by_l1[j] = prox.by_l1;
        self.by_l2[j] = prox.by_l2;
        self.e[j] = e;
    }
}
