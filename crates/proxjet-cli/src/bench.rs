//! `proxjet bench`.

use std::io::Write;
use std::path::PathBuf;

use proxjet::engine::cpu::CpuEngine;
use proxjet::error::{Error, ErrorKind, Result};
use proxjet::program::Precision;
use proxjet::solve::DEFAULT_MEMORY_BUDGET;
use proxjet_bench::{Comparison, Machine, Plan, Report, Section, Shape, Suite, measure};
use proxjet_report::OutputDir;

use crate::engine::EngineArgs;
use crate::flags::{exit_code, translated};
use crate::settings::budget;
use crate::{peers, print, print_json};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How much is measured
    #[arg(long, value_enum, default_value_t = Suite::Quick)]
    suite: Suite,
    /// Sections to measure [default: quick has products, shapes, lanes and accuracy; full has all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Section>,
    /// Rows, features and lanes to measure instead of the suite's; may be repeated. The first one is also
    /// that of 'lanes', 'sparsity', 'paths', 'modes' and 'cancel'
    #[arg(long, value_name = "N,P,B")]
    shape: Vec<String>,
    /// Numbers of derivatives per lane [default: 0,1 in quick, 0,1,4 in full]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    tangents: Vec<usize>,
    /// Measure products and shapes in this precision only
    #[arg(long, value_name = "P")]
    precision: Option<Precision>,
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
        ["suite", "only", "shape", "tangents", "precision", "engine", "repeat", "memory_budget", "out"])]
    compare: Option<Vec<PathBuf>>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some([a, b]) = args.compare.as_deref() {
        let comparison = Comparison::new(&Report::read(a)?, &Report::read(b)?)?;
        if args.json {
            print_json(&comparison)?
        } else {
            print(&comparison.text())?
        }
        return Ok(0);
    }
    let shapes = args.shape.iter().map(|s| s.parse()).collect::<Result<Vec<Shape>>>()?;
    if args.repeat == Some(0) {
        return Err(Error::usage("--repeat", "0", "at least 1", ""));
    }
    if args.only.contains(&Section::Peers) {
        let alone = args.only.len() == 1
            && args.shape.is_empty()
            && args.tangents.is_empty()
            && args.precision.is_none()
            && !args.json;
        if !alone {
            let found = "'peers' beside other sections, --shape, --tangents, --precision or --json";
            return Err(Error::usage("--only", found, "'peers' alone", "Use --repeat and --out only."));
        }
        return peers::run(args.repeat, args.out.as_deref()).map(|()| 0);
    }
    let budget = budget(args.memory_budget)?;
    let plan = Plan::new(args.suite, &args.only, &shapes, &args.tangents, args.repeat, budget)
        .precisions(args.precision.as_slice());
    let out = args.out.as_deref().map(OutputDir::of_file).transpose()?;
    // Written after every section, so that an interrupted bench keeps its results so far.
    let keep = |report: &Report| {
        let Some((folder, name)) = &out else { return Ok(()) };
        let written = folder.write(name, |w| {
            serde_json::to_writer_pretty(&mut *w, report)?;
            w.write_all(b"\n")
        });
        written.map(|_| ())
    };
    let command = std::iter::once("proxjet".to_string()).chain(std::env::args().skip(1)).collect::<Vec<_>>();
    let report = measure(&plan, &mut machine(&args.engine)?, &command.join(" "), &keep)?;
    if let Some(path) = &args.out {
        note!("bench: {}", path.display());
    }
    if args.json {
        print_json(&report)?
    } else {
        print(&translated(&report.text()))?
    }
    Ok(if report.failures() == 0 { 0 } else { exit_code(ErrorKind::Device) })
}

/// The measured engine.
fn machine(args: &EngineArgs) -> Result<Machine> {
    #[cfg(feature = "gpu")]
    if let Some(gpu) = args.gpu()? {
        return Ok(Machine::Gpu(Box::new(gpu)));
    }
    args.open(None).map(|_| Machine::Cpu(CpuEngine::new()))
}
