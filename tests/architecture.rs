//! What the layout promises: data flow one way, every file is part of the program, and files, functions and
//! lines are of a size that can be read.

use std::collections::BTreeSet;
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
    "certificate",
    "result",
    "solve",
    "diff",
];

/// Columns of a line at most, characters.
const COLUMNS: usize = 110;
/// Lines of a file at most, unless it is a generator and says why.
const FILE_LINES: usize = 500;
/// Lines of a function at most.
const FUNCTION_LINES: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Files with an extension in a folder and below; none where there is no such folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut list = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return list };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            list.push(path);
        }
    }
    list.sort();
    list
}

/// Folders with sources of a crate: the library's, and those of the workspace's programs, if there are any.
fn sources() -> Vec<PathBuf> {
    let mut list = vec![root().join("src")];
    if let Ok(crates) = fs::read_dir(root().join("crates")) {
        list.extend(crates.map(|c| c.unwrap().path().join("src")).filter(|src| src.is_dir()));
    }
    list
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A path as seen from the root, for messages and lists.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A text with its comments, strings and characters blanked, so that braces and words in it are code.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes: Vec<char> = text.chars().collect();
    let starts = |i: usize, word: &str| word.chars().enumerate().all(|(k, c)| bytes.get(i + k) == Some(&c));
    let mut i = 0;
    // Blanks everything to `end`, but keeps the lines.
    let blank = |out: &mut String, from: usize, to: usize| {
        out.extend(bytes[from..to.min(bytes.len())].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
    };
    while i < bytes.len() {
        let from = i;
        if starts(i, "//") {
            while i < bytes.len() && bytes[i] != '\n' {
                i += 1;
            }
        } else if starts(i, "/*") {
            i += 2;
            while i < bytes.len() && !starts(i, "*/") {
                i += 1;
            }
            i += 2;
        } else if raw_string(&bytes, i).is_some_and(|hashes| {
            let end = format!("\"{}", "#".repeat(hashes));
            i += hashes + 2;
            while i < bytes.len() && !starts(i, &end) {
                i += 1;
            }
            i += end.len();
            true
        }) {
        } else if bytes[i] == '"' {
            i += 1;
            while i < bytes.len() && bytes[i] != '"' {
                i += if bytes[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if bytes[i] == '\'' && (starts(i + 1, "\\") || bytes.get(i + 2) == Some(&'\'')) {
            // A character; a lifetime has no closing quote there.
            i += if starts(i + 1, "\\") { 3 } else { 2 };
            while i < bytes.len() && bytes[i] != '\'' {
                i += 1;
            }
            i += 1;
        } else {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        blank(&mut out, from, i);
    }
    out
}

/// The number of `#` of a raw string that begins at `i`, if one does.
fn raw_string(text: &[char], i: usize) -> Option<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if text[i] != 'r' || (i > 0 && word(text[i - 1]) && text[i - 1] != 'b') {
        return None;
    }
    let hashes = text[i + 1..].iter().take_while(|c| **c == '#').count();
    (text.get(i + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Names that follow a word in code: modules after `mod`, functions after `fn`.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let at = line.split_whitespace().position(|w| w == word)?;
    let name = line.split_whitespace().nth(at + 1)?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '#').unwrap_or(name.len());
    Some(name[..end].trim_start_matches("r#"))
}

// Data flow.

fn rank(module: &str) -> usize {
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
    let mut found = Vec::new();
    for path in files(root, "rs") {
        let inside = path.strip_prefix(root).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_string();
        if ["lib", "prelude"].contains(&module.as_str()) {
            continue;
        }
        // Unit tests may use anything.
        if path.ends_with("tests.rs") {
            continue;
        }
        // Documentation may point anywhere.
        let code = code(&read(&path));
        for import in imports(&code) {
            if ORDER.contains(&import.as_str()) && rank(&import) > rank(&module) {
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
    let found = violations(&root().join("src"));
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

// Files.

/// Adds a file and all that its `mod` declarations lead to.
fn reach(file: &Path, seen: &mut BTreeSet<PathBuf>) {
    if !file.exists() || !seen.insert(file.to_path_buf()) {
        return;
    }
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy().to_string();
    let is_root = ["lib", "main", "mod"].contains(&stem.as_str());
    let folder = if is_root { folder.to_path_buf() } else { folder.join(stem) };
    for line in code(&read(file)).lines().filter(|line| line.trim_end().ends_with(';')) {
        if let Some(name) = after(line, "mod") {
            reach(&folder.join(format!("{name}.rs")), seen);
            reach(&folder.join(name).join("mod.rs"), seen);
        }
    }
}

/// Files of a source folder that no `mod` declaration leads to from a root of it.
fn unreachable(src: &Path) -> Vec<PathBuf> {
    let all = files(src, "rs");
    let mut seen = BTreeSet::new();
    let is_root = |path: &PathBuf| {
        ["lib.rs", "main.rs"].iter().any(|name| path == &src.join(name)) || path.starts_with(src.join("bin"))
    };
    all.iter().filter(|path| is_root(path)).for_each(|path| reach(path, &mut seen));
    all.into_iter().filter(|path| !seen.contains(path)).collect()
}

#[test]
fn every_file_is_part_of_its_crate() {
    for src in sources() {
        let found: Vec<String> = unreachable(&src).iter().map(|path| shown(path)).collect();
        assert!(found.is_empty(), "no `mod` leads to {found:?}");
    }
}

/// Programs of the library's tests.
const TESTS: [&str; 2] = ["main.rs", "memory.rs"];

#[test]
fn every_test_is_part_of_a_program() {
    let folder = root().join("tests");
    let mut seen = BTreeSet::new();
    TESTS.iter().for_each(|name| reach(&folder.join(name), &mut seen));
    let lost: Vec<PathBuf> = files(&folder, "rs").into_iter().filter(|path| !seen.contains(path)).collect();
    assert!(lost.is_empty(), "no `mod` of tests/main.rs leads to {lost:?}");
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod a;\n// mod lost;\nmod r#box;\nconst C: &str = \"mod lost;\";\n");
    write("a/mod.rs", "#[cfg(test)]\nmod tests;\npub(crate) mod b;\nmod inline {\n}\n");
    write("a/tests.rs", "");
    write("a/b.rs", "mod c;");
    write("a/b/c.rs", "");
    write("box.rs", "");
    write("bin/tool.rs", "fn main() {}");
    assert!(unreachable(folder.path()).is_empty(), "{:?}", unreachable(folder.path()));
    write("a/lost.rs", "");
    write("lost.rs", "mod c;");
    write("lost/c.rs", "");
    let found = unreachable(folder.path());
    assert_eq!(found, ["a/lost.rs", "lost/c.rs", "lost.rs"].map(|name| folder.path().join(name)));
}

/// Shaders that no source includes: by their path, or by their name where a macro makes the path from the
/// name.
fn unused_shaders(shaders: &Path, sources: &str) -> Vec<PathBuf> {
    let named = |path: &PathBuf| {
        let inside = path.strip_prefix(shaders).unwrap();
        let kind = inside.iter().next().unwrap().to_string_lossy().to_string();
        let stem = inside.file_stem().unwrap().to_string_lossy().to_string();
        let by_catalog = ["loss", "penalty"].contains(&kind.as_str());
        sources.contains(&format!("\"{}\"", inside.display()))
            || (by_catalog && sources.contains(&format!("({}, \"{stem}\")", rust_name(&stem))))
    };
    files(shaders, "wgsl").into_iter().filter(|path| !named(path)).collect()
}

/// The module of a name that may be a word of the language.
fn rust_name(name: &str) -> String {
    if name == "box" { "r#box".into() } else { name.into() }
}

#[test]
fn every_shader_is_named_in_the_sources() {
    let sources: String = files(&root().join("src"), "rs").iter().map(|path| read(path)).collect();
    let found = unused_shaders(&root().join("shaders"), &sources);
    assert!(found.is_empty(), "no source names {:?}", found.iter().map(|p| shown(p)).collect::<Vec<_>>());
}

#[test]
fn a_shader_that_nothing_names_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kernel/used.wgsl", "kernel/lost.wgsl", "loss/used.wgsl", "loss/lost.wgsl"] {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), "").unwrap();
    }
    let found = unused_shaders(folder.path(), "file!(\"kernel/used.wgsl\") Used(used, \"used\")");
    assert_eq!(found, ["kernel/lost.wgsl", "loss/lost.wgsl"].map(|name| folder.path().join(name)));
}

#[test]
fn every_loss_and_penalty_has_a_twin_of_its_name() {
    for kind in ["loss", "penalty"] {
        let names = |folder: PathBuf, extension: &str| -> Vec<String> {
            let stems = files(&folder, extension).into_iter();
            stems
                .map(|p| p.file_stem().unwrap().to_string_lossy().to_string())
                .filter(|n| n != "mod")
                .collect()
        };
        let rust = names(root().join("src/objective").join(kind), "rs");
        assert_eq!(rust, names(root().join("shaders").join(kind), "wgsl"));
    }
}

// Sizes.

/// Sources, shaders and tests.
fn texts() -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = sources().iter().flat_map(|src| files(src, "rs")).collect();
    for folder in ["tests", "benches", "examples"] {
        list.extend(files(&root().join(folder), "rs"));
    }
    list.extend(sources().iter().skip(1).flat_map(|src| files(&src.with_file_name("tests"), "rs")));
    list.extend(files(&root().join("shaders"), "wgsl"));
    list
}

fn long_lines(text: &str) -> Vec<usize> {
    let is_long = |line: &str| line.chars().count() > COLUMNS;
    text.lines().zip(1..).filter(|(line, _)| is_long(line)).map(|(_, number)| number).collect()
}

/// True if a file is too long and does not say that it is a generator, with the reason.
fn is_long(text: &str) -> bool {
    let says = |line: &str| {
        let words = line.trim_start_matches(['/', '!', ' ']);
        let reason = words.strip_prefix("A generator: ").or_else(|| words.strip_prefix("Generator: "));
        line.starts_with("//") && reason.is_some_and(|reason| reason.len() > 20)
    };
    text.lines().count() > FILE_LINES && !text.lines().take(5).any(says)
}

/// Functions of more lines than are allowed, with their lines, signature and all.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let text = code(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = after(line, "fn").filter(|name| !name.is_empty()) else { continue };
        let mut depth = 0i32;
        let mut opened = false;
        let end = lines[at..].iter().position(|line| {
            for c in line.chars() {
                match c {
                    '{' => (depth, opened) = (depth + 1, true),
                    '}' => depth -= 1,
                    // A declaration without a body.
                    ';' if !opened && depth == 0 => opened = true,
                    _ => {}
                }
            }
            opened && depth <= 0
        });
        let length = end.map_or(lines.len() - at, |end| end + 1);
        if length > FUNCTION_LINES {
            found.push((name.to_string(), length));
        }
    }
    found
}

/// Fails where something exceeds a limit that a list does not allow; says what may be taken off the list.
fn assert_only(what: &str, found: &[String], allowed: &[&str]) {
    let surplus: Vec<&String> = found.iter().filter(|f| !allowed.contains(&f.as_str())).collect();
    assert!(surplus.is_empty(), "{what}:\n{surplus:#?}");
    for mended in allowed.iter().filter(|a| !found.iter().any(|f| f == **a)) {
        println!("take '{mended}' off the list of {what}");
    }
}

#[test]
fn lines_are_no_wider_than_a_page() {
    let of = |path: &PathBuf| {
        let lines = long_lines(&read(path)).into_iter();
        lines.map(|line| format!("{}:{line}", shown(path))).collect::<Vec<_>>()
    };
    let found: Vec<String> = texts().iter().flat_map(of).collect();
    assert!(found.is_empty(), "{} lines of more than {COLUMNS} columns:\n{found:#?}", found.len());
}

#[test]
fn files_are_no_longer_than_can_be_read() {
    let found: Vec<String> =
        texts().iter().filter(|path| is_long(&read(path))).map(|path| file_name(path)).collect();
    assert_only("files of more than 500 lines", &found, &LONG);
}

#[test]
fn functions_are_no_longer_than_a_page() {
    let of = |path: &PathBuf| {
        let long = long_functions(&read(path)).into_iter();
        long.map(|(name, _)| format!("{} {name}", file_name(path))).collect::<Vec<_>>()
    };
    let rust = texts().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let found: Vec<String> = rust.flat_map(|path| of(&path)).collect();
    assert_only("functions of more than 80 lines", &found, &LONG_FUNCTIONS);
}

/// The last two parts of a path: files move.
fn file_name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|p| p.to_string_lossy().to_string()).collect();
    format!("{}/{}", parts[1], parts[0])
}

#[test]
fn sizes_are_measured() {
    let wide = "a".repeat(COLUMNS);
    assert_eq!(long_lines(&format!("{wide}\nß{wide}\n{}\n", "ß".repeat(COLUMNS))), [2]);
    let long = "\n".repeat(FILE_LINES + 1);
    assert!(is_long(&long) && !is_long(&"\n".repeat(FILE_LINES)));
    assert!(!is_long(&format!("//! A generator: its text follows the shader's, line by line.\n{long}")));
    assert!(
        is_long(&format!("//! A generator: so.\n{long}"))
            && is_long(&format!("{long}// A generator: {wide}"))
    );
    let body = |lines: usize, brace: &str| format!("{}\n", brace).repeat(lines);
    let function =
        |lines: usize, filling: &str| format!("    pub fn f(\n    ) {{\n{}}}\n", body(lines - 3, filling));
    assert_eq!(long_functions(&function(FUNCTION_LINES, "")), []);
    for filling in
        ["", "// {", "let s = \"{\";", "let c = '{';", "let r = r#\"{\"}\"#;", "let l: &'a str = \"}\";"]
    {
        let twice = format!("{}fn g() {{}}\n", function(FUNCTION_LINES + 1, filling));
        assert_eq!(long_functions(&twice), [("f".to_string(), FUNCTION_LINES + 1)], "{filling}");
    }
    assert_eq!(long_functions(&format!("fn declared(a: u8);\n{}", "\n".repeat(100))), []);
}

#[test]
fn what_no_list_allows_fails() {
    let only = |found: &[&str], allowed: &[&str]| {
        let found: Vec<String> = found.iter().map(|f| (*f).to_string()).collect();
        std::panic::catch_unwind(|| assert_only("long things", &found, allowed)).is_ok()
    };
    assert!(only(&["a"], &["a"]) && only(&[], &[]) && only(&[], &["a"]));
    assert!(!only(&["a", "b"], &["a"]) && !only(&["b"], &[]));
}

// What exceeds a limit still: to be made shorter and taken off.

const LONG: [&str; 0] = [];
const LONG_FUNCTIONS: [&str; 0] = [];
