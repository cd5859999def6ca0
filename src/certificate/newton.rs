//! Newton's method on the active set, in f64: coefficients enter where the optimality conditions fail, and
//! leave where a step meets a kink. Where a full step increases the objective, an active-set method
//! on its quadratic model finds the coefficients that leave.

use faer::Mat;
use ndarray::Array1;

use super::Obstacle;
use super::gap::Point;
use super::implicit::Manifold;
use super::system::System;
use crate::lanes::RunNumbers;
use crate::objective::{Objective, Zeros};

/// Most rounds: each changes the active set, or takes a Newton step on it.
const ROUNDS: usize = 60;
/// A violated optimality condition, relative to the largest gradient that the column can have.
pub(super) const VIOLATED: f64 = 1e-9;
/// Newton decrement, relative to the loss of zero coefficients, of a solution to rounding: after a last step
/// without regard to values, and before it.
const ROUNDING: f64 = 1e-18;
const EXACT: f64 = 1e-28;
/// Decrement, and length of a step relative to the iterate, from which the last step is taken.
const REFINED: f64 = 1e-13;
const NEAR: f64 = 1e-3;
/// Relative length of a step at a solution.
const SETTLED: f64 = 1e-7;
/// The share of the active coefficients that enter at a time is one over this, and at least so many do.
const GRADUAL: usize = 10;
/// Decrement of a point at which no further decrease is possible in f64.
const STALLED: f64 = 1e-11;
/// A margin of a class, relative to the largest one, that counts as zero.
const NO_MARGIN: f64 = 1e-9;

/// A stationary point.
pub(super) struct Stationary {
    pub(super) at: Point,
    /// Newton decrement `½ sᵀ H⁻¹ s` on the active set, relative.
    pub(super) decrement: f64,
    /// The largest violation of the optimality conditions of inactive coefficients, relative.
    pub(super) violation: f64,
    /// The scaled Hessian at it, factored.
    pub(super) system: System,
}

/// A point as stationary, unless it is a saddle or not finite.
fn stationary(at: Point, decrement: f64, violation: f64, system: System) -> Result<Stationary, Obstacle> {
    if !decrement.is_finite() || system.shift() > SADDLE {
        return Err(Obstacle::Stalled);
    }
    Ok(Stationary { at, decrement: decrement.max(0.0), violation, system })
}

/// A shift of the scaled Hessian above which it is not singular but indefinite.
const SADDLE: f64 = 1e-5;

/// Newton's method of a lane.
pub(super) struct Newton<'a, 'b> {
    pub(super) manifold: &'b mut Manifold<'a>,
    pub(super) scales: &'b Scales,
    pub(super) limits: Limits<'b>,
    /// Of the last active set, if the curvature of the loss does not change.
    pub(super) hessian: Option<Hessian>,
    /// True if only some coefficients enter at a time, so that active columns stay independent as far as they
    /// can: on the way from a solution nearby.
    pub(super) gradual: bool,
}

/// The Hessian of the loss on an active set.
pub(super) struct Hessian {
    pub(super) active: Vec<usize>,
    pub(super) of_loss: Mat<f64>,
    /// Curvatures of the penalty.
    of_penalty: Vec<f64>,
    /// Active rows whose columns do not depend on each other.
    pub(super) independent: Vec<usize>,
    /// The system of their sum.
    pub(super) system: Option<System>,
}

/// What Newton's method may use.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Most active coefficients.
    pub(crate) active: usize,
    /// Most operations to compute their Hessian.
    pub(crate) operations: f64,
    /// True if the run was stopped.
    pub(crate) stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Limits<'_> {
    /// Those of a single solution that was asked for: a gibibyte for a matrix.
    pub(super) const OF_ONE: Limits<'static> =
        Limits { active: 11_585, operations: f64::INFINITY, stopped: &|| false };
}

/// Most operations of a certificate's Hessian.
pub(crate) const MAX_OPERATIONS: f64 = 2e10;

