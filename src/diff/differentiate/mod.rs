//! Derivatives of the models of a sweep by its hyperparameters, in any [mode](Mode).

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};

use super::{Criterion, Mode};
use crate::Instant;
use crate::certificate::Certificate;
use crate::engine::{Engine, Status};
use crate::error::{Error, ErrorKind, Result, bytes};
use crate::objective::{Derivative, Objective};
use crate::program::Keep;
use crate::result::{Columns, Model};
use crate::solve::{Prepared, Sweep, SweepResult};

mod assemble;
mod checkpoints;
mod conjugate;
mod linearization;
mod run;
mod schedule;
mod second_order;

use assemble::Assembled;
pub(super) use run::refuse;

/// Differentiates the models of a sweep by its [derivatives](Sweep::derivatives).
///
/// ```
/// use proxjet::diff::{Differentiate, Mode};
/// use proxjet::prelude::*;
///
/// # fn main() -> Result<()> {
/// let (train, held_out) = bundled("diabetes")?.split("0.25:1".parse()?)?;
/// let objective = Objective::builder(train).validation(held_out).build()?;
/// // By the penalty factor of every feature: the reverse and the implicit mode take one sweep for all.
/// let factors = (0..objective.features()).map(Derivative::PenaltyFactor);
/// let sweep = Sweep::new(objective.clone()).alphas(Alphas::path(0.1, 3)).derivatives(factors);
/// let found = Differentiate::new(sweep).mode(Mode::Implicit).run(&mut CpuEngine::new())?;
/// assert_eq!(found.gradient.unwrap().dim(), (3, objective.features()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Differentiate {
    sweep: Sweep,
    mode: Mode,
    criterion: Option<Criterion>,
    jacobian: bool,
}

/// The models of a sweep with their derivatives, in the units of the original data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Differentiated {
    /// The mode, also where it was chosen.
    pub mode: Mode,
    /// The criterion that [`gradient`](Self::gradient) is of.
    pub criterion: Option<Criterion>,
    /// `[h]`: names of the derivatives.
    pub names: Vec<String>,
    /// `[b]`: the lanes.
    pub lanes: Vec<DifferentiatedLane>,
    /// `[b, p]`: coefficients.
    pub coef: Array2<f64>,
    /// `[b]`: intercepts; 0 without.
    pub intercept: Array1<f64>,
    /// `[b, h, p]`: derivatives of the coefficients; NaN in lanes without. Absent if they were not asked for.
    pub dcoef: Option<Array3<f64>>,
    /// `[b, h]`: derivatives of the intercepts.
    pub dintercept: Option<Array2<f64>>,
    /// `[b, h]`: the gradient of the criterion; NaN in lanes without.
    pub gradient: Option<Array2<f64>>,
    /// Seconds of everything.
    pub seconds: f64,
    /// Bytes in use at most: the engine's buffers, the tape, and the results; not the matrices of linear
    /// systems, of which each thread has one at a time.
    pub peak_bytes: u64,
    /// The sweep that was differentiated. In the hybrid mode its trace has the derivative sequence up to the
    /// switch.
    pub sweep: SweepResult,
}

/// What the derivatives of a lane are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Kind {
    /// The last iterate, exactly.
    Iterate,
    /// The solution.
    Solution,
    /// The solution, approximately.
    Approximation,
    /// One choice of several, or one side's: the certificate says why.
    OneOfSeveral,
    /// There are none: the lane has no solution, or numbers are not finite.
    Absent,
}

/// A lane that was differentiated.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DifferentiatedLane {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// The fold whose rows it was fitted on; absent for all rows.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fold: Option<usize>,
    /// Why the lane ended.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// In the hybrid mode the iterate from which on derivatives are those of the linear system.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub switch: Option<usize>,
    /// What its derivatives are of.
    pub derivative: Kind,
    /// The criterion.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub criterion: Option<f64>,
    /// `[h]`: the gradient of the criterion; NaN where there is none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub gradient: Option<Vec<f64>>,
    /// The relative error, against the solution, of the criterion's gradient by hyperparameters, or without a
    /// criterion of the derivatives of all coefficients; in modes that solve for the solution's, a bound by
    /// the condition number. Absent where there is no solution.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub derivative_error: Option<f64>,
    /// How far the lane is from the solution; absent if it was stopped or diverged. Green: value and
    /// derivatives are those of the solution, within the tolerance and its square root.
    pub certificate: Option<Certificate>,
}

