//! Safe screening: which coefficients can leave zero while the residuals stay within a radius.

use super::super::block::{Block, Iterates};
use super::super::lane::ActiveLane;
use super::super::residual::At;
use super::super::shared::Shared;
use super::super::vector::sum;
use super::policy::PERIOD;
use super::{LIFETIME, WorkingSet};
use crate::objective::Real;

/// A set of less than one in so many columns needs no smaller one.
const SMALL: usize = 16;
/// Number of iterations for which a radius should be valid.
const RADIUS_ITERATIONS: f64 = 4.0;
/// Radii are stretched by up to this power of two as long as the set grows by less than one in so many.
const MAX_STRETCH: usize = 6;
const GROWTH: usize = 8;

impl<T: Real> Block<'_, T> {
    /// Checks that the working set of a group is safe for its residuals; if not, chooses another from
    /// recomputed correlations. Does nothing for a block on all columns.
    pub(in super::super) fn screen(&mut self, at: At) {
        let (shared, threads) = (self.shared, self.threads);
        let [set] = &*self.coefficients.sets else { return };
        if !set.active {
            return;
        }
        let by_gram = set.gram.active;
        let q = shared.shape().1;
        let expired = set.age >= set.lifetime && set.members.len() >= q / SMALL;
        let is_safe =
            || if by_gram { self.is_safe_by_gram(at) } else { set.is_safe(shared, self.predictions.r) };
        if !expired && is_safe() {
            return;
        }
        if by_gram {
            self.disable_gram();
            self.residual(at);
        }
        let r = &*self.predictions.r;
        let ([set], full) = (&mut *self.coefficients.sets, &mut self.coefficients.full) else { return };
        if by_gram && !expired {
            set.gram.count_end(set.age);
        }
        let before = set.members.len();
        set.scatter(q, full);
        let correlations = &mut full.g[..self.lanes.len() * q];
        shared.columns.design.apply_t_strided(correlations, r, shared.width(), threads);
        set.choose(shared, self.lanes, full, 1, r);
        let shrank = 4 * set.members.len() < 3 * before;
        if shrank {
            set.lifetime = LIFETIME;
        } else if expired {
            set.lifetime = set.lifetime.saturating_mul(2);
        }
    }

    /// Counts an iteration, and tries to choose a working set if the group is unrestricted.
    pub(in super::super) fn renew_working_set(&mut self) {
        let running = self.lanes.iter().filter(|lane| lane.is_running()).count();
        let [set] = &mut *self.coefficients.sets else { return };
        set.age += 1;
        if set.active {
            let share = set.members.len() as f64 / self.shared.shape().1 as f64;
            set.skipped += (1.0 - share) * running as f64;
        }
        self.try_working_set();
        self.try_gram();
    }

    /// Tries to choose a working set for an unrestricted group, from the gradients of its last iteration.
    pub(super) fn try_working_set(&mut self) {
        let (shared, r) = (self.shared, &*self.predictions.r);
        let ([set], full) = (&mut *self.coefficients.sets, &self.coefficients.full) else { return };
        if !set.active && set.age >= PERIOD {
            set.choose(shared, self.lanes, full, shared.width(), r);
        }
    }

    /// Stores the residuals, to measure how fast the next ones change.
    pub(super) fn keep_residuals(&mut self) {
        if let [set] = &mut *self.coefficients.sets {
            set.set_reference(self.shared, self.predictions.r);
        }
    }

    /// Writes the iterates of the working set back into those of all coefficients.
    pub(super) fn scatter(&mut self) {
        self.disable_gram();
        if let [set] = &mut *self.coefficients.sets
            && set.active
        {
            set.scatter(self.shared.shape().1, &mut self.coefficients.full);
        }
    }
}

impl<T: Real> WorkingSet<T> {
    /// True if all residuals, every `1 + d`-th column of `r`, are within their radius.
    fn is_safe(&self, shared: &Shared<T>, r: &[T]) -> bool {
        let n = shared.shape().0;
        let lanes = r.chunks_exact(n * shared.width()).zip(self.reference.chunks_exact(n)).zip(&self.radius);
        // A NaN is not within the radius.
        lanes.into_iter().all(|((r, reference), radius)| {
            sum(n, |i| (r[i] - reference[i]) * (r[i] - reference[i])) <= *radius * *radius
        })
    }