/// Most active coefficients whatever the memory.
const MAX_ACTIVE: usize = 4000;
/// Bytes of Newton's method for each pair of active coefficients: the Hessian, the scaled matrix, its factor,
/// and two in spare.
const PAIR_BYTES: usize = 40;

/// Most active coefficients of so many methods at a time, at least one on each thread, within some memory.
pub(crate) fn most_active(bytes: u64, methods: usize) -> usize {
    let pairs = bytes as f64 / (PAIR_BYTES * rayon::current_num_threads().max(methods)) as f64;
    (pairs.sqrt() as usize).min(MAX_ACTIVE)
}

/// What sizes are relative to.
#[derive(Clone)]
pub(super) struct Scales {
    /// `[q]`: `Σ_i ω_i X_ij²`.
    pub(super) squares: Array1<f64>,
    /// `(Σ ω φ'(0)²)^½`: with `√squares_j`, the largest gradient that a column can have at zero.
    pub(super) residual: f64,
    /// The loss of zero coefficients.
    pub(super) loss: f64,
}

impl Scales {
    pub(super) fn new(objective: &Objective) -> Self {
        let square = |i: usize| objective.weight[i] * objective.loss().d1(0.0, objective.target[i]).powi(2);
        Scales {
            squares: objective.design.column_squares(objective.weight.view()),
            residual: (0..objective.target.len()).map(square).sum::<f64>().sqrt(),
            loss: RunNumbers::unit(objective.null_loss()),
        }
    }
}

impl<'a, 'b> Newton<'a, 'b> {
    pub(super) fn new(manifold: &'b mut Manifold<'a>, scales: &'b Scales, limits: Limits<'b>) -> Self {
        Newton { manifold, scales, limits, hessian: None, gradual: false }
    }

    pub(super) fn solve(&mut self, start: Point) -> Result<Stationary, Obstacle> {
        let mut at = start;
        let mut value = self.value(&at);
        let (mut refined, mut enters) = (false, true);
        for _ in 0..ROUNDS {
            if (self.limits.stopped)() {
                return Err(Obstacle::Stopped);
            }
            let violation = if enters { self.enter(&mut at) } else { f64::INFINITY };
            enters = true;
            self.check_size(at.z.len())?;
            let mut system = self.system_at(&at);
            let (mut step, mut decrement) = self.newton_step(&system, &at);
            if violation <= VIOLATED && decrement <= STALLED {
                system.estimate_condition();
            }
            if system.is_singular() {
                if let Some(x) = self.without_dependent(&at, &system)
                    && let Some((next, lower)) = self.lower_at(x, value).filter(|(_, lower)| *lower < value)
                {
                    (at, value) = (next, lower);
                    self.keep(system);
                    self.leave(&at.x);
                    // Else a column that depends on another enters again before the other has moved.
                    enters = false;
                    continue;
                }
                system.damp();
                (step, decrement) = self.newton_step(&system, &at);
            }
            if decrement.is_nan() {
                return Err(Obstacle::Stalled);
            }
            if self.is_unbounded(&at, &step) {
                return Err(Obstacle::Unbounded);
            }
            let limit = if refined { ROUNDING } else { EXACT };
            let length = self.relative_length(&step, &at.x);
            if decrement <= limit && violation <= VIOLATED && length <= SETTLED {
                return stationary(at, decrement, violation, system);
            }
            if decrement <= REFINED && violation <= VIOLATED && length <= NEAR && !refined {
                // Differences of values are rounding; Newton's step doubles the number of right digits.
                at = Point::new(self.manifold, self.moved(&at, &step, 1.0));
                self.keep(system);
                value = self.value(&at);
                self.leave(&at.x);
                refined = true;
                continue;
            }
            let lower = self.descend(&at, &system, &step, value);
            self.keep(system);
            match lower {
                Some((next, lower)) => {
                    let gain = value - lower;
                    at = next;
                    value = lower;
                    self.leave(&at.x);
                    if gain <= 0.0 && decrement <= STALLED && violation <= VIOLATED {
                        return self.at_rounding(at);
                    }
                }
                None if decrement <= STALLED && violation <= VIOLATED => return self.at_rounding(at),
                // The conditions of inactive coefficients have yet to be looked at.
                None if violation == f64::INFINITY => {}
                None => return Err(Obstacle::Stalled),
            }
        }
        Err(Obstacle::Stalled)
    }

