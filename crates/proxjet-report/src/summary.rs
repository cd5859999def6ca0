//! Summaries for people.

use std::fmt::Write;

use crate::table::number;
use proxjet::certificate::Verdict;
use proxjet::diff::{LaneAnalysis, LateStart};
use proxjet::engine::Status;
use proxjet::objective::Objective;
use proxjet::program::Precision;
use proxjet::schedule::Algorithm;
use proxjet::solve::{LaneResult, RunInfo, SweepResult};

/// The engine of a run, in one line.
fn engine_line(info: &RunInfo) -> String {
    let software = if info.engine.software { ", a software adapter" } else { "" };
    format!(
        "{} engine: {} ({}{software}), {}, {} strategy",
        info.engine.engine,
        info.engine.adapter,
        info.engine.driver,
        info.precision.name(),
        info.strategy
    )
}

/// How many lanes have each verdict, and for those that are not green one reason each.
fn certificates(lanes: &[LaneResult]) -> String {
    let of = |verdict: Verdict| {
        lanes.iter().enumerate().filter_map(move |(i, lane)| {
            lane.certificate.as_ref().filter(|c| c.verdict == verdict).map(|c| (i, c))
        })
    };
    let all = [Verdict::Green, Verdict::Amber, Verdict::Red];
    if all.iter().all(|verdict| of(*verdict).next().is_none()) {
        return String::new();
    }
    let counts = all.map(|verdict| format!("{} {}", of(verdict).count(), verdict.name()));
    let mut out = format!("certificates of the delivered results: {}\n", counts.join(", "));
    for verdict in [Verdict::Amber, Verdict::Red] {
        if let Some((lane, certificate)) = of(verdict).next() {
            let _ = writeln!(out, "  {}, lane {lane}: {}", verdict.name(), certificate.reason());
        }
    }
    out
}

/// A few lines on a sweep: the engine, the status of the lanes, the best lane, and advice on lanes that did
/// not converge.
pub fn summary(result: &SweepResult, problem: &Objective) -> String {
    let lanes = &result.lanes;
    let count = |status: Status| lanes.iter().filter(|l| l.status == status).count();
    let mut out = engine_line(&result.info);
    let candidates = match lanes.len() {
        1 => "1 candidate (lane)".to_string(),
        many => format!("{many} candidates (lanes)"),
    };
    let _ = write!(out, "\n{candidates} in {:.2} s:", result.info.seconds);
    let all = [
        Status::Converged,
        Status::MaxIterations,
        Status::Diverged,
        Status::NotFinite,
        Status::Unbounded,
        Status::PrecisionLimit,
        Status::Cancelled,
        Status::Deadline,
    ];
    let ended: Vec<String> =
        all.iter().filter(|s| count(**s) > 0).map(|s| format!(" {} {}", count(*s), s.name())).collect();
    let _ = writeln!(out, "{}", ended.join(","));
    out.push_str(&certificates(lanes));
    if result.info.skipped_work > 0.005 {
        let skipped = 100.0 * result.info.skipped_work;
        let _ = writeln!(out, "{skipped:.0} % of the work left out: on coefficients that are zero");
    }
    if let Some(best) = result.best() {
        out.push_str(&best_lane(result, problem, best));
    }
    let open =
        || lanes.iter().filter(|l| l.status == Status::MaxIterations).filter_map(|l| l.certificate.as_ref());
    if count(Status::MaxIterations) > 0 && result.info.tol > 0.0 {
        let _ = writeln!(
            out,
            "{} lane(s) stopped at {} iterations before tolerance {:e}: {}. Raise `iterations` or `tol`{}{}.",
            count(Status::MaxIterations),
            result.info.iterations,
            result.info.tol,
            if open().all(|c| c.verdict == Verdict::Green) {
                "their iterates still move, but the delivered models are certified"
            } else {
                "their coefficients and derivatives may still move"
            },
            if result.info.schedule.phases.iter().all(|p| p.algorithm == Algorithm::Pgd) {
                ", use `algorithm fista`"
            } else {
                ""
            },
            if result.is_standardized() { "" } else { ", or standardise the features (`standardize`)" },
        );
    }
    if count(Status::PrecisionLimit) > 0 {
        let _ = writeln!(
            out,
            "{} lane(s) reached the precision of the arithmetic before tolerance {:e}. Use \
             `precision f64`, or a larger `tol`.",
            count(Status::PrecisionLimit),
            result.info.tol
        );
    }
    out.push_str(&advice_on_divergence(result, count(Status::Diverged), count(Status::NotFinite)));
    out
}

