//! Whole runs: budgets, interruption, and the other commands.

use super::*;

#[test]
fn a_plan_over_the_budget_is_refused() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let args = ["--engine", "cpu", "--alphas", "geom:1:0.1:300000", "--memory-budget", "0.5", "--out", &dir];
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
    std::thread::sleep(std::time::Duration::from_millis(2000));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let written: Value = serde_json::from_slice(&std::fs::read(f.path("out/result.json")).unwrap()).unwrap();
    let lane = &written["lanes"][3];
    assert_eq!(lane["status"], "cancelled");
    let done = lane["iterations"].as_u64().unwrap();
    assert!(done > 0 && done < 3_000_000);
    assert_eq!(array(&f.path("out/trace.npz"), "objective").shape(), [done as usize / 100, 4]);
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
fn reproduce_runs_only_the_users_data() {
    let f = Folder::new();
    let out = f.path("page");
    let place = out.display().to_string();
    let done = proxjet(&["reproduce", "--starts", "2", "--data", "bundled:diabetes", "--out", &place]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert_eq!((page.matches("<h2 id").count(), page.matches("<svg class=\"whole\"").count()), (1, 2));
    assert!(page.contains("Lasso on bundled:diabetes") && page.contains("2 starts"));
    assert!(!page.contains("synthetic data") && !page.contains("class=\"expected\""));
    assert!(page.contains("proxjet reproduce --data bundled:diabetes --starts 2 (version"));
    let alone = proxjet(&["reproduce", "--synthetic", "--out", &place]);
    assert!(stderr(&alone).contains("--data <FILE>"), "{}", stderr(&alone));
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
        "--synthetic",
        "--out",
        &out.display().to_string(),
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    // The user's data first; every row of a table names its engine.
    let text = String::from_utf8(done.stdout.clone()).unwrap();
    let titles: Vec<usize> = ["Lasso on bundled:diabetes", "Lasso on synthetic", "A caution: the curse"]
        .iter()
        .map(|title| text.find(title).unwrap_or_else(|| panic!("{title}: {text}")))
        .collect();
    assert!(titles.is_sorted(), "{text}");
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| PGD") || line.starts_with("| APG")).collect();
    assert!(rows.len() == 3 * 14 && rows.iter().all(|row| row.contains("| cpu f64 |")), "{text}");
    // The warning of the run that is meant to fail is labelled, and is the only one.
    let log = stderr(&done);
    assert!(
        !log.contains("warn:") && log.contains("expected, as this run shows what happens then: step size"),
        "{log}"
    );
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
        "The run without a clamp warns: “step size",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("<svg class=\"whole\"").count(), 8);
    // On narrow screens: two panels and two columns of the legend of each, and a title in every cell.
    assert_eq!(page.matches("<svg class=\"part\"").count(), 4 * 8);
    assert_eq!(page.matches("<td data-title=\"engine\">cpu f64</td>").count(), 3 * 15);
    assert_eq!(page.matches("<td").count(), page.matches("<td data-title").count());
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
    assert_eq!(count, 15 * (3 + 3 + 3));
    let result: serde_json::Value = serde_json::from_str(&read("result.json")).unwrap();
    assert_eq!(result.as_array().unwrap().len(), 3);
}

