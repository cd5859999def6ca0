//! Reads a data set from a file; the extension gives the format.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ndarray::Array1;

use super::{Dataset, csv, matrix_market, npy, svmlight};
use crate::design::Design;
use crate::error::{Error, ErrorKind, Result, bytes as shown_bytes};

/// Options of reading a file. All but `target`, `drop` and `max_bytes` are for comma-separated text only and
/// refused for other formats.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The target column of a CSV or NPY file, by name or zero-based index; by default the last one. Of a
    /// Matrix Market file, and of a matrix of scipy without an array `y`, the NPY file of the target.
    pub target: Option<String>,
    /// Maximum bytes of the decompressed file and of the design made from it; by default 4 GiB.
    pub max_bytes: u64,
    /// Whether the first line names the columns.
    pub header: Header,
    /// The byte between cells; by default a comma, and a tab in `.tsv` files.
    pub separator: Option<u8>,
    /// Columns to leave out, by name or (comma-separated text) by zero-based index.
    pub drop: Vec<String>,
    /// The column of sample weights, by name or zero-based index.
    pub weights: Option<String>,
    /// The column of groups of rows that folds keep together, by name or zero-based index.
    pub groups: Option<String>,
    /// What to do about missing values.
    pub missing: Missing,
    /// Means of features by their names, which [`Missing::Mean`] takes instead of those of the file: for rows
    /// that a model is tested on.
    pub means: Option<HashMap<String, f64>>,
    /// True if columns of text become indicators, one per distinct text, named `column=text`.
    pub one_hot: bool,
}

/// Whether the first line of comma-separated text names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does; a number among the names is refused, because the line may be data.
    #[default]
    Sniff,
    /// It does, whatever the names are.
    Present,
    /// It is data: columns are called `x0, x1, …`.
    Absent,
}

/// What to do about missing values: empty cells and NA, N/A, NaN, ?, None, NULL and -.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Refuse them, with line and column.
    #[default]
    Error,
    /// Leave out rows that have one in a column that is used.
    DropRows,
    /// Replace those of a feature by the weighted mean of its column, over all rows of the file.
    Mean,
}

impl std::str::FromStr for Missing {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "error" => Ok(Missing::Error),
            "drop-rows" => Ok(Missing::DropRows),
            "mean" => Ok(Missing::Mean),
            _ => Err(Error::unknown(ErrorKind::Usage, "missing", text, &["error", "drop-rows", "mean"])),
        }
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            target: None,
            max_bytes: 4 << 30,
            header: Header::Sniff,
            separator: None,
            drop: Vec::new(),
            weights: None,
            groups: None,
            missing: Missing::Error,
            means: None,
            one_hot: false,
        }
    }
}

impl ReadOptions {
    /// Refuses settings that mean nothing for files of an extension, or for the data called `what`.
    fn check(&self, what: &str, extension: &str) -> Result<()> {
        let table = matches!(extension, "csv" | "tsv");
        let refuse = |setting: &str, found: &str, expected: &str| {
            let found = format!("'{found}' for {what}");
            Err(Error::usage(setting, found, expected, format!("Leave `{setting}` out.")))
        };
        match &self.target {
            // Of an archive, once it is known whether its matrix is sparse.
            Some(target) if !table && !["npy", "npz", "mtx"].contains(&extension) => {
                let own = match extension {
                    "bundled" => "the target that the data come with",
                    _ => "the label of each line as the target",
                };
                return refuse("target", target, own);
            }
            _ => {}
        }
        if table {
            return Ok(());
        }
        let expected = "comma-separated text";
        match self {
            ReadOptions { weights: Some(name), .. } if extension == "npz" => {
                refuse("weights", name, "the array sample_weight for weights")
            }
            ReadOptions { weights: Some(name), .. } => refuse("weights", name, expected),
            ReadOptions { groups: Some(name), .. } => refuse("groups", name, expected),
            ReadOptions { header: Header::Present, .. } => refuse("header", "header", expected),
            ReadOptions { header: Header::Absent, .. } => refuse("no_header", "no_header", expected),
            ReadOptions { separator: Some(_), .. } => refuse("separator", "separator", expected),
            ReadOptions { one_hot: true, .. } => refuse("one_hot", "one_hot", expected),
            ReadOptions { missing: Missing::DropRows | Missing::Mean, .. } => {
                refuse("missing", "missing", expected)
            }
            _ => Ok(()),
        }
    }

