//! `proxjet bench --only peers`: whole processes beside what people would use instead, by a Python script.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proxjet::error::{Error, Result};

/// The script, which also runs on its own.
const SCRIPT: &str = include_str!("../../../benches/peers/run.py");

/// The interpreter: of the active virtual environment, of one in `peers/`, or the system's.
fn python() -> PathBuf {
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let places = active.into_iter().chain([PathBuf::from("peers")]);
    let found = places.flat_map(|place| ["bin/python", "Scripts/python.exe"].map(|name| place.join(name)));
    found.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// Runs the comparison on this program, with its table on stdout; `json` is a file for its numbers.
pub(crate) fn run(repeat: Option<usize>, json: Option<&Path>) -> Result<()> {
    let python = python();
    let failed = |found: String| {
        let expected = "Python with numpy, and what of jax, scikit-learn, skglm and celer is to be compared";
        let remedy = "Make one: python3 -m venv peers && peers/bin/pip install numpy scipy scikit-learn jax \
             skglm celer.";
        Error::usage(format!("peers by {}", python.display()), found, expected, remedy)
    };
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let mut command = Command::new(&python);
    // The script comes through the standard input.
    command.arg("-").arg(program).stdin(Stdio::piped());
    if let Some(repeat) = repeat {
        command.args(["--repeat", &repeat.to_string()]);
    }
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let sent = child.stdin.take().map(|mut input| input.write_all(SCRIPT.as_bytes()));
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    match sent {
        Some(Ok(())) if status.success() => Ok(()),
        _ => Err(failed(status.to_string())),
    }
}
