//! Derivatives through the steps and momenta that iterations used, by the hyperparameters.

use ndarray::Array2;

use crate::diff::unrolled::Cotangents;
use crate::diff::unrolled::tape::LaneTape;
use crate::error::Result;
use crate::objective::{Derivative, Ridge};
use crate::program::Keep;
use crate::solve::Sweep;

/// Derivatives that are laid out at a time: a schedule has a table of them for every lane.
const AT_A_TIME: usize = 16;

/// `[b, h]`: the parts of gradients that come through steps and momenta, given by the gradients in these.
pub(super) fn pull_back(
    sweep: &Sweep,
    derivatives: &[Derivative],
    tapes: &[LaneTape],
    pulled: &[Option<Cotangents>],
) -> Result<Array2<f64>> {
    let mut out = Array2::zeros((tapes.len(), derivatives.len()));
    let at = |of: &[f64], k: usize| of.get(k).copied().unwrap_or(0.0);
    for (lane, of) in pulled.iter().enumerate() {
        let Some(of) = of else { continue };
        let along =
            || of.step.iter().zip(&tapes[lane].executed).map(|(by, executed)| by * executed.step).sum();
        for (t, derivative) in derivatives.iter().enumerate() {
            out[[lane, t]] = match derivative {
                Derivative::LogStep => along(),
                Derivative::Step(k) => at(&of.step, *k),
                Derivative::Momentum(k) => at(&of.momentum, *k),
                _ => 0.0,
            };
        }
    }
    // Without a ridge nothing in the schedule depends on the strengths.
    if sweep.problem().penalty().capabilities().ridge == Ridge::Absent {
        return Ok(out);
    }
    let by_hyperparameter: Vec<usize> =
        (0..derivatives.len()).filter(|t| !derivatives[*t].is_of_process()).collect();
    for some in by_hyperparameter.chunks(AT_A_TIME) {
        let list: Vec<Derivative> = some.iter().map(|t| derivatives[*t].clone()).collect();
        let prepared = sweep.clone().keep(Keep::Nothing).derivatives(list).prepare()?;
        let schedule = &prepared.schedule;
        let mut entry = vec![0.0; schedule.fields()];
        for (lane, of) in pulled.iter().enumerate() {
            let Some(of) = of else { continue };
            for (k, executed) in tapes[lane].executed.iter().enumerate() {
                schedule.entry(0, k, lane, &mut entry);
                // Backtracking uses a fraction of the rule's step; a restart has no momentum.
                let by_step = at(&of.step, k) * executed.step / entry[0];
                let restarted = executed.momentum == 0.0 && entry[1] != 0.0;
                let by_momentum = if restarted { 0.0 } else { at(&of.momentum, k) };
                for (i, t) in some.iter().enumerate() {
                    out[[lane, *t]] += by_step * entry[2 + 2 * i] + by_momentum * entry[3 + 2 * i];
                }
            }
        }
    }
    Ok(out)
}
