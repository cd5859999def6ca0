//! Checks of a schedule; errors name the phase.

use super::ScheduleSeed;
use super::{
    Algorithm, LaneCurvature, Metric, Momentum, Phase, Restart, Schedule, Step, TangentStart, Until,
};
use crate::error::{Error, Result};
use crate::objective::Derivative;

impl Schedule {
    /// The name of phase `i` in messages; empty if there is only one.
    pub(crate) fn place(&self, i: usize) -> String {
        if self.phases.len() == 1 {
            String::new()
        } else {
            format!("phase {} of {}: ", i + 1, self.phases.len())
        }
    }

    /// Checks that the phases are in order and cover the run.
    pub(super) fn check_order(&self, iterations: usize) -> Result<()> {
        let refuse = |i: usize, found: String, expected: String, remedy: &str| {
            Err(Error::usage(format!("{}until", self.place(i)), found, expected, remedy))
        };
        let (mut from, mut identified) = (0, None);
        for (i, phase) in self.phases.iter().enumerate() {
            let last = i + 1 == self.phases.len();
            match phase.until {
                Until::End if !last => {
                    let remedy = "Give every phase but the last an iteration or 'identified'.";
                    return refuse(
                        i,
                        "the end of the run, with another phase after it".into(),
                        "where the phase ends".into(),
                        remedy,
                    );
                }
                Until::End => {}
                Until::Iteration(k) if k <= from => {
                    let expected = format!("an iteration after {from}, where the phase before it ends");
                    return refuse(
                        i,
                        format!("{k}: the phases overlap"),
                        expected,
                        "Phases are listed in the order they run.",
                    );
                }
                Until::Iteration(k) if last && k < iterations => {
                    let found = format!("{k}: no phase for the iterations {k} to {}", iterations - 1);
                    return refuse(
                        i,
                        found,
                        format!("at least {iterations}, or no `until`"),
                        "The last phase runs to the end.",
                    );
                }
                Until::Iteration(k) => from = k,
                Until::Identified if last => {
                    let found = "'identified' in the last phase: none follows it".into();
                    return refuse(i, found, "no `until`".into(), "Add a phase, or leave `until` out.");
                }
                Until::Identified => {
                    if let Some(first) = identified.replace(i) {
                        let found = format!("'identified' a second time, after phase {}", first + 1);
                        return refuse(
                            i,
                            found,
                            "one phase that ends so".into(),
                            "A lane is identified once.",
                        );
                    }
                }
            }
        }
        if self.patience == 0 {
            return Err(Error::usage("patience", "0", "at least 1 iteration", ""));
        }
        if let TangentStart::Iteration(k) = self.tangent_start
            && k >= iterations
        {
            return Err(Error::usage(
                "tangent_start",
                format!("{k} with {iterations} iterations: no derivative would ever be carried"),
                format!("an iteration below {iterations}, or 'identified'"),
                "Use `derivatives none` to run without derivatives.",
            ));
        }
        Ok(())
    }
}

/// Checks the settings of a phase and returns its momentum.
pub(super) fn check_phase(
    schedule: &Schedule,
    i: usize,
    phase: &Phase,
    iterations: usize,
    lanes: &[LaneCurvature],
) -> Result<Momentum> {
    let inside = |e: Error| e.within(&schedule.place(i));
    let refuse = |at: &str, found: String, expected: &str, remedy: &str| {
        Err(inside(Error::usage(at, found, expected, remedy)))
    };
    let momentum = phase.momentum_rule();
    let pgd = phase.algorithm == Algorithm::Pgd;
    if pgd && !momentum.is_none() {
        let found = format!("'{momentum}' with algorithm 'pgd'");
        return refuse(
            "momentum",
            found,
            "'none', or a table of zeros",
            "Use `algorithm fista` or heavy_ball for momentum.",
        );
    }
    if pgd && phase.restart != Restart::None {
        let found = format!("'{}' with algorithm 'pgd'", phase.restart);
        return refuse(
            "restart",
            found,
            "'none'",
            "There is no momentum to restart; use fista or heavy_ball.",
        );
    }
    if let Step::BarzilaiBorwein { .. } = phase.step {
        if !pgd {
            let found = format!("'{}' with algorithm '{}'", phase.step, phase.algorithm.name());
            return refuse(
                "step",
                found,
                "algorithm 'pgd'",
                "Its steps rise and fall, which momentum does not bear.",
            );
        }
        if schedule.metric != Metric::None {
            let found = format!("'{}' with metric '{}'", phase.step, schedule.metric);
            return refuse("step", found, "metric 'none'", "The rule measures curvature without a metric.");
        }
    }
    if matches!(phase.step, Step::Backtracking { .. }) && schedule.metric != Metric::None {
        let found = format!("'{}' with metric '{}'", phase.step, schedule.metric);
        return refuse("step", found, "metric 'none'", "The rule measures curvature without a metric.");
    }
    phase.step.check(iterations, lanes.len()).map_err(inside)?;
    momentum.check(iterations, lanes).map_err(inside)?;
    Ok(momentum)
}

/// The schedule's tangent seed of a derivative, after checking that its setting exists.
pub(super) fn check_seed(
    schedule: &Schedule,
    derivative: &Derivative,
    iterations: usize,
) -> Result<ScheduleSeed> {
    let at = || format!("derivative '{}'", derivative.name());
    let moves = match *derivative {
        Derivative::LogStep => ScheduleSeed::EveryStep,
        Derivative::Step(k) => ScheduleSeed::Step(k),
        Derivative::Momentum(k) => ScheduleSeed::Momentum(k),
        _ => return Ok(ScheduleSeed::Nothing),
    };
    if let Derivative::Step(k) | Derivative::Momentum(k) = *derivative
        && k >= iterations
    {
        return Err(Error::usage(
            at(),
            format!("iteration {k}"),
            format!("an iteration below {iterations}"),
            "",
        ));
    }
    // Backtracking shrinks its step by a locally constant factor, so there is a derivative by all steps
    // together, but not by a single one.
    let found = |p: &&Phase| match p.step {
        Step::BarzilaiBorwein { .. } => matches!(moves, ScheduleSeed::EveryStep | ScheduleSeed::Step(_)),
        Step::Backtracking { .. } => matches!(moves, ScheduleSeed::Step(_)),
        _ => false,
    };
    if let Some(p) = schedule.phases.iter().find(found) {
        return Err(Error::usage(
            at(),
            format!("step '{}'", p.step),
            "a step that is set, not found",
            "Differentiate by log_alpha, or use another step rule.",
        ));
    }
    Ok(moves)
}

/// Checks that some phase that may run at iteration `k` has a momentum to differentiate by.
pub(super) fn check_momentum_at(k: usize, phases: &[&Phase]) -> Result<()> {
    if phases.iter().any(|p| p.algorithm != Algorithm::Pgd) {
        return Ok(());
    }
    let at = format!("derivative 'momentum:{k}'");
    let found = format!("algorithm 'pgd' at iteration {k}");
    Err(Error::usage(at, found, "an algorithm with momentum", "Use fista or heavy_ball there."))
}
