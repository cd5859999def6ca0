//! What is recorded of a new iterate.

use rayon::prelude::*;

use super::block::{Block, Rows};
use super::vector::{sum, vectorised};
use crate::design::Design;
use crate::objective::{LossFunction, PenaltyFunction, Real, with_loss, with_penalty};
use crate::program::RecordLayout;

/// Held-out rows.
pub(super) struct HeldOut<T> {
    pub(super) design: Design<T>,
    pub(super) rows: Rows<T>,
}

impl<T: Real> Block<'_, T> {
    /// Records the new iterates: objective, changes, support, and the loss of held-out rows with its derivatives, whose
    /// predictions are `held_out`.
    pub(super) fn observe(&mut self, held_out: Option<(&HeldOut<T>, &[T])>) {
        with_penalty!(self.common.penalty, f => self.record_step(f));
        with_loss!(self.common.loss, f => self.record_loss(f));
        if let Some((rows, z)) = held_out {
            with_loss!(self.common.loss, f => self.record_held_out(f, rows, z));
        }
        with_loss!(self.common.loss, f => self.measure_secant(f));
        for slot in self.slots.iter_mut() {
            let seen = &mut slot.control.seen;
            seen.objective = T::of(slot.record[RecordLayout::OBJECTIVE]);
            seen.moved = slot.record[RecordLayout::ACTIVE_CHANGE] > 0.0;
        }
    }

    /// Changes, support and the penalty's part of the objective.
    fn record_step<P: PenaltyFunction>(&mut self, penalty: P) {
        let q = self.design.columns();
        let (factors, penalised) = (self.factors, self.penalised);
        let width = q * (1 + self.common.d);
        self.slots
            .par_iter_mut()
            .zip(self.x.par_chunks_exact(width))
            .zip(self.x_previous.par_chunks_exact(width))
            .for_each(|((slot, x), xp)| {
                let (l1, l2) = (T::of(slot.numbers.l1), T::of(slot.numbers.l2));
                let params = &slot.params;
                let record = &mut slot.record;
                record[RecordLayout::STEP] = params.step.f64();
                record[RecordLayout::MOMENTUM] = if params.restore { -1.0 } else { params.momentum.f64() };
                vectorised(StepRecord { penalty, q, factors, penalised, l1, l2, x, xp, record });
            });
    }

    /// Adds the loss's part to `⟨s, ∇f(x⁺) − ∇f(e)⟩` and its tangents: `⟨X s, ω (φ'(z⁺) − φ'(X e))⟩`.
    fn measure_secant<L: LossFunction>(&mut self, loss: L) {
        let rows = &self.common.rows;
        let (n, width) = (self.design.rows(), self.design.rows() * (1 + self.common.d));
        let (y, weight, dy) = (&rows.target[..n], &rows.weight[..n], &rows.target_tangent);
        let Some(extrapolated) = &self.extrapolated else { return };
        self.slots
            .par_iter_mut()
            .zip(self.z.par_chunks_exact(width))
            .zip(extrapolated.par_chunks_exact(width))
            .zip(self.r.par_chunks_exact(width))
            .for_each(|(((slot, z), e), r)| {
                let seen = &mut slot.control.seen;
                let turned = |i: usize| weight[i] * loss.d1(z[i], y[i]) - r[i];
                seen.secant += sum(n, |i| (z[i] - e[i]) * turned(i));
                for (t, dsecant) in seen.dsecant.iter_mut().enumerate() {
                    *dsecant += sum(n, |i| {
                        let c = (t + 1) * n + i;
                        let by_target =
                            dy.get(t).map_or(T::zero(), |dy| loss.d1_by_target(z[i], y[i]) * dy[i]);
                        let dturned = weight[i] * (loss.d2(z[i], y[i]) * z[c] + by_target) - r[c];
                        (z[c] - e[c]) * turned(i) + (z[i] - e[i]) * dturned
                    });
                }
            });
    }

    /// The loss's part of the objective.
    fn record_loss<L: LossFunction>(&mut self, loss: L) {
        let rows = &self.common.rows;
        let (n, width) = (self.design.rows(), self.design.rows() * (1 + self.common.d));
        self.slots.par_iter_mut().zip(self.z.par_chunks_exact(width)).for_each(|(slot, z)| {
            slot.record[RecordLayout::OBJECTIVE] += vectorised(MeanLoss { loss, rows, z: &z[..n] }).f64();
        });
    }

    fn record_held_out<L: LossFunction>(&mut self, loss: L, held_out: &HeldOut<T>, z: &[T]) {
        let rows = &held_out.rows;
        let n = rows.target.len();
        let layout = RecordLayout::new(self.common.d);
        self.slots.par_iter_mut().zip(z.par_chunks_exact(n * (1 + self.common.d))).for_each(|(slot, z)| {
            let (z, dz) = z.split_at(n);
            slot.record[RecordLayout::VALIDATION] = vectorised(MeanLoss { loss, rows, z }).f64();
            for (t, dz) in dz.chunks_exact(n).enumerate() {
                let slope = sum(n, |i| rows.weight[i] * loss.d1(z[i], rows.target[i]) * dz[i]);
                slot.record[layout.hypergradient(t)] = slope.f64();
            }
        });
    }
}

/// The record of a lane's step.
struct StepRecord<'a, T, P> {
    penalty: P,
    q: usize,
    factors: &'a [T],
    penalised: usize,
    l1: T,
    l2: T,
    x: &'a [T],
    xp: &'a [T],
    record: &'a mut [f64],
}

impl<T: Real, P: PenaltyFunction> pulp::WithSimd for StepRecord<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let StepRecord { penalty, q, factors, penalised, l1, l2, x, xp, record } = self;
        let layout = RecordLayout::new(x.len() / q - 1);
        let (now, was, factors) = (&x[..penalised], &xp[..penalised], &factors[..penalised]);
        let penalty_value = sum(penalised, |j| penalty.value(now[j], l1 * factors[j], l2 * factors[j]));
        record[RecordLayout::OBJECTIVE] = penalty_value.f64();
        let mark = |on: bool| if on { T::one() } else { T::zero() };
        record[RecordLayout::SUPPORT] = sum(penalised, |j| mark(now[j] != T::zero())).f64();
        let moved = |j: usize| mark(penalty.is_active(now[j]) != penalty.is_active(was[j]));
        record[RecordLayout::ACTIVE_CHANGE] = sum(penalised, moved).f64();
        for (t, (now, was)) in x.chunks_exact(q).zip(xp.chunks_exact(q)).enumerate() {
            let was = &was[..now.len()];
            let change = sum(now.len(), |j| (now[j] - was[j]) * (now[j] - was[j])).sqrt().f64();
            record[if t == 0 { RecordLayout::CHANGE } else { layout.derivative_change(t - 1) }] = change;
        }
    }
}

/// `Σ ω φ(z)`.
struct MeanLoss<'a, T, L> {
    loss: L,
    rows: &'a Rows<T>,
    z: &'a [T],
}

impl<T: Real, L: LossFunction> pulp::WithSimd for MeanLoss<'_, T, L> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> T {
        let MeanLoss { loss, rows, z } = self;
        let (y, weight) = (&rows.target[..z.len()], &rows.weight[..z.len()]);
        sum(z.len(), |i| weight[i] * loss.value(z[i], y[i]))
    }
}
