//! `proxjet bench`: how fast an engine is on this machine, beside plain products on the same engine in the same run, and how accurate.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;

use super::engine::EngineArgs;
use super::{print, print_json};
use crate::error::{Error, ErrorKind, Result};
use crate::program::Precision;
use crate::report::OutputDir;
use crate::solve::DEFAULT_MEMORY_BUDGET;
use machine::Machine;
use report::{Host, Peak, Report, SCHEMA, Settings, Versions};
use suite::{Plan, Section, Shape, Suite};

mod accuracy;
mod compare;
mod machine;
mod report;
mod sections;
mod shapes;
mod suite;
mod text;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How much is measured
    #[arg(long, value_enum, default_value_t = Suite::Quick)]
    suite: Suite,
    /// Sections to measure [default: quick has products, shapes, lanes and accuracy; full has all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Section>,
    /// Rows, features and lanes to measure instead of the suite's; may be repeated. The first one is also that of 'lanes',
    /// 'sparsity' and 'cancel'
    #[arg(long, value_name = "N,P,B")]
    shape: Vec<String>,
    /// Numbers of derivatives per lane [default: 0,1 in quick, 0,1,4 in full]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    tangents: Vec<usize>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Repetitions; the median counts [default: 3 in quick, 5 in full]
    #[arg(long, value_name = "R")]
    repeat: Option<usize>,
    /// Memory budget in GiB of a run, for the device and the host together
    #[arg(long, value_name = "GIB", default_value_t = (DEFAULT_MEMORY_BUDGET >> 30) as f64)]
    memory_budget: f64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write the JSON to this file, too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Measure nothing: print how two files of --out or --json differ, as ratios of B to A
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all =
        ["suite", "only", "shape", "tangents", "engine", "repeat", "memory_budget", "out"])]
    compare: Option<Vec<PathBuf>>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    if let Some([a, b]) = args.compare.as_deref() {
        let comparison = compare::compare(&compare::read(a)?, &compare::read(b)?)?;
        if args.json {
            print_json(&comparison)
        } else {
            print(&text::comparison(&comparison))
        }
        return Ok(0);
    }
    let shapes = args.shape.iter().map(|s| s.parse()).collect::<Result<Vec<Shape>>>()?;
    if args.repeat == Some(0) {
        return Err(Error::usage("--repeat", "0", "at least 1", ""));
    }
    let budget = super::settings::budget(args.memory_budget)?;
    let plan = Plan::new(args.suite, &args.only, &shapes, &args.tangents, args.repeat, budget);
    let out = args.out.as_deref().map(Target::new).transpose()?;
    // Kept up to date, so that a bench that is ended early leaves what it has.
    let keep = |report: &Report| out.as_ref().map_or(Ok(()), |out| out.write(report).map(|_| ()));
    let report = measure(&plan, &args.engine, &keep)?;
    if let Some(path) = &args.out {
        eprintln!("bench: {}", path.display());
    }
    if args.json {
        print_json(&report)
    } else {
        print(&text::report(&report))
    }
    Ok(if report.failures == 0 { 0 } else { ErrorKind::Device.exit_code() })
}

/// A file that can be written: checked before anything is measured.
struct Target {
    folder: OutputDir,
    name: String,
}

impl Target {
    fn new(path: &Path) -> Result<Self> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()).and_then(|n| n.to_str()) else {
            let found = path.display().to_string();
            return Err(Error::new(
                ErrorKind::Output,
                "--out",
                found,
                "the name of a file",
                "Give --out FILE.json.",
            ));
        };
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Target { folder: OutputDir::create(parent)?, name: name.into() })
    }

    fn write(&self, report: &Report) -> Result<PathBuf> {
        self.folder.write(&self.name, |w| {
            serde_json::to_writer_pretty(&mut *w, report)?;
            std::io::Write::write_all(w, b"\n")
        })
    }
}

fn measure(plan: &Plan, engine: &EngineArgs, keep: &dyn Fn(&Report) -> Result<()>) -> Result<Report> {
    let clock = Instant::now();
    let mut machine = Machine::open(engine)?;
    let mut report = Report {
        schema: SCHEMA.into(),
        versions: Versions {
            proxjet: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("PROXJET_COMMIT").map(String::from),
        },
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command: std::iter::once("proxjet".to_string())
            .chain(std::env::args().skip(1))
            .collect::<Vec<_>>()
            .join(" "),
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
        let (machine, report) = (&mut machine, &mut report);
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
            Section::Cancel => sections::cancel(plan, machine, report)?,
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

/// What follows from all measurements together: peaks, floors, and the share of the host.
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

/// Says on stderr what is being measured.
fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// The precisions that the engine has; the others are noted as skipped.
fn has(machine: &mut Machine, report: &mut Report, section: Section, what: &str) -> Vec<Precision> {
    let mut list = Vec::new();
    for precision in [Precision::F32, Precision::F64] {
        match machine.engine().limits(precision) {
            Ok(_) => list.push(precision),
            Err(e) => report.skip(section.name(), format!("{what}, {}", precision.name()), e.to_string()),
        }
    }
    list
}

/// Notes what does not fit the memory, or on which the device failed, for which a fresh one is taken; any other error is one.
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
