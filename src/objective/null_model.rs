//! The model of unpenalised terms only: it gives the start of regularisation paths.

use faer::linalg::solvers::Solve;
use faer::{Col, Mat, Side};
use ndarray::{Array1, Zip};

use super::{Intercept, Objective};

/// The model of the intercept and the features of penalty factor 0.
pub(crate) struct NullModel {
    /// Its predictions, `[n]`.
    pub(crate) prediction: Array1<f64>,
    /// False if the loss has no minimiser: these terms separate the classes.
    pub(crate) bounded: bool,
}

/// Newton steps at most.
const STEPS: usize = 2000;
/// Steps before a separating direction is looked for.
const EARLY: usize = 8;

impl Objective {
    /// The smallest `alpha` at which zero penalised coefficients are a solution, for penalties that keep
    /// coefficients at zero: `max_j |∂_j loss| / (l1_ratio factor_j)` at the model of the unpenalised terms
    /// only, the intercept and the features of factor 0. As glmnet does, `l1_ratio` below 1e-3 counts as
    /// 1e-3. A derivative within the rounding of its sum counts as zero. NaN if that model has no minimiser,
    /// because its terms separate the classes.
    pub fn alpha_max(&self, l1_ratio: f64) -> f64 {
        let null = self.null_model();
        if !null.bounded {
            return f64::NAN;
        }
        let d1 = self.weighted_d1(&null.prediction);
        let gradient = self.design.apply_t_vector(d1.view());
        let noise = self.gradient_noise(&null.prediction);
        let zeros = self.penalty.capabilities().zeros;
        let share = l1_ratio.max(1e-3);
        let of = |j: usize| match self.penalty_factors[j] {
            f if f > 0.0 && gradient[j].abs() > noise[j] => zeros.pull(-gradient[j]) / (share * f),
            _ => 0.0,
        };
        (0..self.features()).map(of).fold(0.0, f64::max)
    }

    /// `ω φ'(z)`, `[n]`.
    pub(crate) fn weighted_d1(&self, z: &Array1<f64>) -> Array1<f64> {
        Zip::from(z).and(&self.target).and(&self.weight).map_collect(|z, y, w| w * self.loss.d1(*z, *y))
    }

    /// A bound on the rounding error of the gradient at predictions `z`, `[q]`.
    fn gradient_noise(&self, z: &Array1<f64>) -> Array1<f64> {
        let offset = if let Intercept::Centred { y_mean, .. } = self.intercept { y_mean.abs() } else { 0.0 };
        let size = Zip::from(z)
            .and(&self.target)
            .and(&self.weight)
            .fold(0.0, |sum, z, y, w| sum + w * (z.abs() + y.abs() + offset).powi(2));
        let mut columns = self.design.column_squares(self.weight.view()).mapv_into(f64::sqrt);
        if let Intercept::Centred { x_mean, .. } = &self.intercept {
            // Centring rounds in units of the mean, except in a constant column.
            Zip::from(&mut columns).and(x_mean).for_each(|c, m| *c += if *c > 0.0 { m.abs() } else { 0.0 });
        }
        columns * (64.0 * f64::EPSILON * self.curvature.d2_max * size.sqrt())
    }

    /// Fits the null model by Newton's method, damped where a step does not decrease the loss.
    pub(crate) fn null_model(&self) -> NullModel {
        let basis = self.unpenalised_basis();
        let n = self.target.len();
        let mut z = Array1::zeros(n);
        if basis.is_empty() {
            return NullModel { prediction: z, bounded: true };
        }
        let mut damping = 0.0;
        for count in 0..STEPS {
            let Some((step, decrease)) = self.newton_step(&basis, &z, damping) else {
                damping = f64::max(10.0 * damping, 1e-9);
                continue;
            };
            let moved = &z + &step;
            let (before, after) = (self.loss_at(&z), self.loss_at(&moved));
            let rounding = 4.0 * f64::EPSILON * before.abs();
            if after.is_nan() || after > before - 1e-4 * decrease + rounding {
                damping = f64::max(10.0 * damping, 1e-9);
                continue;
            }
            z = moved;
            damping = if damping > 1e-9 { 0.1 * damping } else { 0.0 };
            let largest = |v: &Array1<f64>| v.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            if largest(&step) <= 4.0 * f64::EPSILON * largest(&z).max(largest(&self.target)) {
                break;
            }
            if count >= EARLY && self.never_rises(&z, &step) {
                return NullModel { prediction: z, bounded: false };
            }
        }
        NullModel { prediction: z, bounded: true }
    }

    /// The loss of predictions `z`.
    pub(crate) fn loss_at(&self, z: &Array1<f64>) -> f64 {
        Zip::from(z)
            .and(&self.target)
            .and(&self.weight)
            .fold(0.0, |sum, z, y, w| sum + w * self.loss.value(*z, *y))
    }

