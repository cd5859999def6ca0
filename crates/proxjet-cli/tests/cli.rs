//! The program itself, end to end: files, exit codes, messages, and what is left behind when something fails.

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
        serde_json::json!({"rows": 354, "features": 10, "validation_rows": 88})
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
        ("step", vec![40, 3]),
        ("momentum", vec![40, 3]),
        ("objective", vec![40, 3]),
        ("validation_loss", vec![40, 3]),
        ("hypergradient", vec![40, 3, 1]),
    ];
    for (name, shape) in shapes {
        assert_eq!(array(&trace, name).shape(), shape, "{name}");
    }
    let files = ["coefficients.csv", "model.json", "result.json", "trace.npz"];
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
    assert_eq!(f.names("out"), ["coefficients.csv", "result.json", "trace.npz"]);
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
    assert!(code == Some(4) && talk.contains("e.csv: feature: found 'c'"), "{talk}");
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
    let few = sweep(&["--iterations", "3"]);
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
    fails(&lasso(&["--engine", "cpu"]), 2, &["--out", "no folder"]);
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

#[test]
fn bad_data_are_data_errors() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let sweep = |data: &str, loss: &str, parts: &[&str]| {
        fails(
            &["sweep", "--data", data, "--loss", loss, "--penalty", "l1", "--engine", "cpu", "--out", &dir],
            4,
            parts,
        );
        assert!(!f.path("out/result.json").exists());
    };
    sweep(&f.file("a.csv", "a,y\n1,2\n,3\n"), "squared", &["a.csv, line 3, column 'a'", "an empty cell"]);
    sweep(&f.file("b.csv", "a,y\n1,2\n3,2\n"), "logistic", &["one class only (2)", "two classes"]);
    sweep("bundled:digits", "logistic", &["more than two values", "two classes"]);
    sweep(&f.path("none.csv").display().to_string(), "squared", &["none.csv", "Check the path"]);
    let short = f.path("short.npy");
    std::fs::write(&short, npy(&[5], &[0.1; 5])).unwrap();
    let table = format!("table:{}", short.display());
    fails(
        &lasso(&["--engine", "cpu", "--step", &table, "--out", &dir]),
        2,
        &["a table of 5 iterations", "at least 1000"],
    );
}

/// Sweeps a file with the squared loss and l1, and returns the JSON and what was said.
fn sweep_json(data: &str, more: &[&str]) -> (Output, Value) {
    let args = ["sweep", "--data", data, "--engine", "cpu", "--json"];
    let out = proxjet(&[&args[..], more].concat());
    let json = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
    (out, json)
}

const SQUARED_L1: [&str; 4] = ["--loss", "squared", "--penalty", "l1"];

#[test]
fn tables_are_read_as_they_come() {
    let f = Folder::new();
    let with = |data: &str, more: &[&str]| sweep_json(data, &[&SQUARED_L1[..], more].concat());
    // An index column is warned about by name; --drop follows the advice.
    let text: String = (0..20).map(|i| format!("{i},{},{}\r\n", i * i % 7, 2 * i + i * i % 5)).collect();
    let frame = f.file("frame.csv", format!(",a,y\r\n{text}"));
    let (out, json) = with(&frame, &["--alphas", "0.1"]);
    assert_eq!(json["data"]["features"], serde_json::json!(["column 0", "a"]));
    assert!(stderr(&out).contains("column 0 ('column 0')"), "{}", stderr(&out));
    assert!(stderr(&out).contains("Leave it out with --drop 0"), "{}", stderr(&out));
    let (out, json) = with(&frame, &["--alphas", "0.1", "--drop", "0"]);
    assert_eq!(json["data"]["features"], serde_json::json!(["a"]));
    assert!(!stderr(&out).contains("warn"), "{}", stderr(&out));
    // A file without header, separated by tabs, with weights, missing values and text.
    let table = f.file("t.tsv", "1\tred\t2\t1\n2\tblue\t3\t1\n?\tred\t1\t1\n3\tred\t9\t0\n5\tblue\t7\t2\n");
    let all = ["--no-header", "--weights", "x3", "--target", "x2", "--missing", "drop-rows", "--one-hot"];
    let (out, json) = with(&table, &[&all[..], &["--alphas", "0.1"]].concat());
    assert_eq!(json["data"]["features"], serde_json::json!(["x0", "x1=blue", "x1=red"]), "{}", stderr(&out));
    assert_eq!(json["data_shape"]["rows"], 3);
    assert!(stderr(&out).contains("1 of 5 rows are left out for missing values"), "{}", stderr(&out));
    let refused = |more: &[&str], code: i32, parts: &[&str]| {
        let args =
            [&["sweep", "--data", &table, "--engine", "cpu", "--json"], &SQUARED_L1[..], more].concat();
        fails(&args, code, parts);
    };
    refused(&[], 4, &["line 1", "use --no-header", "use --header"]);
    refused(&["--no-header", "--target", "2"], 4, &["line 3, column 'x0'", "'?'", "--missing drop-rows"]);
    refused(&["--no-header", "--drop", "x0"], 4, &["column 'x1'", "'red'", "--one-hot", "--drop x1"]);
    let semicolons = f.file("s.csv", "a;y\n1;2\n3;1\n5;3\n");
    fails(
        &[&["sweep", "--data", &semicolons, "--engine", "cpu", "--json"], &SQUARED_L1[..]].concat(),
        4,
        &["--separator ;"],
    );
    assert_eq!(with(&semicolons, &["--separator", ";", "--alphas", "0.1"]).0.status.code(), Some(0));
    let labels = f.file("labels.csv", "a,y\n1,no\n2,yes\n3,yes\n");
    fails(
        &[&["sweep", "--data", &labels, "--engine", "cpu", "--json"], &SQUARED_L1[..]].concat(),
        4,
        &["text labels ('no', 'yes')", "--loss logistic"],
    );
}

