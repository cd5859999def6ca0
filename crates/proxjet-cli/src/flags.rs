//! Translates the library's settings and kinds of errors into flags and exit codes of this program.

use proxjet::error::{Error, ErrorKind};

/// Setting names of the library, and the corresponding flags.
const FLAGS: &[(&str, &str)] = &[
    ("CpuEngine", "--engine cpu"),
    ("adapters()", "`proxjet doctor`"),
    ("algorithm", "--algorithm"),
    ("alphas", "--alphas"),
    ("compare", "--compare"),
    ("criterion", "--criterion"),
    ("derivatives", "--derivative"),
    ("drop", "--drop"),
    ("every", "--every"),
    ("header", "--header"),
    ("iterations", "--iterations"),
    ("jacobian", "--no-jacobian"),
    ("keep", "--keep"),
    ("l1_ratio", "--l1-ratio"),
    ("loss", "--loss"),
    ("memory_budget", "--memory-budget"),
    ("metric", "--metric"),
    ("missing", "--missing"),
    ("mode", "--mode"),
    ("momentum", "--momentum"),
    ("no_header", "--no-header"),
    ("on_fault", "--on-fault"),
    ("one_hot", "--one-hot"),
    ("out", "--out"),
    ("patience", "--patience"),
    ("path", "--path"),
    ("penalty", "--penalty"),
    ("penalty_factors", "--penalty-factors"),
    ("precision", "--precision"),
    ("restart", "--restart"),
    ("separator", "--separator"),
    ("shape", "--shape"),
    ("standardize", "--standardize"),
    ("start", "--start"),
    ("step", "--step"),
    ("strategy", "--strategy"),
    ("tangent_start", "--tangent-start"),
    ("target", "--target"),
    ("tol", "--tol"),
    ("validation", "--validation"),
    ("weights", "--weights"),
];

fn flag(name: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag)
}

/// The flag for a setting name, or for a name and a value separated by a blank.
fn flag_with_value(text: &str) -> Option<String> {
    let (name, value) = text.split_at(text.find(' ').unwrap_or(text.len()));
    flag(name).map(|flag| format!("{flag}{value}"))
}

/// A message of the library, with settings in backticks replaced by flags.
pub(crate) fn translated(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        let closed = i % 2 == 1 && i + 1 < parts.len();
        match flag_with_value(part) {
            Some(flag) if closed => out.push_str(&flag),
            _ if closed => out.extend(["`", part, "`"]),
            _ if i % 2 == 1 => out.extend(["`", part]),
            _ => out.push_str(part),
        }
    }
    out
}

/// An error on one line, with this program's flags.
pub(crate) fn message(error: &Error) -> String {
    let mut shown = error.clone();
    // `found` may be arbitrary text and is not translated.
    (shown.expected, shown.remedy) = (translated(&error.expected), translated(&error.remedy));
    let named = match error.kind {
        ErrorKind::Usage => flag_with_value(&error.field),
        _ => flag(&error.field).map(String::from),
    };
    if let Some(named) = named {
        shown.field = named;
    }
    shown.to_string()
}

/// The exit code of an error.
pub(crate) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Data => 4,
        ErrorKind::Device => 5,
        ErrorKind::Memory => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_backticks_become_flags() {
        let said = [
            ("Raise `memory_budget`, or use fewer rows.", "Raise --memory-budget, or use fewer rows."),
            ("or `derivatives alpha`, which exists", "or --derivative alpha, which exists"),
            ("`adapters()` lists; `CpuEngine` works", "`proxjet doctor` lists; --engine cpu works"),
            ("no `until` here, and `tol", "no `until` here, and `tol"),
            ("", ""),
        ];
        for (text, expected) in said {
            assert_eq!(translated(text), expected);
        }
    }

    #[test]
    fn fields_become_flags_where_they_are_settings() {
        let usage = |field: &str| message(&Error::usage(field, "`tol`", "`tol`", ""));
        assert_eq!(usage("alphas path"), "--alphas path: found `tol`, expected --tol.");
        assert_eq!(usage("phase 2 of 2: step"), "phase 2 of 2: step: found `tol`, expected --tol.");
        let data = |field: &str| message(&Error::data(field, "1", "2", ""));
        assert_eq!(data("validation"), "--validation: found 1, expected 2.");
        assert_eq!(data("target 'y'"), "target 'y': found 1, expected 2.");
    }
}
