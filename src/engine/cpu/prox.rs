//! The proximal gradient step of one lane and its chain rule: for an iteration, and for the fixed point
//! that the stop rule tests.

use super::shared::{ColumnSet, FactorSeed};
use super::vector::extrapolate;
use crate::lanes::{LaneNumbers, StepParams};
use crate::objective::{PenaltyFunction, Prox, Real};

/// The step `x⁺ = prox(y − a D (g + ridge e))`, `y = x + β(x − x₋)`, of one lane, with step size `a`, metric
/// `D` and the gradient `g` of the loss at `e`.
pub(super) struct ProxStep<'a, T, P> {
    penalty: P,
    columns: &'a ColumnSet<T>,
    numbers: &'a LaneNumbers,
    l1: T,
    l2: T,
    /// Strength of the ridge in the smooth loss.
    ridge: T,
    /// `[q]`: diagonal of the metric, and its `[d, q]` tangents, empty if it has none.
    diagonal: &'a [T],
    ddiagonal: &'a [T],
    step: T,
    momentum: T,
    extrapolation: T,
    /// `[d]`: their tangents; empty if no tangent changes them.
    dstep: &'a [T],
    dmomentum: &'a [T],
    dextrapolation: &'a [T],
}

impl<'a, T: Real, P: PenaltyFunction> ProxStep<'a, T, P> {
    /// The next step of a lane, in the metric `[1 + d, q]`, if there is one, else in the diagonal `ones`.
    pub(super) fn next(
        penalty: P,
        columns: &'a ColumnSet<T>,
        (numbers, params): (&'a LaneNumbers, &'a StepParams<T>),
        metric: &'a [T],
        ones: &'a [T],
    ) -> Self {
        let q = columns.factors.len();
        let (diagonal, ddiagonal) = if metric.is_empty() { (&ones[..q], metric) } else { metric.split_at(q) };
        ProxStep {
            diagonal,
            ddiagonal,
            step: params.step,
            momentum: params.momentum,
            extrapolation: params.extrapolation,
            dstep: &params.dstep,
            dmomentum: &params.dmomentum,
            dextrapolation: &params.dextrapolation,
            ..Self::fixed_point(penalty, columns, numbers, ones)
        }
    }

    /// The step of the stop rule: of size `1/L` from the iterate itself, `e = y = x`, without a metric.
    pub(super) fn fixed_point(
        penalty: P,
        columns: &'a ColumnSet<T>,
        numbers: &'a LaneNumbers,
        ones: &'a [T],
    ) -> Self {
        let l2 = T::of(numbers.l2);
        ProxStep {
            penalty,
            columns,
            numbers,
            l1: T::of(numbers.l1),
            l2,
            ridge: if P::RIDGE_IN_LOSS { l2 } else { T::zero() },
            diagonal: &ones[..columns.factors.len()],
            ddiagonal: &[],
            step: T::of(numbers.probe_step),
            momentum: T::zero(),
            extrapolation: T::zero(),
            dstep: &[],
            dmomentum: &[],
            dextrapolation: &[],
        }
    }

    /// True if a tangent changes the step or the momentum of coefficients.
    #[inline(always)]
    fn seeds_schedule(&self) -> bool {
        !self.ddiagonal.is_empty() || self.dstep.iter().chain(self.dmomentum).any(|v| *v != T::zero())
    }

    /// Strength of the ridge in the smooth loss at column `j`.
    #[inline(always)]
    pub(super) fn ridge(&self, j: usize) -> T {
        self.ridge * self.columns.factors[j]
    }

    /// Its tangent `t`.
    #[inline(always)]
    pub(super) fn dridge(&self, t: usize, j: usize) -> T {
        let seed = match self.columns.seeds[t] {
            FactorSeed::All => self.columns.factors[j],
            FactorSeed::Column(column) if column == j => T::one(),
            _ => T::zero(),
        };
        if P::RIDGE_IN_LOSS { T::of(self.numbers.dl2[t]) * seed } else { T::zero() }
    }

    /// Stores `de` of tangent `t`, before the step overwrites `dx₋`.
    pub(super) fn store_tangent_of_e(
        &self,
        t: usize,
        dx: &[T],
        dx_previous: &[T],
        partials: &mut Partials<T>,
    ) {
        let dextrapolation = self.dextrapolation[t];
        for j in 0..dx.len() {
            partials.de[j] = extrapolate(dx[j], dx_previous[j], self.extrapolation);
        }
        if dextrapolation != T::zero() {
            (0..dx.len()).for_each(|j| partials.de[j] += dextrapolation * partials.difference[j]);
        }
    }
}

/// Writes `x⁺` over `x₋`. The tangents use the partials; `y` is stored if `keeps_y`.
pub(super) struct Primal<'a, T, P> {
    pub(super) step: &'a ProxStep<'a, T, P>,
    pub(super) x_previous: &'a mut [T],
    pub(super) x: &'a [T],
    pub(super) g: &'a [T],
    pub(super) partials: &'a mut Partials<T>,
    pub(super) keeps_y: bool,
}

