//! `grad.json`, and a short table of lanes with their gradients.

use std::fmt::Write;

use anstyle::Style;
use serde::Serialize;

use crate::DataInfo;
use crate::table::{number, shown, verdict_of};
use proxjet::diff::{Choice, Criterion, Differentiated, DifferentiatedLane, Kind, Mode};
use proxjet::solve::RunInfo;

/// The content of `grad.json`. A number that is not finite is written as null.
#[derive(Debug, Clone, Serialize)]
pub struct GradientFile<'a> {
    /// Version of proxjet.
    pub proxjet: &'static str,
    /// The mode of differentiation.
    pub mode: Mode,
    /// The estimates from which it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<&'a Choice>,
    /// The criterion of `gradient`.
    pub criterion: Option<Criterion>,
    /// `[h]`: names of the derivatives.
    pub names: &'a [String],
    /// Seconds of everything.
    pub seconds: f64,
    /// Bytes in use at most.
    pub peak_bytes: u64,
    /// Every lane.
    pub lanes: &'a [DifferentiatedLane],
    /// Over the folds of each candidate, in the order of the alphas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<Vec<OverFolds>>,
    /// The data.
    pub data: DataInfo,
    /// The sweep that was differentiated.
    pub sweep: &'a RunInfo,
}

impl<'a> GradientFile<'a> {
    /// The file of differentiated models.
    pub fn new(found: &'a Differentiated, choice: Option<&'a Choice>, data: DataInfo) -> Self {
        GradientFile {
            proxjet: env!("CARGO_PKG_VERSION"),
            mode: found.mode,
            choice,
            criterion: found.criterion,
            names: &found.names,
            seconds: found.seconds,
            peak_bytes: found.peak_bytes,
            lanes: &found.lanes,
            cross_validation: over_folds(found),
            data,
            sweep: &found.sweep.info,
        }
    }
}

/// The means over the folds of a candidate.
#[derive(Debug, Clone, Serialize)]
pub struct OverFolds {
    /// Penalty strength.
    pub alpha: f64,
    /// Mean of the criterion; absent if a fold has none.
    pub criterion: Option<f64>,
    /// `[h]`: mean of its gradients; absent if a fold has none.
    pub gradient: Option<Vec<f64>>,
    /// The largest relative error of a fold's derivatives.
    pub derivative_error: Option<f64>,
}

/// The means over folds; `None` without folds.
pub fn over_folds(found: &Differentiated) -> Option<Vec<OverFolds>> {
    let folds = found.lanes.iter().filter_map(|lane| lane.fold).max()? + 1;
    let of = |lanes: &[DifferentiatedLane]| {
        let mean = |values: Option<Vec<f64>>| values.map(|all| all.iter().sum::<f64>() / all.len() as f64);
        let gradients: Option<Vec<&Vec<f64>>> = lanes.iter().map(|lane| lane.gradient.as_ref()).collect();
        let of_column =
            |all: &Vec<&Vec<f64>>, t: usize| all.iter().map(|g| g[t]).sum::<f64>() / all.len() as f64;
        OverFolds {
            alpha: lanes[0].alpha,
            criterion: mean(lanes.iter().map(|lane| lane.criterion).collect()),
            gradient: gradients.map(|all| (0..found.names.len()).map(|t| of_column(&all, t)).collect()),
            derivative_error: lanes
                .iter()
                .map(|lane| lane.derivative_error)
                .collect::<Option<Vec<f64>>>()
                .and_then(|all| all.into_iter().reduce(f64::max)),
        }
    };
    Some(found.lanes.chunks(folds).map(of).collect())
}

/// Most derivatives of the short table.
const COLUMNS: usize = 4;

/// Most lanes that are shown side by side, with a line for each derivative.
const SIDE_BY_SIDE: usize = 3;
/// Most lines of that table.
const LINES: usize = 20;

/// A short table of the criterion and its gradient, with ANSI styles. With folds it has their means.
pub fn gradient_table(found: &Differentiated) -> String {
    if let Some(candidates) = over_folds(found) {
        return folded_table(found, &candidates);
    }
    let mut out = lanes_table(found);
    if found.gradient.is_some() && found.names.len() > COLUMNS && found.lanes.len() <= SIDE_BY_SIDE {
        out += &derivatives_table(found);
    }
    out
}

/// The names of the derivatives that fit beside lanes, as heads of columns.
fn heads(found: &Differentiated) -> Vec<String> {
    let count = if found.gradient.is_some() { found.names.len().min(COLUMNS) } else { 0 };
    let side_by_side = found.names.len() > COLUMNS && found.lanes.len() <= SIDE_BY_SIDE;
    let count = if side_by_side && found.lanes.iter().all(|lane| lane.fold.is_none()) { 0 } else { count };
    found.names[..count].iter().map(|name| format!("d/d {name}")).collect()
}

fn cell(value: Option<f64>, head: &str) -> String {
    let (text, width) = (value.map_or("-".into(), |v| format!("{v:+.4e}")), head.len().max(14));
    format!("  {text:>width$}")
}

