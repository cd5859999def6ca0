//! The program itself, end to end: files, exit codes, messages, and what is left behind when something fails.

mod bench;
mod data;
mod folds;
mod grad;
mod pages;
mod runs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proxjet::data::read_array;
use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut list: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().to_string()).collect();
        list.sort();
        list
    }
}

fn proxjet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxjet")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).to_string()
}

#[track_caller]
fn fails(args: &[&str], code: i32, parts: &[&str]) {
    let out = proxjet(args);
    let talk = stderr(&out);
    assert_eq!(out.status.code(), Some(code), "{args:?}\n{talk}");
    assert!(out.stdout.is_empty(), "talk on stdout: {}", String::from_utf8_lossy(&out.stdout));
    assert!(!talk.contains("panicked"), "{talk}");
    for part in parts {
        assert!(talk.contains(part), "'{part}' is not in: {talk}");
    }
}

const LASSO: [&str; 8] =
    ["sweep", "--data", "bundled:diabetes", "--standardize", "--loss", "squared", "--penalty", "l1"];

fn lasso<'a>(more: &[&'a str]) -> Vec<&'a str> {
    LASSO.iter().chain(more).copied().collect()
}

/// An array of a NPZ archive, through its own reader.
fn array(archive: &Path, name: &str) -> ndarray::ArrayD<f64> {
    let folder = Folder::new();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut member = zip.by_name(&format!("{name}.npy")).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut member, &mut bytes).unwrap();
    let path = folder.file("a.npy", bytes);
    read_array(Path::new(&path), 1 << 30).unwrap()
}

#[test]
fn sweep_writes_the_interface_that_others_build_on() {
    let f = Folder::new();
    let out_dir = f.path("out").display().to_string();
    let args =
        ["--alphas", "10,5,20", "--iterations", "40", "--tol", "0", "--every", "15", "--engine", "cpu"];
    let out = proxjet(&lasso(&[&args[..], &["--validation", "0.2:3", "--out", &out_dir, "--json"]].concat()));
    assert_eq!(out.status.code(), Some(3), "exactly 40 iterations never converge: {}", stderr(&out));
    let printed: Value = serde_json::from_slice(&out.stdout).unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(f.path("out/result.json")).unwrap()).unwrap();
    assert_eq!(printed, written);
    for key in [
        "objective",
        "data_shape",
        "lipschitz",
        "strong_convexity",
        "engine",
        "adapter",
        "precision",
        "strategy",
        "seconds",
    ] {
        assert!(!written[key].is_null(), "{key}");
    }
    assert_eq!(
        written["data_shape"],
        serde_json::json!({"rows": 354, "features": 10, "validation_rows": 88, "folds": 0, "repeats": 1})
    );
    assert!(written["data"]["standardize"]["mean"].is_array());
    let lanes = written["lanes"].as_array().unwrap();
    let alphas: Vec<f64> = lanes.iter().map(|l| l["alpha"].as_f64().unwrap()).collect();
    assert_eq!(alphas, [10.0, 5.0, 20.0], "alphas keep the order given");
    for key in [
        "l1_ratio",
        "status",
        "iterations",
        "objective",
        "gap",
        "support",
        "validation_loss",
        "hypergradient",
    ] {
        assert!(!lanes[0][key].is_null(), "{key}");
    }
    let trace = f.path("out/trace.npz");
    assert_eq!(array(&trace, "iteration").iter().copied().collect::<Vec<_>>(), [0.0, 15.0, 30.0, 40.0]);
    let shapes = [
        ("coef", vec![4, 3, 10]),
        ("dcoef", vec![4, 3, 1, 10]),
        ("intercept", vec![4, 3]),
        ("dintercept", vec![4, 3, 1]),
        ("alpha", vec![3]),
        ("recorded", vec![3]),
        ("step", vec![3, 3]),
        ("momentum", vec![3, 3]),
        ("objective", vec![3, 3]),
        ("validation_loss", vec![3, 3]),
        ("hypergradient", vec![3, 3, 1]),
    ];
    for (name, shape) in shapes {
        assert_eq!(array(&trace, name).shape(), shape, "{name}");
    }
    let files = ["coefficients.csv", "model.json", "path.png", "path.svg", "result.json", "trace.npz"];
    assert_eq!(f.names("out"), files, "no temporary files are left");
}