    /// The byte between the cells of a file.
    fn separator_of(&self, extension: &str) -> u8 {
        self.separator.unwrap_or(if extension == "tsv" { b'\t' } else { b',' })
    }

    /// Checks that every setting means something for bundled data, and leaves out the dropped features.
    ///
    /// # Errors
    /// Such a setting, or a feature that there is not.
    pub fn apply_to_bundled(&self, data: Dataset) -> Result<Dataset> {
        self.check("bundled data", "bundled")?;
        if self.drop.is_empty() { Ok(data) } else { data.without_features(&self.drop) }
    }
}

/// File formats, by extension (each also with `.gz`).
const EXTENSIONS: &[&str] = &["csv", "tsv", "npy", "npz", "mtx", "svm", "svmlight", "libsvm"];

/// Reads a data set: CSV or TSV with a header, NPY (a matrix with a target column), NPZ (`X`, or what
/// `scipy.sparse.save_npz` stores, `y`, optionally `sample_weight` and `feature_names`), Matrix Market or
/// svmlight, each also gzipped. Sparse matrices stay sparse unless a quarter of their entries is stored.
///
/// # Errors
/// A file that cannot be read or is not in the format of its extension, with file, line and column; a file
/// over the size bound.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let (bytes, shown, extension) = open(path, options)?;
    parse_as(extension, &bytes, &shown, options)
}

/// Reads a data set from the bytes of a file called `name`; as [`read`], without a file system.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], name: &str, options: &ReadOptions) -> Result<Dataset> {
    match format_of(name, name)? {
        (extension, false) => parse_as(extension, bytes, name, options),
        (extension, true) => {
            let unpacked = bounded(MultiGzDecoder::new(bytes), name, options.max_bytes)?;
            parse_as(extension, &unpacked, name, options)
        }
    }
}

fn parse_as(extension: &str, bytes: &[u8], shown: &str, options: &ReadOptions) -> Result<Dataset> {
    options.check(&format!("a .{extension} file"), extension)?;
    let separator = options.separator_of(extension);
    let data = match extension {
        "csv" | "tsv" => csv::parse(bytes, shown, separator, options),
        "npy" => npy::parse_npy(bytes, shown, options),
        "npz" => npy::parse_npz(bytes, shown, options),
        "mtx" => parse_matrix_market(bytes, shown, options),
        _ => svmlight::parse(bytes, shown, options),
    };
    let data = match data {
        Ok(data) if !options.drop.is_empty() && !matches!(extension, "csv" | "tsv") => {
            data.without_features(&options.drop)
        }
        data => data,
    };
    // Errors of `Dataset` do not name the file.
    let named = |e: Error| if e.field.starts_with(shown) { e } else { e.within(&format!("{shown}: ")) };
    data.map(|d| d.with_source(shown)).map_err(named)
}

