//! Analysis of each lane: identification, margin, measured and predicted rates, and the error of a late
//! start.

use ndarray::Array1;
use rayon::prelude::*;

use super::late_start::{self, Course};
use super::rates::{self, Rate};
use crate::certificate::implicit::{self, Solution};
use crate::engine::cpu::CpuEngine;
use crate::error::{Error, Result};
use crate::objective::{Need, Zeros};
use crate::program::Precision;
use crate::schedule::{Algorithm, Momentum, Phase, Step, TangentStart};
use crate::solve::{LaneResult, Prepared, Sweep, SweepResult};

/// The convergence of a lane.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LaneAnalysis {
    /// The iterate from which on the active set did not change.
    pub identified: Option<usize>,
    /// `1 − max_j |∂_j f|/l1_j` over the inactive coefficients at the solution: the closer to 0, the later
    /// the identification.
    pub margin: Option<f64>,
    /// Rate of the iterates, from `‖x_{k+1} − x_k‖`; all rates of a lane are fitted over the same window.
    pub rate: Option<Rate>,
    /// Rate of each derivative, from `‖Dx_{k+1} − Dx_k‖`.
    pub derivative_rate: Vec<Option<Rate>>,
    /// The rate that the spectrum on the manifold and the steps predict, fitted over the same window.
    pub predicted_rate: Option<f64>,
    /// Distance of the last iterate to the solution, relative to that of the start.
    pub error: Option<f64>,
    /// Distance of each derivative to the solution's, relative to the solution's.
    pub derivative_error: Vec<Option<f64>>,
    /// The late start of the tangents, if there is one.
    pub late_start: Option<LateStart>,
    /// The reason why there is no solution to compare with.
    pub problem: Option<String>,
    /// Analyses that the loss or the penalty does not allow, in words.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub refused: Vec<String>,
}

/// A late start of the tangents and the resulting error at the end.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LateStart {
    /// First iteration with tangents.
    pub from: usize,
    /// A bound on `‖Dx_K − Dx*‖`, per derivative, rounding included; absent if none is proved.
    pub bound: Option<Vec<f64>>,
    /// `‖Dx_K − Dx*‖`, per derivative.
    pub error: Vec<f64>,
}

/// Number of roundings added to the bound of a late start.
const ROUNDINGS: f64 = 8.0;

fn epsilon(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(f32::EPSILON),
        Precision::F64 => f64::EPSILON,
    }
}

/// Relative size below which changes are rounding errors and cannot be used to fit a rate.
fn floor(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F64 => 1e-12,
    }
}

/// The solution of every lane, computed from its last iterate; a lane without a solution has an error with
/// the reason.
///
/// # Errors
/// As [`Sweep::prepare`], and folds.
pub fn solutions(sweep: &Sweep, result: &SweepResult) -> Result<Vec<Result<Solution>>> {
    super::refuse_folds(sweep)?;
    let prepared = sweep.prepare()?;
    let lanes: Vec<usize> = (0..prepared.lanes.len()).collect();
    let of = |lane: &usize| {
        let start = last_state(sweep, result, *lane);
        let lane = (*lane, &prepared.lanes[*lane]);
        implicit::solve(sweep.problem(), lane, &prepared.derivatives, &prepared.metric, start.view())
    };
    Ok(lanes.par_iter().map(of).collect())
}

/// The steps of the rule `manifold`: the sweep is solved once on the CPU engine, and each lane's step follows
/// from the spectrum on the manifold of its solution. A sweep without the rule is returned unchanged.
///
/// # Errors
/// As [`Sweep::run`], and a lane whose solution is not unique or was not found.
pub fn resolve_manifold(sweep: Sweep) -> Result<Sweep> {
    let wanted = |step: &Step| matches!(step, Step::Manifold(None));
    if !sweep.rules().phases().iter().any(|p| wanted(&p.step)) {
        return Ok(sweep);
    }
    let solver = Phase::new(Algorithm::Fista).momentum(Momentum::Nesterov(50.0));
    let iterations = SOLVER_ITERATIONS;
    let solve =
        sweep.clone().schedule(solver).derivatives([]).iterations(iterations).every(iterations).tol(1e-10);
    let solve = solve.precision(Precision::F64);
    let result = solve.run(&mut CpuEngine::new())?;
    let found = solutions(&solve, &result)?.into_iter().enumerate().map(|(lane, solution)| {
        let inside = |e: Error| e.within(&format!("step manifold, lane {lane}: "));
        let values = solution.map_err(inside)?.eigenvalues;
        match (values.first(), values.last()) {
            (Some(least), Some(most)) => Ok(2.0 / (least + most)),
            // No coefficient is active, and any step keeps it that way.
            _ => Ok(1.0 / result.lanes[lane].lipschitz),
        }
    });
    let steps: Vec<f64> = found.collect::<Result<_>>()?;
    let mut rules = sweep.rules().clone();
    for phase in rules.phases.iter_mut().filter(|p| wanted(&p.step)) {
        phase.step = Step::Manifold(Some(steps.clone()));
    }
    Ok(sweep.schedule(rules))
}

