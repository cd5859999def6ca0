//! svmlight / LIBSVM text: `label index:value …`.

use std::collections::{BTreeSet, HashMap};

use ndarray::Array1;

use super::Dataset;
use super::read::{ReadOptions, TRIPLET_BYTES, check_bytes};
use super::scipy::{ROW_START_BYTES, warn_summed};
use crate::design::{Design, Sparse};
use crate::error::{Error, Result};

/// Labels, and entries (row, index, value).
type Entries = (Vec<f64>, Vec<(usize, u64, f64)>);

/// Reads the entries of svmlight text; `#` starts a comment and `qid:` is ignored.
fn entries(bytes: &[u8], file: &str, max_bytes: u64) -> Result<Entries> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::data(file, format!("bytes that are not UTF-8 at {}", e.valid_up_to()), "text", "")
            .with_source(e)
    })?;
    let (mut target, mut entries) = (Vec::new(), Vec::<(usize, u64, f64)>::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut tokens = line.split_ascii_whitespace();
        let Some(label) = tokens.next() else { continue };
        let bad = |token: &str, expected: &str| {
            let shown: String = token.chars().take(40).collect();
            Error::data(format!("{file}, line {}", number + 1), format!("'{shown}'"), expected, "")
        };
        let finite = |s: &str| s.parse::<f64>().ok().filter(|v| v.is_finite());
        target.push(finite(label).ok_or_else(|| bad(label, "a finite number as the label"))?);
        for token in tokens.filter(|t| !t.starts_with("qid:")) {
            let pair = token.split_once(':').and_then(|(i, v)| Some((i.parse::<u64>().ok()?, finite(v)?)));
            let (index, value) =
                pair.ok_or_else(|| bad(token, "INDEX:VALUE, a whole index and a finite value"))?;
            entries.push((target.len() - 1, index, value));
            let held = (target.len() + entries.len()) as u64;
            check_bytes(file, "labels and entries", (held, TRIPLET_BYTES), max_bytes)?;
        }
    }
    if target.is_empty() || entries.is_empty() {
        return Err(Error::data(file, "no rows with features", "lines of 'label index:value …'", ""));
    }
    Ok((target, entries))
}

/// Parses svmlight text. Indices count from 1, or from 0 where an index 0 appears (scikit-learn's rule).
/// Feature `i` of the file is called `xi`.
pub(super) fn parse(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let (target, entries) = entries(bytes, file, options.max_bytes)?;
    let lowest = entries.iter().map(|e| e.1).min().unwrap_or(0);
    let highest = entries.iter().map(|e| e.1).max().unwrap_or(0);
    let base = u64::from(lowest > 0);
    let columns = (highest - base).saturating_add(1);
    check_bytes(file, "columns", (columns, ROW_START_BYTES), options.max_bytes)?;
    let placed = entries.into_iter().map(|(row, index, value)| (row, (index - base) as usize, value));
    let (x, summed) = Sparse::from_triplets((target.len(), columns as usize), placed)?;
    warn_summed(file, summed);
    let names = (0..columns).map(|j| format!("x{}", j + base)).collect();
    Dataset::new(x.into_design(), Array1::from(target))?.with_feature_names(names)
}

/// The features of the given names, `[rows, names]`; entries missing in the file are zero, and features that
/// are not named are left out with a warning.
pub(super) fn columns(bytes: &[u8], file: &str, names: &[String], options: &ReadOptions) -> Result<Design> {
    let (target, entries) = entries(bytes, file, options.max_bytes)?;
    let place: HashMap<&str, usize> = names.iter().enumerate().map(|(j, name)| (name.as_str(), j)).collect();
    let lowest = entries.iter().map(|e| e.1).min().unwrap_or(0);
    let counts_from_0 = place.contains_key("x0");
    if lowest == 0 && !counts_from_0 {
        let found = "an index 0, for a model whose features begin at x1";
        let remedy = "Write the file with indices from 1.";
        return Err(Error::data(file, found, "the same indices as in the data of the fit", remedy));
    }
    if lowest > 0 && counts_from_0 {
        log::warn!(
            "{file}: the smallest index is {lowest}, and the model counts its features from 0: index i is \
             taken as feature xi. If the file counts from 1, write it anew with indices from 0."
        );
    }
    let mut placed = Vec::with_capacity(entries.len());
    let mut unknown = BTreeSet::new();
    for (row, index, value) in entries {
        match place.get(format!("x{index}").as_str()) {
            Some(j) => placed.push((row, *j, value)),
            None => {
                unknown.insert(index);
            }
        }
    }
    if let Some(first) = unknown.first() {
        let count = unknown.len();
        log::warn!("{file}: {count} index(es) are left out, as the model does not have them: {first}, …");
    }
    let (x, summed) = Sparse::from_triplets((target.len(), names.len()), placed)?;
    warn_summed(file, summed);
    Ok(x.into_design())
}