#[test]
fn a_sweep_ends_with_a_short_table_and_every_lane_on_request() {
    let args = ["--engine", "cpu", "--validation", "0.25:1"];
    let out = proxjet(&lasso(&args));
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let table = String::from_utf8(out.stdout.clone()).unwrap();
    assert!(table.lines().count() <= 20 && !table.contains('\x1b'), "{table}");
    let marked: Vec<&str> = table.lines().filter(|line| line.starts_with('*')).collect();
    let talk = stderr(&out);
    assert!(talk.contains("100 candidates (lanes)") && talk.contains("no files are kept"), "{talk}");

    let quiet = proxjet(&lasso(&[&args[..], &["--csv", "--quiet"]].concat()));
    assert!(stderr(&quiet).is_empty(), "{}", stderr(&quiet));
    let mut rows = csv::Reader::from_reader(&quiet.stdout[..]);
    let column = |head: &csv::StringRecord, name: &str| head.iter().position(|h| h == name).unwrap();
    let head = rows.headers().unwrap().clone();
    let (loss, score) = (column(&head, "validation_loss"), column(&head, "r2"));
    let rows: Vec<csv::StringRecord> = rows.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 100);
    let number = |row: &csv::StringRecord, at: usize| row[at].parse::<f64>().unwrap();
    let best = rows.iter().min_by(|a, b| number(a, loss).total_cmp(&number(b, loss))).unwrap();
    // The squared loss is half the mean square of the residuals.
    let (_, held_out) = proxjet::data::bundled("diabetes").unwrap().split("0.25:1".parse().unwrap()).unwrap();
    let variance = held_out.target().var(0.0);
    let expected = 1.0 - 2.0 * number(best, loss) / variance;
    assert!((number(best, score) - expected).abs() < 1e-9, "{} for {expected}", number(best, score));
    assert!(marked.len() == 1 && marked[0].contains(&format!("{expected:.4}")), "{marked:?}");
}

#[test]
fn accuracy_is_the_share_of_right_classes_and_the_picture_names_every_feature() {
    let f = Folder::new();
    let dir = f.path("out").display().to_string();
    let data = ["--data", "bundled:breast_cancer", "--standardize"];
    let args = ["--loss", "logistic", "--penalty", "l1", "--engine", "cpu", "--alphas", "0.1,0.01"];
    let out = proxjet(&[&["sweep"], &data[..], &args, &["--validation", "0.3:2", "--out", &dir]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(f.path(name)).unwrap()).unwrap() };
    let (result, model) = (read("out/result.json"), read("out/model.json"));
    let rows = result["data"]["held_out_rows"].as_array().unwrap();
    let all = proxjet::data::bundled("breast_cancer").unwrap();
    assert_eq!(rows.len(), (0.3f64 * 569.0).round() as usize);
    let coef: Vec<f64> = model["coef"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let z = all.x().dot(&ndarray::Array1::from(coef.clone())) + model["intercept"].as_f64().unwrap();
    let classes = model["classes"].as_array().unwrap();
    let second: f64 = classes[1].as_str().unwrap().parse().unwrap();
    let right = |row: &&Value| {
        let i = row.as_u64().unwrap() as usize;
        (z[i] > 0.0) == (all.target()[i] == second)
    };
    let expected = rows.iter().filter(right).count() as f64 / rows.len() as f64;
    let lane = model["lane"].as_u64().unwrap() as usize;
    let said = result["lanes"][lane]["score"].as_f64().unwrap();
    assert_eq!(result["score"], "accuracy");
    assert!((said - expected).abs() < 1e-12 && said > 0.9, "{said} for {expected}");

    let svg = std::fs::read_to_string(f.path("out/path.svg")).unwrap();
    let names = model["features"].as_array().unwrap();
    for (name, _) in names.iter().zip(&coef).filter(|(_, c)| **c != 0.0) {
        assert!(svg.contains(&format!("<title>{}</title>", name.as_str().unwrap())), "{name}");
    }
}

#[test]
fn an_end_of_the_path_is_judged_by_lanes_about_a_decade_away() {
    let sweep = |alphas: &str| {
        let data = ["sweep", "--data", "bundled:diabetes", "--standardize", "--validation", "0.25:1"];
        stderr(&proxjet(&[&data[..], &["--engine", "cpu", "--alphas", alphas]].concat()))
    };
    // No lane is a decade away.
    assert!(sweep("20,19").contains("as in --alphas geom:2.000e1:1.900e-1:2"), "{}", sweep("20,19"));
    // The path is flat at its end.
    let flat = sweep("geom:1e-3:1e-5:9");
    assert!(flat.contains("at the largest alpha, but it hardly changes there"), "{flat}");
    assert!(!sweep("0,10,20").contains("geom:2.000e1:0"), "{}", sweep("0,10,20"));
}