#[test]
fn one_hot_models_predict_from_text() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    let worth = |city: &str| if city == "rome" { 5.0 } else { -3.0 };
    let rows = (0..30).map(|i| (["rome", "oslo", "oslo"][i % 3], i as f64));
    let text: String = rows.map(|(c, a)| format!("{c};{a};{}\n", worth(c) + 2.0 * a)).collect();
    let data = f.file("d.csv", format!("city;a;y\n{text}"));
    let args =
        ["sweep", "--data", &data, "--separator", ";", "--one-hot", "--standardize", "--loss", "squared"];
    let more = ["--penalty", "l2", "--alphas", "1e-9", "--tol", "1e-9", "--iterations", "20000"];
    let done = proxjet(&[&args[..], &more, &["--engine", "cpu", "--out", &out]].concat());
    assert!(f.path("out/model.json").exists(), "{}", stderr(&done));
    let new = f.file("new.csv", "a,city\n7,oslo\n8,rome\n");
    let model = f.path("out/model.json").display().to_string();
    let done = proxjet(&["predict", "--model", &model, "--data", &new]);
    let text = String::from_utf8(done.stdout).unwrap();
    let found: Vec<f64> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    assert!((found[0] - 11.0).abs() < 1e-3 && (found[1] - 21.0).abs() < 1e-3, "{found:?}");
}

#[test]
fn alpha_max_and_paths_fit_the_data() {
    let f = Folder::new();
    // alpha_max after the unpenalised column: 0.00205, not 16.7.
    let g = [1.0, 2.2, 2.8, 4.1, 5.3, 5.9, 6.8, 8.2];
    let noise = [0.1, -0.1, 0.05, 0.0, -0.05, 0.1, -0.1, 0.0];
    let row = |i: usize| format!("{},{},{}\n", i + 1, g[i], 3.0 * (i + 1) as f64 + 0.2 * g[i] + noise[i]);
    let data = f.file("two.csv", format!("z,g,y\n{}", (0..8).map(row).collect::<String>()));
    for shape in [&[2][..], &[1, 2], &[2, 1]] {
        let factors = f.path("factors.npy");
        std::fs::write(&factors, npy(shape, &[0.0, 1.0])).unwrap();
        let factors = factors.display().to_string();
        let args = [&SQUARED_L1[..], &["--penalty-factors", &factors, "--alphas", "path:1e-3:3"]].concat();
        let (out, json) = sweep_json(&data, &args);
        let top = json["lanes"][0]["alpha"].as_f64().unwrap_or(f64::NAN);
        assert!((top / 0.002_047_619_047_6 - 1.0).abs() < 1e-9, "{shape:?}: {top}, {}", stderr(&out));
    }
    let infinite = f.path("infinite.npy");
    std::fs::write(&infinite, npy(&[2], &[f64::INFINITY, 1.0])).unwrap();
    let infinite = infinite.display().to_string();
    let args = ["sweep", "--data", &data, "--engine", "cpu", "--json", "--penalty-factors", &infinite];
    fails(&[&args[..], &SQUARED_L1].concat(), 4, &["('z')", "leave the feature out with --drop z"]);
    // Ten times 0.1 is as constant as ten times 1.
    for value in ["1", "0.1"] {
        let text: String = (0..10).map(|i| format!("{},{value}\n", i * i % 7)).collect();
        let flat = f.file("flat.csv", format!("a,y\n{text}"));
        let args = ["sweep", "--data", &flat, "--engine", "cpu", "--json"];
        fails(&[&args[..], &SQUARED_L1].concat(), 2, &["--alphas path", "the target is constant"]);
    }
    let (out, _) = sweep_json(&data, &[&SQUARED_L1[..], &["--alphas", "1e3,1e4"]].concat());
    assert!(stderr(&out).contains("every alpha is above alpha_max = 1.676125e1"), "{}", stderr(&out));
    // The best lane at an end of the path is remarked upon, and one inside is not.
    let ridge = |alphas: &str| {
        let args = ["sweep", "--data", "bundled:diabetes", "--standardize", "--loss", "squared", "--penalty"];
        let more = ["l2", "--engine", "cpu", "--alphas", alphas, "--validation", "0.25:1"];
        let dir = f.path("ridge").display().to_string();
        stderr(&proxjet(&[&args[..], &more, &["--out", &dir]].concat()))
    };
    assert!(ridge("geom:1000:100:5").contains("at the smallest alpha"), "{}", ridge("geom:1000:100:5"));
    assert!(ridge("geom:1e-3:1e-6:5").contains("at the largest alpha"), "{}", ridge("geom:1e-3:1e-6:5"));
    let inside = ridge("path:1e-4:30");
    assert!(!inside.contains("may be better"), "{inside}");
    // The threshold of huber in units of a robust scale is recorded as the number used.
    let args = ["--loss", "huber:1.35s", "--penalty", "l1", "--alphas", "0.1"];
    let (out, json) = sweep_json(&data, &args);
    // y = 3.3, 6.34, 9.61, 12.82, 16.01, 19.28, 22.26, 25.64: median 14.415, deviations' median 6.355.
    let delta = format!("delta = {:.4}", 1.35 * 6.355 / 0.6745);
    assert!(
        json["objective"].as_str().unwrap_or_default().contains(&delta),
        "{delta}: {json} {}",
        stderr(&out)
    );
}

