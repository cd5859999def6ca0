//! `proxjet grad`.

use std::path::PathBuf;

use crate::settings::Settings;
use crate::{INTERRUPTED, SOME_NOT_CONVERGED, interrupt, print_json, print_styled};
use proxjet::diff::{Choice, Criterion, Differentiate, Differentiated, Kind, Mode};
use proxjet::error::{Error, Result};
use proxjet_report::{
    DataInfo, GradientFile, OutputDir, choice_table, gradient_table, size, write_gradient, write_trace,
};

/// Arguments of `grad`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// How to differentiate: forward (tangents of every iterate), reverse (a sweep backward, all
    /// hyperparameters at once), implicit (a linear system at the solution), fixed_point (the executed
    /// steps again, linearised at the last iterate), one_step, hybrid (forward until the active set is
    /// that of the solution, then implicit), or auto (the least estimated time; --dry-run shows the
    /// estimates)
    #[arg(help_heading = "Derivatives", long, value_name = "MODE", default_value = "auto")]
    mode: String,
    /// What the gradient is of: validation (the loss of held-out rows) or objective [default: validation
    /// where rows are held out, else none]
    #[arg(help_heading = "Derivatives", long, value_name = "WHAT")]
    criterion: Option<String>,
    /// Compute the derivatives of all coefficients, too [default: for up to 32 hyperparameters, and without a
    /// criterion]
    #[arg(help_heading = "Derivatives", long, overrides_with = "no_jacobian")]
    jacobian: bool,
    /// Compute no more than the gradient of the criterion
    #[arg(help_heading = "Derivatives", long, overrides_with = "jacobian")]
    no_jacobian: bool,
    /// Folder for grad.npz and grad.json; without it no files are kept
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Print grad.json on stdout instead of a short table
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print what each mode would take, and which one auto chooses, and run nothing
    #[arg(long, help_heading = "Output")]
    dry_run: bool,
}

const EXAMPLES: &str = "Examples:
  proxjet grad --data bundled:diabetes --standardize --validation 0.25:1 --out out
      the slope of the held-out loss along the path, in the mode of the least time
  proxjet grad --data bundled:breast_cancer --loss logistic --validation 0.3:1 --alphas 0.01 \\
               --mode implicit --derivative 'penalty_factor:*'
      which feature should be penalised more, which less
  proxjet grad --data bundled:diabetes --standardize --validation 0.25:1 --alphas 5 --iterations 50 \\
               --tol 0 --mode reverse --derivative 'step:*,momentum:*' --out out
      the influence of every step size and momentum on the loss after 50 iterations";

/// More derivatives of all coefficients are computed only if they are asked for.
const MOST_OF_ALL: usize = 32;

/// Exit code 0 when every lane has derivatives of what was asked for, else 3.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let mode: Mode = args.mode.parse()?;
    let (mut engine, precision) = args.settings.engine.open(args.settings.precision()?)?;
    interrupt::listen();
    let sweep = args.settings.sweep(precision)?.cancel_by(interrupt::flag());
    let mut differentiate = Differentiate::new(sweep.clone()).mode(mode);
    if let Some(criterion) = &args.criterion {
        differentiate = differentiate.criterion(criterion.parse::<Criterion>()?);
    }
    let has_criterion = args.criterion.is_some() || differentiate.has_criterion();
    let count = differentiate.derivatives().len();
    check_wanted(args, mode, has_criterion, count)?;
    let by_default = !has_criterion || count <= MOST_OF_ALL;
    differentiate = differentiate.with_jacobian(!args.no_jacobian && (args.jacobian || by_default));
    let choice = match mode == Mode::Auto || args.dry_run {
        true => Some(differentiate.choose(engine.as_mut())?),
        false => None,
    };
    if let Some(choice) = choice.as_ref().filter(|_| args.dry_run) {
        return show_choice(args, mode, choice);
    }
    if let Some(choice) = &choice {
        differentiate = differentiate.mode(choice.mode);
    }
    let out = args.out.as_ref().map(|path| OutputDir::create(path)).transpose()?;
    let found = differentiate.run(engine.as_mut())?;
    let data = DataInfo::new(sweep.problem(), args.settings.validation()?);
    let file = GradientFile::new(&found, choice.as_ref(), data);
    if let Some(out) = &out {
        save(out, &found, &file)?;
    }
    if args.json {
        print_json(&file)?;
    } else {
        print_styled(&gradient_table(&found))?;
    }
    note!("{}", in_words(&found, choice.as_ref()));
    match &out {
        Some(out) => note!("{}/ has grad.json, grad.npz{}", out.path().display(), trace_named(&found)),
        None if args.json => {}
        None => note!("no files are kept; --out DIR keeps all numbers"),
    }
    Ok(exit_code(&found))
}

