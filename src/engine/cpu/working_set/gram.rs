//! Iterations by the Gram matrix of a working set: for the squared loss, `g = G e − c` with `G = X_Sᵀ Ω X_S`
//! and `c = X_Sᵀ Ω y` takes `m²` operations where the products with `m` columns of `n` rows take `2 n m`
//! (covariance updates, Friedman et al. 2010, section 2.2). Predictions are computed where they are recorded.

use rayon::prelude::*;

use super::super::block::{Block, Iterates};
use super::super::residual::At;
use super::super::vector::{extrapolate, sum, vectorised};
use crate::design::{Design, Gram};
use crate::lanes::{Job, RunNumbers};
use crate::objective::Real;
use crate::program::Plan;

/// Most times its payback that a Gram matrix is waited for.
const MAX_PATIENCE: usize = 64;

/// What the Gram matrices of all working sets are made of.
pub(in super::super) struct GramSource<T> {
    /// With all columns of the objective.
    design: Design,
    weight: Vec<f64>,
    /// For each of its columns, `[1 + d]`: `Xᵀ Ω y` and its tangents.
    targets: Vec<Vec<T>>,
    /// The largest weight, and the most columns of a matrix.
    max_weight: T,
    most: usize,
    /// Iterations of which one is measured.
    measured_period: usize,
}

impl<T: Real> GramSource<T> {
    /// `None` if an iteration needs more than the gradient: predictions or the objective.
    pub(in super::super) fn new(plan: &Plan, job: &Job<'_>, numbers: &RunNumbers) -> Option<Self> {
        if plan.working_set_gram == 0 || job.schedule.needs_records() {
            return None;
        }
        let (design, weight, target) = (&job.problem.design, &job.problem.weight, &job.problem.target);
        let correlations = |y: ndarray::Array1<f64>| -> Vec<T> {
            design.apply_t_vector((y * weight).view()).iter().map(|v| T::of(*v)).collect()
        };
        let tangent = |t: usize| numbers.target_tangent.as_ref().map(|dy| dy.column(t).to_owned());
        let tangents = (0..job.derivatives.len())
            .map(|t| tangent(t).map_or_else(|| vec![T::zero(); design.columns()], correlations));
        Some(GramSource {
            targets: std::iter::once(correlations(target.clone())).chain(tangents).collect(),
            design: design.clone(),
            weight: weight.to_vec(),
            max_weight: T::of(weight.iter().copied().fold(0.0, f64::max)),
            most: plan.working_set_gram,
            measured_period: plan.measured_period(),
        })
    }
}

/// The Gram matrix of a set, and the products with it.
pub(super) struct SetGram<T> {
    /// True if it replaces the products with the columns of the set.
    pub(super) active: bool,
    /// The age of the set when it became active, and the iterations that save as much as that cost.
    since: usize,
    payback: usize,
    /// The set must be older than so many times that.
    pub(super) patience: usize,
    gram: Gram<T>,
    /// `[1 + d][m]`: `c` and its tangents.
    targets: Vec<T>,
    /// `[m]`: norms of the columns.
    norms: Vec<T>,
    /// `G x` and `G x₋`, `[m]`-columns.
    products: Vec<T>,
    products_previous: Vec<T>,
    /// For each lane, an iterate `[m]`, its product, and the radius of residuals around it.
    reference: Vec<T>,
    reference_product: Vec<T>,
    radius: Vec<T>,
}

impl<T: Real> SetGram<T> {
    pub(super) fn new() -> Self {
        SetGram {
            active: false,
            since: 0,
            payback: 0,
            patience: 1,
            gram: Gram::empty(),
            targets: Vec::new(),
            norms: Vec::new(),
            products: Vec::new(),
            products_previous: Vec::new(),
            reference: Vec::new(),
            reference_product: Vec::new(),
            radius: Vec::new(),
        }
    }
}

