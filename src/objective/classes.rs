//! Targets of two classes, encoded as −1 and +1.

use ndarray::Array1;

use super::Loss;
use crate::data::Dataset;
use crate::error::{Error, Result};

/// The two values of the target, the larger one last.
pub(super) fn two_classes(data: &Dataset, loss: &Loss) -> Result<(f64, f64)> {
    let mut values: Vec<f64> = Vec::new();
    for y in data.target() {
        if !values.contains(y) {
            values.push(*y);
            if values.len() > 2 {
                break;
            }
        }
    }
    values.sort_by(f64::total_cmp);
    let at = format!("target '{}' for loss '{}'", data.target_name(), loss.name());
    match values[..] {
        [low, high] => Ok((low, high)),
        [only] => Err(Error::data(
            at,
            format!("one class only ({only})"),
            "two classes",
            "Use rows of both classes, or a larger training part.",
        )),
        _ => Err(Error::data(
            at,
            format!("more than two values ({}, {}, {}, …)", values[0], values[1], values[2]),
            "two classes, of any two values",
            "Use `loss squared` or huber for a numeric target, or recode the classes as two.",
        )),
    }
}

/// Refuses a target of text for a loss of numbers.
pub(super) fn check_numbers(data: &Dataset, loss: &Loss) -> Result<()> {
    let Some([low, high]) = data.class_names() else { return Ok(()) };
    Err(Error::data(
        format!("target '{}' for loss '{}'", data.target_name(), loss.name()),
        format!("text labels ('{low}', '{high}')"),
        "numbers",
        "Use `loss logistic` for two classes, or recode the labels as numbers.",
    ))
}

pub(super) fn encode(data: &Dataset, (low, high): (f64, f64)) -> Result<Array1<f64>> {
    data.target()
        .iter()
        .enumerate()
        .map(|(i, y)| match *y {
            y if y == low => Ok(-1.0),
            y if y == high => Ok(1.0),
            y => Err(Error::data(
                format!("target '{}', held-out row {}", data.target_name(), data.given_rows()[i]),
                y.to_string(),
                format!("{low} or {high}, the classes of the training rows"),
                "Hold out rows of the same data set.",
            )),
        })
        .collect()
}
