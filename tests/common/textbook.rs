//! One lane by the textbook: plain loops in f64. Nothing of the library takes part but the names, the
//! parameters and the data, and what `formulas` says.

use ndarray::{Array1, Array2, Array3, Axis, concatenate};
use proxjet::data::Dataset;
use proxjet::objective::{Derivative, Loss, Penalty};
use proxjet::schedule::Algorithm;

use super::cases::Case;
use super::compare::{max_abs, worse, worst};
use super::formulas::{
    knows_gap, loss_derivatives, loss_gap, loss_value, penalty_dual, penalty_gap, penalty_kind, penalty_prox,
    penalty_value,
};

/// What a derivative moves, per unit: strengths `[q]`, the target `[n]`, and its mean where an intercept
/// takes it.
struct Seed {
    dl1: Array1<f64>,
    dl2: Array1<f64>,
    dy: Array1<f64>,
    dy_mean: f64,
}

/// The update of an iteration: step and momentum, and `[d]` their derivatives.
pub(crate) struct Update {
    pub(crate) step: f64,
    pub(crate) momentum: f64,
    pub(crate) dstep: Vec<f64>,
    pub(crate) dmomentum: Vec<f64>,
}

/// The sequence of a lane and where it ends.
pub(crate) struct Sequence {
    /// `[K + 1, p]`.
    pub(crate) coef: Array2<f64>,
    /// `[K + 1, d, p]`.
    pub(crate) dcoef: Array3<f64>,
    /// `[K + 1]`.
    pub(crate) intercept: Array1<f64>,
    /// `[K + 1, d]`.
    pub(crate) dintercept: Array2<f64>,
    /// `[K]`: at the new iterate.
    pub(crate) objective: Array1<f64>,
    /// `[K]` and `[K, d]`: the held-out loss at the new iterate.
    pub(crate) validation: Option<(Array1<f64>, Array2<f64>)>,
    /// True if the gap follows from a conjugate that is written down here.
    pub(crate) knows_gap: bool,
    pub(crate) gap: Option<f64>,
    pub(crate) stationarity: f64,
    pub(crate) derivative_residual: f64,
}

/// A lane: the objective as the iteration sees it.
pub(crate) struct Lane {
    loss: Loss,
    penalty: Penalty,
    algorithm: Algorithm,
    /// `[n, q]`, `[n]`, `[n]`: centred, or with a column of ones.
    x: Array2<f64>,
    y: Array1<f64>,
    weight: Array1<f64>,
    /// Held-out rows in the same coordinates.
    held_out: Option<(Array2<f64>, Array1<f64>, Array1<f64>)>,
    /// Means of columns and target, where the intercept follows from them.
    means: Option<(Array1<f64>, f64)>,
    features: usize,
    /// `[q]`: strengths; 0 for an intercept.
    l1: Array1<f64>,
    l2: Array1<f64>,
    /// `[q]`: l2 where it belongs to the smooth part, else 0.
    ridge: Array1<f64>,
    seeds: Vec<Seed>,
    derivatives: Vec<Derivative>,
    /// alpha and l1_ratio.
    hyperparameters: (f64, f64),
}

fn encoded(data: &Dataset, classes: bool) -> Array1<f64> {
    data.target().mapv(|y| if classes { 2.0 * y - 1.0 } else { y })
}

fn normalised(data: &Dataset) -> Array1<f64> {
    let weight = data.sample_weight().to_owned();
    &weight / weight.sum()
}

