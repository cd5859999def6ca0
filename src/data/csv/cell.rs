//! What a cell holds.

/// Marks of a missing value, in lower case. An empty cell and a number that is not one are missing, too.
const MISSING: &[&str] = &["na", "n/a", "<na>", "#n/a", "nan", "?", "none", "null", "-"];

/// The content of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// A finite number.
    Number(f64),
    /// An infinite number.
    Infinite,
    /// No value.
    Missing,
    /// Anything else.
    Text,
}

impl Cell {
    pub(super) fn of(text: &str) -> Self {
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Cell::Number(v),
            Ok(v) if v.is_nan() => Cell::Missing,
            Ok(_) => Cell::Infinite,
            Err(_) if is_missing(text) => Cell::Missing,
            Err(_) => Cell::Text,
        }
    }
}

/// True if the text marks a missing value.
pub(in crate::data) fn is_missing(text: &str) -> bool {
    text.is_empty() || MISSING.contains(&text.to_lowercase().as_str())
}

/// A cell as it is shown in a message.
pub(super) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "an empty cell".into();
    }
    let start: String = text.chars().take(40).collect();
    format!("'{start}'")
}
