//! Outputs that cannot be written, inputs without an end, and extreme settings: exit codes, words, and time.
#![cfg(unix)]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

const LASSO: [&str; 8] =
    ["sweep", "--data", "bundled:diabetes", "--loss", "squared", "--penalty", "l1", "--engine=cpu"];

fn proxjet(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxjet"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lasso<'a>(more: &[&'a str]) -> Vec<&'a str> {
    LASSO.iter().chain(more).copied().collect()
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Ends with this code, soon, and with these words on stderr.
#[track_caller]
fn ends(args: &[&str], code: i32, words: &str) -> Output {
    let clock = Instant::now();
    let out = proxjet(args).output().unwrap();
    let talk = String::from_utf8_lossy(&out.stderr).to_string();
    assert_eq!(out.status.code(), Some(code), "{args:?}\n{talk}");
    assert!(talk.contains(words) && !talk.contains("panicked"), "{args:?}\n{talk}");
    assert!(clock.elapsed() < Duration::from_secs(10), "{args:?}: {:?}", clock.elapsed());
    out
}

#[test]
fn a_full_stdout_is_an_error() {
    let json = lasso(&["--json", "--alphas", "5"]);
    let plan = lasso(&["--dry-run"]);
    for args in [&json[..], &plan, &["doctor"], &["--help"], &["--version"], &["completions", "bash"]] {
        let out = proxjet(args).stdout(full()).output().unwrap();
        let talk = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}\n{talk}");
        assert!(talk.contains("error: stdout: found No space left"), "{args:?}\n{talk}");
    }
    // A reader that has seen enough is not.
    let mut child = proxjet(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn exit_codes_hold_without_a_stderr() {
    let converged = lasso(&["--json", "--alphas", "5", "--standardize", "--iterations", "5000"]);
    let stopped = lasso(&["--json", "--alphas", "5", "--iterations", "1", "--no-polish"]);
    let usage = lasso(&["--json", "--alphas", "no"]);
    let unknown = lasso(&["--no-such-flag"]);
    let data = ["sweep", "--data", "missing.csv", "--loss", "squared", "--penalty", "l1", "--json"];
    let memory = lasso(&["--json", "--memory-budget", "1e-6"]);
    for (args, code) in
        [(&converged[..], 0), (&stopped, 3), (&usage, 2), (&unknown, 2), (&data, 4), (&memory, 6)]
    {
        let out = proxjet(args).stderr(full()).output().unwrap();
        assert_eq!(out.status.code(), Some(code), "{args:?}");
        let mut child = proxjet(args).spawn().unwrap();
        drop(child.stderr.take());
        let mut text = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
        assert_eq!(text.is_empty(), code != 0 && code != 3, "{args:?}");
    }
}

#[test]
fn files_without_an_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = |name: &str| {
        let path = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        path.display().to_string()
    };
    let small = ["--memory-budget", "0.01"];
    for run in ["--json", "--dry-run"] {
        ends(&lasso(&["--schedule", "/dev/zero", run]), 2, "/dev/zero: found more than 1048576 bytes");
        for array in ["--start", "--penalty-factors"] {
            ends(
                &[&lasso(&[array, "/dev/zero", run])[..], &small].concat(),
                6,
                "found more than 10737418 bytes",
            );
        }
        for rule in ["--step", "--momentum", "--metric"] {
            ends(
                &[&lasso(&[rule, "table:/dev/zero", run])[..], &small].concat(),
                6,
                "more than 10737418 bytes",
            );
        }
        for name in ["a.csv", "a.npy", "a.npz", "a.svm"] {
            let file = zeros(&format!("{}{name}", &run[2..]));
            let args = ["sweep", "--data", &file, "--loss", "squared", "--penalty", "l1", run];
            ends(&[&args[..], &small].concat(), 6, "found more than 10737418 bytes");
        }
    }
    ends(&["bench", "--compare", "/dev/zero", "/dev/zero"], 6, "/dev/zero: found more than");
    ends(&["predict", "--model", "/dev/zero", "--data", "bundled:diabetes"], 6, "/dev/zero: found more than");
}

#[test]
fn extreme_numbers_are_refused_or_harmless() {
    for iterations in ["100000000", "1000000000000", "18446744073709551615"] {
        ends(&lasso(&["--iterations", iterations, "--dry-run"]), 6, "trace kept by the host");
        ends(&lasso(&["--iterations", iterations, "--json"]), 6, "trace kept by the host");
    }
    ends(&lasso(&["--deadline", "1e19", "--alphas", "5", "--iterations", "1", "--json"]), 0, "1 candidate");
    ends(&lasso(&["--deadline", "1e300", "--json"]), 2, "--deadline: found 1e300");
    for (flag, value) in [("--iterations", "-3"), ("--every", "-1"), ("--patience", "-1")] {
        ends(&lasso(&[flag, value]), 2, &format!("invalid value '{value}' for '{flag}"));
    }
    ends(&lasso(&["--deadline", "-1", "--json"]), 2, "--deadline: found -1.0, expected seconds");
    ends(&lasso(&["--memory-budget", "-1", "--json"]), 2, "--memory-budget: found -1");
    ends(&lasso(&["--alphas", "path:1e-3:18446744073709551615", "--json"]), 2, "--alphas");
}

/// The text in the array `id` of an archive.
fn id_of(archive: &Path) -> String {
    let mut zip = zip::ZipArchive::new(File::open(archive).unwrap()).unwrap();
    let mut bytes = Vec::new();
    zip.by_name("id.npy").unwrap().read_to_end(&mut bytes).unwrap();
    let letters = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(letters.shape(), &[] as &[u64]);
    letters.into_vec::<Vec<char>>().unwrap()[0].iter().collect()
}

#[test]
fn the_files_of_a_run_share_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |name: &str, alphas: &str| {
        let out = folder.path().join(name);
        let path = out.display().to_string();
        ends(&lasso(&["--alphas", alphas, "--iterations", "3", "--out", &path]), 0, "has result.json");
        let text = std::fs::read_to_string(out.join("result.json")).unwrap();
        let result: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = result["id"].as_str().unwrap().to_string();
        assert_eq!(id, id_of(&out.join("trace.npz")));
        assert_eq!(id.len(), 32);
        id
    };
    let first = ids("a", "5,1");
    assert_eq!(first, ids("b", "5,1"), "the same run");
    assert_ne!(first, ids("c", "5,2"), "another run");
}

