//! Certificates: how far a lane's iterate and its derivatives are from the solution, in f64.
//!
//! The value of a lane is bounded by the duality gap where there is a dual, else by the objective of a
//! stationary point that Newton's method finds on the active set, with that point's Newton decrement. The
//! derivatives are compared with those of the linear system at that point (Mehmood & Ochs 2025), whose error
//! follows from its condition number. The point and its derivatives are the polished result of the lane.

use std::borrow::Cow;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

#[cfg(feature = "serde")]
use crate::error::Result;
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective, Zeros};

mod active_set;
mod dependent;
mod gap;
pub mod implicit;
mod newton;
mod obstacle;
mod on_manifold;
mod path;
mod states;
mod system;

use gap::Point;
use implicit::Manifold;
pub(crate) use newton::{Limits, MAX_OPERATIONS, most_active};
use newton::{Newton, Scales, Stationary};
pub use obstacle::Obstacle;
pub(crate) use on_manifold::{Factored, OnManifold};
pub(crate) use path::Follower;
pub use states::certify;
use system::SINGULAR;

/// What bounds the value of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Measure {
    /// The duality gap.
    DualityGap,
    /// The Newton decrement on the active set, with the optimality of the inactive coefficients.
    NewtonDecrement,
}

/// What a certificate says in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Verdict {
    /// Value and derivatives are certified.
    Green,
    /// The value is certified; the derivatives are not, or are one choice of several.
    Amber,
    /// The value is not certified.
    Red,
}

impl Verdict {
    /// The name in JSON and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Green => "green",
            Verdict::Amber => "amber",
            Verdict::Red => "red",
        }
    }
}

/// Bounds on the error of a value and of its derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Bounds {
    /// Bound on `F(x) − F*` (to the local minimum, for a penalty without convexity), relative to the loss of
    /// zero coefficients; absent if there is none.
    pub value: Option<f64>,
    /// Bound on `‖dx − dx*‖ / max(‖dx*‖, natural length)`, the largest over the derivatives by
    /// hyperparameters, in the norm that weights each coefficient by its column's mean square; absent if
    /// there is none.
    pub derivative: Option<f64>,
}

/// How far a lane is from the solution.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// Of the last iterate.
    pub iterate: Bounds,
    /// Of the polished result; absent if none is delivered.
    pub polished: Option<Bounds>,
    /// What bounds the value; absent if nothing does.
    pub measure: Option<Measure>,
    /// True if the iterate has the active set and the signs of the solution.
    pub identified: bool,
    /// `1 − max_j |∂_j f| / l1_j` over the inactive coefficients of the solution: 1 is far from a change of
    /// the active set, 0 is at one.
    pub margin: Option<f64>,
    /// Condition number of the Hessian on the active set, scaled to a unit diagonal; absent if it is
    /// singular.
    pub condition: Option<f64>,
    /// False if the solution has several derivatives, or none: a coefficient is about to enter or leave,
    /// active columns depend on each other, or a residual is at a knot of the loss.
    pub unique: bool,
    /// Summary of the delivered result.
    pub verdict: Verdict,
    /// What keeps it from a full certificate.
    pub obstacle: Option<Obstacle>,
}

impl Certificate {
    /// The bounds on the delivered result.
    pub fn delivered(&self) -> Bounds {
        self.polished.unwrap_or(self.iterate)
    }