#[test]
fn advice_fits_the_run() {
    // Standardised already.
    let few = proxjet(&lasso(&["--engine", "cpu", "--json", "--iterations", "3"]));
    assert!(!stderr(&few).contains("--standardize"), "{}", stderr(&few));
    let plain = ["sweep", "--data", "bundled:diabetes", "--loss", "squared", "--penalty", "l1", "--engine"];
    let few = proxjet(&[&plain[..], &["cpu", "--json", "--iterations", "3"]].concat());
    assert!(stderr(&few).contains("--standardize"), "{}", stderr(&few));
    // A target beyond f32 is refused in words of f32.
    let f = Folder::new();
    let text: String = (0..9).map(|i| format!("{},{}e-22\n", i * i % 7, 3 * i + i % 2)).collect();
    let tiny = f.file("tiny.csv", format!("a,y\n{text}"));
    let args = ["sweep", "--data", &tiny, "--engine", "cpu", "--json", "--precision", "f32"];
    fails(&[&args[..], &SQUARED_L1].concat(), 2, &["--precision", "f32 for a target", "--precision f64"]);
    let start = f.path("start.npy");
    std::fs::write(&start, npy(&[10], &[1e30; 10])).unwrap();
    let start = start.display().to_string();
    let far = ["--precision", "f32", "--alphas", "1", "--start", &start];
    let (out, json) = sweep_json("bundled:diabetes", &[&SQUARED_L1[..], &far].concat());
    assert_eq!(json["lanes"][0]["status"], "not_finite", "{json}");
    let talk = stderr(&out);
    assert!(talk.contains("left the range of f32") && talk.contains("Use --precision f64"), "{talk}");
    assert!(!talk.contains("steps below"), "{talk}");
    // Nothing to compare is no success.
    let check = ["grad-check", "--data", "bundled:diabetes", "--loss", "squared", "--engine", "cpu"];
    let kink = ["--penalty", "l1", "--alphas", "path:0.5:1", "--iterations", "50"];
    let none = proxjet(&[&check[..], &kink].concat());
    assert_eq!(none.status.code(), Some(3), "{}", stderr(&none));
    assert!(stderr(&none).contains("nothing was compared"), "{}", stderr(&none));
    assert!(!stderr(&none).contains("every alpha is above"), "{}", stderr(&none));
    fails(&[&check[..], &["--penalty", "none"]].concat(), 2, &["--derivative", "at least one derivative"]);
    fails(&[&check[..], &["--penalty", "l1", "--derivative", "none"]].concat(), 2, &["--derivative"]);
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

#[test]
fn a_plan_over_the_budget_is_refused() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let args = ["--engine", "cpu", "--alphas", "geom:1:0.1:100000", "--memory-budget", "0.5", "--out", &dir];
    fails(&lasso(&args), 6, &["memory plan", "GiB", "512.0 MiB", "--every"]);
}

