//! The record of a new iterate.

use rayon::prelude::*;

use super::block::{Block, Iterates, Predictions};
use super::shared::{Rows, Shared};
use super::vector::{PartialSums, sum, vectorised};
use crate::objective::{LossFunction, PenaltyFunction, Real, Zeros, with_loss, with_penalty};
use crate::program::RecordLayout;

impl<T: Real> Block<'_, T> {
    /// What the schedule needs to know of the new iterates and, if they are measured or it needs that, too,
    /// their objective, changes and support, and the loss of held-out rows with its derivatives.
    pub(super) fn observe(&mut self, measured: bool) {
        with_loss!(self.shared.loss, f => self.see_secant(f));
        if !measured && !self.shared.needs_records {
            return;
        }
        with_penalty!(self.shared.penalty, f => self.record_step(f));
        with_loss!(self.shared.loss, f => self.record_loss(f));
        if let Some(held_out) = self.shared.held_out.as_ref().filter(|_| measured) {
            with_loss!(self.shared.loss, f => self.record_held_out(f, held_out));
        }
        for lane in self.lanes.iter_mut() {
            let seen = &mut lane.control.seen;
            seen.objective = T::of(lane.record[RecordLayout::OBJECTIVE]);
            seen.moved = lane.record[RecordLayout::ACTIVE_CHANGE] > 0.0;
        }
    }

    /// Records changes, support and the penalty value.
    fn record_step<P: PenaltyFunction>(&mut self, penalty: P) {
        let fewest = self.lanes_per_task();
        let (columns, Iterates { x, x_previous, .. }) = self.coefficients.current();
        let (q, factors, penalised) = (columns.design.columns(), &columns.factors[..], columns.penalised);
        let width = q * self.shared.width();
        self.lanes
            .par_iter_mut()
            .zip(x.par_chunks_exact(width))
            .zip(x_previous.par_chunks_exact(width))
            .with_min_len(fewest)
            .for_each(|((lane, x), xp)| {
                let (l1, l2) = (T::of(lane.numbers.l1), T::of(lane.numbers.l2));
                let record = &mut lane.record;
                vectorised(StepRecord { penalty, q, factors, penalised, l1, l2, x, xp, record });
            });
    }

    /// Adds the loss term to `⟨s, ∇f(x⁺) − ∇f(e)⟩` and its tangents: `⟨X s, ω (φ'(z⁺) − φ'(X e))⟩`.
    fn see_secant<L: LossFunction>(&mut self, loss: L) {
        let fewest = self.lanes_per_task();
        let rows = &self.shared.rows;
        let n = self.shared.shape().0;
        let width = n * self.shared.width();
        let (y, dy) = (&rows.target[..n], &rows.target_tangent);
        let shared = self.shared;
        let Predictions { z, r, extrapolated, .. } = self.predictions.each_mut();
        self.lanes
            .par_iter_mut()
            .zip(z.par_chunks_exact(width))
            .zip(extrapolated.par_chunks_exact(width))
            .zip(r.par_chunks_exact(width))
            .with_min_len(fewest)
            .for_each(|(((lane, z), e), r)| {
                let weight = &shared.weight(lane.fold)[..n];
                let seen = &mut lane.control.seen;
                let change = |i: usize| weight[i] * loss.d1(z[i], y[i]) - r[i];
                seen.secant += sum(n, |i| (z[i] - e[i]) * change(i));
                for (t, dsecant) in seen.dsecant.iter_mut().enumerate() {
                    *dsecant += sum(n, |i| {
                        let c = (t + 1) * n + i;
                        let by_target =
                            dy.get(t).map_or(T::zero(), |dy| loss.d1_by_target(z[i], y[i]) * dy[i]);
                        let dchange = weight[i] * (loss.d2(z[i], y[i]) * z[c] + by_target) - r[c];
                        (z[c] - e[c]) * change(i) + (z[i] - e[i]) * dchange
                    });
                }
            });
    }

    /// Adds the loss value to the objective.
    fn record_loss<L: LossFunction>(&mut self, loss: L) {
        let fewest = self.lanes_per_task();
        let shared = self.shared;
        let (n, target) = (shared.shape().0, &shared.rows.target[..]);
        let z = self.predictions.z.par_chunks_exact(n * shared.width());
        self.lanes.par_iter_mut().zip(z).with_min_len(fewest).for_each(|(lane, z)| {
            let weight = shared.weight(lane.fold);
            let mean = vectorised(MeanLoss { loss, target, weight, z: &z[..n] });
            lane.record[RecordLayout::OBJECTIVE] += mean.f64();
            if let Some(fold) = lane.fold {
                shared.record_validation(loss, (target, shared.held_out_weight(fold)), z, &mut lane.record);
            }
        });
    }

    fn record_held_out<L: LossFunction>(&mut self, loss: L, held_out: &Rows<T>) {
        let fewest = self.lanes_per_task();
        let shared = self.shared;
        let Rows { target, weight, .. } = held_out;
        let z = self.predictions.held_out.par_chunks_exact(target.len() * shared.width());
        self.lanes.par_iter_mut().zip(z).with_min_len(fewest).for_each(|(lane, z)| {
            shared.record_validation(loss, (target, weight), z, &mut lane.record);
        });
    }
}

impl<T: Real> Shared<T> {
    /// Records the mean loss of predictions `[1 + d, n]`, and its derivatives.
    fn record_validation<L: LossFunction>(
        &self,
        loss: L,
        (target, weight): (&[T], &[T]),
        z: &[T],
        record: &mut [f64],
    ) {
        let n = target.len();
        let layout = RecordLayout::new(self.d);
        let (z, dz) = z.split_at(n);
        record[RecordLayout::VALIDATION] = vectorised(MeanLoss { loss, target, weight, z }).f64();
        for (t, dz) in dz.chunks_exact(n).enumerate() {
            let shift = self.intercept_tangents[t];
            let slope = sum(n, |i| weight[i] * loss.d1(z[i], target[i]) * (dz[i] + shift));
            record[layout.hypergradient(t)] = slope.f64();
        }
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
        // A coefficient that crosses zero in one step leaves the manifold, too.
        let by_sign = P::CAPABILITIES.zeros != Zeros::Absent;
        let changed = |j: usize| {
            let crosses = by_sign && now[j] * was[j] < T::zero();
            mark(crosses || penalty.is_active(now[j]) != penalty.is_active(was[j]))
        };
        record[RecordLayout::ACTIVE_CHANGE] = sum(penalised, changed).f64();
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
    /// `[n]` each.
    target: &'a [T],
    weight: &'a [T],
    z: &'a [T],
}

impl<T: Real, L: LossFunction> pulp::WithSimd for MeanLoss<'_, T, L> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> T {
        let MeanLoss { loss, target, weight, z } = self;
        let (mut terms, mut sums) = ([T::zero(); TERMS], PartialSums::zero());
        let blocks = z.chunks(TERMS).zip(target.chunks(TERMS)).zip(weight.chunks(TERMS));
        for ((z, y), weight) in blocks {
            let (terms, y, weight) = (&mut terms[..z.len()], &y[..z.len()], &weight[..z.len()]);
            for i in 0..z.len() {
                terms[i] = weight[i] * loss.value(z[i], y[i]);
            }
            sums.add(terms);
        }
        sums.total()
    }
}

/// Number of terms computed before they are added up: a multiple of the number of partial sums.
const TERMS: usize = 64;
