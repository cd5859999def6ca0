//! The first pass over the rows: which ones are kept, and what every column holds.

use std::collections::BTreeSet;

use super::super::read::{Missing, ReadOptions, check_size};
use super::cell::{Cell, shown};
use super::roles::Roles;
use super::text::Text;
use crate::error::{Error, Result};

/// A place in the file and its text.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) line: u64,
    pub(super) text: String,
}

/// What a column holds, in the rows that are kept.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Cells with numbers, their weighted sum, and the sum of their weights.
    numbers: u64,
    sum: f64,
    weight: f64,
    /// The last number, and true if some number is not its predecessor plus one.
    last: Option<f64>,
    jumps: bool,
    missing: Option<Found>,
    infinite: Option<Found>,
    pub(super) text: Option<Found>,
    /// Distinct texts, if they are needed.
    pub(super) levels: BTreeSet<String>,
}

impl Facts {
    /// Weighted mean of the numbers.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.weight
    }
    /// True if the column holds text and no numbers.
    pub(super) fn is_text(&self) -> bool {
        self.text.is_some() && self.numbers == 0
    }
}

/// The rows that are kept, and the facts of every column.
pub(super) struct Scan {
    /// Place among the rows of the file, and weight.
    pub(super) rows: Vec<(usize, f64)>,
    /// One entry per column of the file.
    pub(super) facts: Vec<Facts>,
}

/// Texts of the target that are collected at most.
const LABELS: usize = 100;

pub(super) fn scan(text: &Text<'_>, roles: &Roles, options: &ReadOptions) -> Result<Scan> {
    let (mut index, mut left_out, mut levels) = (0, 0, 0);
    let mut rows = Vec::new();
    let mut facts: Vec<Facts> = text.names.iter().map(|_| Facts::default()).collect();
    let used: Vec<usize> = roles.features.iter().copied().chain([roles.target]).collect();
    text.rows(|line, record| {
        let row = index;
        index += 1;
        let weight = match roles.weights {
            None => Some(1.0),
            Some(j) => weight(&record[j], options).map_err(|found| {
                let at = format!("{}, line {line}, column '{}'", text.file, text.names[j]);
                Error::data(at, found, "a weight, zero or larger", "Use weight 0 to leave a row out.")
            })?,
        };
        if weight == Some(0.0) {
            return Ok(true);
        }
        let missing = options.missing == Missing::DropRows
            && used.iter().any(|j| Cell::of(&record[*j]) == Cell::Missing);
        let Some(weight) = weight.filter(|_| !missing) else {
            left_out += 1;
            return Ok(true);
        };
        rows.push((row, weight));
        for j in &used {
            let (cell, of) = (&record[*j], &mut facts[*j]);
            let place = || Some(Found { line, text: cell.into() });
            match Cell::of(cell) {
                Cell::Number(v) => {
                    of.jumps |= of.last.is_some_and(|last| v != last + 1.0);
                    of.last = Some(v);
                    (of.numbers, of.sum, of.weight) =
                        (of.numbers + 1, of.sum + weight * v, of.weight + weight);
                    // The name of the class, if the other labels are text.
                    if *j == roles.target && of.levels.len() < LABELS && of.text.is_some() {
                        of.levels.insert(cell.into());
                    }
                }
                Cell::Missing if of.missing.is_none() => of.missing = place(),
                Cell::Infinite if of.infinite.is_none() => of.infinite = place(),
                Cell::Missing | Cell::Infinite => {}
                Cell::Text => {
                    let wanted = if *j == roles.target { of.levels.len() < LABELS } else { options.one_hot };
                    if wanted && !of.levels.contains(cell) {
                        of.levels.insert(cell.into());
                        levels += 1;
                    }
                    of.text = of.text.take().or_else(place);
                }
            }
        }
        check_size(text.file, rows.len() as u64, (roles.features.len() + levels) as u64, options.max_bytes)?;
        Ok(true)
    })?;
    if rows.is_empty() {
        let found = format!("{index} rows, none of which is kept");
        return Err(Error::data(text.file, found, "a row of positive weight without missing values", ""));
    }
    if left_out > 0 {
        log::warn!("{}: {left_out} of {index} rows are left out for missing values", text.file);
    }
    let scan = Scan { rows, facts };
    scan.warn_of_row_numbers(text, roles);
    scan.check(text, roles, options)?;
    Ok(scan)
}

