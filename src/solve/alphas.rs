//! The candidates of a sweep.

use crate::error::{Error, ErrorKind, Result};
use crate::lanes::Lane;
use crate::objective::{Objective, Ridge, Zeros};

/// Values of alpha, in the order of the lanes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Alphas {
    /// These values.
    List(Vec<f64>),
    /// `count` values from `high` down to `low`, evenly spaced in their logarithm.
    Geometric {
        /// First value.
        high: f64,
        /// Last value.
        low: f64,
        /// Number of values.
        count: usize,
    },
    /// `count` values, scaled to the problem. Where the penalty has an l1 part: from alpha_max down to
    /// `epsilon` times alpha_max, or times `c / (1 − l1_ratio)` if that is smaller; for a ridge alone from 10
    /// times the largest curvature of the loss down to `epsilon · c`. `c` is the median curvature along a
    /// feature, so that the path reaches a negligible ridge whatever the scale of the target.
    Path {
        /// Ratio of the last value to its scale.
        epsilon: f64,
        /// Number of values.
        count: usize,
    },
}

/// Maximum number of lanes of a sweep; limits the allocation that a typing error can cause.
const MAX_LANES: usize = 1 << 24;

/// Refuses more lanes than a sweep may have.
pub(super) fn check_count(count: usize, what: &str) -> Result<()> {
    if count <= MAX_LANES {
        return Ok(());
    }
    Err(Error::usage("alphas", format!("{count} {what}"), format!("at most {MAX_LANES}"), ""))
}

impl Alphas {
    /// These values.
    pub fn list(values: impl IntoIterator<Item = f64>) -> Self {
        Alphas::List(values.into_iter().collect())
    }

    /// `count` values from `high` down to `low`, evenly spaced in their logarithm.
    pub fn geometric(high: f64, low: f64, count: usize) -> Self {
        Alphas::Geometric { high, low, count }
    }

    /// `count` values from alpha_max, where all penalised coefficients vanish, down to `epsilon` times that;
    /// see [`Path`](Self::Path) for penalties with a ridge.
    pub fn path(epsilon: f64, count: usize) -> Self {
        Alphas::Path { epsilon, count }
    }

    /// The values for a problem.
    ///
    /// # Errors
    /// A value that is negative or not finite, or a path if alpha_max is 0.
    pub(crate) fn resolve(&self, problem: &Objective, l1_ratio: f64) -> Result<Vec<f64>> {
        self.check_count()?;
        if !problem.penalty().uses_alpha() {
            return match self {
                Alphas::List(values) => check(values.clone()),
                // Without an alpha there is nothing to sweep: one lane.
                _ => Ok(vec![0.0]),
            };
        }
        match *self {
            Alphas::List(ref values) => check(values.clone()),
            Alphas::Geometric { high, low, count } => check(geometric(high, low, count)),
            Alphas::Path { epsilon, count } => {
                let (high, low) = ends(problem, l1_ratio, epsilon)?;
                check(geometric(high, low, count))
            }
        }
    }

    /// The path of a sweep that gives no alphas: 100 values down to 1e-3 of their scale, or to 1e-4 where the
    /// penalty has a ridge.
    pub(crate) fn standard(problem: &Objective) -> Self {
        let epsilon = if problem.penalty().capabilities().ridge == Ridge::Absent { 1e-3 } else { 1e-4 };
        Alphas::Path { epsilon, count: 100 }
    }
}

/// True if the penalty keeps coefficients at zero, so that there is an alpha_max.
fn keeps_zeros(problem: &Objective, l1_ratio: f64) -> bool {
    problem.penalty().capabilities().zeros != Zeros::Absent && l1_ratio > 0.0
}

/// First and last value of a path.
fn ends(problem: &Objective, l1_ratio: f64, epsilon: f64) -> Result<(f64, f64)> {
    let (largest, typical) = problem.ridge_scales();
    if !keeps_zeros(problem, l1_ratio) {
        return Ok((10.0 * largest, epsilon * typical));
    }
    let top = problem.alpha_max(l1_ratio);
    if top > 0.0 {
        let ridged = problem.penalty().capabilities().ridge != Ridge::Absent;
        let ridge = if ridged { typical / (1.0 - l1_ratio) } else { f64::INFINITY };
        return Ok((top, epsilon * top.min(ridge)));
    }
    let (found, expected) = if top.is_nan() {
        (
            "no alpha_max: the intercept and the features of penalty factor 0 separate the classes, so that \
             no finite coefficients minimise the objective",
            "unpenalised terms with a minimiser",
        )
    } else {
        (
            "alpha_max = 0: the target is constant, or does not depend on any penalised feature",
            "a positive alpha_max",
        )
    };
    let remedy = if top.is_nan() {
        "Penalise these features."
    } else {
        "Check the target, or give alphas as a list or as geom:HI:LO:N."
    };
    Err(Error::usage("alphas path", found, expected, remedy))
}

