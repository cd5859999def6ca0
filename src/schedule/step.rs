//! Step-size rules.

use std::fmt;

use ndarray::ArrayD;
use rand::{RngExt, SeedableRng};

use crate::error::{Error, ErrorKind, Result};
use crate::problem::catalog::split;

/// A rule for the step size `α_k`; `L` and `m` are the lane's.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `1/L`.
    InverseLipschitz,
    /// `2/(L+m)`.
    Optimal,
    /// `v/L`.
    Constant(f64),
    /// `u_k/L`, `u_k` uniform in `[low, high)`, the same draw in all lanes.
    Uniform {
        /// Lower end, in units of `1/L`.
        low: f64,
        /// Upper end, in units of `1/L`.
        high: f64,
        /// Seed of the draws.
        seed: u64,
    },
    /// From `low/L` to `high/L` in `period` equal stages, then again.
    Cyclic {
        /// First value, in units of `1/L`.
        low: f64,
        /// Last value, in units of `1/L`.
        high: f64,
        /// Iterations of a cycle.
        period: usize,
    },
    /// Steps as given, `[iterations]` or `[iterations, lanes]`.
    Table(ArrayD<f64>),
}

impl Step {
    /// How the rules are written.
    pub const NAMES: &'static [&'static str] =
        &["1/L", "2/(L+m)", "constant:V", "uniform:LO:HI:SEED", "cyclic:LO:HI:PERIOD", "table:FILE.npy"];

    pub(super) fn check(&self, iterations: usize, lanes: usize) -> Result<()> {
        match self {
            Step::Table(table) => super::check_table("--step table", table, iterations, lanes),
            _ => Ok(()),
        }
    }

    /// Multiples of `1/L` of the rules that vary.
    pub(super) fn units(&self, iterations: usize) -> Vec<f64> {
        match *self {
            Step::Uniform { low, high, seed } => {
                let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
                (0..iterations).map(|_| low + (high - low) * rng.random::<f64>()).collect()
            }
            Step::Cyclic { low, high, period } => {
                let stages = (period.max(2) - 1) as f64;
                (0..iterations).map(|k| low + (high - low) * (k % period) as f64 / stages).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl std::str::FromStr for Step {
    type Err = Error;
    /// Reads every rule but `table:FILE.npy`, whose file the caller reads.
    fn from_str(text: &str) -> Result<Self> {
        let at = "--step";
        match text {
            "1/L" => return Ok(Step::InverseLipschitz),
            "2/(L+m)" => return Ok(Step::Optimal),
            _ => {}
        }
        let name = text.split(':').next().unwrap_or_default();
        if !["constant", "uniform", "cyclic"].contains(&name) {
            return Err(Error::unknown(ErrorKind::Usage, at, text, Step::NAMES));
        }
        let (_, values) = split(at, text)?;
        let whole = |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(53)).then_some(v as u64);
        match (name, &values[..]) {
            ("constant", [v]) if *v > 0.0 && v.is_finite() => return Ok(Step::Constant(*v)),
            ("uniform", [low, high, seed]) if *low >= 0.0 && low < high && high.is_finite() => {
                if let Some(seed) = whole(*seed) {
                    return Ok(Step::Uniform { low: *low, high: *high, seed });
                }
            }
            ("cyclic", [low, high, period]) if *low > 0.0 && low <= high && high.is_finite() => {
                if let Some(period) = whole(*period).filter(|p| *p >= 1) {
                    return Ok(Step::Cyclic { low: *low, high: *high, period: period as usize });
                }
            }
            _ => {}
        }
        let expected = match name {
            "constant" => "constant:V, V > 0 in units of 1/L",
            "uniform" => "uniform:LO:HI:SEED, 0 <= LO < HI in units of 1/L and a whole SEED",
            _ => "cyclic:LO:HI:PERIOD, 0 < LO <= HI in units of 1/L and a whole PERIOD >= 1",
        };
        Err(Error::usage(at, format!("'{text}'"), expected, ""))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::InverseLipschitz => f.write_str("1/L"),
            Step::Optimal => f.write_str("2/(L+m)"),
            Step::Constant(v) => write!(f, "constant:{v}"),
            Step::Uniform { low, high, seed } => write!(f, "uniform:{low}:{high}:{seed}"),
            Step::Cyclic { low, high, period } => write!(f, "cyclic:{low}:{high}:{period}"),
            Step::Table(table) => write!(f, "table {:?}", table.shape()),
        }
    }
}