#[test]
fn leftovers_of_killed_runs_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, old: bool| -> (PathBuf, File) {
        let path = folder.path().join(name);
        let file = File::create(&path).unwrap();
        let age = Duration::from_secs(if old { 3600 } else { 0 });
        file.set_modified(SystemTime::now() - age).unwrap();
        (path, file)
    };
    let (left, _) = file(".trace.npz.AbC123.proxjet-tmp", true);
    let (fresh, _) = file(".trace.npz.AbC124.proxjet-tmp", false);
    let (used, lock) = file(".result.json.AbC125.proxjet-tmp", true);
    let (foreign, _) = file(".trace.npz.AbC126", true);
    lock.lock().unwrap();
    let out = folder.path().display().to_string();
    ends(&lasso(&["--alphas", "5", "--iterations", "1", "--out", &out]), 0, "has result.json");
    assert!(!left.exists(), "a leftover stays");
    assert!(fresh.exists() && used.exists() && foreign.exists(), "another file is gone");
    drop(lock);
    ends(&lasso(&["--alphas", "5", "--iterations", "1", "--out", &out]), 0, "has result.json");
    assert!(!used.exists() && fresh.exists() && foreign.exists());
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    // Four results, the fresh file and the foreign one.
    assert_eq!(names, 6);
}
