//! `proxjet reproduce`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::engine::{self, Choice, EngineArgs};
use crate::input::InputArgs;
use crate::{INTERRUPTED, interrupt, print};
use proxjet::data::Dataset;
use proxjet::engine::Engine;
use proxjet::error::{Error, Result};
use proxjet::objective::{Loss, Penalty};
use proxjet::program::Precision;
use proxjet::solve::DEFAULT_MEMORY_BUDGET;
use proxjet_experiments::page::{TITLE, introduction, table};
use proxjet_experiments::pictures::{curse, figures, is_expected, secant};
use proxjet_experiments::table::{ExperimentFile, markdown, write_csv};
use proxjet_experiments::{self as experiments, Experiment, Reference, RuleRun};
use proxjet_report::OutputDir;
use proxjet_report::html::{Section, page};

/// Arguments of `reproduce`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --engine auto all problems run on the CPU engine in f64, and the synthetic ones on \
        the best adapter besides, where there is one."
)]
pub(crate) struct Args {
    /// Folder for index.html, pictures, rates.csv and result.json
    #[arg(long, value_name = "DIR", default_value = "proxjet-reproduce")]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// Only your data set: .csv, .tsv, .npy, .npz or .svm; two classes are fitted by logistic regression,
    /// numbers by the lasso
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// With --data: the synthetic problems after it, and the two cautions
    #[arg(long, requires = "data")]
    synthetic: bool,
    #[command(flatten)]
    input: InputArgs,
    /// Runs per rule [default: 50 on synthetic problems, 10 on data]
    #[arg(long, value_name = "N")]
    starts: Option<usize>,
}

/// Runs per rule where the user does not say.
const STARTS: usize = 50;
const STARTS_ON_DATA: usize = 10;

/// True while runs are in progress that provoke warnings on purpose.
static PROVOKED: AtomicBool = AtomicBool::new(false);

/// The word before a line of the log.
pub(crate) fn label(level: log::Level, text: &str) -> String {
    if level == log::Level::Warn && PROVOKED.load(Ordering::Relaxed) && is_expected(text) {
        return "expected, as this run shows what happens then".into();
    }
    level.as_str().to_lowercase()
}

/// An engine with its precision.
type Opened = (Box<dyn Engine>, Precision);

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(starts) = args.starts.filter(|starts| *starts == 0 || *starts > 1000) {
        return Err(Error::usage("--starts", starts.to_string(), "a number from 1 to 1000", ""));
    }
    let out = OutputDir::create(&args.out)?;
    let clock = Instant::now();
    let experiments = experiments(args)?;
    let (mut engine, mut second, note) = engines(&args.engine, args.runs_synthetic())?;
    let mut sections = Vec::new();
    let mut files = Vec::new();
    for (experiment, on_both) in &experiments {
        let reference = experiment.reference()?;
        let mut runs = rules(experiment, &reference, &mut engine)?;
        let figures = figures(experiment, &runs, &out)?;
        if let Some(second) = second.as_mut().filter(|_| *on_both) {
            runs.extend(rules(experiment, &reference, second)?);
        }
        let file = ExperimentFile::new(experiment, &reference, &runs);
        print(&format!("\n{}\n\n{}", file.title, markdown(&file)))?;
        sections.push(Section {
            title: experiment.title.clone(),
            words: experiment.words.clone(),
            expected: Vec::new(),
            figures,
            table: Some(table(&file)),
        });
        files.push(file);
        if interrupt::asked() {
            break;
        }
    }
    if args.runs_synthetic() && !interrupt::asked() {
        sections.extend(cautions(&mut engine, &out)?);
    }
    out.write("rates.csv", |w| write_csv(&files, w))?;
    out.write("result.json", |w| serde_json::to_writer_pretty(w, &files).map_err(std::io::Error::from))?;
    let seconds = clock.elapsed().as_secs_f64();
    let made = made(args, &engine, second.as_ref(), &note, seconds);
    let text = page(TITLE, &introduction(), &sections, &made);
    out.write("index.html", |w| w.write_all(text.as_bytes()))?;
    note!("{seconds:.0} s; the page is {}", out.path().join("index.html").display());
    Ok(if interrupt::asked() { INTERRUPTED } else { 0 })
}

impl Args {
    fn runs_synthetic(&self) -> bool {
        self.data.is_none() || self.synthetic
    }
}

