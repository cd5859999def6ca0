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
            *part = *part + term(8 * block + lane);
        }
    }
    for i in len / 8 * 8..len {
        parts[i % 8] = parts[i % 8] + term(i);
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
                                dr[i] = dr[i] + weight[i] * loss.slope_by_target(e, y[i]) * dy[i];
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
                    let (alpha, beta, look) = (steps[slot], momenta[slot], look[slot]);
                    let (l1, l2) = (T::of(numbers.l1[i]), T::of(numbers.l2[i]));
                    let ridge = if P::RIDGE_IN_LOSS { l2 } else { T::zero() };
                    let (xp, dxp) = xp.split_at_mut(q);
                    let (x, dx) = x.split_at(q);
                    let (g, dg) = g.split_at(q);
                    for j in 0..q {
                        let move_ = x[j] - xp[j];
                        let e = x[j] + look * move_;
                        let w = x[j] + beta * move_ - alpha * (g[j] + ridge * factors[j] * e);
                        let prox = if j < numbers.penalised {
                            penalty.prox(w, alpha, l1 * factors[j], l2 * factors[j])
                        } else {
                            Prox::identity(w)
                        };
                        xp[j] = prox.value;
                        partials.keep(j, &prox, e);
                    }
                    let p = &*partials;
                    let tangents = dxp.chunks_exact_mut(q).zip(dx.chunks_exact(q)).zip(dg.chunks_exact(q));
                    for (t, ((dxp, dx), dg)) in tangents.enumerate() {
                        let (dl1, dl2) = (T::of(numbers.dl1[[i, t]]), T::of(numbers.dl2[[i, t]]));
                        let dw = |j: usize, dxp: T| {
                            let move_ = dx[j] - dxp;
                            let de = dx[j] + look * move_;
                            dx[j] + beta * move_ - alpha * (dg[j] + ridge * factors[j] * de)
                        };
                        // ∂_u of the ridge's gradient and of the proximal map, for a unit of strength on coefficient j
                        let by_strength = |j: usize| {
                            let dridge = if P::RIDGE_IN_LOSS { dl2 } else { T::zero() };
                            p.by_l1[j] * dl1 + p.by_l2[j] * dl2 - p.by_input[j] * alpha * dridge * p.e[j]
                        };
                        match numbers.only[t] {
                            None => {
                                for j in 0..q {
                                    dxp[j] = p.by_input[j] * dw(j, dxp[j]) + factors[j] * by_strength(j);
                                }
                            }
                            Some(feature) => {
                                for j in 0..q {
                                    dxp[j] = p.by_input[j] * dw(j, dxp[j]);
                                }
                                dxp[feature] = dxp[feature] + by_strength(feature);
                            }
                        }
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