#[test]
fn models_are_in_the_units_of_the_file_and_predict() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    // y = 3 a − 2 b + 500 to rounding, in columns of other sizes, and a column that has nothing to do with
    // it.
    let rows = (0..40).map(|i| (100.0 + f64::from(i % 7), 1e-3 * f64::from(i * i % 11), f64::from(i % 3)));
    let rows: Vec<(f64, f64, f64)> = rows.collect();
    let truth = |a: f64, b: f64| 3.0 * a - 2000.0 * b + 500.0;
    let lines = rows.iter().map(|(a, b, c)| format!("{a},{b},{c},{}\n", truth(*a, *b)));
    let data = f.file("d.csv", format!("a,b,c,y\n{}", lines.collect::<String>()));
    let args =
        ["sweep", "--data", &data, "--standardize", "--loss", "squared", "--penalty", "l2", "--engine"];
    let more = ["cpu", "--alphas", "1,1e-9", "--tol", "1e-10", "--iterations", "5000", "--out", &out];
    let sweep = |last: &[&str]| {
        let done = proxjet(&[&args[..], &more, last].concat());
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        done
    };
    // Two lanes and no held-out rows: no lane is the one.
    assert!(stderr(&sweep(&[])).contains("no model.json"));
    assert_eq!(f.names("out"), ["coefficients.csv", "path.png", "path.svg", "result.json", "trace.npz"]);
    let table = || csv::Reader::from_path(f.path("out/coefficients.csv")).unwrap();
    let head: Vec<String> = table().headers().unwrap().iter().map(String::from).collect();
    assert_eq!(head, ["feature", "coef_0", "dcoef_0_log_alpha", "coef_1", "dcoef_1_log_alpha"]);

    sweep(&["--validation", "0.25:1"]);
    let rows_of: Vec<csv::StringRecord> = table().records().map(|r| r.unwrap()).collect();
    let near =
        |text: &str, b: f64| assert!((text.parse::<f64>().unwrap() - b).abs() < 1e-4, "{text} for {b}");
    for (row, (name, value)) in
        rows_of.iter().zip([("a", 3.0), ("b", -2000.0), ("c", 0.0), ("(intercept)", 500.0)])
    {
        assert_eq!(&row[0], name);
        near(&row[1], value);
    }
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(f.path(name)).unwrap()).unwrap() };
    let (result, model) = (read("out/result.json"), read("out/model.json"));
    assert_eq!(result["model"], model);
    assert_eq!((&model["lane"], &model["features"]), (&1.into(), &serde_json::json!(["a", "b", "c"])));

    // The file may have its columns in any order, others besides, and no target.
    let new = f.file("new.csv", "c,when,b,a\n1,monday,0.002,50\n0,friday,0.5,-7\n");
    let file = f.path("out/model.json").display().to_string();
    let predict = |data: &str, more: &[&str]| {
        let done = proxjet(&[&["predict", "--model", &file, "--data", data], more].concat());
        (done.status.code(), String::from_utf8(done.stdout.clone()).unwrap(), stderr(&done))
    };
    let (code, text, _) = predict(&new, &[]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "prediction"));
    near(lines[1], truth(50.0, 0.002));
    near(lines[2], truth(-7.0, 0.5));
    let csv = f.path("p.csv").display().to_string();
    assert_eq!(predict(&new, &["--out", &csv]).1, "");
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), text);
    let (code, _, talk) = predict(&f.file("e.csv", "a,b\n1,2\n"), &[]);
    assert!(code == Some(4) && talk.contains("e.csv: columns: found no column 'c'"), "{talk}");
    std::fs::write(f.path("out/model.json"), "{}").unwrap();
    let (code, _, talk) = predict(&new, &[]);
    assert!(code == Some(4) && talk.contains("model.json") && talk.contains("missing field"), "{talk}");
}

