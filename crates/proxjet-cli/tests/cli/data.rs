//! Data files and paths as people have them.

use super::*;

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

    // Means of the fitted rows: 14.5 of a, a third are rome; a text that is not known is no town.
    let gaps = f.file("gaps.csv", "a,city\n,oslo\n8,NA\n8,bern\n");
    fails(
        &["predict", "--model", &model, "--data", &gaps],
        4,
        &["line 2, column 'a'", "an empty cell", "--missing mean"],
    );
    let done = proxjet(&["predict", "--model", &model, "--data", &gaps, "--missing", "mean"]);
    let (text, warned) = (String::from_utf8(done.stdout.clone()).unwrap(), stderr(&done));
    let found: Vec<f64> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    let means = 2.0 * 8.0 + (worth("rome") + 2.0 * worth("oslo")) / 3.0;
    assert!((found[0] - (29.0 - 3.0)).abs() < 1e-3 && (found[1] - means).abs() < 1e-3, "{found:?}");
    assert!(warned.contains("'city'") && warned.contains("1 row(s)") && warned.contains("bern"), "{warned}");
    fails(&["predict", "--model", &model, "--data", &gaps, "--missing", "drop-rows"], 2, &["error, mean"]);
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
    let few = proxjet(&lasso(&["--engine", "cpu", "--json", "--iterations", "3", "--no-polish"]));
    assert!(!stderr(&few).contains("--standardize"), "{}", stderr(&few));
    let plain = ["sweep", "--data", "bundled:diabetes", "--loss", "squared", "--penalty", "l1", "--engine"];
    let few = proxjet(&[&plain[..], &["cpu", "--json", "--iterations", "3", "--no-polish"]].concat());
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

#[test]
fn a_column_that_counts_the_rows_is_named() {
    let f = Folder::new();
    let row = |i: usize| format!("{},{},{}\n", 7 + i, (i * i) % 11, (3 * i * i + i) % 13);
    let text: String = (0..12).map(row).collect();
    let counted = f.file("d.csv", format!("id,a,y\n{text}"));
    let out = proxjet(&["sweep", "--data", &counted, "--engine", "cpu"]);
    assert!(stderr(&out).contains("column 'id' rises by one"), "{}", stderr(&out));
    let without = proxjet(&["sweep", "--data", &counted, "--engine", "cpu", "--drop", "id"]);
    assert!(!stderr(&without).contains("rises by one"), "{}", stderr(&without));
}

#[test]
fn files_of_an_earlier_sweep_do_not_stay() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    let sweep = |more: &[&str]| {
        let done = proxjet(&lasso(&[&["--engine", "cpu", "--out", &out], more].concat()));
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        f.names("out")
    };
    assert!(sweep(&["--validation", "0.25"]).contains(&"model.json".to_string()));
    assert!(!sweep(&[]).contains(&"model.json".to_string()));
    assert!(!sweep(&["--alphas", "1"]).contains(&"path.svg".to_string()));
}