impl<T: Real> Block<'_, T> {
    /// True if a Gram matrix replaces the products with the design.
    pub(in super::super) fn has_gram(&self) -> bool {
        matches!(&*self.coefficients.sets, [set] if set.has_gram())
    }

    /// `G x` of new iterates.
    pub(in super::super) fn predict_by_gram(&mut self) {
        let [set] = &mut *self.coefficients.sets else { return };
        let gram = &mut set.gram;
        std::mem::swap(&mut gram.products, &mut gram.products_previous);
        gram.gram.apply(&mut gram.products, &set.iterates.x, self.threads);
    }

    /// `g = G e − c` and `dg = G de − dc`.
    pub(in super::super) fn gradient_by_gram(&mut self, at: At) {
        let fewest = self.lanes_per_task();
        let [set] = &mut *self.coefficients.sets else { return };
        let SetGram { targets, products, products_previous, .. } = &set.gram;
        let width = targets.len();
        set.iterates
            .g
            .par_chunks_exact_mut(width)
            .zip(products.par_chunks_exact(width))
            .zip(products_previous.par_chunks_exact(width))
            .zip(&*self.lanes)
            .with_min_len(fewest)
            .for_each(|(((g, now), before), lane)| {
                let (extrapolation, dextrapolation) = at.of(&lane.params);
                vectorised(Gradient { extrapolation, dextrapolation, now, before, targets, g });
            });
    }

    /// Goes back to products with the design, for which predictions must be those of both iterates.
    pub(super) fn disable_gram(&mut self) {
        if !self.has_gram() {
            return;
        }
        let [set] = &mut *self.coefficients.sets else { return };
        set.gram.active = false;
        let Iterates { x, x_previous, .. } = &set.iterates;
        set.columns.design.apply(self.predictions.z, x, self.threads);
        set.columns.design.apply(self.predictions.z_previous, x_previous, self.threads);
    }

    /// Computes the Gram matrix once the set has been in use for as many iterations as pay for it.
    pub(super) fn try_gram(&mut self) {
        let (shared, threads) = (self.shared, self.threads);
        let ([set], Some(source)) = (&mut *self.coefficients.sets, &shared.gram) else { return };
        let (n, m) = (shared.shape().0, set.members.len());
        if !set.active || set.gram.active || m > source.most {
            return;
        }
        let columns = self.lanes.len() * shared.width();
        let entries = set.columns.design.entries();
        let saved = columns * (2 * entries).saturating_sub(m * m + entries / source.measured_period);
        // Products for the matrix are in f64, and their columns are copied first; to come and to go takes two
        // products each.
        let products = (2 * size_of::<f64>() / size_of::<T>())
            * set.gram.gram.missing(set.members.iter().map(|j| shared.place(*j)))
            * n
            * m;
        let cost = products + 2 * columns * (entries + m * m);
        let payback = cost.checked_div(saved).map_or(usize::MAX, |iterations| 1 + iterations);
        if set.age < payback.saturating_mul(set.gram.patience) {
            return;
        }
        let z = self.predictions.z.chunks_exact(n * shared.width());
        let lanes = z.zip(set.reference.chunks_exact(n)).zip(&set.radius);
        let (y, weight) = (&shared.rows.target[..n], &shared.rows.weight[..n]);
        let remaining = lanes.map(|((z, reference), radius)| {
            let change = |i: usize| weight[i] * (z[i] - y[i]) - reference[i];
            *radius - sum(n, |i| change(i) * change(i)).sqrt()
        });
        set.gram.radius = remaining.collect();
        // Else it would be left soon.
        let half = |(left, all): (&T, &T)| *left + *left >= *all;
        if !set.gram.radius.iter().zip(&set.radius).all(half) {
            return;
        }
        let gram = &mut set.gram;
        (gram.active, gram.since, gram.payback) = (true, set.age, payback);
        let places: Vec<usize> = set.members.iter().map(|j| shared.place(*j)).collect();
        gram.gram.set_columns(&source.design, &source.weight, &places);
        gram.targets.clear();
        for targets in &source.targets {
            gram.targets.extend(places.iter().map(|j| targets[*j]));
        }
        gram.norms = set.members.iter().map(|j| shared.norms[*j]).collect();
        let Iterates { x, x_previous, .. } = &set.iterates;
        gram.products.resize(x.len(), T::zero());
        gram.products_previous.resize(x.len(), T::zero());
        gram.gram.apply(&mut gram.products, x, threads);
        gram.gram.apply(&mut gram.products_previous, x_previous, threads);
        let first = |columns: &[T]| -> Vec<T> {
            columns.chunks_exact(m * shared.width()).flat_map(|lane| &lane[..m]).copied().collect()
        };
        (gram.reference, gram.reference_product) = (first(x), first(&gram.products));
    }

    /// True if all residuals are within their radius: `‖Ω X s‖² ≤ max ω · sᵀ G s` for the change `s` since
    /// the reference. Rounding is allowed for as errors of products usually are, not at their worst.
    pub(super) fn is_safe_by_gram(&self, at: At) -> bool {
        let ([set], Some(source)) = (&*self.coefficients.sets, &self.shared.gram) else { return false };
        let (gram, m, width) = (&set.gram, set.members.len(), self.shared.width());
        let Iterates { x, x_previous, .. } = &set.iterates;
        self.lanes.iter().enumerate().all(|(i, lane)| {
            let of = |columns| column(columns, i * width, m);
            let x = (of(x), of(x_previous));
            let products = (of(&gram.products), of(&gram.products_previous));
            let square = gram.change_square(i, x, products, at.of(&lane.params).0, source.max_weight);
            // A NaN is not within the radius.
            square <= gram.radius[i] * gram.radius[i]
        })
    }
}