    /// The Newton step in predictions, and the decrease of the loss that its model promises; `None` if the
    /// system is singular. `damping` is added to the Hessian in units of the curvature bound.
    fn newton_step(
        &self,
        basis: &[Array1<f64>],
        z: &Array1<f64>,
        damping: f64,
    ) -> Option<(Array1<f64>, f64)> {
        let d1 = self.weighted_d1(z);
        let d2 =
            Zip::from(z).and(&self.target).and(&self.weight).map_collect(|z, y, w| w * self.loss.d2(*z, *y));
        let k = basis.len();
        let right = Col::from_fn(k, |a| -basis[a].dot(&d1));
        let weighted: Vec<Array1<f64>> = basis.iter().map(|q| q * &d2).collect();
        let extra = damping * self.curvature.d2_max;
        let hessian =
            Mat::from_fn(k, k, |a, b| weighted[a].dot(&basis[b]) + if a == b { extra } else { 0.0 });
        // A direction without curvature has no Newton step.
        let floor = 1e-14 * self.curvature.d2_max;
        if (0..k).any(|a| hessian[(a, a)] <= floor) {
            return None;
        }
        let by = hessian.llt(Side::Lower).ok()?.solve(&right);
        let mut step = Array1::zeros(z.len());
        basis.iter().enumerate().for_each(|(a, q)| step.scaled_add(by[a], q));
        let decrease = 0.5 * (0..k).map(|a| right[a] * by[a]).sum::<f64>();
        (decrease.is_finite() && decrease >= 0.0).then_some((step, decrease))
    }

    /// True if the loss does not rise along `step`, however far: then it has no minimiser.
    fn never_rises(&self, z: &Array1<f64>, step: &Array1<f64>) -> bool {
        let size = step.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        if size < 0.1 {
            return false;
        }
        let far = 1e12 * (1.0 + z.iter().fold(0.0, |m: f64, z| m.max(z.abs()))) / size;
        let slopes = Zip::from(z).and(step).and(&self.target).and(&self.weight).map_collect(|z, s, y, w| {
            // A small part of the step may be rounding.
            if s.abs() < 1e-6 * size { 0.0 } else { w * s * self.loss.d1(z + far * s, *y) }
        });
        slopes.sum() <= 0.0
    }

    /// An orthonormal basis, in the weighted product, of the columns that are not penalised: the intercept's
    /// and those of factor 0.
    fn unpenalised_basis(&self) -> Vec<Array1<f64>> {
        let product = |a: &Array1<f64>, b: &Array1<f64>| {
            Zip::from(a).and(b).and(&self.weight).fold(0.0, |sum, a, b, w| sum + w * a * b)
        };
        let ones = matches!(self.intercept, Intercept::Column { .. }).then(|| self.features());
        let free = (0..self.features()).filter(|j| self.penalty_factors[*j] == 0.0);
        let mut basis: Vec<Array1<f64>> = Vec::new();
        for j in ones.into_iter().chain(free) {
            let mut column = self.design.column(j);
            let size = product(&column, &column).sqrt();
            for _ in 0..2 {
                for q in &basis {
                    let along = product(q, &column);
                    column.scaled_add(-along, q);
                }
            }
            let rest = product(&column, &column).sqrt();
            // What is left of a column that depends on the others is rounding.
            if rest > 1e-13 * size {
                basis.push(column / rest);
            }
        }
        basis
    }

    /// The loss of zero coefficients and intercept: the unit of the relative duality gap.
    pub(crate) fn null_loss(&self) -> f64 {
        self.loss_at(&Array1::zeros(self.target.len()))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::data::Dataset;
    use crate::objective::{Loss, Penalty};

    /// A problem with free and penalised features of other sizes, and its free columns with the intercept.
    fn problem(seed: u64) -> Objective {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
        let (n, p) = (rng.random_range(12..60), rng.random_range(1..6));
        let mut size = || 10f64.powf(rng.random_range(-5.0..5.0));
        let (target_size, shift) = (size(), size());
        let sizes: Vec<f64> = (0..p).map(|_| size()).collect();
        let mut uniform = || rng.random_range(-1.0..1.0);
        let x = Array2::from_shape_fn((n, p), |(_, j)| sizes[j] * (uniform() + 1.0));
        let mut y = Array1::from_shape_fn(n, |i| target_size * (uniform() + x[[i, 0]] / sizes[0]) + shift);
        let loss = match seed % 3 {
            0 => Loss::squared(),
            1 => Loss::huber(10f64.powf(3.0 * uniform())).unwrap(),
            _ => Loss::logistic(),
        };
        if loss.classes() {
            y = Array1::from_shape_fn(n, |i| if i.is_multiple_of(2) || uniform() > 0.7 { 1.0 } else { 0.0 });
        }
        let weight = Array1::from_shape_fn(n, |_| 1.1 + uniform());
        let factors = Array1::from_shape_fn(p, |j| if j.is_multiple_of(2) { 0.0 } else { 1.0 });
        let data = Dataset::weighted(x, y, weight).unwrap();
        let builder = Objective::builder(data).loss(loss).penalty(Penalty::l1());
        builder.penalty_factors(factors).intercept(!seed.is_multiple_of(5)).build().unwrap()
    }

    #[test]
    fn no_free_term_has_a_gradient_left() {
        let mut unbounded = 0;
        for seed in 0..600 {
            let problem = problem(seed);
            let null = problem.null_model();
            if !null.bounded {
                assert!(problem.loss().classes(), "seed {seed}");
                unbounded += 1;
                continue;
            }
            let gradient = problem.design.apply_t_vector(problem.weighted_d1(&null.prediction).view());
            let noise = problem.gradient_noise(&null.prediction);
            let rows = 0..problem.state_rows();
            for j in rows.filter(|j| problem.penalty_factors.get(*j).is_none_or(|f| *f == 0.0)) {
                let left = gradient[j].abs() / noise[j];
                assert!(left < 1.0, "seed {seed}, {}, column {j}: {left}", problem.loss());
            }
        }
        assert!(unbounded < 60, "{unbounded} of 200 with classes");
    }
}
