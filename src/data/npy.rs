//! NumPy's array files: NPY, and NPZ archives of them.

use std::io::{Cursor, Read};
use std::path::Path;

use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, ShapeBuilder};
use npyz::{NpyFile, NpyHeader, Order, TypeChar};

use super::Dataset;
use super::csv::is_missing;
use super::read::{
    ReadOptions, check_bytes, check_size, classes, find_column, positions, read_bytes, target_of_file,
};
use super::scipy;
use crate::design::Design;
use crate::error::{Error, Result};

/// An array of numbers or of text.
pub(super) enum Array {
    Numbers(ArrayD<f64>),
    Text(Vec<String>),
}

/// Reads a NPY file of real numbers or booleans, of any shape, as f64; `.npy.gz` too.
///
/// # Errors
/// A file that is not such an array, or over `max_bytes`.
pub fn read_array(path: &Path, max_bytes: u64) -> Result<ArrayD<f64>> {
    let shown = path.display().to_string();
    let bytes = read_bytes(path, shown.ends_with(".gz"), max_bytes)?;
    numbers(array(&bytes, &shown, max_bytes)?, &shown)
}

/// A matrix with a target column.
pub(super) fn parse_npy(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let table = matrix(numbers(array(bytes, file, options.max_bytes)?, file)?, file)?;
    check_size(file, table.nrows() as u64, table.ncols() as u64, options.max_bytes)?;
    if table.ncols() < 2 {
        return Err(Error::data(file, "a matrix of one column", "features and a target column", ""));
    }
    let names: Vec<String> = (0..table.ncols()).map(|j| j.to_string()).collect();
    let at = format!("{file}: target column");
    let last = names.len() - 1;
    let target = options.target.as_deref().map_or(Ok(last), |wanted| find_column(&at, wanted, &names))?;
    let rest: Vec<usize> = (0..table.ncols()).filter(|j| *j != target).collect();
    let data = Dataset::new(table.select(Axis(1), &rest), table.column(target).to_owned())?;
    let features = rest.iter().map(|j| format!("x{j}")).collect();
    Ok(data.with_feature_names(features)?.with_target_name(format!("x{target}")))
}

/// The features of a matrix, one per column.
pub(super) fn columns(bytes: &[u8], file: &str, names: &[String], options: &ReadOptions) -> Result<Design> {
    let x = matrix(numbers(array(bytes, file, options.max_bytes)?, file)?, file)?;
    as_many(file, x.into(), names.len())
}

/// The features of the given names of an archive with `X` and perhaps `feature_names`.
pub(super) fn columns_of_npz(
    bytes: &[u8],
    file: &str,
    names: &[String],
    options: &ReadOptions,
) -> Result<Design> {
    let mut archive = Archive::new(bytes, file, options)?;
    let x = archive.design()?;
    match archive.feature_names()? {
        Some(known) => Ok(x.with_columns(&positions(file, names, &known)?)),
        None => as_many(file, x, names.len()),
    }
}

/// The matrix, if it has a column for each feature.
pub(super) fn as_many(file: &str, x: Design, features: usize) -> Result<Design> {
    if x.columns() == features {
        return Ok(x);
    }
    Err(Error::data(file, format!("{} columns", x.columns()), format!("{features}, one per feature"), ""))
}

/// An archive of arrays.
pub(super) struct Archive<'a> {
    zip: zip::ZipArchive<Cursor<&'a [u8]>>,
    file: &'a str,
    max_bytes: u64,
    present: Vec<String>,
}