    /// A lower point, and the objective there: after a full step, else around the kinks, else after a part of
    /// the step.
    fn descend(&self, at: &Point, system: &System, step: &[f64], value: f64) -> Option<(Point, f64)> {
        let newton = |size: f64| self.moved(at, step, size);
        let around = || {
            let target = self.go_around_kinks(at, system, step);
            let part = |size: f64| &at.x + &(size * (&target - &at.x));
            self.lower_at(target.clone(), value).or_else(|| self.line_search(part, value))
        };
        self.lower_at(newton(1.0), value).or_else(around).or_else(|| self.line_search(newton, value))
    }

    /// The Newton step, to be subtracted, and its decrement.
    fn newton_step(&self, system: &System, at: &Point) -> (Vec<f64>, f64) {
        let slope = self.slope(at);
        let step = system.solve(&slope);
        let decrement = 0.5 * slope.iter().zip(&step).map(|(s, d)| s * d).sum::<f64>() / self.scales.loss;
        (step, decrement)
    }

    /// The stationary point at which no step decreases the objective in f64.
    fn at_rounding(&mut self, mut at: Point) -> Result<Stationary, Obstacle> {
        let violation = self.enter(&mut at);
        let mut system = self.system_at(&at);
        if !system.is_singular() {
            system.estimate_condition();
        }
        system.damp();
        let (_, decrement) = self.newton_step(&system, &at);
        stationary(at, decrement, violation, system)
    }

    fn check_size(&self, rows: usize) -> Result<(), Obstacle> {
        let k = self.manifold.active.len();
        let too_large = k > self.limits.active || (rows as f64) * (k as f64).powi(2) > self.limits.operations;
        if too_large { Err(Obstacle::TooLarge) } else { Ok(()) }
    }

    /// The objective.
    pub(super) fn value(&self, at: &Point) -> f64 {
        self.value_at(&at.x, &at.z)
    }

    fn value_at(&self, x: &Array1<f64>, z: &Array1<f64>) -> f64 {
        let Manifold { objective, lane, .. } = *self.manifold;
        objective.value(z, x.view(), lane.strengths(objective))
    }

    /// Gradient of loss and penalty on the active set.
    pub(super) fn slope(&self, at: &Point) -> Vec<f64> {
        self.manifold.active.iter().map(|j| at.g[*j] + self.manifold.penalty(*j, at.x[*j]).d1).collect()
    }

    /// The system at a point, factored; from the last one as far as possible.
    fn system_at(&mut self, at: &Point) -> System {
        let active = &self.manifold.active;
        let of_penalty: Vec<f64> = active.iter().map(|j| self.manifold.penalty(*j, at.x[*j]).d2).collect();
        let fixed = self.manifold.objective.loss().capabilities().least_squares;
        let place = |j: &usize| active.binary_search(j).ok();
        let first: Vec<usize> =
            self.hessian.iter().flat_map(|kept| &kept.independent).filter_map(place).collect();
        let of_loss = match self.hessian.take().filter(|_| fixed) {
            None => self.manifold.loss_hessian(&at.z),
            Some(mut kept) if kept.active == *active => {
                if kept.of_penalty == of_penalty
                    && let Some(system) = kept.system.take()
                {
                    self.hessian = Some(kept);
                    return system;
                }
                kept.of_loss
            }
            Some(kept) => self.manifold.loss_hessian_from(&at.z, (&kept.active, &kept.of_loss)),
        };
        let system = System::new(&of_loss, &of_penalty, &first);
        let mut independent: Vec<usize> = system.independent().iter().map(|a| active[*a]).collect();
        independent.sort_unstable();
        self.hessian =
            Some(Hessian { active: active.clone(), of_loss, of_penalty, independent, system: None });
        system
    }

