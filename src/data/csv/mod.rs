//! Comma-separated text. It is read twice, a row at a time: the first pass finds what the columns hold, the
//! second fills the arrays, so that no text is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ndarray::{Array1, Array2};

use super::Dataset;
use super::read::{ReadOptions, check_size, classes};
use crate::error::{Error, ErrorKind, Result};

mod cell;
mod roles;
mod scan;
mod text;

pub(super) use cell::is_missing;
use cell::{Cell, shown};
use roles::Roles;
use scan::{Scan, scan};
use text::Text;

/// A column of the design.
enum Column {
    /// The numbers of a column of the file, and the value that replaces missing ones.
    Number(usize, f64),
    /// 1 where a column of the file holds this text, else 0; and the value that replaces missing ones.
    Indicator(usize, String, f64),
}

impl Column {
    fn source(&self) -> usize {
        match self {
            Column::Number(j, _) | Column::Indicator(j, ..) => *j,
        }
    }
    /// The value of a cell, if it has one.
    fn value(&self, cell: &str) -> Option<f64> {
        match (self, Cell::of(cell)) {
            (Column::Number(_, instead) | Column::Indicator(_, _, instead), Cell::Missing) => {
                Some(*instead).filter(|v| !v.is_nan())
            }
            (Column::Indicator(_, level, _), _) => Some(f64::from(cell == level)),
            (Column::Number(..), Cell::Number(v)) => Some(v),
            _ => None,
        }
    }
}

/// Parses text whose first line names the columns, unless the options say otherwise.
pub(super) fn parse(bytes: &[u8], file: &str, separator: u8, options: &ReadOptions) -> Result<Dataset> {
    let text = Text::new(bytes, file, separator, options)?;
    let roles = Roles::new(&text, options)?;
    let scan = scan(&text, &roles, options)?;
    let (columns, names) = layout(&text, &roles, &scan, options.means.as_ref());
    check_size(file, scan.rows.len() as u64, columns.len() as u64, options.max_bytes)?;
    let target = &scan.facts[roles.target];
    let at = format!("{file}, target column '{}'", text.names[roles.target]);
    let labels = target.text.as_ref().map(|found| {
        if !target.is_text() {
            let both = format!("numbers, and the text {} in line {}", shown(&found.text), found.line);
            return Err(Error::data(&at, both, "numbers only, or text only", "Recode the labels."));
        }
        classes(&at, &target.levels)
    });
    let labels = labels.transpose()?;
    let mut values = Vec::with_capacity(scan.rows.len() * columns.len());
    let mut y = Vec::with_capacity(scan.rows.len());
    let mut groups = Vec::new();
    let mut kept = scan.rows.iter().peekable();
    let mut index = 0;
    text.rows(|_, record| {
        let row = index;
        index += 1;
        if kept.next_if(|(place, _)| *place == row).is_some() {
            values.extend(columns.iter().map(|c| c.value(&record[c.source()]).unwrap_or(f64::NAN)));
            groups.extend(roles.groups.map(|j| record[j].to_string()));
            let cell = &record[roles.target];
            y.push(match &labels {
                Some([_, high]) => f64::from(cell == high),
                None => cell.parse().unwrap_or(f64::NAN),
            });
        }
        Ok(kept.peek().is_some())
    })?;
    let x = Array2::from_shape_vec((y.len(), columns.len()), values).expect("one value per cell");
    let (places, weight): (Vec<usize>, Vec<f64>) = scan.rows.into_iter().unzip();
    let mut data = Dataset::weighted(x, Array1::from(y), Array1::from(weight))?;
    data.given_rows = places;
    data.groups = roles.groups.map(|_| groups);
    let data = data.with_feature_names(names)?.with_target_name(&text.names[roles.target]);
    Ok(match labels {
        Some(names) => data.with_class_names(names),
        None => data,
    })
}

