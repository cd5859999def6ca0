//! Checks the step limit of the penalty, beyond which its proximal map is not defined.

use crate::error::{Error, Result};
use crate::lanes::{Lane, MetricSource};
use crate::objective::Objective;
use crate::schedule::LaneSchedule;

/// Checks that every step of every penalised coefficient, in the metric, is below the limit of the penalty.
/// For a step that is chosen at run time, the largest possible value is checked.
///
/// # Errors
/// The first step that reaches the limit.
pub(super) fn check(
    objective: &Objective,
    lanes: &[Lane],
    schedule: &LaneSchedule,
    metric: &MetricSource,
    iterations: usize,
) -> Result<()> {
    let penalty = objective.penalty();
    let Some((limit, most)) = penalty.step_limit() else { return Ok(()) };
    let factors = objective.penalty_factors();
    let largest = |k: usize, lane: usize| -> f64 {
        let penalised = (0..objective.features()).filter(|j| factors[*j] > 0.0);
        penalised.map(|j| metric.largest_entry(k, lane, j)).fold(0.0, f64::max)
    };
    let everywhere = (!matches!(metric, MetricSource::Table(_))).then(|| largest(0, 0));
    let scale = |k: usize, lane: usize| everywhere.unwrap_or_else(|| largest(k, lane));
    let reaches =
        |_, k: usize, lane: usize, step: f64| lanes[lane].alpha > 0.0 && step * scale(k, lane) >= most;
    let Some((phase, k, lane, step)) = schedule.find_step(iterations, reaches) else { return Ok(()) };
    let in_metric = match metric {
        MetricSource::None => String::new(),
        _ => format!(", times up to {:.6} in the metric", scale(k, lane)),
    };
    Err(Error::usage(
        format!("{}step", schedule.schedule().place(phase)),
        format!("a step of {step:.6}{in_metric}, at iteration {k} in lane {lane}"),
        format!("less than {limit} = {most} of penalty '{penalty}'"),
        format!(
            "Standardise the features, which makes 1/L small; or use a larger {}, or a smaller step.",
            limit.parameter
        ),
    ))
}