    /// Keeps a system for the next round, which may have the same active set.
    fn keep(&mut self, system: System) {
        if let Some(hessian) = &mut self.hessian {
            hessian.system = Some(system);
        }
    }

    /// Adds inactive coefficients that a proximal step moves; a coefficient at zero gets the sign of its move
    /// and almost no size. Returns the largest relative violation.
    pub(super) fn enter(&mut self, at: &mut Point) -> f64 {
        let objective = self.manifold.objective;
        let penalty = objective.penalty();
        let most = penalty.step_limit().map_or(f64::INFINITY, |(_, limit)| 0.5 * limit);
        let mut active = vec![false; at.x.len()];
        self.manifold.active.iter().for_each(|j| active[*j] = true);
        let mut worst: f64 = 0.0;
        let mut entering: Vec<(f64, usize, f64)> = Vec::new();
        let square =
            |i: usize| objective.weight[i] * objective.loss().d1(at.z[i], objective.target[i]).powi(2);
        let scale = self.scales.residual.max((0..at.z.len()).map(square).sum::<f64>().sqrt());
        for j in (0..at.x.len()).filter(|j| !active[*j]) {
            if self.scales.squares[j] == 0.0 {
                continue;
            }
            let size = scale * self.scales.squares[j].sqrt();
            // The step of the coefficient alone: one for all would vanish in the rounding of small columns.
            let step = (1.0 / (objective.curvature().d2_max * self.scales.squares[j])).min(most);
            let (l1, l2) = self.manifold.strengths(j);
            let ridge = if penalty.ridge_in_loss() { l2 * at.x[j] } else { 0.0 };
            let w = at.x[j] - step * (at.g[j] + ridge);
            let moved = penalty.prox(w, step, l1, l2).value - at.x[j];
            let violation = if moved == 0.0 { 0.0 } else { moved.abs() / (step * size) };
            worst = worst.max(violation);
            if violation > VIOLATED {
                entering.push((violation, j, moved.signum()));
            }
        }
        if self.gradual {
            let k = self.manifold.active.len();
            let rows = objective.weight.iter().filter(|weight| **weight > 0.0).count();
            let most = (k / GRADUAL).max(GRADUAL).min(rows.saturating_sub(k).div_ceil(2).max(1));
            entering.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            entering.truncate(most);
        }
        for (_, j, sign) in entering {
            self.manifold.active.push(j);
            if at.x[j] == 0.0 && penalty.capabilities().zeros != Zeros::Absent {
                at.x[j] = f64::MIN_POSITIVE * sign;
            }
        }
        self.manifold.active.sort_unstable();
        worst
    }

