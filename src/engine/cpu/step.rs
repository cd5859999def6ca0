//! The step: the proximal map and its tangents.

use rayon::prelude::*;

use super::block::{Block, FactorSeed};
use super::vector::{sum, vectorised};
use crate::lanes::StepParams;
use crate::objective::{PenaltyFunction, Prox, Real, with_penalty};

impl<T: Real> Block<'_, T> {
    /// `w = x + β(x − x₋) − α D g`, `x⁺ = prox(w)`, and the tangents `dx⁺ = J dw + ∂_u prox`. The new iterate replaces the
    /// previous one, and the two change names. A lane that ended keeps its state.
    pub(super) fn step(&mut self) {
        with_penalty!(self.common.penalty, f => self.step_of(f));
        std::mem::swap(&mut self.x, &mut self.x_previous);
    }

    fn step_of<P: PenaltyFunction>(&mut self, penalty: P) {
        let common = self.common;
        let q = self.design.columns();
        let width = q * (1 + common.d);
        let (factors, penalised, factor_seeds) = (self.factors, self.penalised, self.factor_seeds);
        let measures_curvature = self.extrapolated.is_some();
        let metric = self.metric.as_deref();
        self.x_previous
            .par_chunks_exact_mut(width)
            .zip(self.x.par_chunks_exact(width))
            .zip(self.g.par_chunks_exact(width))
            .zip(&mut *self.slots)
            .enumerate()
            .for_each(|(i, (((xp, x), g), slot))| {
                if slot.outcome.status != super::Status::Running {
                    xp.copy_from_slice(x);
                    return;
                }
                let diagonal = metric.map(|m| &m[i * width..(i + 1) * width]);
                let numbers = &slot.numbers;
                let l2 = T::of(numbers.l2);
                let lane = LaneStep {
                    params: &slot.params,
                    l1: T::of(numbers.l1),
                    l2,
                    ridge: if P::RIDGE_IN_LOSS { l2 } else { T::zero() },
                    factors,
                    penalised,
                    diagonal: diagonal.map_or(&common.ones[..q], |m| &m[..q]),
                    ddiagonal: diagonal.map(|m| &m[q..]),
                    watches_restarts: common.watches_restarts,
                };
                let seen = &mut slot.control.seen;
                common.with_scratch(|scratch| {
                    let partials = &mut scratch.partials;
                    let (xp, dxp) = xp.split_at_mut(q);
                    let ((x, dx), (g, dg)) = (x.split_at(q), g.split_at(q));
                    vectorised(Iterate { lane: &lane, penalty, xp, x, g, partials });
                    if common.watches_restarts {
                        seen.restart = sum(q, |j| (partials.y[j] - xp[j]) * (xp[j] - x[j]));
                    }
                    if measures_curvature {
                        (0..q).for_each(|j| partials.s[j] = xp[j] - partials.e[j]);
                        let s = &partials.s;
                        seen.square = sum(q, |j| s[j] * s[j]);
                        seen.secant = sum(q, |j| lane.ridge * factors[j] * s[j] * s[j]);
                    }
                    let columns = dxp.chunks_exact_mut(q).zip(dx.chunks_exact(q)).zip(dg.chunks_exact(q));
                    for (t, ((dxp, dx), dg)) in columns.enumerate() {
                        if !lane.params.tangents {
                            dxp.fill(T::zero());
                            continue;
                        }
                        if measures_curvature {
                            lane.store_tangent_of_e(dxp, dx, t, partials);
                        }
                        let by = (T::of(numbers.dl1[t]), T::of(numbers.dl2[t]));
                        vectorised(Tangent::<P, T> {
                            lane: &lane,
                            penalty: std::marker::PhantomData,
                            dxp,
                            dx,
                            dg,
                            partials,
                            by,
                            t,
                            factor_seeds: factor_seeds[t],
                        });
                        if measures_curvature {
                            let p = &partials;
                            let ds = |j: usize| dxp[j] - p.de[j];
                            seen.dsquare[t] = sum(q, |j| (p.s[j] + p.s[j]) * ds(j));
                            seen.dsecant[t] = sum(q, |j| {
                                let moves = strength_seed(factor_seeds[t], factors, j);
                                let dridge = if P::RIDGE_IN_LOSS { by.1 * moves } else { T::zero() };
                                p.s[j] * (dridge * p.s[j] + lane.ridge * factors[j] * (ds(j) + ds(j)))
                            });
                        }
                    }
                });
            });
    }
}

/// By how much a tangent moves the strengths of column `j`, per unit.
#[inline(always)]
pub(super) fn strength_seed<T: Real>(factor_seeds: FactorSeed, factors: &[T], j: usize) -> T {
    match factor_seeds {
        FactorSeed::All => factors[j],
        FactorSeed::Column(column) if column == j => T::one(),
        _ => T::zero(),
    }
}

/// The step of one lane.
struct LaneStep<'a, T> {
    params: &'a StepParams<T>,
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
    #[inline(always)]
    fn seeds_schedule(&self) -> bool {
        let params = self.params;
        self.ddiagonal.is_some() || params.dstep.iter().chain(&params.dmomentum).any(|v| *v != T::zero())
    }

    /// Keeps `de` before `dx₋` is overwritten.
    fn store_tangent_of_e(&self, dxp: &[T], dx: &[T], t: usize, partials: &mut Partials<T>) {
        let (extrapolation, dextrapolation) = (self.params.extrapolation, self.params.dextrapolation[t]);
        for j in 0..dx.len() {
            partials.de[j] = dx[j] + extrapolation * (dx[j] - dxp[j]);
        }
        if dextrapolation != T::zero() {
            (0..dx.len()).for_each(|j| partials.de[j] += dextrapolation * partials.moved[j]);
        }
    }
}

