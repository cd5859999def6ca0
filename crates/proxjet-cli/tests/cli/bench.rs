//! `bench`, and the choice of devices.

use super::*;

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
        assert!(s["compared"].as_u64().unwrap() >= 5, "all but the lane at a kink: {s}");
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
    fails(&["bench", "--only", "peers,lanes"], 2, &["'peers' beside other sections", "'peers' alone"]);
    // Where there is no Python, the error says how to make one.
    let folder = Folder::new();
    let mut program = Command::new(env!("CARGO_BIN_EXE_proxjet"));
    program.args(["bench", "--only", "peers"]).current_dir(folder.path("")).env("PATH", "");
    let done = program.env_remove("VIRTUAL_ENV").output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", stderr(&done));
    assert!(stderr(&done).contains("python3 -m venv peers"), "{}", stderr(&done));
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