    /// Makes the residuals the reference, with radii from their distance to the last reference.
    fn set_reference(&mut self, shared: &Shared<T>, r: &[T]) {
        let n = shared.shape().0;
        let ahead = T::of(RADIUS_ITERATIONS / self.age.max(1) as f64);
        let lanes = r.chunks_exact(n * shared.width()).zip(self.reference.chunks_exact_mut(n));
        for ((r, reference), radius) in lanes.zip(&mut self.radius) {
            *radius = ahead * sum(n, |i| (r[i] - reference[i]) * (r[i] - reference[i])).sqrt();
            reference.copy_from_slice(&r[..n]);
        }
        self.age = 0;
    }

    /// Chooses the set at the residuals `r`, from the correlations in `full.g`, `stride` columns a lane, and
    /// the coefficients that are not zero. The group stays unrestricted if the set would be too large.
    fn choose(
        &mut self,
        shared: &Shared<T>,
        lanes: &[ActiveLane<T>],
        full: &Iterates<&mut [T]>,
        stride: usize,
        r: &[T],
    ) {
        self.set_reference(shared, r);
        let (n, width) = (shared.shape().0, shared.width());
        let norm = |i: usize| sum(n, |k| r[i * width * n + k] * r[i * width * n + k]).sqrt();
        let norms: Vec<T> = (0..lanes.len()).map(norm).collect();
        let room = self.room(shared, lanes, (full, stride), &norms);
        let within = |stretch: T| room.iter().filter(|room| **room < stretch).count();
        // Larger radii are valid for longer, and often take few more coefficients.
        let least = within(T::one());
        let most = (least + least / GROWTH).min(shared.max_working_set.max(least));
        let stretches = (0..=MAX_STRETCH).rev().map(|k| T::of((1u32 << k) as f64));
        let stretch = stretches.into_iter().find(|s| within(*s) <= most).unwrap_or(T::one());
        self.radius.iter_mut().for_each(|radius| *radius *= stretch);
        let mut members: Vec<usize> = (0..room.len()).filter(|j| room[*j] < stretch).collect();
        self.active = members.len() <= shared.max_working_set;
        if self.active {
            if members.is_empty() {
                members.push(0);
            }
            if self.members != members {
                self.members = members;
                self.gather(shared);
            }
            self.take_iterates(room.len(), full);
        }
    }

    /// For each coefficient, the multiple of the radii within which it is certain to stay zero; negative
    /// infinity if it is not zero. Lanes with a radius of zero have infinite multiples, or none.
    fn room(
        &self,
        shared: &Shared<T>,
        lanes: &[ActiveLane<T>],
        (full, stride): (&Iterates<&mut [T]>, usize),
        norms_of_residuals: &[T],
    ) -> Vec<T> {
        let ((n, q), all) = (shared.shape(), &shared.columns);
        // Rounding of a correlation, and of the bound on it.
        let rounding = T::epsilon() * T::of(8.0 * (n as f64).sqrt());
        let is_zero = |columns: &[T], j: usize| columns.chunks_exact(q).all(|column| column[j] == T::zero());
        let room = |j: usize| {
            if j >= all.penalised || !(is_zero(full.x, j) && is_zero(full.x_previous, j)) {
                return T::neg_infinity();
            }
            let rooms = lanes.iter().enumerate().map(|(i, lane)| {
                let correlation = full.g[i * stride * q + j].abs();
                let margin = T::of(lane.numbers.l1) * all.factors[j]
                    - (correlation + shared.norms[j] * rounding * norms_of_residuals[i]);
                margin / (shared.norms[j] * self.radius[i])
            });
            // A NaN counts as no room.
            rooms.fold(T::infinity(), |least, room| {
                let room = if room.is_nan() { T::neg_infinity() } else { room };
                least.min(room)
            })
        };
        (0..q).map(room).collect()
    }
}
