//! `proxjet sweep`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::flags::translated;
use crate::settings::Settings;
use crate::{INTERRUPTED, QUIET, SOME_NOT_CONVERGED, interrupt, print, print_json, print_styled};
use proxjet::certificate::Verdict;
use proxjet::diff::{analyse, solutions};
use proxjet::engine::{Engine, Status};
use proxjet::error::{Error, Result};
use proxjet::objective::Objective;
use proxjet::schedule::TangentStart;
use proxjet::solve::{CrossValidated, LaneResult, Sweep, SweepResult};
use proxjet_report::{
    DataInfo, Model, OutputDir, ResultFile, best_candidate, convergence_summary, cross_validation_table,
    lane_table, plot, summary, write_coefficients, write_lanes, write_trace,
};

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Folder for the results; without it no files are kept
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Measure and predict the rates of iterates and derivatives; needs a dense system of the active
    /// coefficients per lane
    #[arg(long, help_heading = "Derivatives")]
    rates: bool,
    /// Print result.json on stdout instead of a short table
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print every lane on stdout as CSV instead of a short table
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    csv: bool,
    /// Print the plan with its bytes and an estimate of the time, and run nothing
    #[arg(long, help_heading = "Output")]
    dry_run: bool,
}

const EXAMPLES: &str = "Examples:
  proxjet sweep --data houses.csv --target price --standardize --validation 0.25:1 --out out
      the lasso path of a CSV file: the model of the lowest held-out loss, coefficients, a picture
  proxjet sweep --data bundled:breast_cancer --loss logistic --penalty elastic_net --l1-ratio 0.5 \\
                --derivative log_alpha,l1_ratio --validation 0.3:1
      which of two settings matters, by the slope of the held-out loss
  proxjet sweep --data big.npz --alphas geom:1:1e-3:1000 --engine gpu --deadline 60 --out out
      a thousand candidates on a GPU, for a minute at most";

pub(crate) fn run(args: &Args) -> Result<u8> {
    let (mut engines, precision) = args.settings.engine.open_all(args.settings.precision()?)?;
    let sweep = args.settings.sweep(precision)?;
    // A late start is analysed because its error needs a bound.
    let late = sweep.rules().tangents_from() != TangentStart::Iteration(0);
    let sweep = if args.rates || late { args.settings.with_every_record(sweep) } else { sweep };
    refuse_conflicts(args, &sweep, late)?;
    // Before a folder is made.
    let plan = sweep.plan(engines[0].as_ref())?;
    if args.dry_run {
        if engines.len() > 1 {
            note!("the plan of the first of {} devices, if it ran alone", engines.len());
        }
        if args.json {
            print_json(&plan)?
        } else {
            print(&format!("{plan}\n"))?
        }
        return Ok(0);
    }
    if sweep.problem().folds() > 0 {
        // The fit on all rows must be possible, whatever alpha is the best.
        sweep.clone().without_folds(1.0).prepare()?;
    }
    let out = args.out.as_ref().map(|path| OutputDir::create(path)).transpose()?;
    let result = run_with_progress(&sweep, &mut engines, "sweep")?;
    if let Some(candidates) = result.cross_validation() {
        return cross_validated(args, &sweep, &mut engines, (&result, &candidates), out.as_ref());
    }
    let validation = args.settings.validation()?;
    let convergence =
        if args.rates || late { Some(analyse(&sweep, &result, &solutions(&sweep, &result)?)?) } else { None };
    let data = DataInfo::new(sweep.problem(), validation);
    let model = Model::of(&result, sweep.problem());
    let file =
        ResultFile::new(&result, data).with_model(model.as_ref()).with_convergence(convergence.as_deref());
    if let Some(out) = &out {
        save(out, "", &result, &file)?;
        out.write("coefficients.csv", |w| write_coefficients(&result, sweep.problem(), w))?;
        // Files of an earlier sweep must not stay beside those of this one.
        match &model {
            Some(model) => {
                out.write("model.json", |w| Ok(serde_json::to_writer_pretty(w, model)?)).map(|_| ())?
            }
            None => out.remove("model.json")?,
        }
    }
    let pictured = out.as_ref().map(|out| picture(out, &sweep, &result)).transpose()?.unwrap_or(false);
    if args.json {
        print_json(&file)?;
    } else if args.csv {
        let mut rows = Vec::new();
        write_lanes(&result, &mut rows).expect("memory takes any text");
        print(&String::from_utf8_lossy(&rows))?;
    } else {
        print_styled(&lane_table(&result))?;
    }
    note!("{}", translated(&summary(&result, sweep.problem())).trim_end());
    if let Some(lanes) = &convergence {
        note!("{}", convergence_summary(lanes).trim_end());
    }
    match &out {
        Some(out) => note!(
            "{}",
            contents(out, sweep.problem(), model.as_ref(), (pictured, args.settings.has_validation_data()))
        ),
        None if args.json || args.csv => {}
        None => note!("no files are kept; --out DIR keeps models, coefficients, pictures and the sequence"),
    }
    Ok(exit_code(&result))
}

