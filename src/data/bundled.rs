//! The data sets that come with the crate; origin and licences are in `data/README.md`.

use ndarray::{Array1, Array2};

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

/// Names of the bundled data sets.
pub const BUNDLED: &[&str] = &["diabetes", "breast_cancer", "digits"];

/// A bundled data set: `diabetes` (442 x 10, a number to predict), `breast_cancer` (569 x 30, two classes) or
/// `digits` (1797 x 64, ten classes as numbers).
///
/// # Errors
/// An unknown name.
pub fn bundled(name: &str) -> Result<Dataset> {
    let text = match name {
        "diabetes" => include_str!("../../data/diabetes.csv"),
        "breast_cancer" => include_str!("../../data/breast_cancer.csv"),
        "digits" => include_str!("../../data/digits.csv"),
        _ => return Err(Error::unknown(ErrorKind::Data, "bundled data set", name, BUNDLED)),
    };
    let source = format!("bundled:{name}");
    let broken = |e: &dyn std::fmt::Display| Error::data(&source, e.to_string(), "a table of numbers", "");
    let mut lines = text.lines();
    let mut names: Vec<String> = lines.next().unwrap_or_default().split(',').map(String::from).collect();
    let target_name = names.pop().unwrap_or_default();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for line in lines {
        let mut row: Vec<f64> = line
            .split(',')
            .map(|v| v.parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| broken(&e))?;
        y.extend(row.pop());
        x.append(&mut row);
    }
    let x = Array2::from_shape_vec((y.len(), names.len()), x).map_err(|e| broken(&e))?;
    let data = Dataset::new(x, Array1::from(y))?.with_feature_names(names)?;
    Ok(data.with_target_name(target_name).with_source(source))
}