/// Reads the features of the given names, `[rows, names]`, from a file in one of the formats of [`read`]; a
/// target is not needed. CSV columns and NPZ arrays with `feature_names` are found by name, in any order; a
/// NPY or Matrix Market file, or another NPZ array, has exactly these columns; in svmlight feature `i` is
/// called `xi`. `means`, one per name, replace missing values of CSV columns, which are refused without.
///
/// # Errors
/// As [`read`], and a feature that is missing.
///
/// # Panics
/// Means of another number than names.
pub fn read_features(
    path: &Path,
    names: &[String],
    means: Option<&[f64]>,
    options: &ReadOptions,
) -> Result<Design> {
    assert!(means.is_none_or(|means| means.len() == names.len()), "one mean per name");
    let (bytes, shown, extension) = open(path, options)?;
    options.check(&format!("a .{extension} file"), extension)?;
    match extension {
        "csv" | "tsv" => {
            csv::columns(&bytes, &shown, options.separator_of(extension), (names, means), options)
                .map(Design::dense)
        }
        "npy" => npy::columns(&bytes, &shown, names, options),
        "npz" => npy::columns_of_npz(&bytes, &shown, names, options),
        "mtx" => {
            let x = matrix_market::matrix(&bytes, &shown, options.max_bytes)?;
            npy::as_many(&shown, x.into_design(), names.len())
        }
        _ => svmlight::columns(&bytes, &shown, names, options),
    }
}

/// A Matrix Market file, whose target is another file.
fn parse_matrix_market(bytes: &[u8], shown: &str, options: &ReadOptions) -> Result<Dataset> {
    let x = matrix_market::matrix(bytes, shown, options.max_bytes)?;
    let Some(target) = &options.target else {
        let remedy = "Save the target with numpy.save(\"y.npy\", y), and give it as `target`.";
        return Err(Error::data(shown, "a matrix without target", "a NPY file of the target", remedy));
    };
    Dataset::new(x.into_design(), target_of_file(shown, target, options)?)
}

/// The target of the data in `file`, from a NPY file of its own.
pub(super) fn target_of_file(file: &str, target: &str, options: &ReadOptions) -> Result<Array1<f64>> {
    if !target.ends_with(".npy") && !target.ends_with(".npy.gz") {
        let found = format!("'{target}' for a matrix without names");
        return Err(Error::usage(
            "target",
            found,
            "a NPY file",
            format!("Save the target of {file} as one."),
        ));
    }
    npy::vector(npy::read_array(Path::new(target), options.max_bytes)?, target)
}

/// The bytes of a data file, its name and the extension of its format.
fn open(path: &Path, options: &ReadOptions) -> Result<(Vec<u8>, String, &'static str)> {
    let shown = path.display().to_string();
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let (extension, gzipped) = format_of(&name, &shown)?;
    Ok((read_bytes(path, gzipped, options.max_bytes)?, shown, extension))
}

/// The extension of a file's format, and true if the file is gzipped.
fn format_of(name: &str, shown: &str) -> Result<(&'static str, bool)> {
    let name = name.to_lowercase();
    let (stem, gzipped) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (name.as_str(), false),
    };
    let extension = stem.rsplit_once('.').map_or("", |(_, e)| e);
    if let Some(known) = EXTENSIONS.iter().find(|e| **e == extension) {
        return Ok((known, gzipped));
    }
    let found =
        if extension.is_empty() { "a name without extension".into() } else { format!("'.{extension}'") };
    let known = EXTENSIONS.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(", ");
    let remedy = "Rename the file after its format.";
    Err(Error::data(shown, found, format!("one of {known}, or the same with .gz"), remedy))
}

/// The bytes of a file, decompressed, up to a bound.
pub(super) fn read_bytes(path: &Path, gzipped: bool, max_bytes: u64) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|e| unreadable(&shown, e))?;
    let metadata = file.metadata().map_err(|e| unreadable(&shown, e))?;
    if metadata.is_dir() {
        return Err(Error::data(&shown, "a folder", "a file", ""));
    }
    if metadata.len() > max_bytes {
        return Err(too_large(&shown, shown_bytes(metadata.len()), max_bytes));
    }
    if gzipped {
        return bounded(MultiGzDecoder::new(file), &shown, max_bytes);
    }
    bounded(file, &shown, max_bytes)
}

/// The text of a file in UTF-8 of at most `max_bytes`; the size of a device or a pipe is bounded too.
///
/// # Errors
/// A file that cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String> {
    let shown = path.display().to_string();
    String::from_utf8(read_bytes(path, false, max_bytes)?).map_err(|e| {
        let found = format!("bytes that are not UTF-8 at {}", e.utf8_error().valid_up_to());
        Error::data(&shown, found, "text", "").with_source(e)
    })
}