#[test]
fn a_logistic_model_predicts_probabilities() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    let data = ["--data", "bundled:breast_cancer"];
    let args = [
        "--standardize",
        "--loss",
        "logistic",
        "--penalty",
        "l2",
        "--engine",
        "cpu",
        "--alphas",
        "0.01",
        "--iterations",
        "20000",
    ];
    let done = proxjet(&[&["sweep"], &data[..], &args, &["--out", &out]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let model = f.path("out/model.json").display().to_string();
    let done = proxjet(&[&["predict", "--model", &model], &data[..]].concat());
    let mut rows = csv::Reader::from_reader(&done.stdout[..]);
    assert_eq!(rows.headers().unwrap(), vec!["prediction", "probability", "class"]);
    let target = proxjet::data::bundled("breast_cancer").unwrap();
    let mut right = 0;
    for (row, y) in rows.records().zip(target.target()) {
        let row = row.unwrap();
        let (z, p): (f64, f64) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert!((p - z.exp() / (1.0 + z.exp())).abs() < 1e-12 && (row[2] == *"1") == (p > 0.5), "{row:?}");
        right += usize::from(row[2].parse::<f64>().unwrap() == *y);
    }
    assert!(right > 550, "{right} of 569 rows are classified right");
}

#[test]
fn held_out_rows_are_standardised_by_the_fitted_ones() {
    let args = ["--engine", "cpu", "--alphas", "10", "--validation", "0.2:3", "--json"];
    let out = proxjet(&lasso(&args));
    let result: Value = serde_json::from_slice(&out.stdout).unwrap();
    let (fitted, held_out) =
        proxjet::data::bundled("diabetes").unwrap().split("0.2:3".parse().unwrap()).unwrap();
    let mean = fitted.x().mean_axis(ndarray::Axis(0)).unwrap();
    for (found, mean) in result["data"]["standardize"]["mean"].as_array().unwrap().iter().zip(&mean) {
        assert!((found.as_f64().unwrap() / mean - 1.0).abs() < 1e-12, "{found} for {mean}");
    }
    // The held-out loss of the model, on the rows as they are in the file.
    let model = &result["model"];
    let coef: Vec<f64> = model["coef"].as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).collect();
    let predicted = held_out.x().dot(&ndarray::Array1::from(coef)) + model["intercept"].as_f64().unwrap();
    let residual = &predicted - &held_out.target();
    let loss = 0.5 * residual.dot(&residual) / held_out.rows() as f64;
    let said = result["lanes"][0]["validation_loss"].as_f64().unwrap();
    assert!((said / loss - 1.0).abs() < 1e-9, "{said} for {loss}");
}

#[test]
fn exit_codes_tell_the_outcome() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let sweep = |more: &[&str]| {
        proxjet(&lasso(&[more, &["--engine", "cpu", "--alphas", "path:0.1:5", "--out", &dir]].concat()))
    };
    assert_eq!(sweep(&[]).status.code(), Some(0));
    let few = sweep(&["--iterations", "3", "--no-polish"]);
    assert_eq!(few.status.code(), Some(3));
    assert!(stderr(&few).contains("stopped at 3 iterations") && stderr(&few).contains("Raise --iterations"));
    let wild = sweep(&["--algorithm", "pgd", "--step", "constant:2.5"]);
    assert_eq!(wild.status.code(), Some(3));
    let talk = stderr(&wild);
    assert!(talk.contains("at iteration 0 in lane 0 is 2.500000/L, outside (0, 2.000000/L)"), "{talk}");
    assert!(talk.contains("diverged"), "{talk}");
    assert_eq!(talk.matches("step size").count(), 1, "said once: {talk}");
    let plan = proxjet(&lasso(&["--engine", "cpu", "--dry-run"]));
    assert_eq!(plan.status.code(), Some(0));
    let text = String::from_utf8_lossy(&plan.stdout).to_string();
    assert!(text.contains("buffers:") && text.contains("estimate:"), "{text}");
    assert!(proxjet(&["completions", "bash"]).stdout.len() > 500);
}

