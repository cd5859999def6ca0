//! Options of reading data, shared by the commands that do.

use std::collections::HashMap;
use std::path::Path;

use proxjet::data::{Dataset, Header, ReadOptions, bundled, read};
use proxjet::error::{Error, Result};

/// The format of comma-separated text.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FormatArgs {
    /// The character between the cells of a CSV file, or 'tab' [default: a comma, in .tsv files a tab]
    #[arg(help_heading = "Data", long, value_name = "CHAR", allow_hyphen_values = true)]
    separator: Option<String>,
    /// The first line of the CSV file names the columns, although some names are numbers
    #[arg(help_heading = "Data", long, conflicts_with = "no_header")]
    header: bool,
    /// The first line of the CSV file is data; columns are then called x0, x1, …
    #[arg(help_heading = "Data", long)]
    no_header: bool,
}

/// Options of reading the data of a fit, `--data`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InputArgs {
    /// Target column of a CSV or NPY file [default: the last one]; NPY file of the target of a sparse matrix
    #[arg(help_heading = "Data", long, value_name = "NAME|INDEX|FILE.npy", requires = "data")]
    target: Option<String>,
    /// Column of sample weights of a CSV file; rows of weight 0 are left out
    #[arg(help_heading = "Data", long, value_name = "NAME|INDEX", requires = "data")]
    weights: Option<String>,
    /// Column of a CSV file that names groups of rows, which --folds keeps together; it is no feature
    #[arg(help_heading = "Data", long, value_name = "NAME|INDEX", requires = "data")]
    groups: Option<String>,
    /// Columns to leave out
    #[arg(
        help_heading = "Data",
        long,
        value_name = "COLUMN[,COLUMN]",
        value_delimiter = ',',
        requires = "data"
    )]
    drop: Vec<String>,
    /// Missing values in a CSV file (empty cells, NA, N/A, NaN, ?, None, NULL, -): error, drop-rows, or mean
    /// (of the column, over all rows; in --validation-data over those of --data)
    #[arg(help_heading = "Data", long, value_name = "WHAT", default_value = "error")]
    missing: String,
    /// Code columns of text in a CSV file as indicators, one per distinct text, named COLUMN=TEXT
    #[arg(help_heading = "Data", long, requires = "data")]
    one_hot: bool,
    #[command(flatten)]
    format: FormatArgs,
}

impl FormatArgs {
    /// The options of reading a file of this format.
    pub(crate) fn options(&self) -> Result<ReadOptions> {
        let separator = self.separator.as_deref().map(separator).transpose()?;
        let header = match (self.header, self.no_header) {
            (true, _) => Header::Present,
            (_, true) => Header::Absent,
            _ => Header::Sniff,
        };
        Ok(ReadOptions { separator, header, ..ReadOptions::default() })
    }
}

fn separator(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        b"comma" => Ok(b','),
        b"semicolon" => Ok(b';'),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n.+-".contains(byte) => {
            Ok(*byte)
        }
        _ => {
            let expected = "one character that is no letter, digit, quote or part of a number, or 'tab'";
            Err(Error::usage("--separator", format!("'{text}'"), expected, "For example --separator ';'."))
        }
    }
}

impl InputArgs {
    /// Held-out rows of a file. If the target of the data is a file, theirs is `target`. Missing values
    /// become the means of the fitted rows.
    pub(crate) fn read_held_out(
        &self,
        file: &str,
        target: Option<&str>,
        max_bytes: u64,
        fitted: &Dataset,
    ) -> Result<Dataset> {
        let means = || fitted.feature_names().iter().cloned().zip(fitted.feature_means()).collect();
        let means = (self.missing == "mean").then(means);
        let is_file = |t: &String| t.ends_with(".npy") || t.ends_with(".npy.gz");
        match (target, self.target.as_ref().filter(|t| is_file(t))) {
            (None, Some(given)) => {
                let remedy = "Give theirs with --validation-target FILE.npy.";
                Err(Error::usage(
                    "--validation-data",
                    format!("{file} beside --target {given}"),
                    "a target of the held-out rows",
                    remedy,
                ))
            }
            (Some(target), _) => {
                InputArgs { target: Some(target.into()), ..self.clone() }.read(file, max_bytes, means)
            }
            (None, None) => self.read(file, max_bytes, means),
        }
    }

    /// A data set from a file, or a bundled one; `means` replace missing values, else those of the file do.
    pub(crate) fn read(
        &self,
        data: &str,
        max_bytes: u64,
        means: Option<HashMap<String, f64>>,
    ) -> Result<Dataset> {
        let options = ReadOptions {
            target: self.target.clone(),
            max_bytes,
            drop: self.drop.clone(),
            weights: self.weights.clone(),
            groups: self.groups.clone(),
            missing: self.missing.parse()?,
            means,
            one_hot: self.one_hot,
            ..self.format.options()?
        };
        match data.strip_prefix("bundled:") {
            Some(name) => options.apply_to_bundled(bundled(name)?),
            None => read(Path::new(data), &options),
        }
    }
}
