//! Measures the speed and accuracy of a proxjet engine on this machine, with plain products on the same
//! engine in the same run for comparison.

use std::io::Write;
use std::time::Instant;

use clap::ValueEnum;
use proxjet::error::{Error, ErrorKind, Result};
use proxjet::program::Precision;

use report::{Host, Peak, SCHEMA, Settings, Versions};

mod accuracy;
mod compare;
mod machine;
mod modes;
mod paths;
mod report;
mod sections;
mod shapes;
mod suite;
mod text;

pub use compare::Comparison;
pub use machine::Machine;
pub use report::Report;
pub use suite::{Plan, Section, Shape, Suite};

/// Runs the measurements of a plan. `command` is recorded in the report; `keep` is called with the report
/// after every section.
///
/// # Errors
/// A device failure that could not be recovered, and errors of `keep`. Measurements that do not fit the
/// memory are recorded as skipped.
pub fn measure(
    plan: &Plan,
    machine: &mut Machine,
    command: &str,
    keep: &dyn Fn(&Report) -> Result<()>,
) -> Result<Report> {
    let clock = Instant::now();
    let mut report = Report {
        schema: SCHEMA.into(),
        versions: Versions {
            proxjet: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("PROXJET_COMMIT").map(String::from),
        },
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command: command.into(),
        engine: machine.engine().info().into(),
        host: Host::here(),
        settings: Settings {
            suite: plan.suite.to_possible_value().map_or_else(String::new, |v| v.get_name().into()),
            sections: plan.sections.iter().map(|s| s.name()).collect(),
            repeat: plan.repeat,
            sample_seconds: plan.sample,
            memory_budget_bytes: plan.memory_budget,
        },
        peaks: Vec::new(),
        products: Vec::new(),
        shapes: Vec::new(),
        host_share: None,
        lanes: Vec::new(),
        sparsity: Vec::new(),
        paths: Vec::new(),
        modes: Vec::new(),
        cancel: None,
        accuracy: Vec::new(),
        skipped: Vec::new(),
        failures: 0,
        seconds: 0.0,
    };
    progress(&format!(
        "{} engine: {} ({})",
        report.engine.engine, report.engine.adapter, report.engine.driver
    ));
    for section in Section::value_variants().iter().filter(|section| plan.has(**section)) {
        let report = &mut report;
        let keep = |report: &mut Report| {
            conclude(report);
            report.seconds = clock.elapsed().as_secs_f64();
            keep(report)
        };
        match section {
            Section::Products => shapes::products(plan, machine, report)?,
            Section::Shapes => shapes::shapes(plan, machine, report, &keep)?,
            Section::Lanes => sections::lanes(plan, machine, report)?,
            Section::Sparsity => sections::sparsity(plan, machine, report)?,
            Section::Paths => paths::paths(plan, machine, report)?,
            Section::Modes => modes::modes(plan, machine, report)?,
            Section::Cancel => sections::cancel(plan, machine, report)?,
            // Of whole processes: the program runs it.
            Section::Peers => {}
            Section::Accuracy => {
                progress("accuracy");
                match accuracy::accuracy(machine.engine()) {
                    Ok(accuracy) => report.accuracy = accuracy,
                    Err(e) => skip(machine, report, *section, "accuracy".into(), e)?,
                }
            }
        }
        keep(report)?;
    }
    Ok(report)
}

/// Computes the values that depend on all measurements: peaks, floors, and the share of the host.
fn conclude(report: &mut Report) {
    report.peaks.clear();
    for precision in Precision::NAMES {
        let of = report.products.iter().filter(|p| p.precision == *precision);
        if let Some(best) = of.max_by(|a, b| a.gflops.total_cmp(&b.gflops)) {
            let (rows, features, columns) = (best.rows, best.features, best.columns);
            report.peaks.push(Peak {
                precision: (*precision).into(),
                gflops: best.gflops,
                rows,
                features,
                columns,
            });
        }
    }
    for entry in &mut report.shapes {
        let peak = report.peaks.iter().find(|p| p.precision == entry.precision);
        entry.floor_seconds = peak.map(|p| entry.operations / (1e9 * p.gflops));
        entry.floor_ratio = entry.floor_seconds.map(|floor| entry.seconds.median / floor);
    }
    let whole: f64 = report.shapes.iter().map(|e| e.run.seconds.median).sum();
    let host: f64 = report.shapes.iter().map(|e| e.run.seconds.median * e.run.host_share).sum();
    report.host_share = (whole > 0.0).then(|| host / whole);
}

/// Prints the current measurement to stderr.
fn progress(what: &str) {
    // A stderr that is gone must not end the measurement.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

/// The precisions that the engine supports; the others are recorded as skipped.
fn has(
    plan: &Plan,
    machine: &mut Machine,
    report: &mut Report,
    section: Section,
    what: &str,
) -> Vec<Precision> {
    let mut list = Vec::new();
    for &precision in &plan.precisions {
        match machine.engine().limits(precision) {
            Ok(_) => list.push(precision),
            Err(e) => report.skip(section.name(), format!("{what}, {}", precision.name()), e.to_string()),
        }
    }
    list
}

/// Records a measurement as skipped if it did not fit the memory or the device failed; in the latter case a
/// fresh device is opened. Any other error is returned.
fn skip(
    machine: &mut Machine,
    report: &mut Report,
    section: Section,
    what: String,
    error: Error,
) -> Result<()> {
    match error.kind {
        ErrorKind::Memory => {}
        ErrorKind::Device => {
            machine.engine().recover()?;
            report.failures += 1;
        }
        _ => return Err(error),
    }
    report.skip(section.name(), what, error.to_string());
    Ok(())
}
