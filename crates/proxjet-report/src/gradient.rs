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
            data,
            sweep: &found.sweep.info,
        }
    }
}

/// Most derivatives of the short table.
const COLUMNS: usize = 4;

/// A short table of the criterion and its gradient, with ANSI styles.
pub fn gradient_table(found: &Differentiated) -> String {
    let name = found.criterion.map_or("", Criterion::name);
    let columns = if found.gradient.is_some() { found.names.len().min(COLUMNS) } else { 0 };
    let mut out = format!("  {:>11}", "alpha");
    if found.criterion.is_some() {
        let _ = write!(out, "  {name:>12}");
    }
    let names: Vec<String> = found.names[..columns].iter().map(|name| format!("d/d {name}")).collect();
    for name in &names {
        let _ = write!(out, "  {name:>14}");
    }
    let _ = writeln!(out, "  {:>10}  derivative      verdict", "error");
    let rows = shown(found.lanes.len(), None);
    for &i in &rows {
        let lane = &found.lanes[i];
        let _ = write!(out, "  {:>11}", number(Some(lane.alpha)));
        if found.criterion.is_some() {
            let _ = write!(out, "  {:>12}", number(lane.criterion));
        }
        for (t, name) in names.iter().enumerate() {
            let of = found.gradient.as_ref().map(|g| g[[i, t]]).filter(|v| v.is_finite());
            let (of, width) = (of.map_or("-".into(), |v| format!("{v:+.4e}")), name.len().max(14));
            let _ = write!(out, "  {of:>width$}");
        }
        let error = lane.gradient_error.map_or("-".into(), |v| format!("{v:.0e}"));
        let verdict = verdict_of(lane.status, lane.certificate.map(|c| c.verdict));
        let _ = writeln!(out, "  {error:>10}  {:<14}  {verdict}", kind(lane.derivative));
    }
    let (lanes, names) = (found.lanes.len(), found.names.len());
    if rows.len() < lanes || (columns > 0 && columns < names) {
        let _ = writeln!(
            out,
            "  {} of {lanes} lanes, {columns} of {names} derivatives; --out DIR keeps all",
            rows.len()
        );
    }
    out
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
