//! Matrix Market files (Boisvert, Pozo and Remington 1996): coordinates of a sparse matrix.

use super::read::{TRIPLET_BYTES, check_bytes};
use super::scipy::{ROW_START_BYTES, warn_summed};
use crate::design::Sparse;
use crate::error::{Error, Result};

/// What the values of a file are.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Numbers,
    /// None are given: every entry is 1.
    Pattern,
}

/// What entries stand for those above the diagonal.
#[derive(Clone, Copy, PartialEq)]
enum Symmetry {
    General,
    Symmetric,
    Skew,
}

/// Reads a matrix in coordinate format.
pub(super) fn matrix(bytes: &[u8], file: &str, max_bytes: u64) -> Result<Sparse> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let found = format!("bytes that are not UTF-8 at {}", e.valid_up_to());
        Error::data(file, found, "text", "").with_source(e)
    })?;
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let (field, symmetry) = header(lines.next().map_or("", |(_, line)| line), file)?;
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('%'));
    let bad = |(number, line): (usize, &str), expected: &str| {
        let shown: String = line.chars().take(40).collect();
        Error::data(format!("{file}, line {number}"), format!("'{shown}'"), expected, "")
    };
    let Some(sizes) = lines.next() else {
        return Err(Error::data(file, "no line of sizes", "ROWS COLUMNS ENTRIES", ""));
    };
    let numbers: Option<Vec<usize>> = sizes.1.split_ascii_whitespace().map(|t| t.parse().ok()).collect();
    let [rows, columns, count] = numbers.as_deref().unwrap_or_default() else {
        return Err(bad(sizes, "ROWS COLUMNS ENTRIES, three whole numbers"));
    };
    let (rows, columns, count) = (*rows, *columns, *count);
    check_bytes(file, "entries", (count as u64, 2 * TRIPLET_BYTES), max_bytes)?;
    check_bytes(file, "rows or columns", (rows.max(columns) as u64, ROW_START_BYTES), max_bytes)?;
    let mut entries = Vec::new();
    let mut found = 0;
    for line in lines {
        let mut tokens = line.1.split_ascii_whitespace();
        let mut place = || tokens.next().and_then(|t| t.parse::<usize>().ok()).and_then(|i| i.checked_sub(1));
        let (i, j) = place().zip(place()).ok_or_else(|| bad(line, "ROW COLUMN VALUE, counted from 1"))?;
        let value = match (field, tokens.next()) {
            (Field::Pattern, None) => Some(1.0),
            (Field::Numbers, Some(token)) => token.parse::<f64>().ok().filter(|v| v.is_finite()),
            _ => None,
        };
        let Some(value) = value.filter(|_| tokens.next().is_none()) else {
            return Err(bad(line, "ROW COLUMN and, unless the field is 'pattern', one finite number"));
        };
        if i >= rows || j >= columns {
            return Err(bad(line, &format!("a row up to {rows} and a column up to {columns}")));
        }
        found += 1;
        if found > count {
            return Err(bad(line, &format!("{count} entries, as the line of sizes says")));
        }
        entries.push((i, j, value));
        if i != j && symmetry != Symmetry::General {
            entries.push((j, i, if symmetry == Symmetry::Skew { -value } else { value }));
        }
    }
    if found < count {
        let expected = format!("{count}, as the line of sizes says");
        return Err(Error::data(file, format!("{found} entries"), expected, "Copy the file again."));
    }
    let within = |e: Error| e.within(&format!("{file}: "));
    let (made, summed) = Sparse::from_triplets((rows, columns), entries).map_err(within)?;
    warn_summed(file, summed);
    Ok(made)
}

fn header(line: &str, file: &str) -> Result<(Field, Symmetry)> {
    let words: Vec<String> = line.split_ascii_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let parsed = match words[..] {
        ["%%matrixmarket", "matrix", "coordinate", field, symmetry] => {
            let field = match field {
                "real" | "integer" | "double" => Some(Field::Numbers),
                "pattern" => Some(Field::Pattern),
                _ => None,
            };
            let symmetry = match symmetry {
                "general" => Some(Symmetry::General),
                "symmetric" => Some(Symmetry::Symmetric),
                "skew-symmetric" => Some(Symmetry::Skew),
                _ => None,
            };
            field.zip(symmetry)
        }
        _ => None,
    };
    parsed.ok_or_else(|| {
        let shown: String = line.chars().take(80).collect();
        let expected = "'%%MatrixMarket matrix coordinate', then real, integer or pattern, then general, \
                        symmetric or skew-symmetric";
        let remedy = "Write it with scipy.io.mmwrite(file, X), X a sparse real matrix.";
        Error::data(format!("{file}, line 1"), format!("'{shown}'"), expected, remedy)
    })
}
