//! The data sets that come with the crate; origin and licences are in `data/README.md`.

use super::read::ReadOptions;
use super::{Dataset, npy};
use crate::error::{Error, ErrorKind, Result};

/// Names of the bundled data sets.
pub const BUNDLED: &[&str] = &["diabetes", "breast_cancer", "digits"];

/// A bundled data set: `diabetes` (442 x 10, a number to predict), `breast_cancer` (569 x 30, two classes) or `digits`
/// (1797 x 64, ten classes as numbers).
///
/// # Errors
/// Another name.
pub fn bundled(name: &str) -> Result<Dataset> {
    let bytes: &[u8] = match name {
        "diabetes" => include_bytes!("../../data/diabetes.npz"),
        "breast_cancer" => include_bytes!("../../data/breast_cancer.npz"),
        "digits" => include_bytes!("../../data/digits.npz"),
        _ => return Err(Error::unknown(ErrorKind::Data, "bundled data set", name, BUNDLED)),
    };
    let source = format!("bundled:{name}");
    npy::parse_npz(bytes, &source, &ReadOptions::default()).map(|d| d.with_source(source))
}
