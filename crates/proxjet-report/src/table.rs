//! Tables of lanes: a short one for people, and every lane as CSV.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use proxjet::certificate::Verdict;
use proxjet::engine::Status;
use proxjet::solve::{CrossValidated, LaneResult, SweepResult};

/// Most lines of the short table, its header included.
const LINES: usize = 20;

/// Lanes of the short table: all if they fit, else lanes at even distances, the best one and both ends among
/// them.
pub(crate) fn shown(lanes: usize, best: Option<usize>) -> Vec<usize> {
    let most = LINES - 2;
    if lanes <= most {
        return (0..lanes).collect();
    }
    let mut rows: Vec<usize> = (0..most - 1).map(|i| i * (lanes - 1) / (most - 2)).collect();
    rows.extend(best);
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// A short table of a sweep, with ANSI styles. The best lane is marked.
pub fn lane_table(result: &SweepResult) -> String {
    let best = result.best();
    let held_out = result.info.data_shape.validation_rows > 0;
    let (loss, score) = (
        if held_out { "held-out loss" } else { "objective" },
        match (result.info.score, held_out) {
            ("r2", true) => "R²",
            ("r2", false) => "R² fit",
            (_, true) => "accuracy",
            (_, false) => "acc. fit",
        },
    );
    let slope = held_out.then(|| result.info.derivative.iter().position(|d| d == "log_alpha")).flatten();
    let mut out = format!("  {:>11}  {loss:>13}", "alpha");
    if slope.is_some() {
        let _ = write!(out, "  {:>10}", "slope");
    }
    let _ = writeln!(out, "  {:>8}  {score:>8}  verdict", "features");
    let rows = shown(result.lanes.len(), best);
    for &i in &rows {
        let lane = &result.lanes[i];
        let of_loss = if held_out { lane.validation_loss } else { lane.objective };
        let marked = best == Some(i);
        let style = if marked { Style::new().bold() } else { Style::new() };
        let mark = if marked { '*' } else { ' ' };
        let _ = write!(out, "{style}{mark} {:>11}  {:>13}", number(Some(lane.alpha)), number(of_loss));
        if let Some(t) = slope {
            let slope = lane.hypergradient.as_ref().map(|h| h[t]).filter(|v| v.is_finite());
            let _ = write!(out, "  {:>10}", slope.map_or("-".into(), |v| format!("{v:+.1e}")));
        }
        let score = match lane.score {
            Some(v) if v.abs() < 100.0 => format!("{v:.4}"),
            score => number(score),
        };
        let features = if lane.is_fitted() { lane.support.to_string() } else { "-".into() };
        let _ = writeln!(out, "  {features:>8}  {score:>8}{style:#}  {}", verdict(lane));
    }
    if rows.len() < result.lanes.len() {
        let _ = writeln!(out, "  {} of {} candidates; --csv prints all", rows.len(), result.lanes.len());
    }
    out
}

/// A short table of candidates over folds, with ANSI styles. The best one is marked.
pub fn cross_validation_table(candidates: &[CrossValidated]) -> String {
    let best = CrossValidated::best(candidates);
    let mut out = format!("  {:>11}  {:>13}  {:>14}\n", "alpha", "held-out loss", "standard error");
    let rows = shown(candidates.len(), best);
    for &i in &rows {
        let of = &candidates[i];
        let marked = best == Some(i);
        let style = if marked { Style::new().bold() } else { Style::new() };
        let mark = if marked { '*' } else { ' ' };
        let (alpha, mean, error) = (number(Some(of.alpha)), number(of.mean), number(of.standard_error));
        let _ = writeln!(out, "{style}{mark} {alpha:>11}  {mean:>13}  {error:>14}{style:#}");
    }
    if rows.len() < candidates.len() {
        let _ = writeln!(out, "  {} of {} alphas; result.json has all", rows.len(), candidates.len());
    }
    out
}

/// The best candidate in words.
pub fn best_candidate(best: &CrossValidated, candidates: &[CrossValidated]) -> String {
    let folds = best.losses.len();
    let error = best.standard_error.map_or(String::new(), |e| format!(" ± {}", number(Some(e))));
    let mut text = format!(
        "best alpha {}: mean held-out loss {}{error} (standard error) over {folds} folds; the model is \
         fitted on all rows",
        number(Some(best.alpha)),
        number(best.mean)
    );
    let without = candidates.iter().filter(|c| c.mean.is_none()).count();
    if without > 0 {
        let _ = write!(text, "; {without} of {} alphas have no loss in some fold", candidates.len());
    }
    let by_alpha = |a: &&CrossValidated, b: &&CrossValidated| a.alpha.total_cmp(&b.alpha);
    let ends = [candidates.iter().min_by(by_alpha), candidates.iter().max_by(by_alpha)];
    if candidates.len() > 1
        && let Some(end) = ends.iter().position(|end| end.is_some_and(|end| end.alpha == best.alpha))
    {
        let which = ["smallest", "largest"][end];
        let _ = write!(text, "; it is the {which} alpha: try a path that goes beyond");
    }
    text
}

/// The verdict in its colour; without one, the status.
fn verdict(lane: &LaneResult) -> String {
    verdict_of(lane.status, lane.certificate.map(|certificate| certificate.verdict))
}

/// The verdict of a certificate in its colour; without one, the status.
pub(crate) fn verdict_of(status: Status, verdict: Option<Verdict>) -> String {
    let Some(verdict) = verdict else { return status.name().into() };
    let color = match verdict {
        Verdict::Green => AnsiColor::Green,
        Verdict::Amber => AnsiColor::Yellow,
        Verdict::Red => AnsiColor::Red,
    };
    let style = color.on_default();
    format!("{style}{}{style:#}", verdict.name())
}

/// Five digits, in plain notation where that is short.
pub(crate) fn number(v: Option<f64>) -> String {
    match v {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(v) if (1e-3..1e6).contains(&v.abs()) => {
            let decimals = (4 - v.abs().log10().floor() as i32).clamp(0, 8) as usize;
            format!("{v:.decimals$}")
        }
        Some(v) => format!("{v:.4e}"),
    }
}

/// Every lane as CSV with a header; empty cells where there is no number.
///
/// # Errors
/// Errors of the writer.
pub fn write_lanes(result: &SweepResult, out: impl std::io::Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let mut head: Vec<String> =
        ["alpha", "l1_ratio", "status", "iterations", "objective", "gap", "support", "validation_loss"]
            .map(String::from)
            .to_vec();
    head.extend(result.info.derivative.iter().map(|name| format!("hypergradient_{name}")));
    head.extend([result.info.score.to_string(), "verdict".into()]);
    if result.trace.fold.is_some() {
        head.insert(2, "fold".into());
    }
    csv.write_record(&head)?;
    let cell = |v: Option<f64>| v.filter(|v| v.is_finite()).map_or(String::new(), |v| v.to_string());
    for lane in &result.lanes {
        let mut row = vec![lane.alpha.to_string(), lane.l1_ratio.to_string()];
        row.extend(lane.fold.map(|fold| fold.to_string()));
        row.push(lane.status.name().into());
        row.extend([lane.iterations.to_string(), cell(lane.objective), cell(lane.gap)]);
        let support = if lane.is_fitted() { lane.support.to_string() } else { String::new() };
        row.extend([support, cell(lane.validation_loss)]);
        let slopes = lane.hypergradient.as_ref();
        row.extend((0..result.info.derivative.len()).map(|t| cell(slopes.map(|h| h[t]))));
        row.extend([cell(lane.score), lane.certificate.as_ref().map_or("", |c| c.verdict.name()).into()]);
        csv.write_record(&row)?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_table_has_both_ends_and_the_best_lane() {
        assert_eq!(shown(3, Some(1)), [0, 1, 2]);
        for lanes in [18, 19, 20, 37, 100, 1_000_000] {
            for best in [None, Some(0), Some(lanes / 3), Some(lanes - 1)] {
                let rows = shown(lanes, best);
                assert!(rows.len() <= LINES - 2 && rows.is_sorted(), "{rows:?}");
                assert!(rows.contains(&0) && rows.contains(&(lanes - 1)), "{rows:?}");
                assert!(best.is_none_or(|best| rows.contains(&best)), "{rows:?}");
            }
        }
    }

    #[test]
    fn numbers_have_five_digits() {
        let text =
            [1234567.0, 123456.7, 1234.567, 1.234567, 0.01234567, 0.0001234567, 0.0].map(|v| number(Some(v)));
        assert_eq!(text, ["1.2346e6", "123457", "1234.6", "1.2346", "0.012346", "1.2346e-4", "0"]);
    }
}
