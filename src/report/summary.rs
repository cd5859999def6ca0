//! Words for people.

use std::fmt::Write;

use crate::driver::{LaneResult, RunInfo, SweepResult};
use crate::engine::Status;
use crate::schedule::Algorithm;

/// A table of the lanes, tab-separated with a header: for stdout.
pub fn lane_table(lanes: &[LaneResult]) -> String {
    let mut out = String::from("alpha\tl1_ratio\tstatus\titerations\tobjective\tgap\tsupport\tvalidation_loss\n");
    let number = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.6e}"));
    for lane in lanes {
        let _ = writeln!(
            out,
            "{:.6e}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            lane.alpha,
            lane.l1_ratio,
            lane.status.name(),
            lane.iterations,
            number(lane.objective),
            number(lane.gap),
            lane.support,
            number(lane.validation_loss),
        );
    }
    out
}

/// What ran, in one line.
fn engine_line(info: &RunInfo) -> String {
    let software = if info.engine.software { ", a software adapter" } else { "" };
    format!(
        "{} engine: {} ({}{software}), {}, {} form",
        info.engine.engine,
        info.engine.adapter,
        info.engine.driver,
        info.precision.name(),
        info.execution_form
    )
}

/// A few lines on a sweep: what ran, how the lanes ended, the best one, and what to do about those that did not converge.
pub fn summary(result: &SweepResult) -> String {
    let lanes = &result.lanes;
    let count = |status: Status| lanes.iter().filter(|l| l.status == status).count();
    let mut out = engine_line(&result.info);
    let _ = write!(out, "\n{} lanes in {:.2} s:", lanes.len(), result.info.seconds);
    let all = [Status::Converged, Status::MaxIterations, Status::Diverged, Status::NotFinite, Status::Cancelled];
    let ended: Vec<String> =
        all.iter().filter(|s| count(**s) > 0).map(|s| format!(" {} {}", count(*s), s.name())).collect();
    let _ = writeln!(out, "{}", ended.join(","));
    if let Some(best) = best_lane(lanes) {
        let lane = &lanes[best];
        let _ = writeln!(
            out,
            "lowest validation loss: {:.6} at alpha = {:.6} (lane {best}, {} non-zero coefficients)",
            lane.validation_loss.unwrap_or(f64::NAN),
            lane.alpha,
            lane.support
        );
    }
    if count(Status::MaxIterations) > 0 && result.info.tol > 0.0 {
        let _ = writeln!(
            out,
            "{} lane(s) stopped at {} iterations before tolerance {:e}: their coefficients and derivatives may still move. \
             Raise --iterations or --tol{}, or standardise the features (--standardize).",
            count(Status::MaxIterations),
            result.info.iterations,
            result.info.tol,
            if result.info.schedule.phases.iter().all(|p| p.algorithm == Algorithm::Pgd) {
                ", use --algorithm fista"
            } else {
                ""
            }
        );
    }
    if count(Status::Diverged) + count(Status::NotFinite) > 0 {
        let _ = writeln!(
            out,
            "{} lane(s) diverged: their numbers mean nothing. Use steps below 2/L (and with momentum, steps that do not vary).",
            count(Status::Diverged) + count(Status::NotFinite)
        );
    }
    out
}

/// The lane with the lowest validation loss.
fn best_lane(lanes: &[LaneResult]) -> Option<usize> {
    let losses = lanes.iter().enumerate().filter_map(|(i, l)| Some((i, l.validation_loss?)));
    losses.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}
