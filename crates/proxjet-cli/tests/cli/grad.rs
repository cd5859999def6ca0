//! `grad`, and `grad-check` of its modes.

use super::{Folder, array, fails, proxjet, stderr};
use serde_json::Value;

const DATA: [&str; 8] = [
    "--data",
    "bundled:diabetes",
    "--standardize",
    "--validation",
    "0.25:1",
    "--alphas",
    "8,2,0.5",
    "--engine",
];

fn grad<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["grad"].iter().chain(&DATA).chain(&["cpu"]).chain(more).copied().collect()
}

#[test]
fn grad_writes_the_interface_that_others_build_on() {
    let modes = ["forward", "reverse", "implicit", "fixed_point", "one_step", "hybrid", "auto"];
    let mut gradients = Vec::new();
    for mode in modes {
        let f = Folder::new();
        let out_dir = f.path("out").display().to_string();
        let more = ["--mode", mode, "--derivative", "log_alpha,penalty_factor:*", "--iterations", "4000"];
        let out = proxjet(&grad(&[&more[..], &["--tol", "1e-10", "--out", &out_dir, "--json"]].concat()));
        assert_eq!(out.status.code(), Some(0), "{mode}: {}", stderr(&out));
        let printed: Value = serde_json::from_slice(&out.stdout).unwrap();
        let written: Value =
            serde_json::from_slice(&std::fs::read(f.path("out/grad.json")).unwrap()).unwrap();
        assert_eq!(printed, written);
        for key in ["mode", "names", "seconds", "peak_bytes", "lanes", "criterion"] {
            assert!(!written[key].is_null(), "{mode}: {key}");
        }
        assert!(mode == "auto" || written["mode"] == mode);
        assert_eq!(written["choice"].is_object(), mode == "auto");
        assert_eq!(written["names"].as_array().unwrap().len(), 11);
        let lane = &written["lanes"][1];
        for key in ["alpha", "status", "iterations", "derivative", "criterion"] {
            assert!(!lane[key].is_null(), "{mode}: {key}");
        }
        let verdict = &lane["certificate"]["verdict"];
        match mode {
            "one_step" => assert_eq!(verdict, "amber"),
            "reverse" => assert_ne!(verdict, "red"),
            _ => assert_eq!(verdict, "green", "{mode}: {lane}"),
        }
        assert_eq!(lane["gradient"].as_array().unwrap().len(), 11);
        let file = f.path("out/grad.npz");
        assert_eq!(array(&file, "coef").shape(), [3, 10]);
        assert_eq!(array(&file, "gradient").shape(), [3, 11]);
        if mode == "reverse" {
            assert!(!f.names("out").contains(&"trace.npz".into()));
        } else {
            assert_eq!(array(&file, "dcoef").shape(), [3, 11, 10]);
        }
        assert_eq!(
            f.names("out").contains(&"trace.npz".to_string()),
            ["forward", "hybrid"].contains(&mode) || written["mode"] == "hybrid"
        );
        if mode != "one_step" {
            gradients.push((mode, array(&file, "gradient")));
        }
    }
    for (mode, gradient) in &gradients {
        let (size, exact) = (gradients[2].1.iter().fold(0.0, |m: f64, v| m.max(v.abs())), &gradients[2].1);
        let apart = gradient.iter().zip(exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // The stop rule of the reverse mode does not wait for derivatives.
        assert!(apart <= 1e-4 * size, "{mode}: {apart:e} of {size:e}");
    }
}

#[test]
fn grad_gives_the_influence_of_every_step() {
    let f = Folder::new();
    let out_dir = f.path("out").display().to_string();
    let more = ["--mode", "reverse", "--tol", "0", "--iterations", "30", "--derivative", "step:*,momentum:*"];
    let out = proxjet(&grad(&[&more[..], &["--out", &out_dir]].concat()));
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert_eq!(array(&f.path("out/grad.npz"), "gradient").shape(), [3, 60]);
    let table = String::from_utf8_lossy(&out.stdout).to_string();
    assert!(table.contains("  step:") && table.contains("the 20 largest of 60 derivatives"), "{table}");
}

#[test]
fn a_dry_run_of_grad_prints_what_each_mode_takes() {
    let out = proxjet(&grad(&["--dry-run", "--derivative", "step:3", "--tol", "0"]));
    let text = String::from_utf8_lossy(&out.stdout).to_string();
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    for part in
        ["forward", "implicit", "refused", "'implicit' for the derivative by 'step:3'", "mode forward: it"]
    {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    let out = proxjet(&grad(&["--dry-run", "--mode", "hybrid", "--tol", "0"]));
    assert_eq!(out.status.code(), Some(2), "refused as the run would be");
    let out = proxjet(&grad(&["--dry-run", "--json"]));
    let choice: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(choice["estimates"].as_array().unwrap().len(), 6);
}

#[test]
fn grad_says_what_it_cannot_do() {
    let no_rows = ["grad", "--data", "bundled:diabetes", "--mode", "reverse", "--engine", "cpu"];
    fails(&no_rows, 2, &["--criterion: found none, with --mode reverse", "--criterion objective"]);
    fails(&grad(&["--mode", "implict"]), 2, &["--mode", "Did you mean 'implicit'"]);
    fails(&grad(&["--mode", "implicit", "--derivative", "momentum:2"]), 2, &["--mode", "mode reverse"]);
    fails(&grad(&["--derivative", "none"]), 2, &["--derivative: found none", "log_alpha"]);
    fails(&grad(&["--criterion", "loss"]), 2, &["--criterion", "validation"]);
    fails(&grad(&["--mode", "reverse", "--path", "newton"]), 2, &["--path", "mode implicit"]);
}

#[test]
fn grad_check_compares_every_mode() {
    let check = |more: &[&str]| {
        let all: Vec<&str> =
            ["grad-check"].iter().chain(&DATA).chain(&["cpu"]).chain(more).copied().collect();
        let out = proxjet(&all);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).to_string() + &stderr(&out))
    };
    for mode in ["reverse", "implicit", "fixed_point", "hybrid"] {
        let (code, text) = check(&["--mode", mode, "--iterations", "3000", "--tol", "1e-10"]);
        assert_eq!(code, Some(0), "{mode}: {text}");
    }
    let (code, text) = check(&["--mode", "one_step", "--tol", "1e-10"]);
    assert_eq!(code, Some(3), "one step of FISTA is far from the solution's derivative: {text}");
}

#[test]
fn grad_over_folds_has_means() {
    let f = Folder::new();
    let out_dir = f.path("out").display().to_string();
    let args = [
        "grad",
        "--data",
        "bundled:diabetes",
        "--standardize",
        "--folds",
        "4",
        "--alphas",
        "5,1",
        "--engine",
    ];
    let out = proxjet(&[&args[..], &["cpu", "--out", &out_dir]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let text = String::from_utf8_lossy(&out.stdout).to_string();
    assert!(text.contains("means over 4 folds"), "{text}");
    let written: Value = serde_json::from_slice(&std::fs::read(f.path("out/grad.json")).unwrap()).unwrap();
    let of = &written["cross_validation"][1];
    let lanes = written["lanes"].as_array().unwrap();
    let slopes: f64 = lanes[4..].iter().map(|lane| lane["gradient"][0].as_f64().unwrap()).sum();
    assert!((of["gradient"][0].as_f64().unwrap() - slopes / 4.0).abs() <= 1e-9 * slopes.abs());
    assert_eq!(array(&f.path("out/grad.npz"), "gradient").shape(), [8, 1]);
}
