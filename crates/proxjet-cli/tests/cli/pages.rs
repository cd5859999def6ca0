//! The commands in the documentation run, and print what it says.

use super::*;

/// A command of a page with the lines that it is said to print. `…` on a line of its own stands for any
/// lines, within a line for any text.
struct Shown {
    command: Vec<String>,
    lines: Vec<String>,
}

/// The commands in the blocks `console` of a page.
fn commands(page: &str) -> Vec<Shown> {
    let mut list: Vec<Shown> = Vec::new();
    for block in page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => list.push(Shown {
                    command: command.split(' ').map(String::from).collect(),
                    lines: Vec::new(),
                }),
                None => list.last_mut().expect("a command before its output").lines.push(line.into()),
            }
        }
    }
    list
}

/// True if a line is as shown: `…` stands for any text, and seconds may differ.
fn matches(shown: &str, line: &str) -> bool {
    let timed = |text: &str| match text.split_once(" s: ") {
        Some((before, after)) => format!("{} s: {after}", before.rsplit_once(" in ").map_or(before, |b| b.0)),
        None => text.to_string(),
    };
    let (shown, line) = (timed(shown), timed(line));
    let mut rest = &line[..];
    for (i, part) in shown.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if i > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

/// The first shown line that the output does not have in its place.
fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let mut anywhere = false;
    for wanted in shown {
        if wanted == "…" {
            anywhere = true;
        } else if anywhere {
            if !lines.any(|line| matches(wanted, line)) {
                return Some(wanted);
            }
            anywhere = false;
        } else if !lines.next().is_some_and(|line| matches(wanted, line)) {
            return Some(wanted);
        }
    }
    None
}

/// A folder with the files of `examples/`, and a command of the program in it.
fn in_examples(f: &Folder, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for name in ["houses.csv", "new-houses.csv"] {
        f.file(name, std::fs::read(root.join("examples").join(name)).unwrap());
    }
    let fits = ["sweep", "grad-check"].contains(&arguments[0]);
    let mut process = Command::new(env!("CARGO_BIN_EXE_proxjet"));
    process.args(arguments).args(if fits { &["--engine", "cpu"][..] } else { &[] });
    process.current_dir(f.path(".")).output().unwrap()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_tutorial_prints_what_it_shows() {
    let f = Folder::new();
    let list = commands(&page("docs/tutorial.md"));
    assert!(list.len() >= 6, "{} commands", list.len());
    for Shown { command, lines } in list {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = match words[0] {
            "cat" => std::fs::read_to_string(f.path(words[1])).unwrap(),
            "proxjet" => {
                let done = in_examples(&f, &words[1..]);
                String::from_utf8(done.stdout.clone()).unwrap() + &stderr(&done)
            }
            other => panic!("{other}: neither proxjet nor cat"),
        };
        assert_eq!(missing(&lines, &output), None, "{}\n{output}", command.join(" "));
    }
}

#[test]
fn the_commands_of_the_readme_run() {
    let f = Folder::new();
    let text = page("README.md");
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("proxjet ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let done = in_examples(&f, &words[1..]);
        assert_eq!(done.status.code(), Some(0), "{command}: {}", stderr(&done));
    }
}

#[test]
fn a_line_that_is_not_printed_is_found() {
    let shown = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    let output = "a\nb 1.25\n2 lanes in 0.03 s: 2 converged\nc\n";
    for right in
        [&["a", "b 1.25"][..], &["…", "b 1.2…"], &["a", "…", "c"], &["…", "2 lanes in 7 s: 2 converged"]]
    {
        assert_eq!(missing(&shown(right), output), None, "{right:?}");
    }
    for (wrong, line) in [(&["b 1.25"][..], "b 1.25"), (&["…", "b 1.3…"], "b 1.3…"), (&["…", "c", "a"], "a")]
    {
        assert_eq!(missing(&shown(wrong), output), Some(line), "{wrong:?}");
    }
}