/// Maximum iterations of the solver that computes the solution for the rule `manifold`.
const SOLVER_ITERATIONS: usize = 20_000;

/// The state of a lane in the last frame: coefficients, and the intercept column if there is one.
fn last_state(sweep: &Sweep, result: &SweepResult, lane: usize) -> Array1<f64> {
    state(sweep, result, result.trace.iteration.len() - 1, lane)
}

fn state(sweep: &Sweep, result: &SweepResult, frame: usize, lane: usize) -> Array1<f64> {
    let frames = result.trace.coef.index_axis(ndarray::Axis(0), frame);
    sweep.problem().state_of(frames.row(lane), result.trace.intercept[[frame, lane]], true)
}

/// True if an iterate has the active set and the signs of a solution.
fn same_manifold(sweep: &Sweep, last: &Array1<f64>, solution: &Solution) -> bool {
    let penalty = sweep.problem().penalty();
    let by_sign = penalty.capabilities().zeros != Zeros::Absent;
    (0..sweep.problem().features()).all(|j| {
        let (a, b) = (last[j], solution.state[j]);
        penalty.is_active(a) == penalty.is_active(b)
            && (!by_sign || a.partial_cmp(&0.0) == b.partial_cmp(&0.0))
    })
}

fn last_tangent(sweep: &Sweep, result: &SweepResult, lane: usize, t: usize) -> Array1<f64> {
    let frame = result.trace.iteration.len() - 1;
    let of_frame = result.trace.dcoef.index_axis(ndarray::Axis(0), frame);
    let of_lane = of_frame.index_axis(ndarray::Axis(0), lane);
    sweep.problem().state_of(of_lane.row(t), result.trace.dintercept[[frame, lane, t]], false)
}

/// Analyses every lane of a run, given the solutions.
///
/// # Errors
/// As [`Sweep::prepare`], and a trace that does not have the whole sequence ([`Sweep::keep`]).
pub fn analyse(
    sweep: &Sweep,
    result: &SweepResult,
    solutions: &[Result<Solution>],
) -> Result<Vec<LaneAnalysis>> {
    let whole = |lane: &LaneResult| result.trace.has_every_iteration(lane.iterations);
    if result.trace.iteration.first() != Some(&0) || !result.lanes.iter().all(whole) {
        let remedy = "Run the sweep with `Keep::All`.";
        let found = "a sequence without its start, or without some iterations";
        return Err(Error::usage("trace", found, "frames, and the records of every iteration", remedy));
    }
    let prepared = sweep.prepare()?;
    let run = Run { sweep, result, prepared: &prepared };
    Ok(solutions.par_iter().enumerate().map(|(lane, solution)| run.analyse(lane, solution)).collect())
}

/// A run to be analysed.
struct Run<'a> {
    sweep: &'a Sweep,
    result: &'a SweepResult,
    prepared: &'a Prepared,
}

