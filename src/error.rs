//! The error type of the crate: what was found, what was expected, where, and how to fix it.

use std::fmt;
use std::sync::Arc;

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, for callers that react to it. A solver that diverges is *not* an error: it is a
/// [`Status`](crate::engine::Status) of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, a name or a combination of settings.
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

/// An error with its parts; `Display` prints them on one line.
///
/// Settings have their names in this library: [`field`](Self::field) is `l1_ratio` or `step`, and the other
/// parts name settings in backticks, `` `memory_budget` ``. Front ends translate both into flags, keys or
/// arguments.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Error {
    /// Kind, for matching.
    pub kind: ErrorKind,
    /// Where: a setting, an argument, or a file with line and column.
    pub field: String,
    /// What was found, with its value.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// How to fix it; may be empty if `expected` already says it.
    pub remedy: String,
    /// The underlying error of the system or of a parser.
    pub(crate) source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error from its parts, without a source.
    pub fn new(
        kind: ErrorKind,
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error {
            kind,
            field: field.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// Bad data: `field` names file, row and column.
    pub fn data(
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Data, field, found, expected, remedy)
    }

    /// A wrong setting.
    pub fn usage(
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Usage, field, found, expected, remedy)
    }

    /// An unknown name, with the nearest known one as the remedy.
    pub fn unknown(kind: ErrorKind, field: impl Into<String>, found: &str, known: &[&str]) -> Self {
        let remedy = match synonym(found, known).or_else(|| nearest(found, known)) {
            Some(name) => format!("Did you mean '{name}'?"),
            None => String::new(),
        };
        let shown = known.iter().take(20).copied().collect::<Vec<_>>().join(", ");
        let more = if known.len() > 20 { format!(", … ({} in all)", known.len()) } else { String::new() };
        Self::new(kind, field, format!("'{found}'"), format!("one of {shown}{more}"), remedy)
    }

    /// The same error with the error that caused it as its [`source`](std::error::Error::source).
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error { source: Some(Arc::new(source)), ..self }
    }

    /// The same error with `place` in front of its field.
    pub fn within(self, place: &str) -> Self {
        Error { field: format!("{place}{}", self.field), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, expected {}.", self.field, self.found, self.expected)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, " {}", self.remedy) }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// Names of other programs, in lower case and without `-` and `_`, and those of this one.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("lasso", &["l1"]),
    ("ridge", &["l2"]),
    ("tikhonov", &["l2"]),
    ("elasticnet", &["elastic_net"]),
    ("enet", &["elastic_net"]),
    ("l1l2", &["elastic_net"]),
    ("nnls", &["box", "nonneg_l1"]),
    ("no", &["none"]),
    ("mse", &["squared"]),
    ("ols", &["squared"]),
    ("l2", &["squared"]),
    ("gaussian", &["squared"]),
    ("leastsquares", &["squared"]),
    ("squarederror", &["squared"]),
    ("logit", &["logistic"]),
    ("logloss", &["logistic"]),
    ("binomial", &["logistic"]),
    ("crossentropy", &["logistic"]),
    ("mae", &["huber"]),
    ("l1", &["huber"]),
    ("ista", &["pgd"]),
    ("gd", &["pgd"]),
    ("nesterov", &["fista"]),
    ("lambda", &["alpha"]),
    ("float32", &["f32"]),
    ("single", &["f32"]),
    ("float64", &["f64"]),
    ("double", &["f64"]),
];

/// The known name for what other programs call `found`.
fn synonym<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = found.to_lowercase().replace(['-', '_', ' '], "");
    let (_, names) = SYNONYMS.iter().find(|(word, _)| *word == plain)?;
    names.iter().find_map(|name| known.iter().copied().find(|k| k == name))
}

/// The known name nearest to `found`, if fewer than a third of its letters differ.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.to_lowercase();
    let distance = |name: &&str| edits(&found, &name.to_lowercase());
    let name = known.iter().copied().min_by_key(|name| distance(name))?;
    (3 * distance(&name) <= name.chars().count().max(3)).then_some(name)
}

/// Edit distance of two words: insertions, deletions, replacements and swaps of neighbours.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Row i: edits between the first i letters of a and the first j of b.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A number of bytes in readable units.
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
        let e = Error::unknown(ErrorKind::Usage, "loss", "logisitc", &["squared", "logistic", "huber"]);
        assert_eq!(
            e.to_string(),
            "loss: found 'logisitc', expected one of squared, logistic, huber. Did you mean 'logistic'?"
        );
        let far = Error::unknown(ErrorKind::Usage, "loss", "zzz", &["squared"]);
        assert!(far.remedy.is_empty());
        for (found, name) in [("fitsa", "fista"), ("PGD", "pgd"), ("pdg", "pgd"), ("logalpha", "log_alpha")] {
            assert_eq!(nearest(found, &["pgd", "fista", "heavy_ball", "log_alpha", "alpha"]), Some(name));
        }
        let losses = ["squared", "logistic", "huber"];
        assert_eq!(
            (synonym("MSE", &losses), synonym("log_loss", &losses)),
            (Some(losses[0]), Some(losses[1]))
        );
        assert_eq!((synonym("lasso", &["l2", "l1"]), synonym("lasso", &losses)), (Some("l1"), None));
        assert_eq!(nearest("abcdef", &["defabc"]), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!((edits("", "abc"), edits("ab", "ba")), (3, 1));
    }

    #[test]
    fn the_cause_is_the_source() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let e = Error::data("a.csv", cause.to_string(), "a file", "").with_source(cause);
        let source = std::error::Error::source(&e).unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        let e = e.within("data: ");
        assert_eq!(e.field, "data: a.csv");
        assert!(std::error::Error::source(&e).is_some());
    }
}