impl<'a> Archive<'a> {
    fn new(bytes: &'a [u8], file: &'a str, options: &ReadOptions) -> Result<Self> {
        let zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| not_an_archive(file, e.into()))?;
        let names = zip.file_names().map(|n| n.map(|n| n.trim_end_matches(".npy").to_string()));
        let present = names.collect::<std::result::Result<_, _>>();
        let present = present.map_err(|e| not_an_archive(file, e.into()))?;
        Ok(Archive { zip, file, max_bytes: options.max_bytes, present })
    }

    pub(super) fn at(&self, name: &str) -> String {
        format!("{}, array '{name}'", self.file)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.present.iter().any(|n| n == name)
    }

    /// An error of this file.
    pub(super) fn within(&self, e: Error) -> Error {
        e.within(&format!("{}: ", self.file))
    }

    /// The numbers of an array that must be there.
    pub(super) fn numbers(&mut self, name: &str) -> Result<ArrayD<f64>> {
        let at = self.at(name);
        numbers(self.require(name)?, &at)
    }

    fn get(&mut self, name: &str) -> Result<Option<Array>> {
        if !self.has(name) {
            return Ok(None);
        }
        let (file, limit) = (self.file, self.max_bytes);
        let member = self.zip.by_name(&format!("{name}.npy"));
        let mut member = member.map_err(|e| not_an_archive(file, e.into()))?;
        let mut raw = Vec::new();
        let read = member.by_ref().take(limit.saturating_add(1)).read_to_end(&mut raw);
        read.map_err(|e| not_an_archive(file, e))?;
        let at = format!("{file}, array '{name}'");
        check_bytes(&at, "bytes", (raw.len() as u64, 1), limit)?;
        array(&raw, &at, limit).map(Some)
    }

    pub(super) fn require(&mut self, name: &str) -> Result<Array> {
        let remedy = "Save it with numpy.savez_compressed(file, X=X, y=y).";
        let found = format!("arrays {:?}", self.present);
        self.get(name)?.ok_or_else(|| Error::data(self.file, found, format!("an array '{name}'"), remedy))
    }

    /// The array `X`, or the sparse matrix that scipy stored.
    fn design(&mut self) -> Result<Design> {
        if scipy::is_sparse(self) {
            let limit = self.max_bytes;
            return Ok(scipy::matrix(self, limit)?.into_design());
        }
        let at = self.at("X");
        let x = matrix(numbers(self.require("X")?, &at)?, &at)?;
        check_size(&at, x.nrows() as u64, x.ncols() as u64, self.max_bytes)?;
        Ok(x.into())
    }

    fn feature_names(&mut self) -> Result<Option<Vec<String>>> {
        match self.get("feature_names")? {
            Some(Array::Text(names)) => Ok(Some(names)),
            Some(Array::Numbers(_)) => {
                let at = self.at("feature_names");
                Err(Error::data(at, "numbers", "text", "Save names as numpy strings."))
            }
            None => Ok(None),
        }
    }
}

fn not_an_archive(file: &str, e: std::io::Error) -> Error {
    Error::data(file, e.to_string(), "a NPZ archive, as numpy.savez makes", "").with_source(e)
}

/// `X [n, p]` or the arrays of a sparse matrix, `y [n]`, and optionally `sample_weight [n]` and
/// `feature_names [p]`. A sparse matrix may have its target in another file.
pub(super) fn parse_npz(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let mut archive = Archive::new(bytes, file, options)?;
    archive.check_names()?;
    let (x, at) = (archive.design()?, archive.at("y"));
    let weight = match archive.get("sample_weight")? {
        Some(weight) => {
            let at = archive.at("sample_weight");
            vector(numbers(weight, &at)?, &at)?
        }
        None => Array1::ones(x.rows()),
    };
    let (y, class_names) = match &options.target {
        Some(target) if scipy::is_sparse(&archive) => (target_of_file(file, target, options)?, None),
        Some(target) => {
            let found = format!("'{target}' for a .npz file");
            return Err(Error::usage("target", found, "the array y as the target", "Leave `target` out."));
        }
        None => match archive.require_target()? {
            Array::Numbers(y) => (vector(y, &at)?, None),
            Array::Text(labels) => coded(&labels, &weight, &at).map(|(y, names)| (y, Some(names)))?,
        },
    };
    let mut data = Dataset::weighted(x, y, weight)?;
    if let Some(names) = archive.feature_names()? {
        data = data.with_feature_names(names)?;
    }
    Ok(match class_names {
        Some(names) => data.with_class_names(names),
        None => data,
    })
}

/// Text labels of two classes as 0 and 1, and the classes. Labels of weight 0 do not count.
fn coded(labels: &[String], weight: &Array1<f64>, at: &str) -> Result<(Array1<f64>, [String; 2])> {
    let counts = |i: usize| weight.get(i).is_none_or(|w| *w != 0.0);
    let counted = || labels.iter().enumerate().filter(|(i, _)| counts(*i));
    if let Some((i, label)) = counted().find(|(_, label)| is_missing(label)) {
        let found = format!("'{label}', a missing value");
        let remedy = "Remove the row, or give it weight 0.";
        return Err(Error::data(format!("{at}, row {i}"), found, "a class", remedy));
    }
    let names = classes(at, &counted().map(|(_, label)| label.clone()).collect())?;
    Ok((labels.iter().map(|label| f64::from(*label == names[1])).collect(), names))
}