    /// The reason of the verdict, in words.
    pub fn reason(&self) -> String {
        let what = if self.polished.is_some() { "the polished result" } else { "the last iterate" };
        let because = self.obstacle.map_or(String::new(), |obstacle| format!(": {}", obstacle.words()));
        let number = |v: Option<f64>| v.map_or("unknown".to_string(), |v| format!("{v:.1e}"));
        let Bounds { value, derivative } = self.delivered();
        match self.verdict {
            Verdict::Green => {
                let of = derivative.map_or(String::new(), |d| format!(", its derivatives within {d:.1e}"));
                format!("{what} is within {} of the minimum{of}", number(value))
            }
            Verdict::Amber if !self.unique => {
                format!("the value is certified, the derivative is one of several{because}")
            }
            Verdict::Amber => format!("the value is certified, the derivatives are not{because}"),
            Verdict::Red => format!("{what} is not certified, its error is {}{because}", number(value)),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Certificate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Certificate", 10)?;
        fields.serialize_field("iterate", &self.iterate)?;
        fields.serialize_field("polished", &self.polished)?;
        fields.serialize_field("measure", &self.measure)?;
        fields.serialize_field("identified", &self.identified)?;
        fields.serialize_field("margin", &self.margin)?;
        fields.serialize_field("condition", &self.condition)?;
        fields.serialize_field("unique", &self.unique)?;
        fields.serialize_field("verdict", &self.verdict)?;
        fields.serialize_field("obstacle", &self.obstacle)?;
        fields.serialize_field("reason", &self.reason())?;
        fields.end()
    }
}

/// The solution that belongs to a lane's iterate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Polished {
    /// `[1 + d, q]`: coefficients, then their derivatives; those by settings of the solver are zero.
    pub(crate) state: Array2<f64>,
    pub(crate) of: PolishedNumbers,
}

/// What a polished model reports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolishedNumbers {
    /// The objective.
    pub(crate) objective: f64,
    /// Coefficients that are not zero, without the intercept.
    pub(crate) support: usize,
    /// Mean loss over the held-out rows, and its derivatives.
    pub(crate) held_out: Option<(f64, Vec<f64>)>,
}

/// The result of certifying a lane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Certified {
    pub(crate) certificate: Certificate,
    pub(crate) polished: Option<Polished>,
}

/// Distance to a kink, relative to the threshold or to the natural length of a coefficient, that counts as
/// zero.
const KINK: f64 = 1e-7;
/// Factor of the rounding errors of a solved linear system over its condition number.
pub(crate) const SOLVED: f64 = 16.0 * f64::EPSILON;

/// The larger of two errors; a NaN is not dropped.
fn largest(worst: f64, error: f64) -> f64 {
    if error > worst || error.is_nan() { error } else { worst }
}

/// Certifies lanes, each with the objective of its fold.
pub(crate) struct Certifier<'a> {
    lanes: &'a [Lane],
    all: OfObjective<'a>,
    folds: Vec<OfObjective<'a>>,
}

impl<'a> Certifier<'a> {
    pub(crate) fn new(objective: &'a Objective, derivatives: &'a [Derivative], lanes: &'a [Lane]) -> Self {
        let of = |objective: Cow<'a, Objective>| {
            let scales = Scales::new(&objective);
            OfObjective { objective, derivatives, scales }
        };
        let folds = (0..objective.folds()).map(|fold| of(Cow::Owned(objective.of_fold(fold)))).collect();
        Certifier { lanes, all: of(Cow::Borrowed(objective)), folds }
    }

    /// The certificate of a lane at its state, `[1 + d, q]`.
    pub(crate) fn certify(&self, lane: usize, state: ArrayView2<'_, f64>, limits: Limits<'_>) -> Certified {
        self.certify_and_keep(lane, state, limits).0
    }

    /// The same, with the manifold of the solution, if that was found.
    pub(crate) fn certify_and_keep(
        &self,
        lane: usize,
        state: ArrayView2<'_, f64>,
        limits: Limits<'_>,
    ) -> (Certified, Option<OnManifold<'_>>) {
        let lane = &self.lanes[lane];
        self.of(lane.fold).certify(lane, state, limits)
    }

    /// The manifold of a lane at its solution `x`, `[q]`, which is taken to be one. `is_dense`: its system is
    /// known not to be too large.
    pub(crate) fn at_solution(&self, lane: usize, x: ArrayView1<'_, f64>, is_dense: bool) -> OnManifold<'_> {
        let lane = &self.lanes[lane];
        OnManifold::new(&self.of(lane.fold).objective, lane, x, is_dense)
    }

    fn of(&self, fold: Option<usize>) -> &OfObjective<'a> {
        fold.map_or(&self.all, |fold| &self.folds[fold])
    }
}

