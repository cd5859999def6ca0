//! NumPy's array files: NPY, and NPZ archives of them.

use std::io::{Cursor, Read};
use std::path::Path;

use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, ShapeBuilder};
use npyz::{NpyFile, NpyHeader, Order, TypeChar};

use super::Dataset;
use super::read::{ReadOptions, check_size, classes, find_column, read_bytes};
use crate::error::{Error, Result};

/// An array of numbers or of text.
enum Array {
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
    if table.ncols() < 2 {
        return Err(Error::data(file, "a matrix of one column", "features and a target column", ""));
    }
    let names: Vec<String> = (0..table.ncols()).map(|j| j.to_string()).collect();
    let target = find_column(file, options.target.as_deref(), &names)?;
    let rest: Vec<usize> = (0..table.ncols()).filter(|j| *j != target).collect();
    let data = Dataset::new(table.select(Axis(1), &rest), table.column(target).to_owned())?;
    let features = rest.iter().map(|j| format!("x{j}")).collect();
    Ok(data.with_feature_names(features)?.with_target_name(format!("x{target}")))
}

/// `X [n, p]`, `y [n]`, and optionally `sample_weight [n]` and `feature_names [p]`.
pub(super) fn parse_npz(bytes: &[u8], file: &str, options: &ReadOptions) -> Result<Dataset> {
    let failed = |e: std::io::Error| {
        Error::data(file, e.to_string(), "a NPZ archive, as numpy.savez makes", "").with_source(e)
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| failed(e.into()))?;
    let present: Vec<String> = archive
        .file_names()
        .map(|n| n.map(|n| n.trim_end_matches(".npy").to_string()).map_err(|e| failed(e.into())))
        .collect::<Result<_>>()?;
    let mut get = |name: &str| -> Result<Option<Array>> {
        if !present.iter().any(|n| n == name) {
            return Ok(None);
        }
        let mut member = archive.by_name(&format!("{name}.npy")).map_err(|e| failed(e.into()))?;
        let mut raw = Vec::new();
        let limit = options.max_bytes;
        member.by_ref().take(limit.saturating_add(1)).read_to_end(&mut raw).map_err(failed)?;
        check_size(file, raw.len() as u64 / 8, 1, limit)?;
        array(&raw, &format!("{file}, array '{name}'"), limit).map(Some)
    };
    let missing = |name: &str| {
        let remedy = "Save it with numpy.savez_compressed(file, X=X, y=y).";
        Error::data(file, format!("arrays {present:?}"), format!("an array '{name}'"), remedy)
    };
    let at = |name: &str| format!("{file}, array '{name}'");
    let x = matrix(numbers(get("X")?.ok_or_else(|| missing("X"))?, &at("X"))?, &at("X"))?;
    let (y, class_names) = match get("y")?.ok_or_else(|| missing("y"))? {
        Array::Numbers(y) => (vector(y, &at("y"))?, None),
        Array::Text(labels) => classes(&at("y"), &labels).map(|(y, names)| (y, Some(names)))?,
    };
    let mut data = Dataset::new(x, y)?;
    if let Some(weight) = get("sample_weight")? {
        data =
            data.with_sample_weight(vector(numbers(weight, &at("sample_weight"))?, &at("sample_weight"))?)?;
    }
    data = match get("feature_names")? {
        Some(Array::Text(names)) => data.with_feature_names(names)?,
        Some(Array::Numbers(_)) => {
            return Err(Error::data(at("feature_names"), "numbers", "text", "Save names as numpy strings."));
        }
        None => data,
    };
    Ok(match class_names {
        Some(names) => data.with_class_names(names),
        None => data,
    })
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

fn vector(values: ArrayD<f64>, at: &str) -> Result<Array1<f64>> {
    let shape = values.shape().to_vec();
    // [n, 1] is a common way to save a column.
    let flat = if shape.len() == 2 && shape[1] == 1 { values.index_axis_move(Axis(1), 0) } else { values };
    flat.into_dimensionality()
        .map_err(|_| Error::data(at, format!("shape {shape:?}"), "one dimension, [rows]", ""))
}

/// Decodes the bytes of a NPY file, after checking its size against its header.
fn array(bytes: &[u8], at: &str, max_bytes: u64) -> Result<Array> {
    let bad = |found: String| Error::data(at, found, "a NumPy array file", "");
    let mut data = bytes;
    let broken = |e: std::io::Error| bad(e.to_string()).with_source(e);
    let header = NpyHeader::from_reader(&mut data).map_err(broken)?;
    let held = data.len() as u64;
    let npy = NpyFile::with_header(header, data);
    let shape: Vec<u64> = npy.shape().to_vec();
    let count = shape.iter().try_fold(1u64, |n, s| n.checked_mul(*s)).unwrap_or(u64::MAX);
    check_size(at, count, 1, max_bytes)?;
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
    // The header promises `count` items: the data must hold them, or reading would stop in the middle.
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