fn lanes_table(found: &Differentiated) -> String {
    let name = found.criterion.map_or("", Criterion::name);
    let heads = heads(found);
    let mut out = format!("  {:>11}", "alpha");
    if found.criterion.is_some() {
        let _ = write!(out, "  {name:>12}");
    }
    for head in &heads {
        let _ = write!(out, "  {head:>14}");
    }
    let _ = writeln!(out, "  {:>10}  derivative      verdict", "rel. error");
    let rows = shown(found.lanes.len(), None);
    for &i in &rows {
        let lane = &found.lanes[i];
        let _ = write!(out, "  {:>11}", number(Some(lane.alpha)));
        if found.criterion.is_some() {
            let _ = write!(out, "  {:>12}", number(lane.criterion));
        }
        for (t, head) in heads.iter().enumerate() {
            out += &cell(found.gradient.as_ref().map(|g| g[[i, t]]).filter(|v| v.is_finite()), head);
        }
        let error = lane.derivative_error.map_or("-".into(), |v| format!("{v:.0e}"));
        let verdict = verdict_of(lane.status, lane.certificate.map(|c| c.verdict));
        let _ = writeln!(out, "  {error:>10}  {:<14}  {verdict}", kind(lane.derivative));
    }
    out + &left_out((rows.len(), found.lanes.len(), "lanes"), (heads.len(), found.names.len()))
}

/// What a table does not show, in words.
fn left_out((rows, lanes, what): (usize, usize, &str), (columns, names): (usize, usize)) -> String {
    if rows == lanes && (columns == 0 || columns == names) {
        return String::new();
    }
    let of_names = if columns > 0 { format!(", {columns} of {names} derivatives") } else { String::new() };
    format!("  {rows} of {lanes} {what}{of_names}; --json and --out DIR have all\n")
}

/// The gradients of a few lanes side by side, the largest first.
fn derivatives_table(found: &Differentiated) -> String {
    let Some(gradient) = &found.gradient else { return String::new() };
    let size = |t: usize| gradient.column(t).iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let mut order: Vec<usize> = (0..found.names.len()).collect();
    order.sort_by(|a, b| size(*b).total_cmp(&size(*a)));
    order.truncate(LINES);
    let width = order.iter().map(|t| found.names[*t].chars().count()).max().unwrap_or(0).max(10);
    let criterion = found.criterion.map_or("", Criterion::name);
    let mut out = format!("\n  {:<width$}", format!("d {criterion}"));
    for lane in &found.lanes {
        let _ = write!(out, "  {:>14}", format!("at {}", number(Some(lane.alpha))));
    }
    out.push('\n');
    for &t in &order {
        let _ = write!(out, "  {:<width$}", found.names[t]);
        for v in gradient.column(t) {
            out += &cell(Some(*v).filter(|v| v.is_finite()), "");
        }
        out.push('\n');
    }
    if order.len() < found.names.len() {
        let all = found.names.len();
        let _ = writeln!(
            out,
            "  the {} largest of {all} derivatives; --json and --out DIR have all",
            order.len()
        );
    }
    out
}

fn folded_table(found: &Differentiated, candidates: &[OverFolds]) -> String {
    let heads = heads(found);
    let mut out = format!("  {:>11}  {:>12}", "alpha", "mean loss");
    for head in &heads {
        let _ = write!(out, "  {head:>14}");
    }
    let _ = writeln!(out, "  {:>10}", "rel. error");
    let rows = shown(candidates.len(), None);
    for &i in &rows {
        let of = &candidates[i];
        let _ = write!(out, "  {:>11}  {:>12}", number(Some(of.alpha)), number(of.criterion));
        for (t, head) in heads.iter().enumerate() {
            out += &cell(of.gradient.as_ref().map(|g| g[t]).filter(|v| v.is_finite()), head);
        }
        let error = of.derivative_error.map_or("-".into(), |v| format!("{v:.0e}"));
        let _ = writeln!(out, "  {error:>10}");
    }
    let folds = found.lanes.len() / candidates.len().max(1);
    let _ = writeln!(out, "  means over {folds} folds; rel. error: the largest of them");
    out + &left_out((rows.len(), candidates.len(), "alphas"), (heads.len(), found.names.len()))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Iterate => "iterate",
        Kind::Solution => "solution",
        Kind::Approximation => "approximation",
        Kind::OneOfSeveral => "one of several",
        _ => "absent",
    }
}

/// A table of what every mode takes, with the choice.
pub fn choice_table(choice: &Choice) -> String {
    let mut out = format!("  {:<11}  {:>9}  {:>9}  gives\n", "mode", "seconds", "memory");
    for of in &choice.estimates {
        let style = if of.mode == choice.mode { Style::new().bold() } else { Style::new() };
        let mark = if of.mode == choice.mode { '*' } else { ' ' };
        let _ = write!(out, "{style}{mark} {:<11}", of.mode.name());
        match &of.refused {
            Some(why) => {
                let _ = writeln!(out, "{style:#}  {:>9}  {:>9}  refused: {why}", "-", "-");
            }
            None => {
                let (seconds, bytes) = (format!("{:.2e}", of.seconds), size(of.bytes));
                let _ =
                    writeln!(out, "  {seconds:>9}  {bytes:>9}{style:#}  {}; error: {}", of.gives, of.error);
            }
        }
    }
    let _ = writeln!(out, "mode {}: {}", choice.mode, choice.reason);
    out
}

/// Bytes with a unit.
pub fn size(bytes: u64) -> String {
    let (size, unit) = if bytes < 1_000_000 { (1e3, "kB") } else { (1e6, "MB") };
    format!("{:.1} {unit}", bytes as f64 / size)
}
