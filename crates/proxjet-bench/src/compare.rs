//! Compares two files of measurements, entry by entry.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::{Report, SCHEMA, Sample, quantile};
use proxjet::data::read_text;
use proxjet::error::{Error, Result};

/// Maximum bytes of a file of measurements.
const MOST_BYTES: u64 = 64 << 20;

/// The differences of two files.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub(crate) schema: &'static str,
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) entries: Vec<Ratio>,
    /// Geometric mean of the ratios of times.
    pub(crate) mean: f64,
    /// Entries that only one of the files has.
    pub(crate) only_a: Vec<String>,
    pub(crate) only_b: Vec<String>,
}

/// The origin of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) date: String,
    pub(crate) commit: Option<String>,
    pub(crate) engine: String,
    pub(crate) adapter: String,
    pub(crate) driver: String,
    pub(crate) cpu: String,
}

impl Side {
    fn new(report: &Report) -> Self {
        Side {
            date: report.date.clone(),
            commit: report.versions.commit.clone(),
            engine: report.engine.engine.clone(),
            adapter: report.engine.adapter.clone(),
            driver: report.engine.driver.clone(),
            cpu: report.host.cpu.clone(),
        }
    }
}

/// Seconds of B over those of A.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) a_seconds: f64,
    pub(crate) b_seconds: f64,
    /// Median over all pairs of repetitions.
    pub(crate) ratio: f64,
    /// The quartiles of the ratios of all pairs.
    pub(crate) quartiles: [f64; 2],
    /// True if every repetition of one file was faster than every one of the other.
    pub(crate) apart: bool,
}

impl Report {
    /// Reads a file of measurements.
    ///
    /// # Errors
    /// A file that cannot be read, is not JSON, or is of another schema.
    pub fn read(path: &Path) -> Result<Report> {
        #[derive(Deserialize)]
        struct Head {
            schema: Option<String>,
        }
        let at = || path.display().to_string();
        let again = "Measure again with this version: proxjet bench --out FILE.json.";
        let text = read_text(path, MOST_BYTES)?;
        let head: Head = serde_json::from_str(&text).map_err(|e| {
            Error::data(at(), e.to_string(), "JSON of 'proxjet bench'", "Check the path.").with_source(e)
        })?;
        if head.schema.as_deref() != Some(SCHEMA) {
            let found = head.schema.map_or("no schema".into(), |s| format!("schema '{s}'"));
            return Err(Error::data(at(), found, format!("schema '{SCHEMA}'"), again));
        }
        serde_json::from_str(&text).map_err(|e| {
            Error::data(at(), e.to_string(), format!("a whole file of schema '{SCHEMA}'"), again)
                .with_source(e)
        })
    }
}

impl Comparison {
    /// Compares the entries that both files have.
    ///
    /// # Errors
    /// Nothing in common.
    pub fn new(a: &Report, b: &Report) -> Result<Comparison> {
        let (of_a, of_b) = (times(a), times(b));
        let entries: Vec<Ratio> = of_a
            .iter()
            .filter_map(|(what, a)| {
                of_b.iter().find(|(other, _)| other == what).map(|(_, b)| ratio(what, a, b))
            })
            .collect();
        if entries.is_empty() {
            let found = "no measurement that is in both files";
            return Err(Error::data(
                "compare",
                found,
                "at least one",
                "Measure the same sections and shapes twice.",
            ));
        }
        let missing = |from: &[(String, Sample)], of: &[(String, Sample)]| {
            let absent = from.iter().filter(|(what, _)| !of.iter().any(|(other, _)| other == what));
            absent.map(|(what, _)| what.clone()).collect()
        };
        Ok(Comparison {
            schema: "proxjet-bench-comparison 1",
            a: Side::new(a),
            b: Side::new(b),
            mean: (entries.iter().map(|e| e.ratio.ln()).sum::<f64>() / entries.len() as f64).exp(),
            only_a: missing(&of_a, &of_b),
            only_b: missing(&of_b, &of_a),
            entries,
        })
    }

    /// A table of the ratios.
    pub fn text(&self) -> String {
        crate::text::comparison(self)
    }
}

/// Every comparable time of a file: its name and its repetitions.
fn times(report: &Report) -> Vec<(String, Sample)> {
    let products = report.products.iter().map(|p| {
        (format!("products {} x {} x {} {}", p.rows, p.features, p.columns, p.precision), p.seconds.clone())
    });
    let shapes = report.shapes.iter().map(|e| {
        let what = format!("{} x {}, {} lanes, d={}", e.rows, e.features, e.lanes, e.tangents);
        (format!("iteration {what}, {} {}", e.precision, e.strategy), e.seconds.clone())
    });
    let lanes = report.lanes.iter().map(|w| {
        let what = format!("{} x {}, {} lanes, d={}", w.rows, w.features, w.lanes, w.tangents);
        (
            format!("lanes {what}, {} iterations, {} {}", w.iterations, w.precision, w.strategy),
            w.seconds.clone(),
        )
    });
    let sparsity = report.sparsity.iter().map(|s| {
        let what = format!("{} x {}, {} lanes, d={}", s.rows, s.features, s.lanes, s.tangents);
        (
            format!("sparsity {what}, {} iterations, {}, floor {}", s.iterations, s.precision, s.path_floor),
            s.seconds.clone(),
        )
    });
    let paths = report.paths.iter().map(|p| {
        let what = format!("{} x {}, {} alphas, {}", p.rows, p.features, p.lanes, p.precision);
        (format!("paths {what}: {}", p.what), p.seconds.clone())
    });
    let modes = report.modes.iter().map(|m| (format!("modes {}: {}", m.what, m.mode), m.seconds.clone()));
    let cancel = report.cancel.iter().flat_map(|c| {
        let what =
            format!("{} x {}, {} lanes, d={}, {}", c.rows, c.features, c.lanes, c.tangents, c.precision);
        [
            (format!("cancel {what}"), Sample::new(c.cancels.values.clone())),
            (format!("deadline {what}"), Sample::new(c.deadlines.values.clone())),
        ]
    });
    let all = products.chain(shapes).chain(lanes).chain(sparsity).chain(paths).chain(modes).chain(cancel);
    // A product shared by several entries was measured several times.
    let mut list: Vec<(String, Sample)> = Vec::new();
    for (what, sample) in all {
        match list.iter_mut().find(|(other, _)| *other == what) {
            Some((_, known)) => *known = Sample::new([&known.values[..], &sample.values].concat()),
            None => list.push((what, sample)),
        }
    }
    list
}

fn ratio(what: &str, a: &Sample, b: &Sample) -> Ratio {
    let pairs: Vec<f64> = a.values.iter().flat_map(|a| b.values.iter().map(move |b| b / a)).collect();
    Ratio {
        what: what.into(),
        a_seconds: a.median,
        b_seconds: b.median,
        ratio: quantile(&pairs, 0.5),
        quartiles: [quantile(&pairs, 0.25), quantile(&pairs, 0.75)],
        apart: pairs.iter().all(|r| *r > 1.0) || pairs.iter().all(|r| *r < 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_over_all_pairs() {
        let r = ratio("x", &Sample::new(vec![1.0, 2.0]), &Sample::new(vec![3.0, 6.0]));
        // 3, 6, 1.5, 3.
        assert_eq!((r.ratio, r.quartiles, r.apart), (3.0, [1.5, 3.0], true));
        let same = ratio("x", &Sample::new(vec![1.0, 2.0]), &Sample::new(vec![1.5]));
        assert!(!same.apart);
    }
}