/// `x⁺ = prox(x + β(x − x₋) − α D (g + ridge e))`, written over `x₋`; the partials serve the tangents.
struct Iterate<'a, T, P> {
    lane: &'a LaneStep<'a, T>,
    penalty: P,
    xp: &'a mut [T],
    x: &'a [T],
    g: &'a [T],
    partials: &'a mut Partials<T>,
}

impl<T: Real, P: PenaltyFunction> pulp::WithSimd for Iterate<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Iterate { lane, penalty, xp, x, g, partials } = self;
        let q = x.len();
        let (xp, g, p) = (&mut xp[..q], &g[..q], partials);
        let (step, momentum, extrapolation) =
            (lane.params.step, lane.params.momentum, lane.params.extrapolation);
        let (factors, diagonal) = (&lane.factors[..q], &lane.diagonal[..q]);
        let seeds_schedule = lane.seeds_schedule();
        if seeds_schedule {
            (0..q).for_each(|j| p.moved[j] = x[j] - xp[j]);
        }
        if lane.watches_restarts {
            (0..q).for_each(|j| p.y[j] = x[j] + momentum * (x[j] - xp[j]));
        }
        let (by_input, by_l1, by_l2) = (&mut p.by_input[..q], &mut p.by_l1[..q], &mut p.by_l2[..q]);
        let e = &mut p.e[..q];
        for j in 0..q {
            let moved = x[j] - xp[j];
            e[j] = x[j] + extrapolation * moved;
            let a = step * diagonal[j];
            let gradient = if P::RIDGE_IN_LOSS { g[j] + lane.ridge * factors[j] * e[j] } else { g[j] };
            let w = x[j] + momentum * moved - a * gradient;
            let prox = if j < lane.penalised {
                penalty.prox(w, a, lane.l1 * factors[j], lane.l2 * factors[j])
            } else {
                Prox::identity(w)
            };
            xp[j] = prox.value;
            by_input[j] = prox.by_input;
            by_l1[j] = prox.by_l1;
            by_l2[j] = prox.by_l2;
        }
        if seeds_schedule {
            for j in 0..q {
                // ∂x⁺/∂a = J (x⁺ − x − β(x − x₋))/a: the step enters w, and the proximal map by −J (w − x⁺)/a.
                let travelled = xp[j] - x[j] - momentum * p.moved[j];
                p.by_step[j] = by_input[j] * travelled / (step * diagonal[j]);
            }
        }
    }
}

/// `dx⁺ = J dw + ∂_u prox`, written over `dx₋`; `by` is the tangent of the strengths.
struct Tangent<'a, P, T> {
    lane: &'a LaneStep<'a, T>,
    penalty: std::marker::PhantomData<P>,
    dxp: &'a mut [T],
    dx: &'a [T],
    dg: &'a [T],
    partials: &'a Partials<T>,
    by: (T, T),
    t: usize,
    factor_seeds: FactorSeed,
}

impl<T: Real, P: PenaltyFunction> pulp::WithSimd for Tangent<'_, P, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Tangent { lane, dxp, dx, dg, partials: p, by, t, factor_seeds, .. } = self;
        let q = dx.len();
        let (dxp, dg) = (&mut dxp[..q], &dg[..q]);
        let params = lane.params;
        let (step, momentum, extrapolation) = (params.step, params.momentum, params.extrapolation);
        let (factors, diagonal) = (&lane.factors[..q], &lane.diagonal[..q]);
        let (by_input, by_l1, by_l2, e) = (&p.by_input[..q], &p.by_l1[..q], &p.by_l2[..q], &p.e[..q]);
        // ∂_u of the proximal map and of the ridge's gradient, per unit of factor
        let by_strength = |j: usize| {
            let by_prox = by_l1[j] * by.0 + by_l2[j] * by.1;
            if P::RIDGE_IN_LOSS { by_prox - by_input[j] * step * diagonal[j] * by.1 * e[j] } else { by_prox }
        };
        let shared = if factor_seeds == FactorSeed::All { T::one() } else { T::zero() };
        for j in 0..q {
            let a = step * diagonal[j];
            let moved = dx[j] - dxp[j];
            let dgradient = if P::RIDGE_IN_LOSS {
                dg[j] + lane.ridge * factors[j] * (dx[j] + extrapolation * moved)
            } else {
                dg[j]
            };
            let dw = dx[j] + momentum * moved - a * dgradient;
            dxp[j] = by_input[j] * dw + shared * factors[j] * by_strength(j);
        }
        if let FactorSeed::Column(column) = factor_seeds {
            dxp[column] += by_strength(column);
        }
        let (dstep, dmomentum, dextrapolation) =
            (params.dstep[t], params.dmomentum[t], params.dextrapolation[t]);
        if dmomentum != T::zero() {
            for j in 0..q {
                let a = step * diagonal[j];
                dxp[j] +=
                    by_input[j] * (dmomentum - a * lane.ridge * factors[j] * dextrapolation) * p.moved[j];
            }
        }
        if dstep != T::zero() || lane.ddiagonal.is_some() {
            for j in 0..q {
                let dd = lane.ddiagonal.map_or(T::zero(), |m| m[t * q + j]);
                dxp[j] += p.by_step[j] * (dstep * diagonal[j] + step * dd);
            }
        }
    }
}

/// Partials of the step along the coefficients of a lane, shared by its tangents.
pub(super) struct Partials<T> {
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
    /// The proximal map of the stop rule, and its image.
    pub(super) prox: Vec<Prox<T>>,
    pub(super) image: Vec<T>,
}

impl<T: Real> Partials<T> {
    pub(super) fn new(q: usize) -> Self {
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
            prox: vec![Prox::identity(T::zero()); q],
            image: zeros(),
        }
    }
}