/// Column `i` of `[m]`-columns.
fn column<T>(columns: &[T], i: usize, m: usize) -> &[T] {
    &columns[i * m..(i + 1) * m]
}

impl<T: Real> SetGram<T> {
    /// Counts the end of its use by a residual that left its radius: a matrix that was left before it had
    /// saved what it cost is waited for twice as long.
    pub(super) fn count_end(&mut self, age: usize) {
        let paid = age.saturating_sub(self.since) >= self.payback;
        self.patience = if paid { 1 } else { (2 * self.patience).min(MAX_PATIENCE) };
    }

    /// An upper bound on the square of the change of lane `i`'s residual since the reference, from the
    /// iterate and the previous one, and their products.
    fn change_square(
        &self,
        i: usize,
        x: (&[T], &[T]),
        products: (&[T], &[T]),
        extrapolation: T,
        max_weight: T,
    ) -> T {
        let norms = &self.norms[..];
        let m = norms.len();
        let (from, of_from) = (column(&self.reference, i, m), column(&self.reference_product, i, m));
        let e = |j: usize| extrapolate(x.0[j], x.1[j], extrapolation);
        let product = |j: usize| extrapolate(products.0[j], products.1[j], extrapolation);
        let step = |j: usize| e(j) - from[j];
        let square = sum(m, |j| step(j) * (product(j) - of_from[j]));
        // By rounding it may be negative; `max` would drop a NaN.
        let square = if square < T::zero() { T::zero() } else { square };
        // Errors of the terms, and those of their sums, are taken as independent.
        let rounding = T::epsilon() * T::of(8.0 * (m as f64).sqrt());
        let length = |of: &dyn Fn(usize) -> T| sum(m, |j| (norms[j] * of(j)) * (norms[j] * of(j))).sqrt();
        let sizes = length(&step) * (length(&e) + length(&|j| from[j]));
        max_weight * (square + rounding * max_weight * sizes)
    }
}

/// The gradient of one lane and its tangents, `[1 + d][m]` each.
struct Gradient<'a, T> {
    extrapolation: T,
    /// `[d]`, or empty.
    dextrapolation: &'a [T],
    now: &'a [T],
    before: &'a [T],
    targets: &'a [T],
    g: &'a mut [T],
}

impl<T: Real> pulp::WithSimd for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Gradient { extrapolation, dextrapolation, now, before, targets, g } = self;
        let len = g.len();
        let (now, before, targets) = (&now[..len], &before[..len], &targets[..len]);
        for j in 0..len {
            g[j] = extrapolate(now[j], before[j], extrapolation) - targets[j];
        }
        if dextrapolation.is_empty() {
            return;
        }
        let m = len / (1 + dextrapolation.len());
        for (dg, d) in g[m..].chunks_exact_mut(m).zip(dextrapolation) {
            for j in 0..m {
                dg[j] += *d * (now[j] - before[j]);
            }
        }
    }
}
