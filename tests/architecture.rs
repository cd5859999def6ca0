//! The direction of data: a module imports only from its left; wgpu is named under `engine/gpu` alone.

use std::fs;
use std::path::{Path, PathBuf};

/// From left to right; `error` serves all.
const ORDER: [&str; 12] = [
    "error",
    "design",
    "data",
    "objective",
    "schedule",
    "lanes",
    "program",
    "engine",
    "result",
    "solve",
    "diff",
    "report",
];

fn files(folder: &Path, list: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, list);
        } else if path.extension().is_some_and(|e| e == "rs") {
            list.push(path);
        }
    }
}

fn rank(module: &str) -> usize {
    if module == "front" {
        return ORDER.len();
    }
    ORDER
        .iter()
        .position(|m| *m == module)
        .unwrap_or_else(|| panic!("module '{module}' has no place in the order"))
}

/// Modules that a text names as `crate::MODULE`.
fn imports(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .map(|(at, word)| {
            let rest = &text[at + word.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        })
        .filter(|m| !m.is_empty())
        .collect()
}

fn violations(root: &Path) -> Vec<String> {
    let mut list = Vec::new();
    files(root, &mut list);
    let mut found = Vec::new();
    for path in list {
        let inside = path.strip_prefix(root).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_string();
        if ["lib", "bin", "prelude"].contains(&module.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Documentation may point anywhere.
        let code: String =
            text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for import in imports(&code) {
            let known = ORDER.contains(&import.as_str()) || import == "front";
            if known && rank(&import) > rank(&module) {
                found.push(format!("{} imports {import}, which is to its right", inside.display()));
            }
        }
        if !inside.starts_with("engine/gpu") && code.contains("wgpu::") {
            found.push(format!("{} names wgpu outside engine/gpu", inside.display()));
        }
    }
    found
}

#[test]
fn data_flows_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = violations(&root);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_violation_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/mod.rs"), "use crate::lanes::Job;\nfn f() { wgpu::x() }\n").unwrap();
    fs::write(folder.path().join("error.rs"), "//! See [`crate::engine`].\n").unwrap();
    assert_eq!(violations(folder.path()).len(), 2);
}

#[test]
fn every_loss_and_penalty_has_a_twin_of_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for kind in ["loss", "penalty"] {
        let names = |folder: PathBuf| {
            let mut list: Vec<String> = fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().to_string())
                .filter(|n| n != "mod")
                .collect();
            list.sort();
            list
        };
        assert_eq!(names(root.join("src/objective").join(kind)), names(root.join("shaders").join(kind)));
    }
}
