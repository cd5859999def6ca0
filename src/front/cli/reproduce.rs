//! `proxjet reproduce`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::engine::{self, Choice, EngineArgs};
use super::{INTERRUPTED, interrupt, print};
use crate::data::{self, Dataset, ReadOptions};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::front::reproduce::page::{Figure, Section, page};
use crate::front::reproduce::table::{ExperimentFile, engine_name, markdown, write_csv};
use crate::front::reproduce::{self, Experiment, Reference, Rule, RuleRun};
use crate::objective::{Loss, Penalty};
use crate::program::Precision;
use crate::report::OutputDir;
use crate::report::plot::{self, ConvergenceCurve};
use crate::schedule::{Algorithm, Phase, Schedule, Step, TangentStart};
use crate::solve::DEFAULT_MEMORY_BUDGET;

/// Arguments of `reproduce`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --engine auto all problems run on the CPU engine in f64, and the synthetic ones on the best adapter besides, where there is one."
)]
pub(super) struct Args {
    /// Folder for index.html, pictures, rates.csv and result.json
    #[arg(long, value_name = "DIR", default_value = "proxjet-reproduce")]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// Another data set: .csv, .npy, .npz or .svm; two classes are fitted by logistic regression, numbers by the lasso
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// Target column of --data
    #[arg(long, value_name = "NAME|INDEX")]
    target: Option<String>,
    /// Runs per rule on the synthetic problems
    #[arg(long, value_name = "N", default_value_t = 50)]
    starts: usize,
}

/// An engine with its precision.
type Opened = (Box<dyn Engine>, Precision);

pub(super) fn run(args: &Args) -> Result<u8> {
    if args.starts == 0 || args.starts > 1000 {
        return Err(Error::usage("--starts", args.starts.to_string(), "a number from 1 to 1000", ""));
    }
    let out = OutputDir::create(&args.out)?;
    let clock = Instant::now();
    let (mut engine, mut second, note) = engines(&args.engine)?;
    let mut sections = Vec::new();
    let mut files = Vec::new();
    let mut experiments =
        vec![(reproduce::lasso(args.starts)?, true), (reproduce::logistic(args.starts)?, true)];
    match &args.data {
        Some(file) => experiments.push((own(file, args.target.clone())?, false)),
        None => experiments.extend(reproduce::real()?.into_iter().map(|e| (e, false))),
    }
    for (experiment, on_both) in &experiments {
        let reference = experiment.reference()?;
        let mut runs = rules(experiment, &reference, &mut engine)?;
        let figures = figures(experiment, &runs, &out)?;
        if let Some(second) = second.as_mut().filter(|_| *on_both) {
            runs.extend(rules(experiment, &reference, second)?);
        }
        let file = ExperimentFile::new(experiment, &reference, &runs);
        print(&format!("\n{}\n\n{}", file.title, markdown(&file)));
        sections.push(Section {
            title: experiment.title.clone(),
            words: experiment.words.clone(),
            figures,
            file: Some(file),
        });
        if interrupt::asked() {
            break;
        }
    }
    if !interrupt::asked() {
        sections.push(curse(&mut engine, &out)?);
        sections.push(secant(&mut engine, &out)?);
    }
    for section in &mut sections {
        files.extend(section.file.take());
    }
    out.write("rates.csv", |w| write_csv(&files, w))?;
    out.write("result.json", |w| serde_json::to_writer_pretty(w, &files).map_err(std::io::Error::from))?;
    // The page shows the tables, so they go back.
    for (section, file) in sections.iter_mut().zip(files) {
        section.file = Some(file);
    }
    let seconds = clock.elapsed().as_secs_f64();
    let made = made(args, engine.0.as_ref(), engine.1, second.as_ref(), &note, seconds);
    let text = page(&sections, &made);
    out.write("index.html", |w| w.write_all(text.as_bytes()))?;
    eprintln!("{seconds:.0} s; the page is {}", out.path().join("index.html").display());
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
        eprintln!("{} on the {name} engine: {}", experiment.name, rule.name());
    })
}