impl Run<'_> {
    fn analyse(&self, lane: usize, solution: &Result<Solution>) -> LaneAnalysis {
        let outcome = &self.result.lanes[lane];
        let done = outcome.iterations;
        let from = outcome.identified.unwrap_or(done);
        let tangents_from = self.tangents_from(lane);
        let mut analysis =
            LaneAnalysis { identified: outcome.identified, ..self.rates(lane, from, tangents_from) };
        let solution = match solution {
            Ok(solution) => solution,
            Err(e) => {
                analysis.problem = Some(e.to_string());
                return analysis;
            }
        };
        analysis.margin = Some(solution.margin);
        if solution.at_kink {
            analysis.problem = Some("the solution lies at a kink, where it has no derivative".into());
            analysis.rate = None;
            analysis.derivative_rate.fill(None);
            return analysis;
        }
        let trace = &self.result.trace;
        let steps: Vec<(f64, f64)> =
            (0..done).map(|k| (trace.step[[k, lane]], trace.momentum[[k, lane]])).collect();
        if let Some(rate) = analysis.rate {
            match self.sweep.problem().require(Need::PredictedRate) {
                Ok(()) => {
                    let (first, last) = rate.window;
                    let steps = &steps[..(last + 1).min(done)];
                    let predicted = rates::predict(solution, &self.prepared.schedule, steps, from);
                    analysis.predicted_rate = predicted
                        .and_then(|(iterations, errors)| rates::fit(&iterations, &errors, (first, last)))
                        .map(|r| r.q);
                }
                Err(missing) => analysis.refused.push(missing.to_string()),
            }
        }
        let (sweep, result) = (self.sweep, self.result);
        let start_error = norm(&(&state(sweep, result, 0, lane) - &solution.state));
        let last_error = norm(&(&last_state(sweep, result, lane) - &solution.state));
        analysis.error = (start_error > 0.0).then(|| last_error / start_error);
        let errors: Vec<f64> = (0..self.prepared.derivatives.len())
            .map(|t| norm(&(&last_tangent(sweep, result, lane, t) - &solution.dstate.row(t))))
            .collect();
        for (t, error) in errors.iter().enumerate() {
            let size = norm(&solution.dstate.row(t).to_owned());
            analysis.derivative_error[t] = (size > 0.0).then(|| error / size);
        }
        if sweep.rules().tangents_from() != TangentStart::Iteration(0) && !errors.is_empty() {
            // The manifold of the last iterate must be the solution's, sign by sign.
            let last = last_state(sweep, result, lane);
            let identified = analysis.identified.filter(|_| same_manifold(sweep, &last, solution));
            let course = Course { lane, steps: &steps, from: tangents_from, identified, start_error };
            let bound = match late_start::bound(sweep.problem(), self.prepared, solution, &course) {
                Ok(bound) => bound.map(|bound| self.with_rounding(bound, lane, solution)),
                Err(missing) => {
                    analysis.refused.push(missing.to_string());
                    None
                }
            };
            analysis.late_start = Some(LateStart { from: tangents_from, bound, error: errors });
        }
        analysis
    }

    /// First iteration of a lane with tangents.
    fn tangents_from(&self, lane: usize) -> usize {
        let done = self.result.lanes[lane].iterations;
        let changes = &self.result.trace.derivative_change;
        match self.sweep.rules().tangents_from() {
            TangentStart::Iteration(k) => k,
            // Before the tangents start, they do not change.
            TangentStart::Identified => (0..done)
                .find(|k| (0..self.prepared.derivatives.len()).any(|t| changes[[*k, lane, t]] != 0.0))
                .unwrap_or(done),
        }
    }

    /// Rates measured after iteration `from`, all in the same window, so that factors like a power of k
    /// affect them equally.
    fn rates(&self, lane: usize, from: usize, tangents_from: usize) -> LaneAnalysis {
        let (trace, done) = (&self.result.trace, self.result.lanes[lane].iterations);
        let floor = floor(self.result.info.precision);
        let derivatives = self.prepared.derivatives.len();
        let iterations: Vec<usize> = (0..done).collect();
        let changes: Vec<f64> = (0..done).map(|k| trace.change[[k, lane]]).collect();
        let dchanges: Vec<Vec<f64>> = (0..derivatives)
            .map(|t| (0..done).map(|k| trace.derivative_change[[k, lane, t]]).collect())
            .collect();
        let window = dchanges
            .iter()
            .map(|c| rates::linear_phase(&iterations, c, from.max(tangents_from), floor))
            .fold(rates::linear_phase(&iterations, &changes, from, floor), |all, own| match (all, own) {
                (Some(all), Some(own)) => Some((all.0.max(own.0), all.1.min(own.1))),
                (all, _) => all,
            });
        let rate_of = |changes: &[f64]| rates::fit(&iterations, changes, window?);
        LaneAnalysis {
            identified: None,
            margin: None,
            rate: rate_of(&changes),
            derivative_rate: dchanges.iter().map(|c| rate_of(c)).collect(),
            predicted_rate: None,
            error: None,
            derivative_error: vec![None; derivatives],
            late_start: None,
            problem: None,
            refused: Vec::new(),
        }
    }

    /// Adds the rounding error at a fixed point: a few roundings, amplified by the condition number on the
    /// manifold.
    fn with_rounding(&self, mut bound: Vec<f64>, lane: usize, solution: &Solution) -> Vec<f64> {
        let condition = match solution.eigenvalues.first() {
            Some(least) => self.prepared.schedule.lanes()[lane].lipschitz / least,
            None => 1.0,
        };
        let rounding = ROUNDINGS * epsilon(self.result.info.precision) * condition;
        for (t, bound) in bound.iter_mut().enumerate() {
            *bound += rounding * norm(&solution.dstate.row(t).to_owned());
        }
        bound
    }
}

fn norm(v: &Array1<f64>) -> f64 {
    v.dot(v).sqrt()
}