    /// The interval around a coefficient in which its penalty is smooth.
    pub(super) fn segment(&self, j: usize, x: f64) -> (f64, f64) {
        if self.manifold.is_free(j) {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let penalty = self.manifold.objective.penalty();
        let (lower, upper) = penalty.domain();
        match penalty.capabilities().zeros {
            Zeros::Absent => (lower, upper),
            _ if x > 0.0 => (lower.max(0.0), upper),
            _ => (lower, upper.min(0.0)),
        }
    }

    /// Drops active coefficients that lie on the end of their segment.
    fn leave(&mut self, x: &Array1<f64>) {
        let mut active = std::mem::take(&mut self.manifold.active);
        active.retain(|&j| {
            let (lower, upper) = self.segment(j, x[j]);
            x[j] != lower && x[j] != upper && (x[j] != 0.0 || self.stays_at_zero(j))
        });
        self.manifold.active = active;
    }

    /// True if an active coefficient may be zero.
    fn stays_at_zero(&self, j: usize) -> bool {
        self.manifold.is_free(j) || self.manifold.objective.penalty().capabilities().zeros == Zeros::Absent
    }

    /// The length of a step relative to the iterate, each coefficient weighted by its column's mean square.
    /// Where the loss is almost flat a decrement is small long before the iterate settles.
    fn relative_length(&self, step: &[f64], x: &Array1<f64>) -> f64 {
        let active = || self.manifold.active.iter();
        let of_step: f64 = active().zip(step).map(|(j, d)| d * d * self.scales.squares[*j]).sum();
        let of_x: f64 = active().map(|j| x[*j] * x[*j] * self.scales.squares[*j]).sum();
        if of_step == 0.0 { 0.0 } else { (of_step / of_x).sqrt() }
    }

    /// The coefficients after a step of a size, each within its segment.
    fn moved(&self, at: &Point, step: &[f64], size: f64) -> Array1<f64> {
        let mut x = at.x.clone();
        for (&j, d) in self.manifold.active.iter().zip(step) {
            let (lower, upper) = self.segment(j, x[j]);
            x[j] = (x[j] - size * d).max(lower).min(upper);
        }
        x
    }

    /// The point and the objective there, if it is not larger than `value`.
    fn lower_at(&self, x: Array1<f64>, value: f64) -> Option<(Point, f64)> {
        let z = self.manifold.objective.design.apply_vector(x.view());
        let lower = self.value_at(&x, &z);
        (lower <= value).then(|| (Point::at_predictions(self.manifold, x, z), lower))
    }

    /// The point after the longest of the steps ½, ¼, … that does not increase the objective.
    fn line_search(&self, moved: impl Fn(f64) -> Array1<f64>, value: f64) -> Option<(Point, f64)> {
        let mut size = 0.5;
        while size > 1e-12 {
            if let Some(found) = self.lower_at(moved(size), value) {
                return Some(found);
            }
            size *= 0.5;
        }
        None
    }

    /// True if some direction of unpenalised coefficients separates the classes: the loss then decreases
    /// along it for ever. The iterate and the Newton step are tried as directions.
    fn is_unbounded(&self, at: &Point, step: &[f64]) -> bool {
        let objective = self.manifold.objective;
        if !objective.loss().classes() {
            return false;
        }
        // Where a penalty is constant, as in the tails of those without convexity, it does not hold a
        // coefficient.
        let flat = |j: usize| {
            let of_penalty = self.manifold.penalty(j, at.x[j]);
            self.manifold.is_free(j) || (of_penalty.d1 == 0.0 && of_penalty.d2 == 0.0)
        };
        let free: Vec<usize> = self.manifold.active.iter().copied().filter(|j| flat(*j)).collect();
        if free.is_empty() {
            return false;
        }
        // Towards a bound no coefficient moves for ever.
        let (lower, upper) = objective.penalty().domain();
        let towards = |j: usize, v: f64| {
            let bounded = j < objective.features() && if v < 0.0 { lower } else { upper }.is_finite();
            if bounded { 0.0 } else { v }
        };
        let mut of_iterate = Array1::zeros(at.x.len());
        let mut of_step = Array1::zeros(at.x.len());
        free.iter().for_each(|j| of_iterate[*j] = towards(*j, at.x[*j]));
        for (&j, d) in self.manifold.active.iter().zip(step) {
            if free.contains(&j) {
                of_step[j] = towards(j, -d);
            }
        }
        // Near a minimum the Newton step is short, and its direction is rounding.
        [(of_iterate, 0.0), (of_step, 0.1)].iter().any(|(direction, least)| {
            let along = objective.design.apply_vector(direction.view());
            let counts = |i: &usize| objective.weight[*i] > 0.0;
            let margins = || (0..along.len()).filter(counts).map(|i| along[i] * objective.target[i]);
            let most = margins().fold(0.0, f64::max);
            most > *least && margins().all(|m| m >= -NO_MARGIN * most * f64::from(u8::from(*least > 0.0)))
        })
    }
}