impl Archive<'_> {
    fn require_target(&mut self) -> Result<Array> {
        if scipy::is_sparse(self) && !self.has("y") {
            let remedy = "Save the target with numpy.save(\"y.npy\", y), and give it as `target`.";
            return Err(Error::data(self.file, "a sparse matrix without target", "an array 'y'", remedy));
        }
        self.require("y")
    }
}

/// The arrays that an archive may have.
const KNOWN: [&str; 4] = ["X", "y", "sample_weight", "feature_names"];
/// Other names that people give them.
const MEANT: [(&str, &[&str]); 4] = [
    ("X", &["x", "data", "features", "inputs"]),
    ("y", &["Y", "target", "targets", "label", "labels"]),
    ("sample_weight", &["sample_weights", "weights", "weight", "w", "row_weights", "row_weight"]),
    ("feature_names", &["feature_name", "features_names", "names", "columns", "column_names"]),
];

impl Archive<'_> {
    /// Refuses an array that is meant to be a known one, and warns about any other.
    fn check_names(&self) -> Result<()> {
        let sparse = scipy::is_sparse(self);
        let known =
            |n: &&String| KNOWN.contains(&n.as_str()) || sparse && scipy::ARRAYS.contains(&n.as_str());
        for name in self.present.iter().filter(|n| !known(n)) {
            let meant =
                MEANT.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(known, _)| known);
            match meant.filter(|known| !self.present.iter().any(|n| n == *known)) {
                Some(known) => {
                    let remedy = format!("Save it as '{known}', or leave it out.");
                    let found = format!("an array '{name}'");
                    return Err(Error::data(self.file, found, format!("the name '{known}'"), remedy));
                }
                None => {
                    log::warn!("{}: the array '{name}' is not used (known: {})", self.file, KNOWN.join(", "))
                }
            }
        }
        Ok(())
    }
}

fn numbers(array: Array, at: &str) -> Result<ArrayD<f64>> {
    match array {
        Array::Numbers(values) => Ok(values),
        Array::Text(_) => Err(Error::data(at, "text", "numbers", "")),
    }
}

fn matrix(values: ArrayD<f64>, at: &str) -> Result<Array2<f64>> {
    let shape = values.shape().to_vec();
    values
        .into_dimensionality()
        .map_err(|_| Error::data(at, format!("shape {shape:?}"), "two dimensions, [rows, columns]", ""))
}

pub(super) fn vector(values: ArrayD<f64>, at: &str) -> Result<Array1<f64>> {
    let shape = values.shape().to_vec();
    // [n, 1] and [1, n] are common ways to save a vector.
    let flat = match shape[..] {
        [_, 1] => values.index_axis_move(Axis(1), 0),
        [1, _] => values.index_axis_move(Axis(0), 0),
        _ => values,
    };
    flat.into_dimensionality()
        .map_err(|_| Error::data(at, format!("shape {shape:?}"), "one dimension, [rows]", ""))
}

/// Most bytes of a NPY header; NumPy's own limit is 10,000.
const MAX_HEADER: usize = 1 << 16;
/// Most brackets within one another: a header that is read has two, one of a structured array more.
const MAX_NESTING: usize = 4;

/// Checks the length and the nesting of a NPY header, since its parser takes twice as long for every level.
fn check_header(bytes: &[u8], at: &str) -> Result<()> {
    let refuse = |found: String| Err(Error::data(at, found, "a NumPy array file", ""));
    let (length, begin) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, ..] => {
            (usize::from(u16::from_le_bytes([*low, *high])), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
        }
        _ => return refuse("other bytes than those a NumPy array begins with".into()),
    };
    if length > MAX_HEADER {
        return refuse(format!("a header of {length} bytes"));
    }
    let Some(text) = bytes.get(begin..begin + length) else {
        return refuse(format!("a header of {length} bytes over {} bytes", bytes.len() - begin));
    };
    let mut depth = 0usize;
    for byte in text {
        match byte {
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return refuse(format!("a header nested deeper than {MAX_NESTING} levels"));
        }
    }
    Ok(())
}

/// Bytes of a text without its characters: a vector and a string, each with its allocation.
const TEXT_BYTES: u64 = 2 * (24 + 16);

/// Bytes of an item as it is decoded, with the vector or string that holds it.
fn decoded_bytes(dtype: &npyz::TypeStr) -> u64 {
    let size = dtype.num_bytes().unwrap_or(0) as u64;
    match dtype.type_char() {
        // A vector of characters, then a string of at most four bytes a character.
        TypeChar::UnicodeStr => size.saturating_mul(2).saturating_add(TEXT_BYTES),
        TypeChar::ByteStr => size.saturating_mul(4).saturating_add(TEXT_BYTES),
        TypeChar::Float if size == 8 => 8,
        _ => size.saturating_add(8),
    }
}