impl Differentiate {
    /// The models of a sweep, differentiated by its derivatives: in the mode `Auto`, with the gradient of the
    /// loss over held-out rows, if there are any.
    pub fn new(sweep: Sweep) -> Self {
        Differentiate { sweep, mode: Mode::Auto, criterion: None, jacobian: true }
    }
    /// The mode.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// The same of a changed sweep.
    pub fn map(mut self, change: impl FnOnce(Sweep) -> Sweep) -> Self {
        self.sweep = change(self.sweep);
        self
    }
    /// The criterion whose gradient is computed.
    pub fn criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = Some(criterion);
        self
    }
    /// True if derivatives of all coefficients are computed in modes that give them: every mode but
    /// `Reverse`. Default true.
    pub fn with_jacobian(mut self, jacobian: bool) -> Self {
        self.jacobian = jacobian;
        self
    }

    /// True if there is a criterion: one that was given, or held-out rows.
    pub fn has_criterion(&self) -> bool {
        self.wanted_criterion().is_some()
    }
    /// The derivatives that are asked for.
    pub fn derivatives(&self) -> Vec<Derivative> {
        self.sweep.derivatives_or_default()
    }

    /// Solves the sweep and differentiates its models.
    ///
    /// # Errors
    /// As [`Sweep::run`]; a derivative that the mode or the criterion does not give; a mode that does not
    /// differentiate the schedule; results that do not fit the memory budget. A lane without derivatives is
    /// no error: its [kind](DifferentiatedLane::derivative) says so.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<Differentiated> {
        let clock = Instant::now();
        if self.jacobian && self.mode != Mode::Reverse {
            self.check_size()?;
        }
        let run = self.solve(engine)?;
        let assembled = run.linearize(|linear, run| Assembled::new(self, run, linear))?;
        let mut found = assembled.finish(self, run);
        found.seconds = clock.elapsed().as_secs_f64();
        Ok(found)
    }

    /// `[b, p]`: the derivative of the coefficients in a direction of the hyperparameters, `[h]`; NaN in
    /// lanes without. [`run`](Self::run) says what the derivatives are of. The mode `Reverse` has no such
    /// product: the tangents of `Forward` are used, which are the same with `tol` 0; else lanes may end at
    /// another iteration, as the stop rule waits for tangents.
    ///
    /// # Errors
    /// As [`run`](Self::run), and a direction of another length.
    pub fn jvp(&self, engine: &mut dyn Engine, direction: ArrayView1<'_, f64>) -> Result<Array2<f64>> {
        let of = match self.mode {
            Mode::Reverse => self.clone().mode(Mode::Forward),
            _ => self.clone().with_jacobian(true),
        };
        let run = of.solve(engine)?;
        of.check_direction(&run.derivatives, direction)?;
        let (problem, columns) = (self.sweep.problem(), Columns::new(self.sweep.problem()));
        let dstates = run.linearize(|linear, run| Ok(linear.along(run, direction)))?;
        let mut out = Array2::zeros((dstates.len(), problem.features()));
        for (mut row, dstate) in out.rows_mut().into_iter().zip(dstates) {
            let dcoef =
                dstate.slice_axis(Axis(0), (..problem.features()).into()).insert_axis(Axis(0)).to_owned();
            let zeros = Array1::zeros(problem.features());
            let model = Model { coef: zeros, intercept: 0.0, dcoef, dintercept: Array1::zeros(1) };
            row.assign(&columns.in_given_units(model).dcoef().row(0));
        }
        Ok(out)
    }

    /// `[b, h]`: the gradients of functions of the coefficients, given by their gradients in these, `[b, p]`
    /// in the units of the original data; NaN in lanes without. [`run`](Self::run) says what the derivatives
    /// are of.
    ///
    /// # Errors
    /// As [`run`](Self::run), and cotangents of another shape.
    pub fn vjp(&self, engine: &mut dyn Engine, cotangents: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let of = self.clone().with_jacobian(false);
        let run = of.solve(engine)?;
        let (problem, columns) = (self.sweep.problem(), Columns::new(self.sweep.problem()));
        let shape = (run.prepared.lanes.len(), problem.features());
        if cotangents.dim() != shape {
            let [found, expected] = [cotangents.dim(), shape].map(|(b, p)| format!("[{b}, {p}]"));
            return Err(Error::usage("cotangents", found, format!("{expected}: lanes, features"), ""));
        }
        let mut of_states = Vec::new();
        for row in cotangents.rows() {
            let mut state = Array1::zeros(problem.state_rows());
            state
                .slice_axis_mut(Axis(0), (..shape.1).into())
                .assign(&columns.gradient_of_fit(row.to_owned()));
            of_states.push(state);
        }
        run.linearize(|linear, run| linear.gradients(run, &of_states))
    }

    /// `[b, h, p]`: derivatives of all coefficients.
    ///
    /// # Errors
    /// As [`run`](Self::run), and the mode `Reverse`, which gives gradients of functions.
    pub fn jacobian(&self, engine: &mut dyn Engine) -> Result<Array3<f64>> {
        let found = self.clone().with_jacobian(true).run(engine)?;
        found.dcoef.ok_or_else(|| {
            let remedy =
                "Use mode forward for the same derivatives, or `vjp` for the gradient of a function.";
            Error::usage("mode", "'reverse' for all derivatives", "a mode that gives columns", remedy)
        })
    }

    /// `[b, h]`: the gradient of the criterion.
    ///
    /// # Errors
    /// As [`run`](Self::run), and no criterion.
    pub fn criterion_gradient(&self, engine: &mut dyn Engine) -> Result<Array2<f64>> {
        self.required_criterion()?;
        let found = self.clone().with_jacobian(false).run(engine)?;
        Ok(found.gradient.expect("there is a criterion"))
    }

    /// The sweep that is differentiated.
    pub(super) fn sweep(&self) -> &Sweep {
        &self.sweep
    }

    /// The mode that is asked for.
    pub(super) fn mode_asked(&self) -> Mode {
        self.mode
    }

    /// True if derivatives of all coefficients are asked for.
    pub(super) fn wants_jacobian(&self) -> bool {
        self.jacobian
    }

    /// The sweep without tangents.
    pub(super) fn base(&self) -> Sweep {
        self.sweep.clone().derivatives([]).keep(Keep::Nothing)
    }

    /// The derivatives that are asked for, checked.
    pub(super) fn checked(&self, prepared: &Prepared) -> Result<Vec<Derivative>> {
        let smallest = prepared.lanes.iter().map(|lane| lane.alpha).fold(f64::INFINITY, f64::min);
        let derivatives = self.sweep.derivatives_or_default();
        for derivative in &derivatives {
            derivative.check(self.sweep.problem(), smallest)?;
            self.mode.check(derivative)?;
        }
        prepared.schedule.seeds_of(&derivatives, self.sweep.max_iterations())?;
        if let Some(criterion) = self.wanted_criterion() {
            criterion.check(self.sweep.problem(), &derivatives)?;
        }
        Ok(derivatives)
    }

    /// The criterion: the given one, else the loss over held-out rows, if there are any.
    pub(super) fn wanted_criterion(&self) -> Option<Criterion> {
        self.criterion.or_else(|| self.sweep.problem().holds_out().then_some(Criterion::Validation))
    }

    /// The criterion.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn required_criterion(&self) -> Result<Criterion> {
        self.wanted_criterion().ok_or_else(|| {
            let remedy = "Hold rows out, or set the criterion to `Objective`.";
            Error::usage("criterion", "none", "one to differentiate", remedy)
        })
    }

    /// Refuses a direction of another length.
    fn check_direction(&self, derivatives: &[Derivative], direction: ArrayView1<'_, f64>) -> Result<()> {
        if direction.len() == derivatives.len() {
            return Ok(());
        }
        let expected = format!("{}, one for each derivative", derivatives.len());
        Err(Error::usage("direction", format!("{} numbers", direction.len()), expected, ""))
    }

    /// Refuses derivatives of all coefficients that do not fit the memory budget.
    fn check_size(&self) -> Result<()> {
        let derivatives = self.sweep.derivatives_or_default().len();
        let lanes = self.base().prepare()?.lanes.len();
        let numbers = (lanes as u64)
            .saturating_mul(derivatives as u64)
            .saturating_mul(self.sweep.problem().state_rows() as u64);
        // As states, in the units of the data, and on the way between them.
        let (needed, budget) = (numbers.saturating_mul(32), self.sweep.budget());
        if needed <= budget {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Memory,
            "jacobian",
            format!("{} for {derivatives} derivatives of {lanes} lanes", bytes(needed)),
            format!("at most {}", bytes(budget)),
            "Leave the `jacobian` out: the gradient of a criterion needs little memory; or raise \
             `memory_budget`.",
        ))
    }
}

/// The objective that lanes were fitted on, by their fold.
struct Problems<'a> {
    all: &'a Objective,
    folds: Vec<Objective>,
}

impl<'a> Problems<'a> {
    fn new(all: &'a Objective) -> Self {
        Problems { all, folds: (0..all.folds()).map(|fold| all.of_fold(fold)).collect() }
    }

    fn of(&self, fold: Option<usize>) -> &Objective {
        fold.map_or(self.all, |fold| &self.folds[fold])
    }
}