#[test]
fn output_that_cannot_be_written_leaves_nothing_half_written() {
    let f = Folder::new();
    let file = f.file("taken", "a file");
    fails(&lasso(&["--engine", "cpu", "--out", &file]), 1, &["taken", "Choose an --out"]);
    // A limit on the size of files stands in for a full disk: writing fails in the middle of trace.npz.
    let dir = f.path("full");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("trace.npz"), "what was there before").unwrap();
    let command = format!(
        "trap '' XFSZ; ulimit -f 20; exec {} {} --engine cpu --iterations 400 --every 1 --out {}",
        env!("CARGO_BIN_EXE_proxjet"),
        LASSO.join(" "),
        dir.display()
    );
    let out = Command::new("bash").args(["-c", &command]).output().unwrap();
    let talk = stderr(&out);
    assert_eq!(out.status.code(), Some(1), "{talk}");
    assert!(
        talk.contains("trace.npz: found File too large")
            && talk.contains("expected a file that can be written"),
        "{talk}"
    );
    assert_eq!(f.names("full"), ["trace.npz"], "no temporary file is left");
    assert_eq!(std::fs::read(dir.join("trace.npz")).unwrap(), b"what was there before");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_what_is_done() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let args = [
        "--engine",
        "cpu",
        "--tol",
        "0",
        "--iterations",
        "3000000",
        "--every",
        "1000000",
        "--alphas",
        "path:0.1:4",
    ];
    let args = lasso(&[&args[..], &["--memory-budget", "8", "--out", &dir]].concat());
    let mut child = Command::new(env!("CARGO_BIN_EXE_proxjet"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The probe for writing shows that the run is about to start.
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        if f.path("out").exists() {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let written: Value = serde_json::from_slice(&std::fs::read(f.path("out/result.json")).unwrap()).unwrap();
    let lane = &written["lanes"][3];
    assert_eq!(lane["status"], "cancelled");
    let done = lane["iterations"].as_u64().unwrap();
    assert!(done > 0 && done < 3_000_000);
    assert_eq!(array(&f.path("out/trace.npz"), "objective").shape(), [done as usize, 4]);
}

#[test]
fn grad_check_passes_and_says_what_it_compared() {
    let args = [
        "--engine",
        "cpu",
        "--iterations",
        "100",
        "--alphas",
        "20,10,5",
        "--derivative",
        "log_alpha,penalty_factor:bmi",
        "--json",
    ];
    let settings: Vec<&str> = LASSO[1..].iter().chain(&args).copied().collect();
    let out = proxjet(&[&["grad-check"], &settings[..]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let rows: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(rows[1]["derivative"], "penalty_factor:2");
    assert!(rows.as_array().unwrap().iter().all(|r| r["max_error"].as_f64().unwrap() < 1e-6));
}

#[test]
fn demo_makes_its_files_and_pictures() {
    let f = Folder::new();
    let dir = f.path("demo").display().to_string();
    let out = proxjet(&["demo", "--engine", "cpu", "--out", &dir]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let text = String::from_utf8_lossy(&out.stdout).to_string();
    assert!(text.contains("Ran on the cpu engine") && text.contains("Try next"), "{text}");
    let names = f.names("demo");
    for case in ["lasso", "logistic"] {
        for end in [
            "-path.svg",
            "-path.png",
            "-convergence.svg",
            "-convergence.png",
            "-fista-result.json",
            "-pgd-trace.npz",
        ] {
            assert!(names.contains(&format!("{case}{end}")), "{case}{end} is not in {names:?}");
        }
    }
    assert_eq!(names.len(), 16);
    let svg = std::fs::read_to_string(f.path("demo/lasso-path.svg")).unwrap();
    assert!(svg.contains("bmi") && svg.contains("Lasso on the diabetes data"));
    let png = std::fs::read(f.path("demo/lasso-path.png")).unwrap();
    let pixels = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (1800, 1520));
    let ink = pixels.pixels().iter().filter(|p| (p.red(), p.green(), p.blue()) != (255, 255, 255)).count();
    assert!(ink > 50_000, "{ink} pixels are not white");
    // Both problems: the derivative error falls by orders of magnitude from start to end.
    for case in ["lasso", "logistic"] {
        let trace = f.path(&format!("demo/{case}-fista-trace.npz"));
        let change = array(&trace, "derivative_change");
        let median = |k: usize| {
            let mut row: Vec<f64> = change.index_axis(ndarray::Axis(0), k).iter().copied().collect();
            row.sort_by(f64::total_cmp);
            row[row.len() / 2]
        };
        assert!(median(1999) < 1e-4 * median(5), "{case}: {} {}", median(1999), median(5));
    }
}

#[test]
fn doctor_names_engines_and_remedies() {
    let out = proxjet(&["doctor", "--json"]);
    assert_eq!(out.status.code(), Some(0));
    let seen: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(seen["cpu"]["engine"], "cpu");
    // Without any driver it says how to get one, unless the environment hides it; --engine gpu fails with the
    // same words.
    let blind = |args: &[&str], name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxjet"));
        for hides in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "WGPU_BACKEND"] {
            command.env_remove(hides);
        }
        command.args(args).env(name, value).output().unwrap()
    };
    let install = "apt-get install mesa-vulkan-drivers";
    let cases = [
        ("VK_LOADER_DRIVERS_DISABLE", "*", install),
        (
            "VK_DRIVER_FILES",
            "/nonexistent/a.json",
            "names /nonexistent/a.json, which does not exist. Unset it",
        ),
        ("VK_ICD_FILENAMES", "/no/b.json", "VK_ICD_FILENAMES names /no/b.json, which does not exist"),
        ("WGPU_BACKEND", "gl", "WGPU_BACKEND=gl limits the search"),
    ];
    for (name, value, words) in cases {
        let text = String::from_utf8_lossy(&blind(&["doctor"], name, value).stdout).to_string();
        assert!(text.contains("--engine auto takes: cpu") && text.contains(words), "{name}: {text}");
        assert_eq!(text.contains(install), words == install, "{name}: {text}");
        let out = blind(&lasso(&["--engine", "gpu", "--out", "/nonexistent/never"]), name, value);
        assert_eq!(out.status.code(), Some(5), "{}", stderr(&out));
        assert!(stderr(&out).contains(words) && stderr(&out).contains("--engine cpu"), "{}", stderr(&out));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_good_run_says_nothing_of_displays() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxjet"));
    let out = command.args(["doctor"]).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(0), ""));
    let usage =
        Command::new(env!("CARGO_BIN_EXE_proxjet")).arg("swep").env_remove("XDG_RUNTIME_DIR").output();
    assert_eq!(usage.unwrap().status.code(), Some(2), "arguments survive the restart");
}

#[test]
fn schedules_come_from_a_file_and_errors_name_the_phase() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let run = |name: &str, text: &str, more: &[&str]| {
        std::fs::write(f.path(name), text).unwrap();
        let file = f.path(name).display().to_string();
        let common = ["--engine", "cpu", "--alphas", "path:0.1:4", "--schedule", &file, "--out", &dir];
        proxjet(&lasso(&[&common, more].concat()))
    };
    let good = "patience = 5\n[[phase]]\nuntil = 'identified'\nalgorithm = 'pgd'\n[[phase]]\nalgorithm = \
        'fista'\nmomentum = 'nesterov:20'\n";
    let done = run("good.toml", good, &["--rates"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let result: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(f.path("out").join("result.json")).unwrap()).unwrap();
    assert_eq!(result["schedule"]["phases"][0]["until"], "identified");
    assert_eq!(result["schedule"]["phases"][1]["momentum"], "nesterov:20");
    assert!(result["convergence"][3]["margin"].as_f64().unwrap() > 0.0);
    assert!(result["lanes"][3]["identified"].as_u64().unwrap() > 0);

    let refused = |name: &str, text: &str, words: &str| {
        let out = run(name, text, &[]);
        assert!(out.status.code() == Some(2), "{}", stderr(&out));
        assert!(stderr(&out).contains(words), "{}", stderr(&out));
    };
    refused("a.toml", "[[phase]]\nalgorithm = 'pgd'\nuntill = 3\n", "line 3: unknown field `untill`");
    refused("b.toml", "metric = 'none'\n", "found no phase");
    let two = "[[phase]]\nuntil = 9\nalgorithm = 'pgd'\n[[phase]]\nalgorithm = 'pgd'\n";
    refused("c.toml", &format!("{two}step = 'uniform:2:1:0'\n"), "phase 2 of 2: step: found 'uniform:2:1:0'");
    refused("d.toml", &format!("{two}momentum = 'fista'\n"), "phase 2 of 2: momentum");
    refused(
        "e.toml",
        &two.replace("[[phase]]\nalgorithm", "[[phase]]\nuntil = 9\nalgorithm"),
        "phase 2 of 2: until: found 9: the phases overlap",
    );
    refused("i.toml", &two.replace("until = 9", "until = -5"), "phase 1 of 2: until: found '-5'");
    refused(
        "j.toml",
        &two.replacen("pgd", "pdg", 1),
        "phase 1 of 2: algorithm: found 'pdg', expected one of pgd, fista, heavy_ball. Did you mean 'pgd'?",
    );
    refused("k.toml", &format!("patience = -2\n{two}"), "patience: found -2");
    refused("l.toml", &format!("{two}step = 1.0\n"), "rules are words in quotes");
    // A path starts at alpha_max, where the only active coefficient is all but zero.
    let manifold = format!(
        "{}step = 'manifold'\n",
        good.replace("fista", "pgd").replace("momentum = 'nesterov:20'\n", "")
    );
    let done = run("h.toml", &manifold, &[]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let wild = run("f.toml", &format!("{two}step = 'constant:3'\n"), &[]);
    assert!(
        stderr(&wild).contains("phase 2 of 2: step size")
            && stderr(&wild).contains("at iteration 9 in lane 0 is 3.000000/L")
    );
    let varying = two.replacen("pgd", "fista", 2) + "step = 'cyclic:0.5:1:4'\n";
    let varying = run("g.toml", &varying, &[]);
    assert!(stderr(&varying).contains("momentum under steps that rise"), "{}", stderr(&varying));
}

#[test]
fn reproduce_makes_its_page() {
    let f = Folder::new();
    let out = f.path("page");
    let done = proxjet(&[
        "reproduce",
        "--engine",
        "cpu",
        "--starts",
        "3",
        "--data",
        "bundled:diabetes",
        "--out",
        &out.display().to_string(),
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let page = read("index.html");
    for words in [
        "Proved.",
        "Measured here.",
        "In the paper.",
        "curse of unrolling",
        "Barzilai",
        "own",
        "How this page was made",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("<svg").count(), 8);
    for picture in
        ["lasso-gradient", "logistic-momentum", "own-gradient", "curse-of-unrolling", "barzilai-borwein"]
    {
        assert!(
            out.join(format!("{picture}.svg")).exists() && out.join(format!("{picture}.png")).exists(),
            "{picture}"
        );
    }
    let mut rows = csv::Reader::from_path(out.join("rates.csv")).unwrap();
    let mut count = 0;
    for row in rows.records() {
        let row = row.unwrap();
        count += 1;
        let number = |i: usize| row[i].parse::<f64>().unwrap_or(f64::NAN);
        if &row[0] == "lasso" {
            // q_x, q_d, predicted
            assert!(
                (number(9) / number(7) - 1.0).abs() < 0.01 && (number(11) / number(7) - 1.0).abs() < 0.02,
                "{row:?}"
            );
        }
    }
    assert_eq!(count, 15 * (3 + 3 + 10));
    let result: serde_json::Value = serde_json::from_str(&read("result.json")).unwrap();
    assert_eq!(result.as_array().unwrap().len(), 3);
}

/// Runs `proxjet bench` on a tiny shape and reads what it wrote.
fn bench(folder: &Folder, name: &str, args: &[&str]) -> (Value, String) {
    let path = folder.path(name).display().to_string();
    let out = proxjet(&[&["bench", "--shape", "30,12,6", "--repeat", "2", "--out", &path], args].concat());
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(stderr(&out).contains("bench: "), "progress on stderr");
    let written = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (written, String::from_utf8(out.stdout).unwrap())
}

/// Fields that docs/benchmarks.md names, and numbers that follow from others.
#[track_caller]
fn check_iterations(report: &Value, tangents: &[u64]) {
    let entries = report["shapes"].as_array().unwrap();
    let near = |a: &Value, b: f64| assert!((a.as_f64().unwrap() / b - 1.0).abs() < 1e-9, "{a} for {b}");
    let strategies: &[&str] =
        if report["engine"]["engine"] == "cpu" { &["direct"] } else { &["direct", "gram", "persistent"] };
    assert!(!entries.is_empty() && entries.len().is_multiple_of(tangents.len() * strategies.len()));
    let cases = tangents.iter().flat_map(|d| strategies.iter().map(move |strategy| (d, *strategy))).cycle();
    for (entry, (d, strategy)) in entries.iter().zip(cases) {
        assert_eq!(entry["strategy"], strategy);
        assert_eq!(
            (&entry["rows"], &entry["features"], &entry["lanes"]),
            (&30.into(), &12.into(), &6.into())
        );
        assert_eq!((&entry["tangents"], &entry["lanes_at_a_time"]), (&(*d).into(), &6.into()));
        let seconds = entry["seconds"]["median"].as_f64().unwrap();
        assert_eq!(entry["seconds"]["values"].as_array().unwrap().len(), 2);
        assert!(seconds > 0.0 && entry["iterations_timed"].as_u64().unwrap() > 0);
        let operations = if strategy == "direct" { 4 * 30 * 12 } else { 2 * 12 * 12 };
        let operations = (operations * 6 * (1 + d)) as f64;
        near(&entry["operations"], operations);
        near(&entry["gflops"], operations / seconds / 1e9);
        near(&entry["gigabytes_per_second"], entry["bytes"].as_f64().unwrap() / seconds / 1e9);
        let peak = report["peaks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["precision"] == entry["precision"])
            .unwrap();
        near(&entry["floor_seconds"], operations / peak["gflops"].as_f64().unwrap() / 1e9);
        near(&entry["floor_ratio"], seconds / entry["floor_seconds"].as_f64().unwrap());
        let ratio = entry["products_ratio"]["values"][1].as_f64().unwrap();
        let pair = |key: &str| entry[key]["values"][1].as_f64().unwrap();
        near(&ratio.into(), pair("seconds") / pair("products_seconds"));
        for key in ["start_seconds", "bytes"] {
            assert!(entry[key].as_f64().unwrap() > 0.0, "{key}");
        }
        let run = &entry["run"];
        assert!(
            run["iterations"].as_f64().unwrap() > 0.0 && run["seconds"]["median"].as_f64().unwrap() > 0.0
        );
        assert!(run["host_share"].as_f64().unwrap() < 1.0);
        // As many columns as the iteration has.
        let columns = 6 * (1 + d);
        let products = report["products"].as_array().unwrap();
        assert!(products.iter().any(|p| p["columns"] == columns && p["precision"] == entry["precision"]));
    }
    assert!(report["host_share"].is_number());
}

#[test]
fn bench_writes_what_it_measured() {
    let f = Folder::new();
    let args = ["--engine", "cpu", "--only", "shapes,lanes,sparsity,cancel", "--json"];
    let (report, printed) = bench(&f, "all.json", &args);
    assert_eq!(report, serde_json::from_str::<Value>(&printed).unwrap());
    assert_eq!(report["schema"], "proxjet-bench 2");
    assert_eq!(report["versions"]["proxjet"], env!("CARGO_PKG_VERSION"));
    assert!(report["command"].as_str().unwrap().starts_with("proxjet bench --shape 30,12,6 --repeat 2"));
    let date = report["date"].as_str().unwrap();
    assert!(date.len() == 20 && date.ends_with('Z') && date.as_bytes()[10] == b'T', "{date}");
    assert_eq!(report["engine"]["engine"], "cpu");
    for (part, key) in
        [("engine", "adapter"), ("engine", "driver"), ("host", "os"), ("host", "kernel"), ("host", "cpu")]
    {
        assert!(!report[part][key].as_str().unwrap().is_empty(), "{part}.{key}");
    }
    assert!(report["host"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(report["settings"]["sections"], serde_json::json!(["shapes", "lanes", "sparsity", "cancel"]));
    assert_eq!(report["shapes"].as_array().unwrap().len(), 4, "two precisions, d = 0 and 1");
    check_iterations(&report, &[0, 1]);
    assert_eq!(report["lanes"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&report["lanes"][3]["iterations"], &report["lanes"][3]["tangents"]),
        (&200.into(), &1.into())
    );
    for (what, runs) in [("cancels", 20), ("deadlines", 5)] {
        let latency = &report["cancel"][what];
        let cancelled =
            latency["values"].as_array().unwrap().len() + latency["missed"].as_u64().unwrap() as usize;
        assert_eq!(cancelled, runs);
        assert!(latency["percentile_99"].as_f64() >= latency["median"].as_f64());
    }
    // Twelve coefficients are too few to leave any out.
    assert_eq!(report["sparsity"], serde_json::json!([]));
    let skipped = report["skipped"].as_array().unwrap();
    assert!(skipped.len() == 3 && skipped.iter().all(|s| s["section"] == "sparsity"), "{skipped:?}");
}

#[test]
fn bench_compares_with_and_without_sparsity() {
    let args =
        ["bench", "--engine", "cpu", "--only", "sparsity", "--shape", "30,70,6", "--repeat", "2", "--json"];
    let report: Value = serde_json::from_slice(&proxjet(&args).stdout).unwrap();
    let sparsity = report["sparsity"].as_array().unwrap();
    let floors: Vec<f64> = sparsity.iter().map(|s| s["path_floor"].as_f64().unwrap()).collect();
    assert_eq!(floors, [0.1, 0.01, 0.001]);
    for s in sparsity {
        assert!(s["ratio"]["median"].as_f64().unwrap() > 0.0 && s["frames"].as_u64().unwrap() > 10);
        assert!(s["difference"].as_f64().unwrap() < 1e-9, "{s}");
    }
    assert!(sparsity[0]["skipped_work"].as_f64().unwrap() > 0.1, "{}", sparsity[0]);
    assert_eq!(report["skipped"], serde_json::json!([]));
}

#[test]
fn bench_times_a_device_by_its_own_clock() {
    let doctor = proxjet(&["doctor", "--json"]);
    let seen: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let Some(adapter) = seen["adapters"].as_array().and_then(|list| list.first()) else {
        assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
        return eprintln!("SKIPPED, no adapter");
    };
    let f = Folder::new();
    let (report, text) =
        bench(&f, "gpu.json", &["--engine", "gpu", "--only", "shapes,lanes", "--tangents", "1"]);
    assert_eq!(report["engine"]["engine"], "gpu");
    assert_eq!(report["engine"]["adapter"], adapter["name"]);
    let precisions = if adapter["f64"] == true { 2 } else { 1 };
    assert_eq!(report["shapes"].as_array().unwrap().len(), 3 * precisions, "each strategy");
    assert_eq!(
        report["skipped"].as_array().unwrap().is_empty(),
        precisions == 2,
        "an absent precision is named"
    );
    check_iterations(&report, &[1]);
    for entry in report["shapes"].as_array().unwrap() {
        assert!(entry["one_by_one_seconds"].as_f64().unwrap() > 0.0);
        let device = &entry["device"];
        assert_eq!(device.is_object(), adapter["timestamps"] == true);
        if device.is_object() {
            let all: f64 =
                device["kernels"].as_array().unwrap().iter().map(|k| k["seconds"].as_f64().unwrap()).sum();
            let last = device["kernel_seconds"]["values"][1].as_f64().unwrap();
            assert!((all / last - 1.0).abs() < 1e-6, "{all} {last}");
            assert!(device["gap_seconds"]["median"].as_f64().unwrap() >= 0.0);
            assert!(
                device["kernels"].as_array().unwrap().iter().all(|k| k["dispatches"].as_f64().unwrap() > 0.0)
            );
        }
    }
    for words in ["30 x 12", "/products", "by the device's own clock", "many lanes"] {
        assert!(text.contains(words), "'{words}' is not in: {text}");
    }
}

#[test]
fn bench_says_what_does_not_fit_and_refuses_bad_settings() {
    let f = Folder::new();
    let args = ["--engine", "cpu", "--only", "shapes", "--memory-budget", "0.00001"];
    let (report, text) = bench(&f, "small.json", &args);
    assert_eq!(report["shapes"], serde_json::json!([]));
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 4);
    assert_eq!(skipped[0]["section"], "shapes");
    assert_eq!(skipped[0]["what"], "30 x 12, 6 lanes, d=0, f32, direct");
    assert!(skipped[0]["reason"].as_str().unwrap().contains("memory plan"), "{}", skipped[0]);
    assert!(text.contains("skipped\n  shapes: 30 x 12"), "{text}");

    fails(&["bench", "--shape", "30,12"], 2, &["--shape", "'30,12'", "N,P,B"]);
    fails(&["bench", "--shape", "30,12,0"], 2, &["--shape", "three positive numbers"]);
    fails(&["bench", "--shape", "30,12,2305843009213693952"], 2, &["--shape", "at most"]);
    fails(&["bench", "--repeat", "0"], 2, &["--repeat", "at least 1"]);
    fails(&["bench", "--only", "shapse"], 2, &["shapse", "shapes"]);
    fails(&["bench", "--memory-budget", "0"], 2, &["--memory-budget", "positive"]);
    let folder = f.path("").display().to_string();
    fails(&["bench", "--out", &folder], 1, &["--out", "the name of a file"]);
}

#[test]
fn two_benches_can_be_compared() {
    let f = Folder::new();
    let (mut report, _) = bench(&f, "a.json", &["--engine", "cpu", "--only", "shapes", "--tangents", "1"]);
    let a = f.path("a.json").display().to_string();
    let save = |name: &str, report: &Value| f.file(name, serde_json::to_vec(report).unwrap());
    let compare = |b: &str| {
        let out = proxjet(&["bench", "--json", "--compare", &a, b]);
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let ratio = |c: &Value, what: &str| {
        let entries = c["entries"].as_array().unwrap();
        entries.iter().find(|e| e["what"] == what).unwrap_or_else(|| panic!("{what} is not in {c}")).clone()
    };
    let what = "iteration 30 x 12, 6 lanes, d=1, f64 direct";
    let same = ratio(&compare(&a), what);
    assert_eq!((&same["a_seconds"], &same["apart"]), (&same["b_seconds"], &false.into()));

    // Times that are known: 1 and 2 beside 6 and 8 seconds.
    report["shapes"][1]["seconds"] = serde_json::json!({"median": 1.5, "values": [1.0, 2.0]});
    std::fs::write(f.path("a.json"), serde_json::to_vec(&report).unwrap()).unwrap();
    report["shapes"][1]["seconds"] = serde_json::json!({"median": 7.0, "values": [6.0, 8.0]});
    report["shapes"][0]["lanes"] = 7.into();
    let slow = compare(&save("b.json", &report));
    // Of the pairs 6, 8, 3 and 4.
    let found = ratio(&slow, what);
    assert_eq!((&found["ratio"], &found["quartiles"]), (&5.0.into(), &serde_json::json!([3.0, 6.0])));
    assert_eq!(found["apart"], true);
    assert_eq!(slow["only_a"], serde_json::json!(["iteration 30 x 12, 6 lanes, d=1, f32 direct"]));
    let text = proxjet(&["bench", "--compare", &a, &f.path("b.json").display().to_string()]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("slower"));

    let refused = |b: &str, parts: &[&str]| fails(&["bench", "--compare", &a, b], 4, parts);
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/runs/2026-11-24-epyc-2core/cpu.json");
    refused(old, &["cpu.json", "no schema", "'proxjet-bench 2'", "Measure again"]);
    refused(
        &save("c.json", &serde_json::json!({"schema": "proxjet-bench 1"})),
        &["schema 'proxjet-bench 1'"],
    );
    refused(&save("d.json", &serde_json::json!({"schema": "proxjet-bench 2"})), &["missing field"]);
    refused(&f.file("e.json", "{ no json"), &["e.json", "line 1"]);
    refused(&f.path("none.json").display().to_string(), &["none.json", "Check the path"]);
    report["shapes"] = serde_json::json!([]);
    report["products"] = serde_json::json!([]);
    refused(&save("g.json", &report), &["no measurement that is in both files"]);
    fails(&["bench", "--compare", &a], 2, &["--compare"]);
    fails(&["bench", "--compare", &a, &a, "--repeat", "2"], 2, &["--repeat", "cannot be used with"]);
}

#[test]
fn devices_are_chosen_by_their_numbers() {
    let diagnosis: Value = serde_json::from_slice(&proxjet(&["doctor", "--json"]).stdout).unwrap();
    let adapters = diagnosis["adapters"].as_array().unwrap();
    if adapters.is_empty() {
        assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
        return eprintln!("SKIPPED, no adapter");
    }
    let f = Folder::new();
    let run = |device: &str, out: &str| {
        let folder = f.path(out).display().to_string();
        let args = ["--alphas", "path:0.01:40", "--iterations", "300", "--tol", "0", "--out", &folder];
        let done = proxjet(&lasso(&[&args[..], &["--device", device]].concat()));
        assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
        let result: Value =
            serde_json::from_slice(&std::fs::read(f.path(out).join("result.json")).unwrap()).unwrap();
        let names = |v: &Value| v["adapter"].as_str().unwrap().to_string();
        let mut devices = vec![names(&result)];
        devices.extend(result["further_devices"].as_array().into_iter().flatten().map(names));
        (devices, array(&f.path(out).join("trace.npz"), "coef"), result["precision"].clone())
    };
    let name = adapters[0]["name"].as_str().unwrap().to_string();
    let (devices, alone, precision) = run("0", "one");
    assert_eq!((devices, precision.as_str()), (vec![name.clone()], Some("f32")));
    // Twice the same adapter: two devices, the same numbers.
    let (devices, together, _) = run("0,0", "two");
    assert_eq!(devices, [name.clone(), name]);
    assert_eq!(alone, together);
    let (devices, _, _) = run("all", "all");
    assert!(!devices.is_empty() && devices.len() <= adapters.len());

    let beyond = adapters.len().to_string();
    fails(
        &lasso(&["--json", "--device", &beyond]),
        2,
        &["--device", &format!("'{beyond}'"), "proxjet doctor"],
    );
    fails(&lasso(&["--json", "--device", "first"]), 2, &["'first'", "'all'"]);
    fails(
        &lasso(&["--json", "--device", "0", "--engine", "cpu"]),
        2,
        &["'0' with --engine cpu", "Leave out one"],
    );
    let check = [
        "grad-check",
        "--data",
        "bundled:diabetes",
        "--loss",
        "squared",
        "--penalty",
        "l1",
        "--device",
        "0,0",
    ];
    fails(&check, 2, &["2 devices", "one device for this command"]);
}
