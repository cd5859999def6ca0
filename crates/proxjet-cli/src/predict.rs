//! `proxjet predict`.

use std::path::{Path, PathBuf};

use ndarray::Axis;
use proxjet::data::{self, ReadOptions};
use proxjet::design::Design;
use proxjet::error::{Error, ErrorKind, Result};
use proxjet_report::{Model, OutputDir};

use crate::input::FormatArgs;
use crate::print;

/// Most bytes of a model: one of a million features with ten derivatives has about 200 MB.
const MODEL_BYTES: u64 = 1 << 28;

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model.json of `proxjet sweep`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Data with the model's features, in a format that sweep reads; a target is not needed
    #[arg(long, value_name = "FILE")]
    data: String,
    /// Missing values in a CSV file: error, or mean (of the rows that the model was fitted on)
    #[arg(help_heading = "Data", long, value_name = "WHAT", default_value = "error")]
    missing: String,
    #[command(flatten)]
    format: FormatArgs,
    /// Write the predictions to this CSV file instead of stdout
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let name = args.model.display().to_string();
    let text = data::read_text(&args.model, MODEL_BYTES)?;
    let model = Model::parse(&text, &name)?;
    let means = match args.missing.as_str() {
        "error" => None,
        "mean" if model.means.is_none() => {
            let remedy = "Write it anew with proxjet sweep.";
            return Err(Error::data(name, "no means of the features", "a model.json with them", remedy));
        }
        "mean" => model.means.as_deref(),
        other => return Err(Error::unknown(ErrorKind::Usage, "--missing", other, &["error", "mean"])),
    };
    let x = features(&args.data, &model.features, means, &args.format.options()?)?;
    match &args.out {
        Some(path) => {
            let (folder, name) = OutputDir::of_file(path)?;
            folder.write(&name, |w| model.write_predictions(&x, w))?;
        }
        None => {
            let mut text = Vec::new();
            let written = model.write_predictions(&x, &mut text);
            written.expect("memory can be written");
            print(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(0)
}

/// `[rows, names]`: the columns of the given names.
fn features(file: &str, names: &[String], means: Option<&[f64]>, options: &ReadOptions) -> Result<Design> {
    let Some(bundled) = file.strip_prefix("bundled:") else {
        return data::read_features(Path::new(file), names, means, options);
    };
    let set = data::bundled(bundled)?;
    let known = set.feature_names();
    let find = |name: &String| {
        known.iter().position(|k| k == name).ok_or_else(|| {
            Error::data(format!("{file}: feature"), format!("no '{name}'"), "every feature of the model", "")
        })
    };
    Ok(Design::dense(set.x().select(Axis(1), &names.iter().map(find).collect::<Result<Vec<_>>>()?)))
}
