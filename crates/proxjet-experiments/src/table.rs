//! Rates of every rule and start, as CSV and JSON, and their summary over the starts.

use std::io::Write;

use serde::Serialize;

use crate::{Experiment, Reference, RuleRun};
use proxjet::diff::LaneAnalysis;
use proxjet::engine::Status;
use proxjet::solve::RunInfo;

/// One rule over all starts: medians, and the 10 % and 90 % quantiles of the rates.
#[derive(Debug, Clone, Serialize)]
pub struct RuleSummary {
    /// Name of the rule.
    pub rule: String,
    /// The statement that covers it: `uniform`, `limit` or none.
    pub theory: &'static str,
    /// `cpu` or `gpu`, and the precision.
    pub engine: String,
    /// Iterations run.
    pub iterations: usize,
    /// Seconds of the run.
    pub seconds: f64,
    /// Seeds that diverged.
    pub diverged: usize,
    /// Rate of the iterates: 10 %, median, 90 %.
    pub q_x: Option<[f64; 3]>,
    /// Rate of the derivatives: 10 %, median, 90 %.
    pub q_d: Option<[f64; 3]>,
    /// Predicted rate, median.
    pub predicted: Option<f64>,
    /// Iteration of identification, median.
    pub identified: Option<f64>,
    /// Final error of the iterates relative to the start, median.
    pub error: Option<f64>,
    /// Final error of the derivatives relative to the start, median.
    pub derivative_error: Option<f64>,
}

impl RuleSummary {
    /// Summarises a run.
    pub fn new(run: &RuleRun) -> Self {
        let info = &run.result.info;
        let all = |of: &dyn Fn(&LaneAnalysis) -> Option<f64>| -> Vec<f64> {
            let mut values: Vec<f64> = run.analysis.iter().filter_map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let band = |values: Vec<f64>| {
            let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize];
            (!values.is_empty()).then(|| [at(0.1), at(0.5), at(0.9)])
        };
        let middle = |values: Vec<f64>| band(values).map(|b| b[1]);
        RuleSummary {
            rule: run.rule.name(),
            theory: run.rule.theory(),
            engine: engine_name(info),
            iterations: info.iterations,
            seconds: info.seconds,
            diverged: run
                .result
                .lanes
                .iter()
                .filter(|l| matches!(l.status, Status::Diverged | Status::NotFinite))
                .count(),
            q_x: band(all(&|a| a.rate.map(|r| r.q))),
            q_d: band(all(&|a| a.derivative_rate[0].map(|r| r.q))),
            predicted: middle(all(&|a| a.predicted_rate)),
            identified: middle(all(&|a| a.identified.map(|k| k as f64))),
            error: middle(all(&|a| a.error)),
            derivative_error: middle(all(&|a| a.derivative_error[0])),
        }
    }
}

/// `cpu f64`, `gpu f32`.
pub fn engine_name(info: &RunInfo) -> String {
    format!("{} {}", info.engine.engine, info.precision.name())
}

/// One experiment in `result.json`.
#[derive(Debug, Serialize)]
pub struct ExperimentFile {
    /// Name of its files.
    pub name: String,
    /// Title on the page.
    pub title: String,
    /// The objective in words.
    pub objective: String,
    /// Penalty strength.
    pub alpha: f64,
    /// Runs per rule.
    pub starts: usize,
    /// Lipschitz constant of the smooth part.
    pub lipschitz: f64,
    /// Smallest and largest eigenvalue of the Hessian on the manifold.
    pub restricted: [f64; 2],
    /// Active coefficients of the solution.
    pub active: usize,
    /// Non-degeneracy margin of the solution.
    pub margin: f64,
    /// Summaries.
    pub rules: Vec<RuleSummary>,
    /// Every start of every rule, in the order of `rules`.
    pub lanes: Vec<Vec<LaneAnalysis>>,
}

impl ExperimentFile {
    /// Collects the runs of an experiment.
    pub fn new(experiment: &Experiment, reference: &Reference, runs: &[RuleRun]) -> Self {
        let values = &reference.solution.eigenvalues;
        ExperimentFile {
            name: experiment.name.clone(),
            title: experiment.title.clone(),
            objective: experiment.problem.in_words(),
            alpha: experiment.alpha,
            starts: experiment.starts,
            lipschitz: reference.curvatures.lipschitz,
            restricted: [values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0)],
            active: reference.solution.active.len(),
            margin: reference.solution.margin,
            rules: runs.iter().map(RuleSummary::new).collect(),
            lanes: runs.iter().map(|r| r.analysis.clone()).collect(),
        }
    }
}

/// Writes `rates.csv`: a row per experiment, rule, engine and start.
///
/// # Errors
/// Errors of the writer.
pub fn write_csv(files: &[ExperimentFile], out: impl Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "experiment",
        "rule",
        "engine",
        "start",
        "iterations",
        "identified",
        "margin",
        "q_x",
        "q_x_error",
        "q_d",
        "q_d_error",
        "predicted",
        "window_first",
        "window_last",
        "error",
        "derivative_error",
    ])?;
    let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.6e}"));
    for file in files {
        for (rule, lanes) in file.rules.iter().zip(&file.lanes) {
            for (start, lane) in lanes.iter().enumerate() {
                let drate = lane.derivative_rate[0];
                let window = |pick: fn((usize, usize)) -> usize| {
                    lane.rate.map_or(String::new(), |r| pick(r.window).to_string())
                };
                csv.write_record([
                    file.name.clone(),
                    rule.rule.clone(),
                    rule.engine.clone(),
                    start.to_string(),
                    rule.iterations.to_string(),
                    lane.identified.map_or(String::new(), |k| k.to_string()),
                    number(lane.margin),
                    number(lane.rate.map(|r| r.q)),
                    number(lane.rate.map(|r| r.error)),
                    number(drate.map(|r| r.q)),
                    number(drate.map(|r| r.error)),
                    number(lane.predicted_rate),
                    window(|w| w.0),
                    window(|w| w.1),
                    number(lane.error),
                    number(lane.derivative_error[0]),
                ])?;
            }
        }
    }
    csv.flush()
}

/// The table of the terminal, in Markdown with columns of one width.
pub fn markdown(file: &ExperimentFile) -> String {
    let rate = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.5}"));
    let titles =
        ["rule", "engine", "q_x", "q_D", "predicted", "identified", "derivative error after k", "diverged"];
    let mut rows = vec![titles.map(String::from)];
    rows.extend(file.rules.iter().map(|r| {
        [
            r.rule.clone(),
            r.engine.clone(),
            rate(r.q_x.map(|b| b[1])),
            rate(r.q_d.map(|b| b[1])),
            rate(r.predicted),
            r.identified.map_or("–".into(), |k| format!("{k:.0}")),
            r.derivative_error.map_or("–".into(), |e| format!("{e:.0e} ({})", r.iterations)),
            if r.diverged > 0 { r.diverged.to_string() } else { "–".into() },
        ]
    }));
    let widths: [usize; 8] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    rows.insert(1, widths.map(|width| "-".repeat(width)));
    let line = |row: &[String; 8]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    rows.iter().map(line).collect()
}
