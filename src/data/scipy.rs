//! Sparse matrices as `scipy.sparse.save_npz` stores them: CSR, CSC or COO.

use super::npy::{Archive, Array};
use super::read::{TRIPLET_BYTES, check_bytes};
use crate::design::Sparse;
use crate::error::{Error, Result};

/// The arrays of such an archive.
pub(super) const ARRAYS: [&str; 7] = ["format", "shape", "data", "indices", "indptr", "row", "col"];

/// Most rows or columns.
const MOST: u64 = 1 << 32;

/// True if an archive holds a sparse matrix instead of an array `X`.
pub(super) fn is_sparse(archive: &Archive<'_>) -> bool {
    !archive.has("X") && archive.has("format") && archive.has("shape")
}

/// The sparse matrix of an archive.
pub(super) fn matrix(archive: &mut Archive<'_>, max_bytes: u64) -> Result<Sparse> {
    let at = archive.at("format");
    let format = match archive.require("format")? {
        Array::Text(text) => text.concat(),
        Array::Numbers(_) => String::new(),
    };
    let shape = whole(archive, "shape", MOST)?;
    let [rows, columns] = shape[..] else {
        let found = format!("{} numbers", shape.len());
        return Err(Error::data(archive.at("shape"), found, "two, rows and columns", ""));
    };
    let data = archive.numbers("data")?.into_iter().collect::<Vec<f64>>();
    check_bytes(&archive.at("data"), "entries", (data.len() as u64, TRIPLET_BYTES), max_bytes)?;
    let longest = rows.max(columns) as u64;
    check_bytes(&archive.at("shape"), "rows or columns", (longest, ROW_START_BYTES), max_bytes)?;
    let (major, minor) = match format.as_str() {
        "csr" => (expanded(archive, rows, data.len())?, whole(archive, "indices", MOST)?),
        "csc" => (expanded(archive, columns, data.len())?, whole(archive, "indices", MOST)?),
        "coo" => (whole(archive, "row", MOST)?, whole(archive, "col", MOST)?),
        other => {
            let remedy = "Save it with scipy.sparse.save_npz(file, X.tocsr()).";
            return Err(Error::data(at, format!("format '{other}'"), "csr, csc or coo", remedy));
        }
    };
    for (name, found) in [("indptr or row", major.len()), ("indices or col", minor.len())] {
        if found != data.len() {
            let expected = format!("{}, as many as there are numbers in 'data'", data.len());
            return Err(Error::data(archive.at(name), format!("{found} entries"), expected, ""));
        }
    }
    let by_columns = format == "csc";
    let entries = major.into_iter().zip(minor).zip(data);
    let placed = entries.map(|((a, b), v)| if by_columns { (b, a, v) } else { (a, b, v) });
    let (made, summed) = Sparse::from_triplets((rows, columns), placed).map_err(|e| archive.within(e))?;
    warn_summed(&archive.at("data"), summed);
    Ok(made)
}

/// Bytes of a row or column: its start, twice while a matrix is made, the name that `Dataset` gives a column
/// and the one of the file.
pub(super) const ROW_START_BYTES: u64 = 16 + 128;

/// Says that entries of the same place were summed.
pub(super) fn warn_summed(at: &str, summed: usize) {
    if summed > 0 {
        log::warn!("{at}: {summed} entries have the place of an earlier one, and were added to it");
    }
}

/// The line of every entry, from where lines start.
fn expanded(archive: &mut Archive<'_>, lines: usize, entries: usize) -> Result<Vec<usize>> {
    let start = whole(archive, "indptr", u64::MAX)?;
    let ascending = start.windows(2).all(|w| w[0] <= w[1]);
    if start.len() != lines + 1 || start.first() != Some(&0) || !ascending || start.last() != Some(&entries) {
        let expected = format!("{} numbers that ascend from 0 to {entries}", lines + 1);
        return Err(Error::data(
            archive.at("indptr"),
            format!("{} other numbers", start.len()),
            expected,
            "",
        ));
    }
    Ok((0..lines).flat_map(|i| std::iter::repeat_n(i, start[i + 1] - start[i])).collect())
}

/// An array of whole numbers from 0 to `most`.
fn whole(archive: &mut Archive<'_>, name: &str, most: u64) -> Result<Vec<usize>> {
    let most = (most as f64).min(2f64.powi(53));
    let at = archive.at(name);
    let whole = |v: &f64| v.fract() == 0.0 && (0.0..=most).contains(v);
    let numbers = archive.numbers(name)?;
    match numbers.iter().find(|v| !whole(v)) {
        Some(v) => Err(Error::data(at, v.to_string(), "whole numbers, zero or larger", "")),
        None => Ok(numbers.iter().map(|v| *v as usize).collect()),
    }
}