/// A weight; `None` if it is missing and such rows are dropped.
fn weight(cell: &str, options: &ReadOptions) -> std::result::Result<Option<f64>, String> {
    match Cell::of(cell) {
        Cell::Number(v) if v >= 0.0 => Ok(Some(v)),
        Cell::Missing if options.missing == Missing::DropRows => Ok(None),
        _ => Err(shown(cell)),
    }
}

/// Fewest rows from which consecutive whole numbers are taken for row numbers.
const COUNTED: u64 = 10;

impl Scan {
    /// A column that counts the rows says nothing of other rows.
    fn warn_of_row_numbers(&self, text: &Text<'_>, roles: &Roles) {
        let counts = |j: &&usize| !self.facts[**j].jumps && self.facts[**j].numbers >= COUNTED;
        for j in roles.features.iter().filter(counts) {
            log::warn!(
                "{}: column '{}' rises by one from row to row, as row numbers do; it is used as a feature. \
                 Leave it out with `drop {}`.",
                text.file,
                text.names[*j],
                text.names[*j]
            );
        }
    }

    /// Refuses values that cannot be used.
    fn check(&self, text: &Text<'_>, roles: &Roles, options: &ReadOptions) -> Result<()> {
        let at = |j: usize, found: &Found| {
            format!("{}, line {}, column '{}'", text.file, found.line, text.names[j])
        };
        let used = || roles.features.iter().copied().chain([roles.target]);
        let first = |of: fn(&Facts) -> &Option<Found>| {
            let places = used().filter_map(move |j| Some((j, of(&self.facts[j]).as_ref()?)));
            places.min_by_key(|(_, found)| found.line)
        };
        let imputed = options.missing == Missing::Mean;
        let is_given = |j: usize| options.means.as_ref().is_some_and(|of| of.contains_key(&text.names[j]));
        let has_mean = |j: usize| self.facts[j].numbers > 0 || is_given(j);
        let cannot = |j: usize| !imputed || j == roles.target || !has_mean(j);
        let missing = used().filter(|j| cannot(*j));
        let missing = missing.filter_map(|j| Some((j, self.facts[j].missing.as_ref()?)));
        if let Some((j, found)) = missing.min_by_key(|(_, found)| found.line) {
            let remedy = if imputed {
                "Only numbers of a feature have a mean: use `missing drop-rows`, or `drop` the column."
            } else {
                "Use `missing drop-rows` or `missing mean`, or leave the column out with `drop`."
            };
            let found_text = format!("{}, a missing value", shown(&found.text));
            return Err(Error::data(at(j, found), found_text, "a value", remedy));
        }
        if let Some((j, found)) = first(|f| &f.infinite) {
            let remedy = "Remove the row, or drop the column.";
            return Err(Error::data(at(j, found), shown(&found.text), "a finite number", remedy));
        }
        self.check_text(text, roles, options)
    }

    /// Refuses features of text, unless they are to be coded.
    fn check_text(&self, text: &Text<'_>, roles: &Roles, options: &ReadOptions) -> Result<()> {
        let refused = |j: &&usize| {
            let facts = &self.facts[**j];
            facts.text.is_some() && !(options.one_hot && facts.is_text())
        };
        let list: Vec<usize> = roles.features.iter().filter(refused).copied().collect();
        let found_in = |j: usize| self.facts[j].text.as_ref().expect("a column with text");
        let Some(first) = list.iter().copied().min_by_key(|j| found_in(*j).line) else { return Ok(()) };
        let line = found_in(first).line;
        let of = |j: &usize| format!("'{}' ({})", text.names[*j], shown(&found_in(*j).text));
        let columns: Vec<String> = list.iter().take(10).map(of).collect();
        let remedy = if decimal_comma(&found_in(first).text) {
            "Write decimals with a point.".to_string()
        } else if options.one_hot {
            "A column has either numbers or text: recode it, or leave it out with `drop`.".to_string()
        } else {
            let names: Vec<&str> = list.iter().take(10).map(|j| text.names[*j].as_str()).collect();
            format!("Code text with `one_hot`, or leave it out with `drop {}`.", names.join(","))
        };
        let at = format!("{}, line {line}, column '{}'", text.file, text.names[first]);
        let found = match list.len() {
            1 => shown(&found_in(first).text),
            count => format!("text in {count} columns: {}", columns.join(", ")),
        };
        Err(Error::data(at, found, "a number", remedy))
    }
}

/// True if a text is a number with a comma.
fn decimal_comma(text: &str) -> bool {
    text.matches(',').count() == 1 && text.replace(',', ".").parse::<f64>().is_ok()
}