/// Refuses what an analysis of the sequence cannot have beside it; `late` is true for a late start.
fn refuse_conflicts(args: &Args, sweep: &Sweep, late: bool) -> Result<()> {
    if sweep.problem().folds() > 0 && (args.rates || late) {
        let found = if args.rates { "--rates with folds" } else { "a late --tangent-start with folds" };
        return Err(Error::usage("folds", found, "one of them", "Leave one of the two out."));
    }
    if (args.rates || late) && args.settings.keeps_less_than_all() {
        let found =
            format!("less than every record, with {}", if args.rates { "--rates" } else { "a late start" });
        return Err(Error::usage("keep", found, "all", "Leave --keep out."));
    }
    if args.rates && args.settings.is_newton_path() {
        let found = "--rates with --path newton, which leaves no sequence";
        return Err(Error::usage("--rates", found, "one of them", "Leave one of the two out."));
    }
    Ok(())
}

/// Ends a sweep over folds: the candidates' losses, and the model of the best of them, fitted on all rows.
fn cross_validated(
    args: &Args,
    sweep: &Sweep,
    engines: &mut [Box<dyn Engine>],
    (result, candidates): (&SweepResult, &[CrossValidated]),
    out: Option<&OutputDir>,
) -> Result<u8> {
    let best = CrossValidated::best(candidates).map(|i| &candidates[i]);
    let refitted = match best {
        Some(best) => {
            let refit = sweep.clone().without_folds(best.alpha);
            Some(run_with_progress(&refit, engines, "fit on all rows")?)
        }
        None => None,
    };
    let model = refitted.as_ref().and_then(|fit| Model::of(fit, sweep.problem()));
    let data = DataInfo::new(sweep.problem(), None);
    let file = ResultFile::new(result, data).with_cross_validation(candidates).with_model(model.as_ref());
    if let Some(out) = out {
        save(out, "", result, &file)?;
        for name in ["path.svg", "path.png"] {
            out.remove(name)?;
        }
        match (&refitted, &model) {
            (Some(fit), Some(model)) => {
                out.write("coefficients.csv", |w| write_coefficients(fit, sweep.problem(), w))?;
                out.write("model.json", |w| Ok(serde_json::to_writer_pretty(w, model)?))?;
            }
            _ => ["coefficients.csv", "model.json"].iter().try_for_each(|name| out.remove(name))?,
        }
    }
    if args.json {
        print_json(&file)?;
    } else if args.csv {
        let mut rows = Vec::new();
        write_lanes(result, &mut rows).expect("memory takes any text");
        print(&String::from_utf8_lossy(&rows))?;
    } else {
        print_styled(&cross_validation_table(candidates))?;
    }
    note!("{}", translated(&summary(result, sweep.problem())).trim_end());
    match best {
        Some(best) => note!("{}", best_candidate(best, candidates)),
        None => note!("no alpha has a held-out loss in every fold"),
    }
    match out {
        Some(out) => note!("{}", contents(out, sweep.problem(), model.as_ref(), (false, false))),
        None if args.json || args.csv => {}
        None => note!("no files are kept; --out DIR keeps the model, its coefficients and the sequence"),
    }
    Ok(exit_code(result).max(refitted.as_ref().map_or(0, exit_code)))
}