/// The problems, each with whether it runs on a second engine as well.
fn experiments(args: &Args) -> Result<Vec<(Experiment, bool)>> {
    let on_data = args.starts.unwrap_or(STARTS_ON_DATA);
    let mut list = Vec::new();
    if let Some(file) = &args.data {
        list.push((own(args.input.read(file, DEFAULT_MEMORY_BUDGET, None)?, on_data)?, false));
    }
    if args.runs_synthetic() {
        let starts = args.starts.unwrap_or(STARTS);
        list.extend([(experiments::lasso(starts)?, true), (experiments::logistic(starts)?, true)]);
    }
    if args.data.is_none() {
        list.extend(experiments::real(on_data)?.into_iter().map(|e| (e, false)));
    }
    Ok(list)
}

/// Runs that are meant to fail, and show how.
fn cautions((engine, precision): &mut Opened, out: &OutputDir) -> Result<Vec<Section>> {
    let name = engine.info().engine;
    note!("cautions on the {name} engine: starts far away, and Barzilai–Borwein steps; both fail on purpose");
    PROVOKED.store(true, Ordering::Relaxed);
    let sections = curse(engine.as_mut(), *precision, out)
        .and_then(|first| Ok(vec![first, secant(engine.as_mut(), *precision, out)?]));
    PROVOKED.store(false, Ordering::Relaxed);
    let sections = sections?;
    for section in &sections {
        let expected = section.expected.first().map_or("", String::as_str);
        print(&format!("\n{}\n\nExpected. {expected}\n{}\n", section.title, section.words))?;
    }
    Ok(sections)
}

/// The engine of all experiments, and a second one for the synthetic problems, if they run.
fn engines(args: &EngineArgs, synthetic: bool) -> Result<(Opened, Option<Opened>, String)> {
    match args.choice() {
        Choice::Cpu => Ok((args.open(None)?, None, "GPU engine: not asked for.".into())),
        Choice::Gpu => Ok((args.open(None)?, None, String::new())),
        Choice::Auto => {
            let cpu = engine::open(Choice::Cpu, Some(Precision::F64))?;
            if !synthetic {
                return Ok((cpu, None, "GPU engine: for the synthetic problems, or by --engine gpu.".into()));
            }
            match engine::open(Choice::Gpu, None) {
                Ok(gpu) => Ok((cpu, Some(gpu), String::new())),
                Err(e) => Ok((cpu, None, format!("GPU engine: none here ({e})."))),
            }
        }
    }
}

fn rules(
    experiment: &Experiment,
    reference: &Reference,
    (engine, precision): &mut Opened,
) -> Result<Vec<RuleRun>> {
    let name = engine.info().engine;
    experiment.run(reference, engine.as_mut(), *precision, |rule| {
        note!("{} on the {name} engine: {}", experiment.name, rule.name());
    })
}

/// The experiment on the user's data set.
fn own(data: Dataset, starts: usize) -> Result<Experiment> {
    let mut values: Vec<f64> = data.target().to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let classes = data.class_names().is_some() || values.len() == 2;
    let (loss, penalty) =
        if classes { (Loss::logistic(), Penalty::l2()) } else { (Loss::squared(), Penalty::l1()) };
    experiments::on_data("own", data, loss, penalty, starts)
}

fn made(args: &Args, first: &Opened, second: Option<&Opened>, note: &str, seconds: f64) -> Vec<String> {
    let mut command = "proxjet reproduce".to_string();
    command.extend(args.data.iter().map(|data| format!(" --data {data}")));
    command.extend(args.synthetic.then_some(" --synthetic"));
    command.extend(args.starts.map(|starts| format!(" --starts {starts}")));
    let line = |(engine, precision): &Opened| {
        let info = engine.info();
        let software = if info.software { ", a software adapter" } else { "" };
        format!("{} engine: {} ({}{software}), {}.", info.engine, info.adapter, info.driver, precision.name())
    };
    let mut lines = vec![
        format!("Command: {command} (version {}), {seconds:.0} s in all.", env!("CARGO_PKG_VERSION")),
        line(first),
    ];
    lines.extend(second.map(line));
    if !note.is_empty() {
        lines.push(note.into());
    }
    lines.extend(
        [
            "Solutions and their derivatives: Newton's method and the implicit linear system on the \
                manifold, f64.",
            "Seeds are lanes of one batch per rule: each has a normal start of its own, and its own draws \
                where steps are random; they share \
             the data.",
            "rates.csv has every start; result.json has fit windows and errors besides.",
        ]
        .map(String::from),
    );
    lines
}