#[test]
fn bad_settings_are_usage_errors() {
    fails(&["swep"], 2, &["unrecognized subcommand", "sweep"]);
    let with = |more: &[&str], parts: &[&str]| {
        fails(&lasso(&[&["--engine", "cpu", "--out", "/nonexistent/never"], more].concat()), 2, parts);
    };
    with(&["--algorithm", "fitsa"], &["--algorithm", "'fitsa'", "Did you mean 'fista'?"]);
    with(&["--step", "2/L"], &["--step", "'2/L'", "1/L"]);
    with(&["--step", "uniform:1:0.5:3"], &["uniform:LO:HI:SEED"]);
    with(&["--momentum", "nestrov:3"], &["--momentum", "nesterov:A"]);
    with(&["--iterations", "-3"], &["'-3'", "--iterations", "a whole number, zero or larger"]);
    with(&["--every", "1.5"], &["'1.5'", "a whole number"]);
    with(&["--memory-budget", "-1"], &["--memory-budget", "-1", "a positive number"]);
    with(&["--deadline", "-1"], &["--deadline", "-1", "seconds from 0"]);
    for (other, known) in [
        ("--lambda=1", "--alphas"),
        ("--max-iter", "--iterations"),
        ("--cv", "--validation"),
        ("--max_iter", "--iterations"),
    ] {
        with(&[other, "1"], &["unexpected argument", &format!("'{known}'")]);
    }
    with(&["--derivative", "logalpha"], &["'logalpha'", "Did you mean 'log_alpha'?"]);
    with(&["--derivative", "l1_ratio"], &["derivative 'l1_ratio'", "penalty 'l1'", "elastic_net"]);
    with(&["--alphas", "0.1,-1"], &["--alphas", "-1", "zero or larger"]);
    with(&["--alphas", "0,1"], &["derivative 'log_alpha'", "alpha = 0", "--derivative alpha"]);
    with(&["--l1-ratio", "0.3"], &["--l1-ratio", "elastic_net"]);
    with(&["--precision", "f16"], &["'f16'", "f32, f64"]);
    with(&["--iterations", "0"], &["--iterations", "at least 1"]);
    with(&["--tol", "-1"], &["--tol", "-1"]);
    with(&["--validation", "2:1"], &["--validation", "FRACTION:SEED"]);
    with(&["--algorithm", "pgd", "--momentum", "fista"], &["'fista' with algorithm 'pgd'"]);
    let net = [
        "sweep",
        "--data",
        "bundled:diabetes",
        "--loss",
        "squared",
        "--penalty",
        "elastic_net",
        "--l1-ratio",
        "1.5",
    ];
    fails(
        &[&net[..], &["--engine", "cpu", "--out", "/nonexistent/never"]].concat(),
        2,
        &["--l1-ratio", "1.5", "from 0 to 1"],
    );
    let misspelt =
        ["sweep", "--data", "bundled:diabetes", "--loss", "squard", "--penalty", "l1", "--engine", "cpu"];
    fails(&[&misspelt[..], &["--out", "/nonexistent/never"]].concat(), 2, &["Did you mean 'squared'?"]);
    for (loss, penalty, known) in [
        ("squared", "lasso", "l1"),
        ("squared", "ridge", "l2"),
        ("squared", "elastic-net", "elastic_net"),
        ("mse", "l1", "squared"),
    ] {
        let said = format!("Did you mean '{known}'?");
        let args =
            ["sweep", "--data", "bundled:diabetes", "--loss", loss, "--penalty", penalty, "--engine", "cpu"];
        fails(&[&args[..], &["--json"]].concat(), 2, &[&said]);
    }
    with(&["--target", "y"], &["--target", "'y' for bundled data", "Leave --target out"]);
    with(&["--weights", "w"], &["--weights", "'w' for bundled data"]);
    with(&["--one-hot"], &["--one-hot", "comma-separated text"]);
    with(&["--missing", "men"], &["--missing", "'men'", "Did you mean 'mean'?"]);
    with(&["--separator", "ab"], &["--separator", "'ab'", "one character"]);
    with(&["--header", "--no-header"], &["--no-header"]);
}

/// A NPY file of doubles.
fn npy(shape: &[u64], values: &[f64]) -> Vec<u8> {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}