impl Lane {
    pub(crate) fn new(case: &Case, alpha: f64) -> Lane {
        let Case { loss, penalty, setting, data, factors, .. } = case;
        let (mut x, mut y, weight) = (data.x().to_owned(), encoded(data, loss.classes()), normalised(data));
        let mut held_out =
            case.held_out.as_ref().map(|v| (v.x().to_owned(), encoded(v, loss.classes()), normalised(v)));
        let with_ones =
            |x: &Array2<f64>| concatenate(Axis(1), &[x.view(), Array2::ones((x.nrows(), 1)).view()]).unwrap();
        let mut factors = factors.clone();
        let mut means = None;
        if setting.intercept && loss.name() == "squared" {
            let (x_mean, y_mean) = (weight.dot(&x), weight.dot(&y));
            x -= &x_mean;
            y -= y_mean;
            if let Some((x, y, _)) = &mut held_out {
                *x -= &x_mean;
                *y -= y_mean;
            }
            means = Some((x_mean, y_mean));
        } else if setting.intercept {
            x = with_ones(&x);
            held_out = held_out.map(|(x, y, w)| (with_ones(&x), y, w));
            factors = concatenate(Axis(0), &[factors.view(), Array1::zeros(1).view()]).unwrap();
        }
        let (uses_alpha, ridge_in_loss, fixed_ratio) = penalty_kind(penalty);
        let (alpha, ratio) = (if uses_alpha { alpha } else { 0.0 }, fixed_ratio.unwrap_or(0.5));
        let l2 = &factors * (alpha * (1.0 - ratio));
        let seed = |derivative: &Derivative| {
            let one =
                |j: usize| -> Array1<f64> { (0..x.ncols()).map(|i| f64::from(u8::from(i == j))).collect() };
            let (dl1, dl2) = match derivative {
                Derivative::LogAlpha => (&factors * (alpha * ratio), &factors * (alpha * (1.0 - ratio))),
                Derivative::Alpha => (&factors * ratio, &factors * (1.0 - ratio)),
                Derivative::L1Ratio => (&factors * alpha, &factors * -alpha),
                Derivative::PenaltyFactor(j) => {
                    (one(*j) * (alpha * ratio), one(*j) * (alpha * (1.0 - ratio)))
                }
                _ => (Array1::zeros(x.ncols()), Array1::zeros(x.ncols())),
            };
            let dy = match derivative {
                Derivative::Target(direction) => direction.clone(),
                _ => Array1::zeros(y.len()),
            };
            let dy_mean = if means.is_some() { weight.dot(&dy) } else { 0.0 };
            Seed { dl1, dl2, dy: dy - dy_mean, dy_mean }
        };
        Lane {
            loss: *loss,
            penalty: *penalty,
            algorithm: setting.algorithm,
            seeds: case.derivatives.iter().map(seed).collect(),
            derivatives: case.derivatives.clone(),
            hyperparameters: (alpha, ratio),
            features: data.features(),
            l1: &factors * (alpha * ratio),
            ridge: if ridge_in_loss { l2.clone() } else { Array1::zeros(l2.len()) },
            l2,
            x,
            y,
            weight,
            held_out,
            means,
        }
    }

    /// The Lipschitz constant of the smooth part, by the power method.
    pub(crate) fn lipschitz(&self) -> f64 {
        let most = match self.loss.name() {
            "squared" | "huber" => 1.0,
            "logistic" => 0.25,
            _ => self.loss.capabilities().curvature.bounds().d2_max,
        };
        let mut v = Array1::from_shape_fn(self.x.ncols(), |j| 1.0 + (j as f64).sin());
        let mut top = 0.0;
        // Until it settles, which takes some hundred products.
        for _ in 0..1000 {
            let before = top;
            for _ in 0..20 {
                let next = self.x.t().dot(&(self.x.dot(&v) * &self.weight));
                top = next.dot(&next).sqrt();
                v = next / top;
            }
            top = (top * 1e13).round() / 1e13;
            if top == before {
                break;
            }
        }
        most * top + max_abs(&self.ridge)
    }

    /// The update of iteration `k`, whose step is a multiple of `1/L`.
    pub(crate) fn update(&self, k: usize, step: f64, momentum: f64, lipschitz: f64) -> Update {
        // L moves with the largest ridge.
        let top = (0..self.ridge.len()).fold(0, |m, j| if self.ridge[j] > self.ridge[m] { j } else { m });
        let moves = |(seed, derivative): (&Seed, &Derivative)| match derivative {
            Derivative::LogStep => step,
            Derivative::Step(at) => f64::from(u8::from(*at == k)),
            _ if self.ridge[top] > 0.0 => -step * seed.dl2[top] / lipschitz,
            _ => 0.0,
        };
        let dmomentum = |derivative: &Derivative| {
            f64::from(u8::from(matches!(derivative, Derivative::Momentum(at) if *at == k)))
        };
        Update {
            step,
            momentum,
            dstep: self.seeds.iter().zip(&self.derivatives).map(moves).collect(),
            dmomentum: self.derivatives.iter().map(dmomentum).collect(),
        }
    }

    /// `∇f(e)`.
    fn gradient(&self, e: &Array1<f64>) -> Array1<f64> {
        let z = self.x.dot(e);
        let slope = Array1::from_shape_fn(z.len(), |i| {
            self.weight[i] * loss_derivatives(&self.loss, z[i], self.y[i]).0
        });
        self.x.t().dot(&slope) + &self.ridge * e
    }

    /// `H(e) de + ∂_u ∇f(e)`.
    fn gradient_tangent(&self, e: &Array1<f64>, de: &Array1<f64>, seed: &Seed) -> Array1<f64> {
        let (z, dz) = (self.x.dot(e), self.x.dot(de));
        let of = |i: usize| {
            let (_, curvature, by_target) = loss_derivatives(&self.loss, z[i], self.y[i]);
            let by_target = if seed.dy[i] == 0.0 { 0.0 } else { by_target * seed.dy[i] };
            self.weight[i] * (curvature * dz[i] + by_target)
        };
        let dridge = if self.ridge.iter().any(|r| *r > 0.0) { &seed.dl2 * e } else { Array1::zeros(e.len()) };
        self.x.t().dot(&Array1::from_shape_fn(z.len(), of)) + &self.ridge * de + dridge
    }