/// A remark if no lane can have a penalised coefficient.
pub(crate) fn remark(problem: &Objective, lanes: &[Lane]) -> Option<String> {
    let lowest = lanes.iter().min_by(|a, b| a.alpha.total_cmp(&b.alpha))?;
    // Folds have other rows.
    if problem.folds() > 0 || !problem.penalty().uses_alpha() || !keeps_zeros(problem, lowest.l1_ratio) {
        return None;
    }
    let top = problem.alpha_max(lowest.l1_ratio);
    (top > 0.0 && lowest.alpha > 1.001 * top).then(|| {
        format!(
            "every alpha is above alpha_max = {top:.6e}: all penalised coefficients are zero in every lane. \
             Use smaller `alphas`, or path:1e-3:100."
        )
    })
}

impl Alphas {
    /// Checks the number of values, before they are computed.
    fn check_count(&self) -> Result<()> {
        let count = match self {
            Alphas::List(values) => values.len(),
            Alphas::Geometric { count, .. } | Alphas::Path { count, .. } => *count,
        };
        check_count(count, "values")
    }
}

fn geometric(high: f64, low: f64, count: usize) -> Vec<f64> {
    let last = count.max(2) - 1;
    (0..count)
        .map(|i| match i {
            0 => high,
            i if i == last => low,
            i => high * (low / high).powf(i as f64 / last as f64),
        })
        .collect()
}

fn check(values: Vec<f64>) -> Result<Vec<f64>> {
    if values.is_empty() {
        return Err(Error::usage(
            "alphas",
            "no values",
            "at least one",
            "Give `alphas 0.1,0.05` or path:1e-3:100.",
        ));
    }
    match values.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
        None => Ok(values),
        Some(v) => Err(Error::usage("alphas", v.to_string(), "finite numbers, zero or larger", "")),
    }
}

impl std::str::FromStr for Alphas {
    type Err = Error;
    /// Reads `0.1,0.05`, `geom:HI:LO:N` or `path:EPS:N`.
    fn from_str(text: &str) -> Result<Self> {
        let at = "alphas";
        let count = |s: &str| s.parse::<usize>().ok().filter(|n| (1..=MAX_LANES).contains(n));
        let positive = |s: &str| s.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
        let parts: Vec<&str> = text.split(':').collect();
        let refuse = |expected: &str| Err(Error::usage(at, format!("'{text}'"), expected, ""));
        match parts[..] {
            ["geom", high, low, n] => match (positive(high), positive(low), count(n)) {
                (Some(high), Some(low), Some(count)) => Ok(Alphas::Geometric { high, low, count }),
                _ => refuse("geom:HI:LO:N with positive HI and LO and a whole N from 1 to 16777216"),
            },
            ["path", epsilon, n] => match (positive(epsilon).filter(|e| *e <= 1.0), count(n)) {
                (Some(epsilon), Some(count)) => Ok(Alphas::Path { epsilon, count }),
                _ => refuse("path:EPS:N with EPS in (0, 1] and a whole N from 1 to 16777216"),
            },
            ["geom", ..] => refuse("geom:HI:LO:N"),
            ["path", ..] => refuse("path:EPS:N"),
            [list] => {
                let values = list
                    .split(',')
                    .map(|v| v.trim().parse::<f64>())
                    .collect::<std::result::Result<Vec<_>, _>>();
                match values {
                    Ok(values) => Ok(Alphas::List(check(values)?)),
                    Err(_) => refuse("numbers as in 0.1,0.05, or geom:HI:LO:N, or path:EPS:N"),
                }
            }
            [name, ..] => Err(Error::unknown(ErrorKind::Usage, at, name, &["geom", "path"])),
            [] => refuse("numbers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_exact_ends() {
        let values = geometric(3.0, 0.003, 4);
        assert_eq!((values[0], values[3]), (3.0, 0.003));
        assert!((values[1] - 0.3).abs() < 1e-12);
        assert_eq!(geometric(2.0, 1.0, 1), vec![2.0]);
    }

    #[test]
    fn bad_lists_are_refused() {
        for text in
            ["", "a", "0.1,", "-1", "nan", "geom:1:2", "geom:1:0:3", "path:2:3", "geo:1:2:3", "path:1e-3:0"]
        {
            assert!(text.parse::<Alphas>().is_err(), "{text}");
        }
    }
}
