//! Derivatives of the steps and momenta that iterations used, by the hyperparameters.

use crate::diff::unrolled::tape::LaneTape;
use crate::error::Result;
use crate::objective::{Derivative, Ridge};
use crate::program::Keep;
use crate::solve::Sweep;

/// Derivatives that are laid out at a time: a schedule has a table of them for every lane.
const AT_A_TIME: usize = 16;

/// How a hyperparameter moves the steps and momenta of a lane.
#[derive(Debug, Clone)]
pub(super) enum Moved {
    /// It does not.
    Nothing,
    /// All steps by their own size.
    LogStep,
    /// The step of one iteration.
    Step(usize),
    /// The momentum of one iteration.
    Momentum(usize),
    /// `[iterations]` each: steps, then momenta.
    Both([Vec<f64>; 2]),
}

/// How each hyperparameter moves the executed steps and momenta of each lane.
#[derive(Debug, Clone, Default)]
pub(super) struct ScheduleTangents {
    /// `[b][h]`; empty if nothing moves.
    lanes: Vec<Vec<Moved>>,
}

impl ScheduleTangents {
    pub(super) fn new(sweep: &Sweep, derivatives: &[Derivative], tapes: &[LaneTape]) -> Result<Self> {
        // Without a ridge nothing in the schedule depends on the strengths.
        let has_ridge = sweep.problem().penalty().capabilities().ridge != Ridge::Absent;
        if !has_ridge && !derivatives.iter().any(Derivative::is_of_process) {
            return Ok(ScheduleTangents::default());
        }
        let mut lanes = vec![Vec::with_capacity(derivatives.len()); tapes.len()];
        for some in derivatives.chunks(AT_A_TIME) {
            // Checks, too, that the settings exist.
            let prepared = sweep.clone().keep(Keep::Nothing).derivatives(some.to_vec()).prepare()?;
            let schedule = &prepared.schedule;
            let mut entry = vec![0.0; schedule.fields()];
            for (lane, tape) in tapes.iter().enumerate() {
                let of_process = |derivative: &Derivative| match derivative {
                    Derivative::LogStep => Moved::LogStep,
                    Derivative::Step(k) => Moved::Step(*k),
                    Derivative::Momentum(k) => Moved::Momentum(*k),
                    _ => Moved::Nothing,
                };
                let mut moved: Vec<Moved> = some.iter().map(of_process).collect();
                if has_ridge {
                    let mut columns = vec![[Vec::new(), Vec::new()]; some.len()];
                    for (k, executed) in tape.executed.iter().enumerate() {
                        schedule.entry(0, k, lane, &mut entry);
                        // Backtracking uses a fraction of the rule's step; a restart has no momentum.
                        let fraction = executed.step / entry[0];
                        let restarted = executed.momentum == 0.0 && entry[1] != 0.0;
                        for (t, column) in columns.iter_mut().enumerate() {
                            column[0].push(fraction * entry[2 + 2 * t]);
                            column[1].push(if restarted { 0.0 } else { entry[3 + 2 * t] });
                        }
                    }
                    let moves = |column: &[Vec<f64>; 2]| column.iter().flatten().any(|v| *v != 0.0);
                    for (to, column) in moved.iter_mut().zip(columns) {
                        if matches!(to, Moved::Nothing) && moves(&column) {
                            *to = Moved::Both(column);
                        }
                    }
                }
                lanes[lane].extend(moved);
            }
        }
        Ok(ScheduleTangents { lanes })
    }

    /// How a derivative moves those of a lane.
    pub(super) fn of(&self, lane: usize, derivative: usize) -> &Moved {
        self.lanes.get(lane).map_or(&Moved::Nothing, |of| &of[derivative])
    }
}

impl Moved {
    /// The derivative of a function, given by its gradients in steps and momenta; iterations that were not
    /// done count nothing.
    pub(super) fn pull_back(&self, tape: &LaneTape, by_step: &[f64], by_momentum: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let at = |of: &[f64], k: usize| of.get(k).copied().unwrap_or(0.0);
        match self {
            Moved::Nothing => 0.0,
            Moved::LogStep => by_step.iter().zip(&tape.executed).map(|(by, of)| by * of.step).sum(),
            Moved::Step(k) => at(by_step, *k),
            Moved::Momentum(k) => at(by_momentum, *k),
            Moved::Both([step, momentum]) => dot(by_step, step) + dot(by_momentum, momentum),
        }
    }

    /// Its tangents of steps and momenta, `[iterations]` each; empty where they do not move.
    pub(super) fn tangents(&self, tape: &LaneTape) -> [Vec<f64>; 2] {
        let one = |k: usize| {
            let mut all = vec![0.0; tape.iterations()];
            all.iter_mut().skip(k).take(1).for_each(|v| *v = 1.0);
            all
        };
        match self {
            Moved::Nothing => [Vec::new(), Vec::new()],
            Moved::LogStep => [tape.executed.iter().map(|of| of.step).collect(), Vec::new()],
            Moved::Step(k) => [one(*k), Vec::new()],
            Moved::Momentum(k) => [Vec::new(), one(*k)],
            Moved::Both(both) => both.clone(),
        }
    }
}