/// A data set of the user.
fn own(file: &str, target: Option<String>) -> Result<Experiment> {
    let data: Dataset = match file.strip_prefix("bundled:") {
        Some(name) => data::bundled(name)?,
        None => data::read(Path::new(file), &ReadOptions { target, max_bytes: DEFAULT_MEMORY_BUDGET })?,
    };
    let mut values: Vec<f64> = data.target().to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let classes = data.class_names().is_some() || values.len() == 2;
    let (loss, penalty) =
        if classes { (Loss::logistic(), Penalty::l2()) } else { (Loss::squared(), Penalty::l1()) };
    reproduce::on_data("own", data, loss, penalty)
}

fn curve(label: String, run: &RuleRun) -> ConvergenceCurve {
    ConvergenceCurve {
        label,
        iteration: run.result.trace.iteration.clone(),
        error: run.error.clone(),
        derivative_error: run.derivative_error.clone(),
        identified: run.analysis.iter().filter_map(|a| a.identified).collect(),
    }
}

/// Two pictures of an experiment: gradient rules, and rules with momentum.
fn figures(experiment: &Experiment, runs: &[RuleRun], out: &OutputDir) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (gradient, file, title, words) in [
        (true, "gradient", "proximal gradient, step and metric varying", GRADIENT_WORDS),
        (false, "momentum", "with momentum, and a switch of the method", MOMENTUM_WORDS),
    ] {
        let label = |run: &RuleRun| {
            let summary = reproduce::table::RuleSummary::new(run);
            let rate = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.3}"));
            let middle = |v: Option<[f64; 3]>| rate(v.map(|b| b[1]));
            format!(
                "{}: q {} | {} (pred. {})",
                run.rule.name(),
                middle(summary.q_x),
                middle(summary.q_d),
                rate(summary.predicted)
            )
        };
        let curves: Vec<ConvergenceCurve> =
            runs.iter().filter(|r| r.rule.is_gradient() == gradient).map(|r| curve(label(r), r)).collect();
        let subtitle = format!(
            "{}; {} starts: median and 10–90 % band; q of x | Dx; dashed: active set identified",
            runs.first().map_or(String::new(), |r| engine_name(&r.result.info)),
            experiment.starts
        );
        let picture = plot::convergence(&curves, &format!("{}: {title}", experiment.short), &subtitle)?;
        picture.write(out, &format!("{}-{file}", experiment.name))?;
        let identified =
            if experiment.problem.penalty() == Penalty::l1() { IDENTIFIED_WORDS } else { SMOOTH_WORDS };
        figures.push(Figure { picture, words: format!("{words} {identified}") });
    }
    Ok(figures)
}

const GRADIENT_WORDS: &str = "Left: distance of the iterates to the solution. Right: distance of their derivatives to the solution's \
    derivative. Straight, parallel lines of the same colour in both panels are the statement: whatever the step does, the derivative follows at \
    the solver's own rate.";
const IDENTIFIED_WORDS: &str = "Before the dashed line of its colour (median over the starts) the active set of a rule is still wrong, and so is \
    the derivative. Rules that switch do so after ten iterations without a change of the active set, which can be before the last change.";
const SMOOTH_WORDS: &str =
    "There is no active set here: nothing to identify, and rules that switch do so after ten iterations.";
const MOMENTUM_WORDS: &str = "The same with momentum. Rules whose momentum tends to 1 bend: their errors carry a power of k besides the \
    rate. The switch follows proximal gradient up to its identification, and accelerated proximal gradient afterwards.";

