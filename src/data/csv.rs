//! CSV with a header line.

use std::collections::HashSet;

use ndarray::Array2;

use super::Dataset;
use super::read::{ReadOptions, check_size, classes, find_column};
use crate::error::{Error, Result};

/// Parses comma-separated text: the first line names the columns, one of them is the target.
pub(super) fn parse(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let failed =
        |e: csv::Error| Error::data(file, e.to_string(), "comma-separated text in UTF-8", "").with_source(e);
    let names: Vec<String> = reader.headers().map_err(failed)?.iter().map(String::from).collect();
    if names.len() < 2 {
        return Err(Error::data(
            format!("{file}, line 1"),
            format!("{} column(s)", names.len()),
            "a header of at least two columns, separated by commas",
            "",
        ));
    }
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|n| !seen.insert(n.as_str())) {
        return Err(Error::data(
            format!("{file}, line 1"),
            format!("column '{name}' twice"),
            "distinct names",
            "",
        ));
    }
    if names.iter().all(|n| n.parse::<f64>().is_ok()) {
        return Err(Error::data(
            format!("{file}, line 1"),
            "numbers only",
            "a header that names the columns",
            "Add a first line such as x0,x1,y.",
        ));
    }
    let target = find_column(file, options.target.as_deref(), &names)?;

    let (mut values, mut labels, mut lines) = (Vec::new(), Vec::new(), Vec::new());
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
        for (j, cell) in record.iter().enumerate() {
            if j == target {
                labels.push(cell.to_string());
            } else {
                values.push(number(cell, file, line, &names[j])?);
            }
        }
        lines.push(line);
        check_size(file, lines.len() as u64, names.len() as u64, options.max_bytes)?;
    }
    if lines.is_empty() {
        return Err(Error::data(file, "a header and no rows", "at least one row below the header", ""));
    }

    let x = Array2::from_shape_vec((lines.len(), names.len() - 1), values).expect("one value per cell");
    let name = &names[target];
    let text = labels.iter().any(|l| !l.is_empty() && l.parse::<f64>().is_err());
    let (y, class_names) = if text && labels.iter().all(|l| !l.is_empty()) {
        classes(&format!("{file}, target column '{name}'"), &labels).map(|(y, names)| (y, Some(names)))?
    } else {
        let cells = labels.iter().zip(&lines);
        (cells.map(|(cell, line)| number(cell, file, *line, name)).collect::<Result<_>>()?, None)
    };
    let features = names.iter().enumerate().filter(|(j, _)| *j != target).map(|(_, n)| n.clone()).collect();
    let data = Dataset::new(x, y)?.with_feature_names(features)?.with_target_name(name);
    Ok(match class_names {
        Some(names) => data.with_class_names(names),
        None => data,
    })
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
