//! A scale of the target that outliers do not move.

use crate::data::Dataset;
use crate::error::{Error, Result};

/// The median absolute deviation of a normal distribution of unit standard deviation.
const NORMAL: f64 = 0.6745;

/// The weighted median absolute deviation of the target about its median (about 0 without intercept), as the
/// standard deviation of a normal distribution.
pub(super) fn of(data: &Dataset, intercept: bool) -> Result<f64> {
    let centre = if intercept { median(weighted(data, |y| y)) } else { 0.0 };
    let scale = median(weighted(data, |y| (y - centre).abs())) / NORMAL;
    if scale > 0.0 {
        return Ok(scale);
    }
    Err(Error::data(
        format!("target '{}'", data.target_name()),
        format!("half of the rows or more at {centre}, a robust scale of 0"),
        "a target that varies in more than half of the rows",
        "Give the threshold as a number: `loss huber:DELTA`.",
    ))
}

/// A round number near the weighted median of the target, in units of a power of two near its robust scale:
/// it does not move with a small change of the target, and so has no derivative.
pub(super) fn centre_of(data: &Dataset) -> f64 {
    let centre = median(weighted(data, |y| y));
    let scale = median(weighted(data, |y| (y - centre).abs()));
    let unit = scale.log2().ceil().exp2();
    if unit > 0.0 && unit.is_finite() { (centre / unit).round() * unit } else { centre }
}

/// A function of every target, with the weight of its row.
fn weighted(data: &Dataset, of: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    data.target().iter().map(|y| of(*y)).zip(data.sample_weight().iter().copied()).collect()
}

/// The weighted median: the mean of both middle values where the weights split evenly.
fn median(mut values: Vec<(f64, f64)>) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * values.iter().map(|(_, w)| w).sum::<f64>();
    let mut below = 0.0;
    for (i, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below >= half * (1.0 - 1e-12) {
            let even = below <= half * (1.0 + 1e-12);
            return values.get(i + 1).filter(|_| even).map_or(*value, |(next, _)| 0.5 * (value + next));
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_are_weighted() {
        let of = |list: &[(f64, f64)]| median(list.to_vec());
        assert_eq!(of(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), 2.0);
        assert_eq!(of(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0), (9.0, 1.0)]), 2.5);
        assert_eq!(of(&[(1.0, 1.0), (5.0, 3.0)]), 5.0);
    }
}
