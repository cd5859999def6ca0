//! The program `proxjet`. Data go to stdout, messages to stderr.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use proxjet::error::{Error, ErrorKind, Result};

/// Writes a line to stderr, if that can be written and is wanted: what it says must not change the exit code.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        if !$crate::QUIET.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = writeln!(std::io::stderr(), $($text)*);
        }
    }};
}

/// True if only errors are written to stderr.
static QUIET: AtomicBool = AtomicBool::new(false);

mod bench;
mod demo;
mod doctor;
mod engine;
mod flags;
mod grad;
mod grad_check;
mod input;
mod interrupt;
mod peers;
mod predict;
mod quiet;
mod reproduce;
mod settings;
mod sweep;
mod synonyms;
#[cfg(feature = "gpu")]
mod tuner;

/// Exit code when some lanes did not converge.
const SOME_NOT_CONVERGED: u8 = 3;
/// Exit code of an interrupted run.
const INTERRUPTED: u8 = 130;

/// Batched proximal-gradient solvers on any GPU, with the exact derivative of every iterate.
#[derive(Debug, Parser)]
#[command(name = "proxjet", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Write nothing but errors to stderr
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 all lanes converged or have a certified model, 1 output not \
    written, 2 usage, 3 some lanes not converged, 4 bad data, 5 device, 6 memory plan, 130 interrupted \
    (partial results kept).\n\
    RUST_LOG=info shows more of what happens.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit one model per alpha and carry the derivatives of every iterate.
    Sweep(sweep::Args),
    /// Predict the target of other rows by the model of a sweep.
    Predict(predict::Args),
    /// The main job on bundled data: result files and pictures in proxjet-demo/.
    Demo(demo::Args),
    /// The experiments: rates of iterates and derivatives under updates that vary, as a page with pictures
    /// and tables.
    Reproduce(reproduce::Args),
    /// Show adapters, features and limits, and what to do when there is none.
    Doctor(doctor::Args),
    /// Measure speed and accuracy.
    Bench(bench::Args),
    /// Differentiate the models by hyperparameters, in any of six ways: gradients of a criterion, and
    /// derivatives of all coefficients.
    Grad(grad::Args),
    /// Compare the derivatives with central differences at a fixed number of iterations.
    GradCheck(grad_check::Args),
    /// Show, clear or time ahead how products are best cut on a GPU.
    #[cfg(feature = "gpu")]
    Tuner(tuner::Args),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("warn,wgpu_hal=off,wgpu_core=error"),
    )
    .format(|out, record| {
        let text = record.args().to_string();
        writeln!(out, "{}: {}", reproduce::label(record.level(), &text), flags::translated(&text))
    })
    .init();
    quiet::restart();
    ExitCode::from(run().unwrap_or_else(|error: Error| {
        let _ = writeln!(std::io::stderr(), "error: {}", flags::message(&error));
        flags::exit_code(error.kind)
    }))
}

/// The arguments, if they are right; else what clap says of them has been printed.
fn arguments() -> Result<std::result::Result<Cli, u8>> {
    // A negative number is the value of the flag before it, which then says what it expects.
    let negative =
        |arg: clap::Arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
    let command = Cli::command().mut_subcommands(|command| command.mut_args(negative));
    match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Ok(cli)),
        Err(e) => {
            let e = synonyms::with_known(e);
            let printed = e.print();
            if !e.use_stderr() {
                written(printed)?;
            }
            Ok(Err(e.exit_code() as u8))
        }
    }
}

fn run() -> Result<u8> {
    let cli = match arguments()? {
        Ok(cli) => cli,
        Err(code) => return Ok(code),
    };
    if cli.quiet {
        QUIET.store(true, Ordering::Relaxed);
        log::set_max_level(log::LevelFilter::Error);
    }
    match cli.command {
        Command::Sweep(args) => sweep::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Grad(args) => grad::run(&args),
        Command::GradCheck(args) => grad_check::run(&args),
        #[cfg(feature = "gpu")]
        Command::Tuner(args) => tuner::run(&args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "proxjet", &mut text);
            print(&String::from_utf8_lossy(&text)).map(|()| 0)
        }
    }
}

/// Writes data to stdout; a closed pipe (`| head`) is not an error.
///
/// # Errors
/// Any other failure, for example a full disk.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints text with ANSI styles; they are left out where stdout is no terminal, and with `NO_COLOR`.
fn print_styled(text: &str) -> Result<()> {
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints a value as JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain data becomes JSON");
    print(&format!("{text}\n"))
}

fn written(done: std::io::Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            let remedy = "Free some space, or send it to another file.";
            let expected = "an output that can be written";
            Err(Error::new(ErrorKind::Output, "stdout", e.to_string(), expected, remedy).with_source(e))
        }
        _ => Ok(()),
    }
}