/// Far starts, with and without the early derivatives.
fn curse((engine, precision): &mut Opened, out: &OutputDir) -> Result<Section> {
    let experiment =
        Experiment { spread: 30.0, starts: 20, name: "curse".into(), ..reproduce::logistic(20)? };
    let reference = experiment.reference()?;
    let (mut curves, mut lines) = (Vec::new(), Vec::new());
    for (start, label) in [
        (0, "derivatives from the start"),
        (200, "derivatives from iteration 200"),
        (600, "derivatives from iteration 600"),
    ] {
        let schedule =
            Schedule::from(Phase::new(Algorithm::Pgd)).tangent_start(TangentStart::Iteration(start));
        let sweep = experiment.sweep(schedule, 1500).precision(*precision);
        let result = sweep.run(engine.as_mut())?;
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference)?;
        let peak = run.derivative_error.iter().fold(0.0, |m: f64, v| m.max(*v));
        let late = run.analysis.iter().filter_map(|a| a.late_start.as_ref());
        let bound = late.filter_map(|l| l.bound.as_ref()).map(|b| b[0]).fold(0.0, f64::max);
        let at = run.result.trace.iteration.iter().position(|k| *k >= 1000).unwrap_or(0);
        let mut there = run.derivative_error.row(at).to_vec();
        there.sort_by(f64::total_cmp);
        let there = there[there.len() / 2];
        let proved = if start == 0 {
            String::new()
        } else {
            format!("; at the end it is proved to be below {bound:.0e}")
        };
        lines.push(format!(
            "{label}: the error peaks at {peak:.1} times the derivative and is {there:.1e} (median) at iteration 1000{proved}"
        ));
        curves.push(curve(format!("{label} (peak {peak:.1})"), &run));
    }
    let subtitle = "logistic regression with an l2 penalty, PGD 1/L; 20 starts 300 times farther away: median and 10–90 % band";
    let picture = plot::convergence(&curves, "The curse of unrolling, and a late start", subtitle)?;
    picture.write(out, "curse-of-unrolling")?;
    let words = "Far from the solution the Jacobians are not those of the solution, and what they feed into the derivative must decay \
        first: the hump of the first curve. Derivatives that start late, from zero, have no hump, and soon are as good as the others; a start too \
        late has too few iterations left. The bounds are proved, and wide.";
    Ok(Section {
        title: "A caution: the curse of unrolling".into(),
        words: format!("{}.", lines.join("; ")),
        figures: vec![Figure { picture, words: words.into() }],
        file: None,
    })
}

/// Barzilai–Borwein steps, with and without a clamp.
fn secant((engine, precision): &mut Opened, out: &OutputDir) -> Result<Section> {
    let experiment = reproduce::ridge(20)?;
    let reference = experiment.reference()?;
    let (mut curves, mut lines) = (Vec::new(), Vec::new());
    for (high, label) in [(1e6, "without a clamp"), (1.9, "clamped below 1.9/L")] {
        let schedule = Phase::new(Algorithm::Pgd).step(Step::BarzilaiBorwein { high });
        let sweep = experiment.sweep(schedule, 1000).every(2).precision(*precision);
        let result = sweep.run(engine.as_mut())?;
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference)?;
        let peak =
            run.derivative_error.iter().fold(0.0, |m: f64, v| if v.is_finite() { m.max(*v) } else { m });
        let last = |of: &ndarray::Array2<f64>| {
            let mut row = of.outer_iter().next_back().map(|r| r.to_vec()).unwrap_or_default();
            row.sort_by(f64::total_cmp);
            row.get(row.len() / 2).copied().unwrap_or(f64::NAN)
        };
        lines.push(format!(
            "{label}: the derivative's error peaks at {peak:.1e} and ends at {:.1e} (median), that of the iterate ends at {:.1e}",
            last(&run.derivative_error),
            last(&run.error)
        ));
        curves.push(curve(format!("Barzilai–Borwein {label}"), &run));
    }
    let condition = reference.curvatures.lipschitz / reference.curvatures.restricted;
    let subtitle = format!(
        "least squares with an l2 penalty, L/m = {condition:.0}; 20 starts: median and 10–90 % band; derivatives through the steps"
    );
    let picture = plot::convergence(&curves, "Steps found from the iterates", &subtitle)?;
    picture.write(out, "barzilai-borwein")?;
    let words = "Unclamped, steps leave (0, 2/L): there is no common contraction, and the derivative is that of a chaotic map from alpha to the \
        iterate, although the iterates converge, and fast. Clamped, the derivative converges with the iterate, slowly; that is \
        measured, not proved, as the tangents of such steps are not bounded. After an unclamped run use an implicit derivative. The picture ends at \
        1e12.";
    Ok(Section {
        title: "A caution: Barzilai–Borwein steps".into(),
        words: format!("{}.", lines.join("; ")),
        figures: vec![Figure { picture, words: words.into() }],
        file: None,
    })
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
            "Solutions and their derivatives: Newton's method and the implicit linear system on the manifold, f64.",
            "Seeds are lanes of one batch per rule: each has a normal start of its own, and its own draws where steps are random; they share \
             the data.",
            "rates.csv has every start; result.json has fit windows and errors besides.",
        ]
        .map(String::from),
    );
    lines
}
