//! Diagonal metrics: the step of coefficient `j` is `α_k d_j`.

use std::fmt;

use ndarray::{ArrayD, Dimension};

use crate::error::{Error, ErrorKind, Result};
use crate::objective::catalog::split;

/// The diagonal metric `D_k` of a run. `L` and `m` of the step rules are then those of `D^½ H D^½`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Metric {
    /// The identity.
    #[default]
    None,
    /// `diagonal` if the scales of columns differ and the step rules permit a metric, else none.
    Auto,
    /// `d_j = 1/ĥ_j`, `ĥ_j` the largest curvature of the loss along coefficient `j`.
    Diagonal,
    /// As given: `[p]` for the whole run, `[iterations, p]`, or `[iterations, lanes, p]`.
    Table(ArrayD<f64>),
    /// `d_j = 1/h_j(x_k)`, `h` the diagonal of the loss's Hessian, refreshed every `every` iterations and
    /// clamped to between `1/ĥ_j` and `gain/ĥ_j`: steps below `2/(gain L)` are safe whatever `x_k` is.
    Hessian {
        /// Iterations between refreshes.
        every: usize,
        /// Largest ratio of a coefficient's step to that of `diagonal`.
        gain: f64,
    },
}

impl Metric {
    /// The syntax of every rule.
    pub const NAMES: &'static [&'static str] =
        &["auto", "none", "diagonal", "hessian:EVERY:GAIN", "table:FILE.npy"];

    /// True if it changes with the iteration.
    pub(super) fn varies(&self) -> bool {
        match self {
            Metric::Auto | Metric::None | Metric::Diagonal => false,
            Metric::Hessian { .. } => true,
            Metric::Table(table) => table.ndim() > 1,
        }
    }

    pub(crate) fn check(&self, iterations: usize, lanes: usize, features: usize) -> Result<()> {
        if let Metric::Hessian { every, gain } = self
            && !(*every >= 1 && *gain >= 1.0 && gain.is_finite())
        {
            return Err(Error::usage("metric", format!("'{self}'"), HESSIAN, ""));
        }
        let Metric::Table(table) = self else { return Ok(()) };
        let refuse = |found: String, expected: String| {
            let remedy = "Give one positive number per feature: for the run, per iteration, or per iteration \
                and lane.";
            Err(Error::usage("metric table", found, expected, remedy))
        };
        let shape = table.shape();
        let fits = match *shape {
            [p] => p == features,
            [k, p] => p == features && k >= iterations,
            [k, b, p] => p == features && b == lanes && k >= iterations,
            _ => false,
        };
        if !fits {
            return refuse(
                format!("a table of shape {shape:?}"),
                format!("[{features}], [{iterations}, {features}] or [{iterations}, {lanes}, {features}]"),
            );
        }
        match table.indexed_iter().find(|(_, v)| !(**v > 0.0 && v.is_finite())) {
            None => Ok(()),
            Some((at, v)) => {
                let place = match at.ndim() {
                    1 => format!("feature {}", at[0]),
                    2 => format!("iteration {}, feature {}", at[0], at[1]),
                    _ => format!("iteration {}, lane {}, feature {}", at[0], at[1], at[2]),
                };
                refuse(format!("{v} at {place}"), "positive finite numbers".into())
            }
        }
    }
}

/// The syntax and the range of the rule `hessian`.
const HESSIAN: &str = "hessian:EVERY or hessian:EVERY:GAIN, a whole EVERY >= 1 and GAIN >= 1 (default 1.9)";

impl std::str::FromStr for Metric {
    type Err = Error;
    /// Reads every rule but `table:FILE.npy`, whose file the caller reads.
    fn from_str(text: &str) -> Result<Self> {
        let at = "metric";
        match text {
            "auto" => return Ok(Metric::Auto),
            "none" => return Ok(Metric::None),
            "diagonal" => return Ok(Metric::Diagonal),
            _ => {}
        }
        if text.split(':').next() != Some("hessian") {
            return Err(Error::unknown(ErrorKind::Usage, at, text, Metric::NAMES));
        }
        let (_, values) = split(at, text)?;
        let (every, gain) = match values[..] {
            [every] => (every, 1.9),
            [every, gain] => (every, gain),
            _ => (0.0, 0.0),
        };
        if every >= 1.0 && every.fract() == 0.0 && every < 2f64.powi(53) && gain >= 1.0 && gain.is_finite() {
            return Ok(Metric::Hessian { every: every as usize, gain });
        }
        Err(Error::usage(at, format!("'{text}'"), HESSIAN, ""))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Auto => f.write_str("auto"),
            Metric::None => f.write_str("none"),
            Metric::Diagonal => f.write_str("diagonal"),
            Metric::Table(table) => write!(f, "table {:?}", table.shape()),
            Metric::Hessian { every, gain } => write!(f, "hessian:{every}:{gain}"),
        }
    }
}
