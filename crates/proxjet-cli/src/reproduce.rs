//! `proxjet reproduce`.

use std::io::Write;
use std::path::PathBuf;
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
use proxjet_experiments::pictures::{curse, figures, secant};
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
    /// Another data set: .csv, .tsv, .npy, .npz or .svm; two classes are fitted by logistic regression,
    /// numbers by the lasso
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    /// Runs per rule on the synthetic problems
    #[arg(long, value_name = "N", default_value_t = 50)]
    starts: usize,
}

/// An engine with its precision.
type Opened = (Box<dyn Engine>, Precision);

pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.starts == 0 || args.starts > 1000 {
        return Err(Error::usage("--starts", args.starts.to_string(), "a number from 1 to 1000", ""));
    }
    let out = OutputDir::create(&args.out)?;
    let clock = Instant::now();
    let (mut engine, mut second, note) = engines(&args.engine)?;
    let mut sections = Vec::new();
    let mut files = Vec::new();
    let mut experiments =
        vec![(experiments::lasso(args.starts)?, true), (experiments::logistic(args.starts)?, true)];
    match &args.data {
        Some(file) => experiments.push((own(args.input.read(file, DEFAULT_MEMORY_BUDGET)?)?, false)),
        None => experiments.extend(experiments::real()?.into_iter().map(|e| (e, false))),
    }
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
            figures,
            table: Some(table(&file)),
        });
        files.push(file);
        if interrupt::asked() {
            break;
        }
    }
    if !interrupt::asked() {
        sections.push(curse(engine.0.as_mut(), engine.1, &out)?);
        sections.push(secant(engine.0.as_mut(), engine.1, &out)?);
    }
    out.write("rates.csv", |w| write_csv(&files, w))?;
    out.write("result.json", |w| serde_json::to_writer_pretty(w, &files).map_err(std::io::Error::from))?;
    let seconds = clock.elapsed().as_secs_f64();
    let made = made(args, engine.0.as_ref(), engine.1, second.as_ref(), &note, seconds);
    let text = page(TITLE, &introduction(), &sections, &made);
    out.write("index.html", |w| w.write_all(text.as_bytes()))?;
    note!("{seconds:.0} s; the page is {}", out.path().join("index.html").display());
    Ok(if interrupt::asked() { INTERRUPTED } else { 0 })
}

/// The engine of all experiments, and a second one for the synthetic problems.
fn engines(args: &EngineArgs) -> Result<(Opened, Option<Opened>, String)> {
    match args.choice() {
        Choice::Cpu => Ok((args.open(None)?, None, "GPU engine: not asked for.".into())),
        Choice::Gpu => Ok((args.open(None)?, None, String::new())),
        Choice::Auto => {
            let cpu = engine::open(Choice::Cpu, Some(Precision::F64))?;
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
fn own(data: Dataset) -> Result<Experiment> {
    let mut values: Vec<f64> = data.target().to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let classes = data.class_names().is_some() || values.len() == 2;
    let (loss, penalty) =
        if classes { (Loss::logistic(), Penalty::l2()) } else { (Loss::squared(), Penalty::l1()) };
    experiments::on_data("own", data, loss, penalty)
}

fn made(
    args: &Args,
    engine: &dyn Engine,
    precision: Precision,
    second: Option<&Opened>,
    note: &str,
    seconds: f64,
) -> Vec<String> {
    let data = args.data.as_ref().map_or(String::new(), |d| format!(" --data {d}"));
    let line = |engine: &dyn Engine, precision: Precision| {
        let info = engine.info();
        let software = if info.software { ", a software adapter" } else { "" };
        format!("{} engine: {} ({}{software}), {}.", info.engine, info.adapter, info.driver, precision.name())
    };
    let mut lines = vec![
        format!(
            "Command: proxjet reproduce --starts {}{data} (version {}), {seconds:.0} s in all.",
            args.starts,
            env!("CARGO_PKG_VERSION")
        ),
        line(engine, precision),
    ];
    lines.extend(second.map(|(e, p)| line(e.as_ref(), *p)));
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
