//! The one error type: what was found, what was expected, where, and what to do about it.

use std::fmt;

/// Result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as far as a caller can act on it. A solver that diverges is *not* an error: it is a
/// [`Status`](crate::engine::Status) of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// An option, a name or a combination of settings.
    Usage,
    /// A data file or an array.
    Data,
    /// The adapter, the driver or the device.
    Device,
    /// The plan does not fit the memory budget.
    Memory,
    /// The output could not be written.
    Output,
}

impl ErrorKind {
    /// Exit code of the program for this kind of error.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Output => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Data => 4,
            ErrorKind::Device => 5,
            ErrorKind::Memory => 6,
        }
    }
}

/// An error with its four parts; `Display` prints them on one line.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    /// Kind, for matching and for the exit code.
    pub kind: ErrorKind,
    /// Where: a file with line and column, an option, an argument.
    pub at: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do; may be empty where `expected` already says it.
    pub remedy: String,
}

impl Error {
    /// An error from its four parts.
    pub fn new(
        kind: ErrorKind,
        at: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error { kind, at: at.into(), found: found.into(), expected: expected.into(), remedy: remedy.into() }
    }

    /// Bad data: `at` names file, row and column.
    pub fn data(
        at: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Data, at, found, expected, remedy)
    }

    /// A wrong option or setting.
    pub fn usage(
        at: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Usage, at, found, expected, remedy)
    }

    /// An unknown name, with the nearest known one as the remedy.
    pub fn unknown(kind: ErrorKind, at: impl Into<String>, found: &str, known: &[&str]) -> Self {
        let remedy = match nearest(found, known) {
            Some(name) => format!("Did you mean '{name}'?"),
            None => String::new(),
        };
        let shown = known.iter().take(20).copied().collect::<Vec<_>>().join(", ");
        let more = if known.len() > 20 { format!(", … ({} in all)", known.len()) } else { String::new() };
        Self::new(kind, at, format!("'{found}'"), format!("one of {shown}{more}"), remedy)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, expected {}.", self.at, self.found, self.expected)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, " {}", self.remedy) }
    }
}

/// The known name nearest to `found` (Jaro–Winkler), if any is near, or two letters of a short one are swapped.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.to_lowercase();
    let score = |name: &str| match strsim::damerau_levenshtein(&found, name) {
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(&found, name),
    };
    known
        .iter()
        .map(|name| (score(&name.to_lowercase()), *name))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_get_the_nearest_suggestion() {
        let e = Error::unknown(ErrorKind::Usage, "--loss", "logisitc", &["squared", "logistic", "huber"]);
        assert_eq!(
            e.to_string(),
            "--loss: found 'logisitc', expected one of squared, logistic, huber. Did you mean 'logistic'?"
        );
        let far = Error::unknown(ErrorKind::Usage, "--loss", "zzz", &["squared"]);
        assert!(far.remedy.is_empty());
    }
}
