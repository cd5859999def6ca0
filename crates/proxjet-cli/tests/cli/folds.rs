//! Cross-validation and held-out files from the command line.

use super::*;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn folds_end_with_a_model_of_all_rows() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    let args = ["--folds", "5:1", "--alphas", "geom:2:0.05:12", "--engine", "cpu", "--out", &out];
    let done = proxjet(&lasso(&args));
    let (talk, table) = (stderr(&done), String::from_utf8_lossy(&done.stdout).to_string());
    assert_eq!(done.status.code(), Some(0), "{talk}");
    assert!(table.contains("standard error") && table.lines().count() == 13, "{table}");
    assert_eq!(table.lines().filter(|l| l.contains('*')).count(), 1, "{table}");
    assert!(talk.contains("best alpha") && talk.contains("over 5 folds"), "{talk}");
    let result = json(&f.path("out/result.json"));
    let list = result["cross_validation"].as_array().unwrap();
    assert_eq!((list.len(), result["lanes"].as_array().unwrap().len()), (12, 60));
    // The mean and the standard error of the lanes of an alpha.
    let losses: Vec<f64> =
        (0..5).map(|k| result["lanes"][15 + k]["validation_loss"].as_f64().unwrap()).collect();
    let mean = losses.iter().sum::<f64>() / 5.0;
    let spread = losses.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    assert!((list[3]["mean"].as_f64().unwrap() / mean - 1.0).abs() < 1e-12);
    assert!((list[3]["standard_error"].as_f64().unwrap() / (spread / 20.0).sqrt() - 1.0).abs() < 1e-12);
    assert_eq!(result["lanes"][17]["fold"], 2);
    let best = list.iter().min_by(|a, b| a["mean"].as_f64().unwrap().total_cmp(&b["mean"].as_f64().unwrap()));
    let model = json(&f.path("out/model.json"));
    assert_eq!(model["alpha"], best.unwrap()["alpha"]);
    // As a sweep of that alpha alone finds it.
    let alpha = model["alpha"].to_string();
    let alone = f.path("alone").display().to_string();
    assert_eq!(
        proxjet(&lasso(&["--alphas", &alpha, "--engine", "cpu", "--out", &alone])).status.code(),
        Some(0)
    );
    let coef =
        |m: &Value| m["coef"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let (a, b) = (coef(&model), coef(&json(&f.path("alone/model.json"))));
    let size = b.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6 * size), "{a:?} {b:?}");
    let bytes = std::fs::read(f.path("out/trace.npz")).unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    assert!(zip.by_name("fold.npy").is_ok());
}

#[test]
fn groups_ids_and_files_of_held_out_rows() {
    let f = Folder::new();
    let rows = |n: usize, seed: usize| -> String {
        let row = |i: usize| {
            let (a, b) = ((i * 7 + seed) % 11, (i * 5 + seed) % 13);
            format!("{a},{b},s{},{}\n", i % 6, 2 * a + b + i % 3)
        };
        format!("a,b,site,y\n{}", (0..n).map(row).collect::<String>())
    };
    let csv = f.file("d.csv", rows(60, 1));
    let sweep = |more: &[&str]| {
        let args = [&["sweep", "--data", &csv, "--engine", "cpu", "--alphas", "1,0.1"][..], more].concat();
        let done = proxjet(&args);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        stderr(&done)
    };
    assert!(sweep(&["--groups", "site", "--folds", "3"]).contains("over 3 folds"));
    assert!(sweep(&["--drop", "site", "--folds", "time:4"]).contains("over 4 folds"));
    assert!(sweep(&["--drop", "site", "--folds", "3:1:2"]).contains("over 6 folds"));
    let ids: Vec<u8> = (0..60).map(|i| i % 4).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (60,), }}{:>50}\n", "");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend(&ids);
    let ids = f.file("ids.npy", npy);
    assert!(sweep(&["--drop", "site", "--fold-ids", &ids]).contains("over 4 folds"));
    // Columns in another order, and a text that the fitted rows do not have.
    let other = rows(20, 3).replace("s5", "s9");
    let other = f.file("held-out.csv", other);
    assert!(sweep(&["--one-hot", "--validation-data", &other]).contains("held-out loss"));
    let lacks = f.file("lacks.csv", "a,site,y\n1,s,2\n3,s,4\n");
    let on = |more: &[&'static str]| [&["sweep", "--data", &csv, "--drop", "site"][..], more].concat();
    let refused = |more: &[&str], words: &[&str]| {
        fails(&[&["sweep", "--data", &csv, "--engine", "cpu"][..], more].concat(), 2, words)
    };
    refused(&["--groups", "site"], &["--groups", "--folds K"]);
    fails(&on(&["--folds", "61"]), 4, &["61 folds", "at most 60"]);
    fails(&on(&["--folds", "1"]), 2, &["1 folds", "at least 2"]);
    fails(&on(&["--folds", "x"]), 2, &["'x'", "K:SEED"]);
    fails(&["sweep", "--data", &csv, "--groups", "site", "--folds", "7"], 4, &["6 groups for 7 folds"]);
    fails(
        &["sweep", "--data", &csv, "--drop", "site", "--validation-data", &lacks],
        4,
        &["lacks.csv", "'b'"],
    );
}