    /// `prox_{a g}(w)`, and for each coordinate its derivatives.
    fn prox(&self, w: &Array1<f64>, a: f64) -> (Array1<f64>, Vec<[f64; 4]>) {
        let of = |j: usize| {
            if j < self.features {
                penalty_prox(&self.penalty, w[j], a, self.l1[j], self.l2[j])
            } else {
                [w[j], 1.0, 0.0, 0.0]
            }
        };
        let all: Vec<[f64; 4]> = (0..w.len()).map(of).collect();
        (all.iter().map(|p| p[0]).collect(), all)
    }

    /// Runs the recursion from zero.
    pub(crate) fn run(&self, updates: &[Update], lipschitz: f64) -> Sequence {
        let (q, d, k_max) = (self.x.ncols(), self.seeds.len(), updates.len());
        let mut out = Sequence {
            coef: Array2::zeros((k_max + 1, self.features)),
            dcoef: Array3::zeros((k_max + 1, d, self.features)),
            intercept: Array1::zeros(k_max + 1),
            dintercept: Array2::zeros((k_max + 1, d)),
            objective: Array1::zeros(k_max),
            validation: self.held_out.as_ref().map(|_| (Array1::zeros(k_max), Array2::zeros((k_max, d)))),
            knows_gap: knows_gap(&self.loss, &self.penalty),
            gap: None,
            stationarity: 0.0,
            derivative_residual: 0.0,
        };
        let (mut x, mut dx) = (Array1::zeros(q), vec![Array1::zeros(q); d]);
        let (mut before, mut dbefore) = (x.clone(), dx.clone());
        self.store(&mut out, 0, &x, &dx);
        for (k, u) in updates.iter().enumerate() {
            let (a, beta) = (u.step, u.momentum);
            let moved = &x - &before;
            let y = &x + &(&moved * beta);
            let extrapolates = self.algorithm == Algorithm::Fista;
            let e = if extrapolates { &y } else { &x };
            let slope = self.gradient(e);
            let w = &y - &(&slope * a);
            let (next, partials) = self.prox(&w, a);
            let mut dnext = Vec::new();
            for (t, seed) in self.seeds.iter().enumerate() {
                let dy = &dx[t] + &((&dx[t] - &dbefore[t]) * beta) + &moved * u.dmomentum[t];
                let de = if extrapolates { &dy } else { &dx[t] };
                let dw = &dy - &(self.gradient_tangent(e, de, seed) * a) - &slope * u.dstep[t];
                dnext.push(Array1::from_shape_fn(q, |j| {
                    let [value, by_w, by_l1, by_l2] = partials[j];
                    let by_step = -by_w * (w[j] - value) / a;
                    by_w * dw[j] + by_l1 * seed.dl1[j] + by_l2 * seed.dl2[j] + by_step * u.dstep[t]
                }));
            }
            (before, dbefore) = (std::mem::replace(&mut x, next), std::mem::replace(&mut dx, dnext));
            self.store(&mut out, k + 1, &x, &dx);
        }
        self.finish(&mut out, &x, &dx, lipschitz);
        out
    }

    fn store(&self, out: &mut Sequence, k: usize, x: &Array1<f64>, dx: &[Array1<f64>]) {
        let p = self.features;
        let intercept = |x: &Array1<f64>, y_mean: f64| match &self.means {
            Some((x_mean, _)) => y_mean - x_mean.dot(x),
            None if x.len() > p => x[p],
            None => 0.0,
        };
        for j in 0..p {
            out.coef[[k, j]] = x[j];
        }
        out.intercept[k] = intercept(x, self.means.as_ref().map_or(0.0, |m| m.1));
        for (t, dx) in dx.iter().enumerate() {
            for j in 0..p {
                out.dcoef[[k, t, j]] = dx[j];
            }
            out.dintercept[[k, t]] = intercept(dx, self.seeds[t].dy_mean);
        }
        if k == 0 {
            return;
        }
        let z = self.x.dot(x);
        let of_loss: f64 =
            (0..z.len()).map(|i| self.weight[i] * loss_value(&self.loss, z[i], self.y[i])).sum();
        let of_penalty: f64 =
            (0..p).map(|j| penalty_value(&self.penalty, x[j], self.l1[j], self.l2[j])).sum();
        out.objective[k - 1] = of_loss + of_penalty;
        if let (Some((rows, y, weight)), Some((value, slopes))) = (&self.held_out, &mut out.validation) {
            let z = rows.dot(x);
            value[k - 1] = (0..z.len()).map(|i| weight[i] * loss_value(&self.loss, z[i], y[i])).sum();
            for (t, dx) in dx.iter().enumerate() {
                // In centred coordinates the target of the held-out rows moves with the mean of the others.
                let dz = rows.dot(dx) + self.seeds[t].dy_mean;
                slopes[[k - 1, t]] = (0..z.len())
                    .map(|i| weight[i] * loss_derivatives(&self.loss, z[i], y[i]).0 * dz[i])
                    .sum();
            }
        }
    }