/// Draws the path of two or more alphas; false if there is none to draw.
fn picture(out: &OutputDir, sweep: &Sweep, result: &SweepResult) -> Result<bool> {
    let problem = sweep.problem();
    let shape = problem.shape();
    let source = problem.source().rsplit(['/', '\\']).next().unwrap_or_default();
    let title = format!("{} with {} on {}", problem.loss(), problem.penalty(), source);
    let held_out = match shape.validation_rows {
        0 => String::new(),
        rows => format!(", {rows} held out"),
    };
    let subtitle = format!(
        "{} by {} features; {} rows fitted{held_out}",
        problem.target_name(),
        shape.features,
        shape.rows
    );
    let has_path = problem.penalty().uses_alpha();
    let picture = if has_path { plot::path(result, problem, &title, &subtitle)? } else { None };
    match &picture {
        Some(picture) => picture.write(out, "path")?,
        None => ["path.svg", "path.png"].iter().try_for_each(|name| out.remove(name))?,
    }
    Ok(picture.is_some())
}

/// What a folder of results has.
fn contents(
    out: &OutputDir,
    problem: &Objective,
    model: Option<&Model>,
    (pictured, from_file): (bool, bool),
) -> String {
    let has_model = model.is_some();
    let folder = out.path().display();
    let mut files = vec!["result.json", "coefficients.csv", "trace.npz"];
    files.extend(has_model.then_some("model.json"));
    files.extend(pictured.then_some("path.svg, path.png"));
    let next = if has_model {
        let refit = match (problem.shape(), model) {
            (shape, Some(model)) if shape.validation_rows > 0 => format!(
                "\nthe model is fitted on {} of {} rows; on all of them {}, with --alphas {}",
                shape.rows,
                shape.rows + shape.validation_rows,
                if from_file { "with both files in one" } else { "without --validation" },
                model.alpha
            ),
            _ => String::new(),
        };
        format!("predict other rows: proxjet predict --model {folder}/model.json --data FILE{refit}")
    } else if problem.shape().validation_rows > 0 {
        "no model.json: no lane ended with finite numbers".into()
    } else {
        "no model.json: that is the lane of the lowest held-out loss; give --validation, or a single alpha"
            .into()
    };
    format!("{folder}/ has {}\n{next}", files.join(", "))
}

/// Writes `result.json` and `trace.npz`, their names preceded by `prefix`.
pub(crate) fn save(out: &OutputDir, prefix: &str, result: &SweepResult, file: &ResultFile<'_>) -> Result<()> {
    out.write(&format!("{prefix}trace.npz"), |w| write_trace(&result.trace, &file.id, w))?;
    out.write(&format!("{prefix}result.json"), |w| Ok(serde_json::to_writer_pretty(w, file)?))?;
    Ok(())
}

/// Runs a sweep with a progress bar on stderr (where that is a terminal) and handles Ctrl-C.
pub(crate) fn run_with_progress(
    sweep: &Sweep,
    engines: &mut [Box<dyn Engine>],
    name: &str,
) -> Result<SweepResult> {
    interrupt::listen();
    let plan = sweep.plan(engines[0].as_ref())?;
    let total = (plan.request.iterations * plan.request.lanes) as u64;
    let quiet = QUIET.load(std::sync::atomic::Ordering::Relaxed);
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("{prefix:28} [{bar:30}] {percent} %, {msg} ({eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(name.to_string());
    let mut engines: Vec<&mut dyn Engine> = engines.iter_mut().map(|e| e.as_mut() as _).collect();
    let result = sweep.clone().cancel_by(interrupt::flag()).run_on(&mut engines, |_, progress| {
        bar.set_position((progress.iterations + progress.skipped) as u64);
        bar.set_message(format!("{} of {} lanes going", progress.running, progress.lanes));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    result
}

/// True if a lane converged, or if its delivered model is certified all the same.
fn is_solved(lane: &LaneResult) -> bool {
    lane.status == Status::Converged || lane.certificate.is_some_and(|c| c.verdict == Verdict::Green)
}

/// 130 when interrupted, 3 when a lane neither converged nor has a certified model, else 0.
pub(crate) fn exit_code(result: &SweepResult) -> u8 {
    if interrupt::asked() {
        INTERRUPTED
    } else if result.lanes.iter().all(is_solved) {
        0
    } else {
        SOME_NOT_CONVERGED
    }
}