/// The best lane, the slope of its held-out loss, and its largest effects.
fn best_lane(result: &SweepResult, problem: &Objective, best: usize) -> String {
    let lane = &result.lanes[best];
    let score = match (result.info.score, lane.score) {
        (_, None) => String::new(),
        ("r2", Some(score)) => format!(", R² {score:.4} on the held-out rows"),
        (_, Some(score)) => format!(", accuracy {score:.4} on the held-out rows"),
    };
    let mut out = format!(
        "best: lane {best}, alpha {}: lowest held-out loss {}{score}, {} non-zero coefficient{}\n",
        number(Some(lane.alpha)),
        number(lane.validation_loss),
        lane.support,
        if lane.support == 1 { "" } else { "s" }
    );
    let slopes = lane.hypergradient.iter().flatten().zip(&result.info.derivative);
    let slopes: Vec<String> =
        slopes.filter(|(v, _)| v.is_finite()).map(|(v, name)| format!("{v:+.1e} by {name}")).collect();
    if !slopes.is_empty() {
        let _ = writeln!(out, "  slope of its held-out loss: {}", slopes.join(", "));
    }
    let fit = result.lane(best);
    let effects = problem.feature_scales() * fit.coef();
    let mut order: Vec<usize> =
        (0..effects.len()).filter(|j| effects[*j].is_finite() && effects[*j] != 0.0).collect();
    order.sort_by(|a, b| effects[*b].abs().total_cmp(&effects[*a].abs()));
    let named: Vec<String> =
        order.iter().take(EFFECTS).map(|j| format!("{} {}", fit.names()[*j], signed(effects[*j]))).collect();
    if !named.is_empty() {
        let _ = writeln!(out, "  largest effects of one standard deviation: {}", named.join(", "));
    }
    out.push_str(end_of_path(&result.lanes, best));
    if problem.penalty().uses_alpha() && problem.standardization().is_none() {
        let used = problem.feature_scales().into_iter().filter(|s| *s > 0.0);
        let (least, most) = used.fold((f64::INFINITY, 0.0f64), |(l, m), s| (l.min(s), m.max(s)));
        if most > UNEQUAL * least {
            let _ = writeln!(
                out,
                "the standard deviations of the features differ {:.0e}-fold, so that the penalty hardly \
                 holds those of large scale; `standardize` treats them alike",
                most / least
            );
        }
    }
    out
}

/// Ratio of the scales of features from which a penalty treats them very unequally.
const UNEQUAL: f64 = 30.0;

/// A number with its sign.
fn signed(v: f64) -> String {
    format!("{}{}", if v < 0.0 { '-' } else { '+' }, number(Some(v.abs())))
}

/// Features that are named in a summary.
const EFFECTS: usize = 5;

/// What to do about lanes that diverged, or whose numbers are not finite.
fn advice_on_divergence(result: &SweepResult, diverged: usize, not_finite: usize) -> String {
    let mut out = String::new();
    let steps = "Use steps below 2/L and momenta below 1 (and with momentum, steps that do not vary).";
    let unsafe_rules = result.info.warnings.iter().any(|w| w.contains("may diverge"));
    if not_finite > 0 && result.info.precision == Precision::F32 && !unsafe_rules {
        let _ = writeln!(
            out,
            "{not_finite} lane(s) left the range of f32: their numbers mean nothing. Use `precision f64`, or \
             rescale the target or the features."
        );
    } else if not_finite > 0 {
        let _ = writeln!(out, "{not_finite} lane(s) are not finite: their numbers mean nothing. {steps}");
    }
    if diverged > 0 {
        let _ = writeln!(out, "{diverged} lane(s) diverged: their numbers mean nothing. {steps}");
    }
    out
}

/// A warning if the lowest held-out loss is at an end of the path.
fn end_of_path(lanes: &[LaneResult], best: usize) -> &'static str {
    let alpha = lanes[best].alpha;
    let (smaller, larger) = (lanes.iter().any(|l| l.alpha < alpha), lanes.iter().any(|l| l.alpha > alpha));
    match (smaller, larger) {
        (false, true) => {
            "the lowest held-out loss is at the smallest alpha: an even smaller one may be better. Extend \
             `alphas` downwards, as in geom:HI:LO:N.\n"
        }
        (true, false) => {
            "the lowest held-out loss is at the largest alpha: an even larger one, or a model without \
             these features, may be better. Extend `alphas` upwards, as in geom:HI:LO:N.\n"
        }
        _ => "",
    }
}

/// A few lines on rates and late starts.
pub fn convergence_summary(lanes: &[LaneAnalysis]) -> String {
    let middle = |of: &dyn Fn(&LaneAnalysis) -> Option<f64>| {
        let mut values: Vec<f64> = lanes.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).map_or("-".into(), |v| format!("{v:.5}"))
    };
    let mut out = format!(
        "rates per iteration, medians: {} of the iterates, {} of the derivatives, {} predicted\n",
        middle(&|l| l.rate.map(|r| r.q)),
        middle(&|l| l.derivative_rate.first().copied().flatten().map(|r| r.q)),
        middle(&|l| l.predicted_rate)
    );
    let late: Vec<&LateStart> = lanes.iter().filter_map(|l| l.late_start.as_ref()).collect();
    if !late.is_empty() {
        let worst = |of: &dyn Fn(&LateStart) -> f64| late.iter().map(|l| of(l)).fold(0.0, f64::max);
        let largest = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
        let proved = late.iter().filter(|l| l.bound.is_some()).count();
        let _ = write!(
            out,
            "derivatives started late: error at the end at most {:.1e}",
            worst(&|l| largest(&l.error))
        );
        let _ = match proved {
            0 => writeln!(out, "; no bound is proved here"),
            _ => writeln!(
                out,
                "; a bound is proved for {proved} of {} lanes, at most {:.1e}",
                lanes.len(),
                worst(&|l| l.bound.as_deref().map_or(0.0, largest))
            ),
        };
    }
    let failed: Vec<&String> = lanes.iter().filter_map(|l| l.problem.as_ref()).collect();
    if let Some(first) = failed.first() {
        let _ = writeln!(out, "{} lane(s) without a reference solution: {first}", failed.len());
    }
    let refused: std::collections::BTreeSet<&String> = lanes.iter().flat_map(|l| &l.refused).collect();
    for sentence in refused {
        let _ = writeln!(out, "{sentence}");
    }
    out
}