/// Certifies lanes of one objective.
struct OfObjective<'a> {
    objective: Cow<'a, Objective>,
    derivatives: &'a [Derivative],
    scales: Scales,
}

impl OfObjective<'_> {
    /// The certificate of a lane at its state, `[1 + d, q]`, and the manifold of the solution.
    fn certify<'a>(
        &'a self,
        lane: &'a Lane,
        state: ArrayView2<'_, f64>,
        limits: Limits<'_>,
    ) -> (Certified, Option<OnManifold<'a>>) {
        let x = self.objective.within_domain(state.row(0));
        let mut manifold = Manifold::new(&self.objective, lane, x.view());
        let at = Point::new(&manifold, x);
        let gap = manifold.gap(&at).map(|gap| gap / self.scales.loss);
        let start = manifold.active.clone();
        let mut newton = Newton::new(&mut manifold, &self.scales, limits);
        let value = newton.value(&at);
        match newton.solve(at) {
            Ok(found) => {
                let best = newton.value(&found.at);
                if !(value.is_finite() && best.is_finite()) {
                    return (self.without_solution(gap, Obstacle::Stalled), None);
                }
                let of_found = self.value_bound(&manifold, &found);
                let above = ((value - best) / self.scales.loss).max(0.0) + of_found.0;
                let certified =
                    self.compare(&manifold, &found, (state, &start), (gap, above), of_found, best);
                (certified, Some(OnManifold::of_found(manifold, found)))
            }
            Err(obstacle) => (self.without_solution(gap, obstacle), None),
        }
    }

    /// The bound on the value of a stationary point, and what gives it.
    fn value_bound(&self, manifold: &Manifold<'_>, found: &Stationary) -> (f64, Measure) {
        let decrement = 2.0 * found.decrement + found.violation;
        match manifold.gap(&found.at).map(|gap| gap / self.scales.loss) {
            Some(gap) if gap <= decrement.max(1e-9) => (gap.max(f64::EPSILON), Measure::DualityGap),
            _ => (decrement.max(f64::EPSILON), Measure::NewtonDecrement),
        }
    }

    /// The certificate of an iterate whose solution was found.
    fn compare(
        &self,
        manifold: &Manifold<'_>,
        found: &Stationary,
        (state, start): (ArrayView2<'_, f64>, &[usize]),
        (gap, above): (Option<f64>, f64),
        of_found: (f64, Measure),
        objective: f64,
    ) -> Certified {
        let mut certified = self.solution(manifold, found, of_found, objective);
        let Certified { certificate, polished } = &mut certified;
        let solution = &polished.as_ref().expect("a solution").state;
        let length = self.length(&found.at.x);
        let relative = |(t, derivative): (usize, &Derivative)| {
            let exact = solution.row(1 + t);
            let natural =
                derivative.natural_size(&self.objective, manifold.lane.alpha, manifold.lane.l1_ratio);
            // Relative to the coefficients alone: an intercept may be much larger.
            let size = self.norm(self.coefficients(exact)).max(1e-3 * natural * length);
            let error = self.norm((&state.row(1 + t) - &exact).view());
            if error == 0.0 { 0.0 } else { error / size }
        };
        let of_solution = certificate.iterate.derivative;
        certificate.iterate = Bounds {
            value: Some(gap.map_or(above, |gap| gap.max(f64::EPSILON).min(above))),
            derivative: of_solution
                .map(|own| self.tested().map(relative).fold(0.0, largest) + own)
                .filter(|error| error.is_finite()),
        };
        certificate.identified = {
            let signs = |row: ArrayView1<'_, f64>, j: usize| row[j].partial_cmp(&0.0);
            let by_sign = self.objective.penalty().capabilities().zeros != Zeros::Absent;
            start == &manifold.active[..]
                && (!by_sign || start.iter().all(|j| signs(state.row(0), *j) == signs(solution.row(0), *j)))
        };
        certified
    }

    /// The derivatives by hyperparameters, numbered among all.
    fn tested(&self) -> impl Iterator<Item = (usize, &Derivative)> {
        self.derivatives.iter().enumerate().filter(|(_, d)| !d.is_of_process())
    }

    /// The length of a solution that errors of derivatives are compared with.
    fn length(&self, x: &Array1<f64>) -> f64 {
        self.norm(self.coefficients(x.view())).max(1e-3 * (2.0 * self.scales.loss).sqrt())
    }

    /// A solution with its derivatives and its certificate, which is that of an iterate at the solution.
    fn solution(
        &self,
        manifold: &Manifold<'_>,
        found: &Stationary,
        (of_found, measure): (f64, Measure),
        objective: f64,
    ) -> Certified {
        let x = &found.at.x;
        let condition = found.system.condition();
        let mut solution = Array2::zeros((1 + self.derivatives.len(), x.len()));
        solution.row_mut(0).assign(&x.mapv(|v| if v.abs() <= f64::MIN_POSITIVE { 0.0 } else { v }));
        for (t, derivative) in self.tested() {
            let solved = found.system.solve(&manifold.mixed(x, derivative));
            manifold.active.iter().zip(&solved).for_each(|(j, v)| solution[[1 + t, *j]] = -v);
        }
        // Rounding of the system, and the point's own error where the Hessian moves with it.
        let moves = !self.objective.loss().capabilities().least_squares;
        let error = SOLVED * condition + if moves { (2.0 * found.decrement).sqrt() } else { 0.0 };
        let margin = manifold.margin(&found.at.g);
        let dependent = found.system.is_damped() || condition > SINGULAR;
        let at_kink = margin < KINK
            || manifold.is_at_kink(x, &self.scales, KINK)
            || manifold.rests_freely(&found.at.g, &self.scales, KINK);
        let at_knot = self.is_at_knot(&found.at.z);
        let of = [(dependent, Obstacle::Dependent), (at_kink, Obstacle::AtKink), (at_knot, Obstacle::AtKnot)];
        let obstacle = of.into_iter().find(|(is, _)| *is).map(|(_, obstacle)| obstacle);
        let unique = obstacle.is_none();
        let certain = unique && error.is_finite() && solution.iter().all(|v| v.is_finite());
        let bounds = Bounds {
            value: Some(of_found),
            derivative: (certain && self.tested().next().is_some()).then_some(error),
        };
        let certificate = Certificate {
            iterate: bounds,
            polished: Some(bounds),
            measure: Some(measure),
            identified: true,
            margin: Some(margin),
            condition: Some(condition).filter(|c| c.is_finite()),
            unique,
            verdict: Verdict::Red,
            obstacle,
        };
        let of = PolishedNumbers {
            objective,
            support: solution.row(0).iter().take(self.objective.features()).filter(|v| **v != 0.0).count(),
            held_out: self.held_out(&solution),
        };
        let polished = Polished { state: solution, of };
        Certified { certificate, polished: Some(polished) }
    }

    /// The mean loss of a state `[1 + d, q]` over the held-out rows, and its derivatives at fixed targets.
    fn held_out(&self, state: &Array2<f64>) -> Option<(f64, Vec<f64>)> {
        let held_out = self.objective.held_out.as_ref()?;
        let z = held_out.design.apply_vector(state.row(0));
        let rows = || held_out.target.iter().zip(&held_out.weight).zip(&z);
        let loss = rows().map(|((y, w), z)| w * self.objective.loss().value(*z, *y)).sum();
        let d1: Array1<f64> = rows().map(|((y, w), z)| w * self.objective.loss().d1(*z, *y)).collect();
        let of = |(t, derivative): (usize, &Derivative)| {
            let moved = derivative.target_tangent(&self.objective).map_or(0.0, |(_, mean)| mean);
            d1.dot(&held_out.design.apply_vector(state.row(1 + t))) + moved * d1.sum()
        };
        Some((loss, self.derivatives.iter().enumerate().map(of).collect()))
    }

    /// The certificate of an iterate whose solution was not found.
    fn without_solution(&self, gap: Option<f64>, obstacle: Obstacle) -> Certified {
        let certificate = Certificate {
            iterate: Bounds { value: gap.map(|gap| gap.max(f64::EPSILON)), derivative: None },
            polished: None,
            measure: gap.map(|_| Measure::DualityGap),
            identified: false,
            margin: None,
            condition: None,
            unique: true,
            verdict: Verdict::Red,
            obstacle: Some(obstacle),
        };
        Certified { certificate, polished: None }
    }

    /// A row of a state without the intercept.
    fn coefficients<'v>(&self, row: ArrayView1<'v, f64>) -> ArrayView1<'v, f64> {
        row.split_at(Axis(0), self.objective.features()).0
    }

    /// The length of coefficients, each weighted by its column's mean square.
    fn norm(&self, v: ArrayView1<'_, f64>) -> f64 {
        v.iter().zip(&self.scales.squares).map(|(v, s)| v * v * s).sum::<f64>().sqrt()
    }

    /// True if a prediction is almost where the loss changes its curvature.
    fn is_at_knot(&self, z: &Array1<f64>) -> bool {
        if self.objective.curvature().d3_max.is_finite() {
            return false;
        }
        let near = KINK * (2.0 * self.scales.loss).sqrt();
        let knots = |i: usize| self.objective.loss().kinks(self.objective.target[i]);
        let counts = |i: &usize| self.objective.weight[*i] > 0.0;
        (0..z.len()).filter(counts).any(|i| knots(i).iter().any(|knot| (z[i] - knot).abs() < near))
    }
}

