//! Summaries for people.

use std::fmt::Write;

use crate::table::number;
use proxjet::certificate::{Certificate, Obstacle, Verdict};
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
    // At alpha_max, where the first coefficient enters, a path has two derivatives, as it should.
    let worth = |i: usize| lanes[i].support > 0 || lanes[i].status != Status::Converged;
    for verdict in [Verdict::Amber, Verdict::Red] {
        if let Some((lane, certificate)) = of(verdict).find(|(i, _)| worth(*i)) {
            let _ = writeln!(out, "  {}, lane {lane}: {}", verdict.name(), certificate.reason());
        }
    }
    let dependent = |c: &&Certificate| c.obstacle == Some(Obstacle::Dependent);
    if lanes.iter().filter_map(|l| l.certificate.as_ref()).any(|c| dependent(&c)) {
        out.push_str(
            "  columns of some models depend on each other, so that their coefficients are one choice of \
             many\n",
        );
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
    let open: Vec<&LaneResult> = lanes.iter().filter(|l| l.status == Status::MaxIterations).collect();
    if !open.is_empty() && result.info.tol > 0.0 {
        out.push_str(&advice_on_iterations(result, &open));
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
        ("r2", Some(score)) => {
            let error = lane.validation_loss.filter(|_| problem.loss().capabilities().least_squares);
            let error = error.map_or(String::new(), |v| {
                format!(" (root mean square error {})", number(Some((2.0 * v).sqrt())))
            });
            format!("{error}, R² {score:.4} on the held-out rows")
        }
        (_, Some(score)) => format!(", accuracy {score:.4} on the held-out rows"),
    };
    let mut out = format!(
        "best: lane {best}, alpha {}: lowest held-out loss {}{score}, {} non-zero coefficient{}\n",
        number(Some(lane.alpha)),
        number(lane.validation_loss),
        lane.support,
        if lane.support == 1 { "" } else { "s" }
    );
    let loss = lane.validation_loss.unwrap_or(f64::NAN);
    let slopes = lane.hypergradient.iter().flatten().zip(&result.info.derivative);
    let slopes: Vec<String> = slopes
        .filter(|(v, _)| v.is_finite())
        .map(|(v, name)| format!("{v:+.1e} ({:+.2} %) by {name}", 100.0 * v / loss))
        .collect();
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
    out.push_str(&end_of_path(&result.lanes, best));
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

/// What lanes that used all iterations mean.
fn advice_on_iterations(result: &SweepResult, open: &[&LaneResult]) -> String {
    let (count, iterations) = (open.len(), result.info.iterations);
    let green = |l: &&LaneResult| l.certificate.as_ref().is_some_and(|c| c.verdict == Verdict::Green);
    if open.iter().all(green) {
        return format!(
            "the iterates of {count} lane(s) still move after {iterations} iterations; their delivered \
             models, polished from there, are certified\n"
        );
    }
    let fista = if result.info.schedule.phases.iter().all(|p| p.algorithm == Algorithm::Pgd) {
        ", use `algorithm fista`"
    } else {
        ""
    };
    let standardize =
        if result.is_standardized() { "" } else { ", or standardise the features (`standardize`)" };
    format!(
        "{count} lane(s) stopped at {iterations} iterations before tolerance {:e}: their coefficients and \
         derivatives may still move. Raise `iterations` or `tol`{fista}{standardize}.\n",
        result.info.tol
    )
}

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

/// A remark if the lowest held-out loss is at an end of the path: how to extend it, or that there is little
/// to gain.
fn end_of_path(lanes: &[LaneResult], best: usize) -> String {
    let alpha = lanes[best].alpha;
    let positive = || lanes.iter().map(|l| l.alpha).filter(|a| *a > 0.0);
    let (low, high) = positive().fold((f64::INFINITY, 0.0f64), |(l, h), a| (l.min(a), h.max(a)));
    if alpha == 0.0 || low >= high || (alpha > low && alpha < high) {
        return String::new();
    }
    let (end, beyond) = if alpha == low { ("smallest", "smaller") } else { ("largest", "larger") };
    // The loss about a decade inside the path.
    let decades = |lane: &&LaneResult| (lane.alpha / alpha).log10().abs();
    let inside = lanes.iter().filter(|l| l.alpha > 0.0 && (0.5..2.0).contains(&decades(l)));
    let inside = inside.min_by(|a, b| (decades(a) - 1.0).abs().total_cmp(&(decades(b) - 1.0).abs()));
    let loss = |lane: &LaneResult| lane.validation_loss.unwrap_or(f64::NAN);
    let change = inside.map_or(f64::NAN, |lane| (loss(lane) - loss(&lanes[best])).abs() / loss(&lanes[best]));
    if change < LITTLE {
        return format!(
            "the lowest held-out loss is at the {end} alpha, but it hardly changes there (by {:.1} % over a \
             decade): alpha is not what limits this model\n",
            100.0 * change
        );
    }
    let (high, low) = if alpha == low { (high, low / 100.0) } else { (100.0 * high, low) };
    let count = lanes.len();
    format!(
        "the lowest held-out loss is at the {end} alpha: an even {beyond} one may be better, as in `alphas` \
         geom:{high:.3e}:{low:.3e}:{count}\n"
    )
}

/// Relative change of a loss over a decade of alpha that is not worth following.
const LITTLE: f64 = 0.02;

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