#[test]
fn gaps_of_held_out_rows_have_the_means_of_the_fitted_ones() {
    let f = Folder::new();
    let fitted = f.file("fitted.csv", "a,b,y\n1,2,3\n2,NA,5\n3,1,6\n,4,7\n5,5,8\n");
    let held_out = f.file("held-out.csv", "a,b,y\n1,NA,3\n1,10,4\n,20,5\n7,30,6\n");
    let out = f.path("out").display().to_string();
    let args = ["--missing", "mean", "--validation-data", &held_out, "--alphas", "0.1", "--out", &out];
    let done = proxjet(&[&["sweep", "--data", &fitted, "--engine", "cpu"][..], &args].concat());
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stderr(&done).contains("with both files in one"), "{}", stderr(&done));
    // The loss of the predictions that `predict` makes.
    let model = f.path("out/model.json").display().to_string();
    let done = proxjet(&["predict", "--model", &model, "--data", &held_out, "--missing", "mean"]);
    let text = String::from_utf8_lossy(&done.stdout).to_string();
    let predicted = text.lines().skip(1).map(|line| line.parse::<f64>().unwrap());
    let loss = predicted.zip([3.0, 4.0, 5.0, 6.0]).map(|(z, y)| 0.5 * (z - y) * (z - y)).sum::<f64>() / 4.0;
    let recorded = json(&f.path("out/result.json"))["lanes"][0]["validation_loss"].as_f64().unwrap();
    assert!((recorded / loss - 1.0).abs() < 1e-10, "{recorded} {loss}");
}

#[test]
fn indices_that_the_model_does_not_have_are_named() {
    let f = Folder::new();
    let data = f.file("d.svm", "1 1:1 2:2\n2 1:3\n4 2:1\n3 1:2 2:2\n");
    let more = f.file("more.svm", "0 1:1 5:9\n0 2:1 7:1\n");
    let out = f.path("out").display().to_string();
    let done = proxjet(&["sweep", "--data", &data, "--engine", "cpu", "--alphas", "0.1", "--out", &out]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let model = f.path("out/model.json").display().to_string();
    let done = proxjet(&["predict", "--model", &model, "--data", &more]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stderr(&done).contains("2 index(es) are left out"), "{}", stderr(&done));
    let from_0 = f.file("from-0.svm", "0 0:1 1:9\n");
    fails(&["predict", "--model", &model, "--data", &from_0], 4, &["an index 0", "from 1"]);
}

#[test]
fn alphas_that_a_deadline_left_out_have_no_numbers() {
    let f = Folder::new();
    let out = f.path("out").display().to_string();
    let args = ["--path", "newton", "--deadline", "0", "--alphas", "1,0.5", "--engine", "cpu", "--out", &out];
    let done = proxjet(&lasso(&args));
    let table = String::from_utf8_lossy(&done.stdout).to_string();
    let last = table.lines().last().unwrap();
    assert!(last.contains(" - ") && last.contains("deadline"), "{table}");
    let text = std::fs::read_to_string(f.path("out/coefficients.csv")).unwrap();
    assert!(text.lines().nth(1).unwrap().ends_with(",,"), "{text}");
    assert_eq!(json(&f.path("out/result.json"))["path"], "newton");
    fails(&lasso(&["--path", "newton", "--rates"]), 2, &["no sequence"]);
}