    /// The measures of the stop rule at the last iterate.
    fn finish(&self, out: &mut Sequence, x: &Array1<f64>, dx: &[Array1<f64>], lipschitz: f64) {
        let norm = |v: &Array1<f64>| v.dot(v).sqrt();
        // Below a thousandth of the natural length an iterate or a tangent counts as zero.
        let relative = |a: &Array1<f64>, b: &Array1<f64>, natural: f64| {
            let size = worse(worse(norm(a), norm(b)), 1e-3 * natural);
            if size == 0.0 { 0.0 } else { norm(&(a - b)) / size }
        };
        let a = 1.0 / lipschitz;
        let at_zero: f64 =
            (0..self.y.len()).map(|i| self.weight[i] * loss_value(&self.loss, 0.0, self.y[i])).sum();
        let reach = (2.0 * a * at_zero).sqrt();
        let w = x - &(self.gradient(x) * a);
        let (image, partials) = self.prox(&w, a);
        out.stationarity = relative(x, &image, reach);
        let length = worse(worse(norm(x), norm(&image)), 1e-3 * reach);
        for (t, seed) in self.seeds.iter().enumerate() {
            // Derivatives by the solver's own settings vanish at the solution and are not tested.
            if matches!(
                self.derivatives[t],
                Derivative::LogStep | Derivative::Step(_) | Derivative::Momentum(_)
            ) {
                continue;
            }
            let dw = &dx[t] - &(self.gradient_tangent(x, &dx[t], seed) * a);
            let image = Array1::from_shape_fn(x.len(), |j| {
                let [_, by_w, by_l1, by_l2] = partials[j];
                by_w * dw[j] + by_l1 * seed.dl1[j] + by_l2 * seed.dl2[j]
            });
            let (alpha, ratio) = self.hyperparameters;
            let weighted = |v: &Array1<f64>| (v * v).dot(&self.weight).sqrt();
            let natural = match &self.derivatives[t] {
                Derivative::Alpha => 1.0 / alpha,
                Derivative::L1Ratio => 1.0 / ratio.max(1.0 - ratio),
                Derivative::Target(_) => weighted(&seed.dy) / weighted(&self.y),
                _ => 1.0,
            };
            let residual = relative(&dx[t], &image, natural * length);
            out.derivative_residual = worse(out.derivative_residual, residual);
        }
        out.gap = self.gap(x);
    }

    /// The duality gap relative to the loss of zero coefficients, where every coordinate is held by the
    /// penalty.
    fn gap(&self, x: &Array1<f64>) -> Option<f64> {
        let held = match self.penalty.name() {
            "none" => false,
            "box" => self.penalty.parameters().iter().all(|(_, bound)| bound.is_finite()),
            _ => (0..self.features).all(|j| self.l1[j] + self.l2[j] > 0.0),
        };
        let dual = self.loss.has_dual() && self.penalty.has_dual();
        if !held || !dual || self.x.ncols() > self.features {
            return None;
        }
        let z = self.x.dot(x);
        let slope = Array1::from_shape_fn(z.len(), |i| {
            self.weight[i] * loss_derivatives(&self.loss, z[i], self.y[i]).0
        });
        let v = -self.x.t().dot(&slope);
        let ratio = (0..v.len()).map(|j| penalty_dual(&self.penalty, v[j], self.l1[j], self.l2[j]));
        let scale = 1.0 / worst(ratio);
        let sum = |of: &dyn Fn(usize) -> f64| (0..z.len()).map(|i| self.weight[i] * of(i)).sum::<f64>();
        let of_loss = sum(&|i| loss_gap(&self.loss, z[i], self.y[i], scale));
        let of_penalty: f64 = (0..v.len())
            .map(|j| penalty_gap(&self.penalty, x[j], scale * v[j], self.l1[j], self.l2[j]))
            .sum();
        Some((of_loss + of_penalty) / sum(&|i| loss_value(&self.loss, 0.0, self.y[i])))
    }
}