/// The columns of the design and their names.
fn layout(
    text: &Text<'_>,
    roles: &Roles,
    scan: &Scan,
    means: Option<&HashMap<String, f64>>,
) -> (Vec<Column>, Vec<String>) {
    let of = |j: &usize| {
        let (name, facts) = (&text.names[*j], &scan.facts[*j]);
        if !facts.is_text() {
            let given = means.and_then(|means| means.get(name));
            return vec![(Column::Number(*j, given.copied().unwrap_or(facts.mean())), name.clone())];
        }
        let level = |level: &String| {
            let column = Column::Indicator(*j, level.clone(), f64::NAN);
            (column, format!("{name}={level}"))
        };
        facts.levels.iter().map(level).collect()
    };
    roles.features.iter().flat_map(of).unzip()
}

/// The features of the given names, `[rows, names]`; other columns are ignored. A name `column=text` is the
/// indicator of a text. `means` replace missing values.
pub(super) fn columns(
    bytes: &[u8],
    file: &str,
    separator: u8,
    (names, means): (&[String], Option<&[f64]>),
    options: &ReadOptions,
) -> Result<Array2<f64>> {
    let text = Text::new(bytes, file, separator, options)?;
    let find = |(feature, name): (usize, &String)| {
        let instead = means.map_or(f64::NAN, |means| means[feature]);
        let place = |wanted: &str| text.names.iter().position(|n| n == wanted);
        let indicator = |(at, _): (usize, &str)| {
            place(&name[..at]).map(|j| Column::Indicator(j, name[at + 1..].to_string(), instead))
        };
        let number = place(name).map(|j| Column::Number(j, instead));
        number.or_else(|| name.match_indices('=').find_map(indicator)).ok_or_else(|| {
            let known: Vec<&str> = text.names.iter().map(String::as_str).collect();
            let remedy = Error::unknown(ErrorKind::Data, "", name, &known).remedy;
            let found = format!("no column '{name}' among {}", known.len());
            Error::data(format!("{file}: columns"), found, "every feature of the model", remedy)
        })
    };
    let columns: Vec<Column> = names.iter().enumerate().map(find).collect::<Result<_>>()?;
    let (mut values, mut rows) = (Vec::new(), 0);
    // Texts without an indicator, by the column of the file: their number, and the first.
    let mut unknown: BTreeMap<usize, (usize, String)> = BTreeMap::new();
    let coded: BTreeSet<usize> =
        columns.iter().filter(|c| matches!(c, Column::Indicator(..))).map(Column::source).collect();
    text.rows(|line, record| {
        rows += 1;
        check_size(file, rows, columns.len() as u64, options.max_bytes)?;
        let first = values.len();
        for column in &columns {
            let cell = &record[column.source()];
            values.push(column.value(cell).ok_or_else(|| {
                let at = format!("{file}, line {line}, column '{}'", text.names[column.source()]);
                let (expected, remedy) = match Cell::of(cell) {
                    Cell::Missing => {
                        ("a value", "Use `missing mean`, which takes the mean of the fitted rows.")
                    }
                    _ => ("a number", "A prediction needs a value of every feature."),
                };
                Error::data(at, shown(cell), expected, remedy)
            })?);
        }
        let is_known =
            |j: usize| columns.iter().zip(&values[first..]).any(|(c, v)| c.source() == j && *v != 0.0);
        for j in coded.iter().copied().filter(|j| !is_known(*j)) {
            unknown.entry(j).or_insert_with(|| (0, record[j].to_string())).0 += 1;
        }
        Ok(true)
    })?;
    for (j, (count, first)) in unknown {
        log::warn!(
            "{file}: column '{}' has text in {count} row(s) that the model does not know, first {}; such \
             rows are predicted as if they had none of its texts",
            text.names[j],
            shown(&first)
        );
    }
    Ok(Array2::from_shape_vec((rows as usize, columns.len()), values).expect("one value per cell"))
}
