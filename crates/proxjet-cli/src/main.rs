//! The program `proxjet`. Data go to stdout, messages to stderr.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use proxjet::error::Error;

mod bench;
mod demo;
mod doctor;
mod engine;
mod flags;
mod grad_check;
mod input;
mod interrupt;
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
}

const EXIT_CODES: &str = "Exit codes: 0 all lanes converged, 1 output not written, 2 usage, 3 some lanes not \
    converged, \
    4 bad data, 5 device, 6 memory plan, 130 interrupted (partial results kept).\n\
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
        writeln!(
            out,
            "{}: {}",
            record.level().as_str().to_lowercase(),
            flags::translated(&record.args().to_string())
        )
    })
    .init();
    quiet::restart();
    let cli = Cli::try_parse().unwrap_or_else(|error| synonyms::with_known(error).exit());
    let done = match cli.command {
        Command::Sweep(args) => sweep::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::GradCheck(args) => grad_check::run(&args),
        #[cfg(feature = "gpu")]
        Command::Tuner(args) => tuner::run(&args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "proxjet", &mut text);
            print(&String::from_utf8_lossy(&text));
            Ok(0)
        }
    };
    ExitCode::from(done.unwrap_or_else(|error: Error| {
        eprintln!("error: {}", flags::message(&error));
        flags::exit_code(error.kind)
    }))
}

/// Writes data to stdout; a closed pipe (`| head`) is not an error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as JSON on stdout.
fn print_json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("plain data becomes JSON");
    print(&format!("{text}\n"));
}