/// Refuses what would leave nothing to compute.
fn check_wanted(args: &Args, mode: Mode, has_criterion: bool, derivatives: usize) -> Result<()> {
    if derivatives == 0 {
        let remedy = "Name some, such as log_alpha, penalty_factor:FEATURE or target:FILE.npy.";
        return Err(Error::usage("--derivative", "none", "at least one derivative", remedy));
    }
    if has_criterion || (mode != Mode::Reverse && !args.no_jacobian) {
        return Ok(());
    }
    let found = if args.no_jacobian { "none, with --no-jacobian" } else { "none, with --mode reverse" };
    let remedy = "Hold rows out by --validation or --folds, or give --criterion objective.";
    Err(Error::usage("--criterion", found, "something to differentiate", remedy))
}

/// Prints the estimates; exit code 2 if the mode that is asked for is refused.
fn show_choice(args: &Args, mode: Mode, choice: &Choice) -> Result<u8> {
    let mut choice = choice.clone();
    if mode != Mode::Auto {
        (choice.mode, choice.reason) = (mode, "as asked for".into());
    }
    if args.json {
        print_json(&choice)?;
    } else {
        print_styled(&choice_table(&choice))?;
    }
    let refused = choice.estimates.iter().any(|of| of.mode == choice.mode && of.refused.is_some());
    Ok(if refused { 2 } else { 0 })
}

/// True if the trace of the sweep has derivatives.
fn has_sequence(found: &Differentiated) -> bool {
    matches!(found.mode, Mode::Forward | Mode::Hybrid)
}

fn trace_named(found: &Differentiated) -> &'static str {
    if has_sequence(found) { " and trace.npz, the sequence" } else { "" }
}

fn save(out: &OutputDir, found: &Differentiated, file: &GradientFile<'_>) -> Result<()> {
    out.write("grad.npz", |w| write_gradient(found, w))?;
    if has_sequence(found) {
        out.write("trace.npz", |w| write_trace(&found.sweep.trace, "", w))?;
    } else {
        out.remove("trace.npz")?;
    }
    out.write("grad.json", |w| Ok(serde_json::to_writer_pretty(w, file)?)).map(|_| ())
}

/// What was done, in words.
fn in_words(found: &Differentiated, choice: Option<&Choice>) -> String {
    let why = choice.map_or(String::new(), |choice| format!(" ({})", choice.reason));
    let mut out = format!(
        "mode {}{why}: {} lane(s), {} derivative(s), {:.2} s, {}; {} engine, {}",
        found.mode,
        found.lanes.len(),
        found.names.len(),
        found.seconds,
        size(found.peak_bytes),
        found.sweep.info.engine.engine,
        found.sweep.info.precision.name()
    );
    let count = |kind: Kind| found.lanes.iter().filter(|lane| lane.derivative == kind).count();
    let first = |kind: Kind| {
        let lane = found.lanes.iter().find(|lane| lane.derivative == kind);
        lane.and_then(|lane| lane.certificate).map_or(String::new(), |c| format!(": {}", c.reason()))
    };
    let worst = found.lanes.iter().filter_map(|lane| lane.derivative_error).fold(0.0, f64::max);
    let limit = found.sweep.info.tol.max(1e-6).sqrt();
    if worst > limit && matches!(found.mode, Mode::Reverse | Mode::OneStep | Mode::FixedPoint) {
        out += &format!(
            "\nderivatives are up to {worst:.0e} off those of the solution: the stop rule of this mode does \
             not wait for them. For these use --mode implicit or a finer --tol"
        );
    }
    if found.criterion.is_none() {
        out += "\nno criterion: the derivatives of all coefficients are in grad.npz of --out; for the slope \
                of a loss give --validation or --folds";
    }
    let kinds = [(Kind::Absent, "no derivatives"), (Kind::OneOfSeveral, "one of several derivatives")];
    for (kind, what) in kinds {
        let number = count(kind);
        if number > 0 {
            out += &format!("\n{number} lane(s) have {what}{}", first(kind));
        }
    }
    out
}

fn exit_code(found: &Differentiated) -> u8 {
    use proxjet::certificate::Verdict;
    let solved = |lane: &proxjet::diff::DifferentiatedLane| match lane.derivative {
        Kind::Absent => false,
        Kind::Iterate => true,
        _ => lane.certificate.is_some_and(|c| c.verdict != Verdict::Red),
    };
    if interrupt::asked() {
        INTERRUPTED
    } else if found.lanes.iter().all(solved) {
        0
    } else {
        SOME_NOT_CONVERGED
    }
}