/// All bytes of a source, up to a bound.
fn bounded(source: impl Read, shown: &str, max_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(shown, e))?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large(shown, format!("more than {max_bytes} bytes"), max_bytes));
    }
    Ok(bytes)
}

fn unreadable(shown: &str, e: std::io::Error) -> Error {
    let remedy = if e.kind() == std::io::ErrorKind::NotFound { "Check the path." } else { "" };
    Error::data(shown, e.to_string(), "a readable file", remedy).with_source(e)
}

/// Most bytes of a column's names: the one that `Dataset` gives it, and the one of the file.
const NAMES_BYTES: u64 = 128;

/// Refuses a dense array of `rows x columns` doubles, with names of its columns, over the bound, before it is
/// allocated.
pub(super) fn check_size(at: &str, rows: u64, columns: u64, max_bytes: u64) -> Result<()> {
    match rows.checked_mul(8).and_then(|b| b.checked_add(NAMES_BYTES)).and_then(|b| b.checked_mul(columns)) {
        Some(bytes) if bytes <= max_bytes => Ok(()),
        _ => Err(too_large(
            at,
            format!("{rows} rows x {columns} columns of 8 bytes, with their names"),
            max_bytes,
        )),
    }
}

/// Bytes of a sparse matrix's entry while it is made: as it is given, and as it is sorted.
pub(super) const TRIPLET_BYTES: u64 = 2 * size_of::<(usize, usize, f64)>() as u64;

/// Refuses `count` pieces of `bytes` each over the bound.
pub(super) fn check_bytes(at: &str, what: &str, (count, bytes): (u64, u64), max_bytes: u64) -> Result<()> {
    match count.checked_mul(bytes) {
        Some(all) if all <= max_bytes => Ok(()),
        _ => Err(too_large(at, format!("{count} {what} of {bytes} bytes each"), max_bytes)),
    }
}

fn too_large(at: &str, found: String, max_bytes: u64) -> Error {
    let expected = format!("at most {}", shown_bytes(max_bytes));
    Error::new(ErrorKind::Memory, at, found, expected, "Use fewer rows or columns, or raise `memory_budget`.")
}

/// Finds a column by name or zero-based index.
pub(super) fn find_column(at: &str, wanted: &str, names: &[String]) -> Result<usize> {
    if let Some(j) = names.iter().position(|n| n == wanted) {
        return Ok(j);
    }
    match wanted.parse::<usize>() {
        Ok(j) if j < names.len() => Ok(j),
        _ => {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            Err(Error::unknown(ErrorKind::Data, at, wanted, &known))
        }
    }
}

/// Index of each of the wanted columns among the known ones.
pub(super) fn positions(at: &str, wanted: &[String], known: &[String]) -> Result<Vec<usize>> {
    let place: HashMap<&String, usize> = known.iter().enumerate().map(|(j, name)| (name, j)).collect();
    let find = |name: &String| {
        place.get(name).copied().ok_or_else(|| {
            let shown: Vec<&str> = known.iter().map(String::as_str).collect();
            Error::unknown(ErrorKind::Data, format!("{at}: feature"), name, &shown)
        })
    };
    wanted.iter().map(find).collect()
}

/// The two classes of text labels, the later in order last.
pub(super) fn classes(at: &str, labels: &BTreeSet<String>) -> Result<[String; 2]> {
    let mut sorted = labels.iter();
    match (sorted.next(), sorted.next(), sorted.next()) {
        (Some(low), Some(high), None) => Ok([low.clone(), high.clone()]),
        (Some(only), None, _) => {
            Err(Error::data(at, format!("one class only ('{only}')"), "two classes", ""))
        }
        _ => Err(Error::data(
            at,
            format!("{} different text labels", labels.len()),
            "numbers, or exactly two labels",
            "Name the `target` column, or recode the labels.",
        )),
    }
}
