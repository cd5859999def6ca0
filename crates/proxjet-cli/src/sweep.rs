//! `proxjet sweep`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::flags::translated;
use crate::settings::Settings;
use crate::{INTERRUPTED, SOME_NOT_CONVERGED, interrupt, print, print_json};
use proxjet::diff::{analyse, solutions};
use proxjet::engine::{Engine, Status};
use proxjet::error::{Error, Result};
use proxjet::schedule::TangentStart;
use proxjet::solve::{Sweep, SweepResult};
use proxjet_report::{
    DataInfo, Model, OutputDir, ResultFile, convergence_summary, lane_table, summary, write_coefficients,
    write_trace,
};

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Folder for result.json, trace.npz, coefficients.csv and model.json; may be left out with --json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure and predict the rates of iterates and derivatives; needs a dense system of the active
    /// coefficients per lane
    #[arg(long)]
    rates: bool,
    /// Print result.json on stdout instead of a table
    #[arg(long)]
    json: bool,
    /// Print the plan with its bytes and an estimate of the time, and run nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let (mut engines, precision) = args.settings.engine.open_all(args.settings.precision()?)?;
    let sweep = args.settings.sweep(precision)?;
    if args.dry_run {
        let plan = sweep.plan(engines[0].as_ref())?;
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
    let out = match &args.out {
        Some(path) => Some(OutputDir::create(path)?),
        None if args.json => None,
        None => {
            let remedy = "Give --out DIR, or --json to print the result and keep no files.";
            return Err(Error::usage("--out", "no folder", "a folder for the results", remedy));
        }
    };
    let result = run_with_progress(&sweep, &mut engines, "sweep")?;
    let validation = args.settings.validation()?;
    // A late start is analysed because its error needs a bound.
    let late = sweep.rules().tangents_from() != TangentStart::Iteration(0);
    let convergence =
        if args.rates || late { Some(analyse(&sweep, &result, &solutions(&sweep, &result)?)?) } else { None };
    let data = DataInfo::new(sweep.problem(), validation);
    let model = Model::of(&result, sweep.problem());
    let file =
        ResultFile::new(&result, data).with_model(model.as_ref()).with_convergence(convergence.as_deref());
    if let Some(out) = &out {
        save(out, "", &result, &file)?;
        out.write("coefficients.csv", |w| write_coefficients(&result, sweep.problem(), w))?;
        if let Some(model) = &model {
            out.write("model.json", |w| Ok(serde_json::to_writer_pretty(w, model)?))?;
        }
    }
    if args.json {
        print_json(&file)?;
    } else {
        print(&lane_table(&result.lanes))?;
    }
    note!("{}", translated(&summary(&result)).trim_end());
    if let Some(lanes) = &convergence {
        note!("{}", convergence_summary(lanes).trim_end());
    }
    if let Some(out) = &out {
        note!("results: {}", out.path().display());
        if model.is_none() {
            note!(
                "no model.json: that is the lane of the lowest held-out loss; give --validation, or a single \
                    alpha"
            );
        }
    }
    Ok(exit_code(&result))
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
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
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

/// 130 when interrupted, 3 when a lane did not converge, else 0.
pub(crate) fn exit_code(result: &SweepResult) -> u8 {
    if interrupt::asked() {
        INTERRUPTED
    } else if result.lanes.iter().all(|l| l.status == Status::Converged) {
        0
    } else {
        SOME_NOT_CONVERGED
    }
}