impl<T: Real, P: PenaltyFunction> pulp::WithSimd for Primal<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Primal { step: s, x_previous, x, g, partials: p, keeps_y } = self;
        let q = x.len();
        let (xp, g) = (&mut x_previous[..q], &g[..q]);
        let (factors, diagonal) = (&s.columns.factors[..q], &s.diagonal[..q]);
        let (step, momentum, extrapolation) = (s.step, s.momentum, s.extrapolation);
        let (penalty, penalised) = (s.penalty, s.columns.penalised);
        let seeds_schedule = s.seeds_schedule();
        if seeds_schedule {
            (0..q).for_each(|j| p.difference[j] = x[j] - xp[j]);
        }
        if keeps_y {
            (0..q).for_each(|j| p.y[j] = extrapolate(x[j], xp[j], momentum));
        }
        let (by_input, by_l1, by_l2) = (&mut p.by_input[..q], &mut p.by_l1[..q], &mut p.by_l2[..q]);
        let e = &mut p.e[..q];
        for j in 0..q {
            e[j] = extrapolate(x[j], xp[j], extrapolation);
            let y = extrapolate(x[j], xp[j], momentum);
            let a = step * diagonal[j];
            let gradient = if P::RIDGE_IN_LOSS { g[j] + s.ridge * factors[j] * e[j] } else { g[j] };
            let w = y - a * gradient;
            let prox = if j < penalised {
                penalty.prox(w, a, s.l1 * factors[j], s.l2 * factors[j])
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
                // ∂x⁺/∂a = J (x⁺ − y)/a: the step size enters w, and the proximal map by −J (w − x⁺)/a.
                let travelled = xp[j] - x[j] - momentum * p.difference[j];
                p.by_step[j] = by_input[j] * travelled / (step * diagonal[j]);
            }
        }
    }
}

/// Writes `dx⁺ = J dw + ∂_u prox` of tangent `t` over `dx₋`.
pub(super) struct Tangent<'a, T, P> {
    pub(super) step: &'a ProxStep<'a, T, P>,
    pub(super) t: usize,
    pub(super) dx_previous: &'a mut [T],
    pub(super) dx: &'a [T],
    pub(super) dg: &'a [T],
    pub(super) partials: &'a Partials<T>,
}

impl<T: Real, P: PenaltyFunction> pulp::WithSimd for Tangent<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Tangent { step: s, t, dx_previous, dx, dg, partials: p } = self;
        let q = dx.len();
        let (dxp, dg) = (&mut dx_previous[..q], &dg[..q]);
        let (factors, diagonal) = (&s.columns.factors[..q], &s.diagonal[..q]);
        let (step, momentum, extrapolation, ridge) = (s.step, s.momentum, s.extrapolation, s.ridge);
        let (by_input, by_l1, by_l2, e) = (&p.by_input[..q], &p.by_l1[..q], &p.by_l2[..q], &p.e[..q]);
        let (dl1, dl2) = (T::of(s.numbers.dl1[t]), T::of(s.numbers.dl2[t]));
        // ∂_u of the proximal map and of the ridge's gradient, per unit of penalty factor.
        let by_strength = |j: usize| {
            let by_prox = by_l1[j] * dl1 + by_l2[j] * dl2;
            if P::RIDGE_IN_LOSS { by_prox - by_input[j] * step * diagonal[j] * dl2 * e[j] } else { by_prox }
        };
        let seed = s.columns.seeds[t];
        let shared = if seed == FactorSeed::All { T::one() } else { T::zero() };
        for j in 0..q {
            let de = extrapolate(dx[j], dxp[j], extrapolation);
            let dy = extrapolate(dx[j], dxp[j], momentum);
            let dgradient = if P::RIDGE_IN_LOSS { dg[j] + ridge * factors[j] * de } else { dg[j] };
            let dw = dy - step * diagonal[j] * dgradient;
            dxp[j] = by_input[j] * dw + shared * factors[j] * by_strength(j);
        }
        if let FactorSeed::Column(column) = seed {
            dxp[column] += by_strength(column);
        }
        let at = |tangents: &[T]| tangents.get(t).copied().unwrap_or(T::zero());
        let (dstep, dmomentum, dextrapolation) = (at(s.dstep), at(s.dmomentum), at(s.dextrapolation));
        if dmomentum != T::zero() {
            for j in 0..q {
                let by_ridge = step * diagonal[j] * ridge * factors[j] * dextrapolation;
                dxp[j] += by_input[j] * (dmomentum - by_ridge) * p.difference[j];
            }
        }
        if dstep != T::zero() || !s.ddiagonal.is_empty() {
            for j in 0..q {
                let ddiagonal = if s.ddiagonal.is_empty() { T::zero() } else { s.ddiagonal[t * q + j] };
                dxp[j] += p.by_step[j] * (dstep * diagonal[j] + step * ddiagonal);
            }
        }
    }
}

/// Partial derivatives of a step, `[q]` each, which its tangents share.
pub(super) struct Partials<T> {
    by_input: Vec<T>,
    by_l1: Vec<T>,
    by_l2: Vec<T>,
    by_step: Vec<T>,
    pub(super) e: Vec<T>,
    /// Written only if the schedule watches for restarts.
    pub(super) y: Vec<T>,
    /// `x − x₋`, stored since the new iterate overwrites `x₋`; only if a tangent changes the schedule.
    difference: Vec<T>,
    /// `x⁺ − e` and the tangent of `e`, if curvature is measured.
    pub(super) s: Vec<T>,
    pub(super) de: Vec<T>,
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
            difference: zeros(),
            s: zeros(),
            de: zeros(),
        }
    }
}