impl Certified {
    /// True if the last iterate is within the tolerances; a derivative that is not unique cannot be
    /// certified, so its residual decides.
    pub(crate) fn meets(&self, tol: f64, has_derivatives: bool, residual: f64) -> bool {
        let certificate = &self.certificate;
        let Bounds { value, derivative } = certificate.iterate;
        let too_large = certificate.obstacle == Some(Obstacle::TooLarge);
        let derivative_meets = match derivative {
            _ if !has_derivatives => true,
            Some(error) => error <= derivative_tolerance(tol),
            None => (too_large || !certificate.unique) && residual <= tol,
        };
        value.is_some_and(|v| v <= tol) && derivative_meets
    }

    /// Decides the verdict on the delivered result.
    pub(crate) fn judge(&mut self, tol: f64, has_derivatives: bool, delivers_polished: bool) {
        let certificate = &mut self.certificate;
        certificate.polished = certificate.polished.filter(|_| delivers_polished);
        let Bounds { value, derivative } = certificate.delivered();
        let unbounded = certificate.obstacle == Some(Obstacle::Unbounded);
        let value_meets = !unbounded && value.is_some_and(|v| v <= tol);
        let derivative_meets = !has_derivatives || derivative.is_some_and(|d| d <= derivative_tolerance(tol));
        certificate.verdict = match (value_meets, derivative_meets) {
            (true, true) => Verdict::Green,
            (true, false) => Verdict::Amber,
            (false, _) => Verdict::Red,
        };
    }
}

/// The tolerance of derivatives: a value within `tol` leaves a relative error of about `√tol` in the
/// coefficients, and derivatives are asked for as much.
pub(crate) fn derivative_tolerance(tol: f64) -> f64 {
    tol.sqrt()
}