/// Decodes the bytes of a NPY file, after checking its size against its header.
fn array(bytes: &[u8], at: &str, max_bytes: u64) -> Result<Array> {
    let bad = |found: String| Error::data(at, found, "a NumPy array file", "");
    check_header(bytes, at)?;
    let mut data = bytes;
    let broken = |e: std::io::Error| bad(e.to_string()).with_source(e);
    let header = NpyHeader::from_reader(&mut data).map_err(broken)?;
    let held = data.len() as u64;
    let npy = NpyFile::with_header(header, data);
    let shape: Vec<u64> = npy.shape().to_vec();
    let count = shape.iter().try_fold(1u64, |n, s| n.checked_mul(*s)).unwrap_or(u64::MAX);
    if count == 0 {
        let remedy = "Check that the array was filled before it was saved.";
        return Err(Error::data(at, format!("shape {shape:?}"), "at least one number", remedy));
    }
    if npy.uses_pickled_array() {
        let remedy = "Save it as numbers or numpy strings: array.astype(float) or array.astype(str).";
        return Err(Error::data(at, "Python objects", "numbers or text", remedy));
    }
    let npyz::DType::Plain(dtype) = npy.dtype() else {
        return Err(Error::data(
            at,
            "a structured array",
            "numbers or text",
            "Save its columns as a plain matrix.",
        ));
    };
    check_bytes(at, "items", (count, decoded_bytes(&dtype)), max_bytes)?;
    // The data must hold the `count` items that the header states, or reading would fail in the middle.
    let promised = dtype.num_bytes().and_then(|size| count.checked_mul(size as u64)).unwrap_or(u64::MAX);
    if promised > held {
        let found = format!("a header of shape {shape:?} over {held} bytes");
        return Err(Error::data(at, found, "as many numbers as the header says", "Copy the file again."));
    }
    let order = npy.order();
    macro_rules! of {
        ($T:ty, $convert:expr) => {
            npy.into_vec::<$T>().map_err(broken)?.into_iter().map($convert).collect::<Vec<f64>>()
        };
    }
    let values: Vec<f64> = match (dtype.type_char(), dtype.num_bytes()) {
        (TypeChar::Float, Some(8)) => npy.into_vec().map_err(broken)?,
        (TypeChar::Float, Some(4)) => of!(f32, f64::from),
        (TypeChar::Int, Some(8)) => of!(i64, |v| v as f64),
        (TypeChar::Int, Some(4)) => of!(i32, f64::from),
        (TypeChar::Int, Some(2)) => of!(i16, f64::from),
        (TypeChar::Int, Some(1)) => of!(i8, f64::from),
        (TypeChar::Uint, Some(8)) => of!(u64, |v| v as f64),
        (TypeChar::Uint, Some(4)) => of!(u32, f64::from),
        (TypeChar::Uint, Some(2)) => of!(u16, f64::from),
        (TypeChar::Uint, Some(1)) => of!(u8, f64::from),
        (TypeChar::Bool, _) => of!(bool, |v| f64::from(u8::from(v))),
        (TypeChar::UnicodeStr, _) => {
            let text = npy.into_vec::<Vec<char>>().map_err(broken)?;
            let clean = |s: Vec<char>| s.into_iter().collect::<String>().trim_end_matches('\0').to_string();
            return Ok(Array::Text(text.into_iter().map(clean).collect()));
        }
        (TypeChar::ByteStr, _) => {
            let text = npy.into_vec::<Vec<u8>>().map_err(broken)?;
            let clean = |s: Vec<u8>| String::from_utf8_lossy(&s).trim_end_matches('\0').to_string();
            return Ok(Array::Text(text.into_iter().map(clean).collect()));
        }
        _ => {
            let remedy = "Save it as float64: array.astype(float).";
            return Err(Error::data(at, format!("type '{dtype}'"), "real numbers, booleans or text", remedy));
        }
    };
    let shape: Vec<usize> = shape.iter().map(|s| *s as usize).collect();
    ArrayD::from_shape_vec(IxDyn(&shape).set_f(order == Order::Fortran), values)
        .map(Array::Numbers)
        .map_err(|e| bad(e.to_string()).with_source(e))
}
