//! CSV with a header line.

use std::collections::HashSet;

use ndarray::{Array2, Axis};

use super::Dataset;
use super::read::{ReadOptions, check_bytes, check_size, classes, find_column, positions};
use crate::error::{Error, Result};

/// The cells of comma-separated text, without the header.
struct Table {
    names: Vec<String>,
    /// Rows with their line numbers in the file.
    rows: Vec<(u64, csv::StringRecord)>,
}

/// Bytes of a cell beside its text: its end in its record, and its number.
const CELL_BYTES: u64 = 16;
/// Bytes of a record of the CSV reader without its cells.
const RECORD_BYTES: u64 = 160;

/// Splits text into cells, and checks the header and the length of every row.
fn table(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Table> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let cells = bytes.iter().filter(|b| matches!(**b, b',' | b';' | b'\t' | b'\n')).count() as u64;
    check_bytes(file, "cells", (cells, CELL_BYTES), options.max_bytes)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let failed =
        |e: csv::Error| Error::data(file, e.to_string(), "comma-separated text in UTF-8", "").with_source(e);
    let names: Vec<String> = reader.headers().map_err(failed)?.iter().map(String::from).collect();
    let bad_header = |found: String, expected: &str, remedy: &str| {
        Err(Error::data(format!("{file}, line 1"), found, expected, remedy))
    };
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|n| !seen.insert(n.as_str())) {
        return bad_header(format!("column '{name}' twice"), "distinct names", "");
    }
    if names.iter().all(|n| n.parse::<f64>().is_ok()) {
        let remedy = "Add a first line such as x0,x1,y.";
        return bad_header("numbers only".into(), "a header that names the columns", remedy);
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, |p| p.line());
        if record.len() != names.len() {
            return Err(Error::data(
                format!("{file}, line {line}"),
                format!("{} cells", record.len()),
                format!("{}, as in the header", names.len()),
                "Check for a missing or surplus comma.",
            ));
        }
        rows.push((line, record));
        check_bytes(file, "rows", (rows.len() as u64, RECORD_BYTES), options.max_bytes)?;
    }
    check_size(file, rows.len() as u64, names.len() as u64, options.max_bytes)?;
    if rows.is_empty() {
        return Err(Error::data(file, "a header and no rows", "at least one row below the header", ""));
    }
    Ok(Table { names, rows })
}

impl Table {
    /// `[rows, columns]`: the numbers of some columns.
    fn numbers(&self, columns: &[usize], file: &str) -> Result<Array2<f64>> {
        let mut values = Vec::with_capacity(self.rows.len() * columns.len());
        for (line, row) in &self.rows {
            for j in columns {
                values.push(number(&row[*j], file, *line, &self.names[*j])?);
            }
        }
        Ok(Array2::from_shape_vec((self.rows.len(), columns.len()), values).expect("one value per cell"))
    }
}

/// Parses comma-separated text: the first line names the columns, one of them is the target.
pub(super) fn parse(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let table = table(bytes, file, options)?;
    let names = &table.names;
    if names.len() < 2 {
        return Err(Error::data(
            format!("{file}, line 1"),
            format!("{} column(s)", names.len()),
            "a header of at least two columns, separated by commas",
            "",
        ));
    }
    let target = find_column(file, options.target.as_deref(), names)?;
    let features: Vec<usize> = (0..names.len()).filter(|j| *j != target).collect();
    let x = table.numbers(&features, file)?;
    let name = &names[target];
    let labels: Vec<&str> = table.rows.iter().map(|(_, row)| &row[target]).collect();
    let text = labels.iter().any(|l| !l.is_empty() && l.parse::<f64>().is_err());
    let (y, class_names) = if text && labels.iter().all(|l| !l.is_empty()) {
        classes(&format!("{file}, target column '{name}'"), &labels).map(|(y, names)| (y, Some(names)))?
    } else {
        (table.numbers(&[target], file)?.index_axis_move(Axis(1), 0), None)
    };
    let features = features.iter().map(|j| names[*j].clone()).collect();
    let data = Dataset::new(x, y)?.with_feature_names(features)?.with_target_name(name);
    Ok(match class_names {
        Some(names) => data.with_class_names(names),
        None => data,
    })
}

/// The columns of the given names, `[rows, names]`; others are ignored.
pub(super) fn columns(
    bytes: &[u8],
    file: &str,
    names: &[String],
    options: &ReadOptions,
) -> Result<Array2<f64>> {
    let table = table(bytes, file, options)?;
    table.numbers(&positions(file, names, &table.names)?, file)
}

fn number(cell: &str, file: &str, line: u64, column: &str) -> Result<f64> {
    let at = || format!("{file}, line {line}, column '{column}'");
    let remedy = "Remove or impute the row, or drop the column; missing values are not supported.";
    if cell.is_empty() {
        return Err(Error::data(at(), "an empty cell", "a number", remedy));
    }
    match cell.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(v) => Err(Error::data(at(), v.to_string(), "a finite number", remedy)),
        Err(_) => {
            let shown: String = cell.chars().take(40).collect();
            Err(Error::data(
                at(),
                format!("'{shown}'"),
                "a number",
                "Encode text columns as numbers, or drop them.",
            ))
        }
    }
}
