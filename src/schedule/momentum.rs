//! Momentum rules.

use std::fmt;

use ndarray::ArrayD;

use super::{Algorithm, LaneCurvature};
use crate::error::{Error, ErrorKind, Result};
use crate::problem::catalog::split;

/// A rule for the momentum `β_k`.
#[derive(Debug, Clone, PartialEq)]
pub enum Momentum {
    /// 0.
    None,
    /// `(t_k − 1)/t_{k+1}`, `t_{k+1} = (1 + √(1 + 4 t_k²))/2`, `t_1 = 1` (Beck & Teboulle 2009).
    Fista,
    /// `(k−1)/(k+a)`, `k` counted from 1 (Chambolle & Dossal 2015).
    Nesterov(f64),
    /// `(1−√q)/(1+√q)` for FISTA (Nesterov 2004; Chambolle & Pock 2016), `(1−√q)²` for heavy ball (Polyak 1964), with
    /// `1 − q = (1 − α m)/(1 + α m_prox)`.
    StronglyConvex,
    /// A fixed value.
    Constant(f64),
    /// Momenta as given, `[iterations]` or `[iterations, lanes]`.
    Table(ArrayD<f64>),
}

impl Momentum {
    /// How the rules are written.
    pub const NAMES: &'static [&'static str] =
        &["none", "fista", "nesterov:A", "strongly_convex", "constant:V", "table:FILE.npy"];

    /// The rule used when none is given.
    pub fn default_for(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Pgd => Momentum::None,
            Algorithm::Fista => Momentum::Fista,
            Algorithm::HeavyBall => Momentum::Constant(0.9),
        }
    }

    pub(super) fn check(&self, iterations: usize, lanes: &[LaneCurvature]) -> Result<()> {
        match self {
            Momentum::Table(table) => super::check_table("--momentum table", table, iterations, lanes.len()),
            Momentum::StronglyConvex => {
                match lanes.iter().position(|l| l.strong_convexity + l.prox_strong_convexity <= 0.0) {
                    None => Ok(()),
                    Some(lane) => Err(Error::usage(
                        "--momentum",
                        format!("'strongly_convex' with strong convexity 0 in lane {lane}"),
                        "a strongly convex problem in every lane",
                        "Use fista, nesterov:A or constant:V, or a penalty with a ridge part and no free intercept.",
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}

/// FISTA's momenta; the first is 0.
pub(super) fn fista(iterations: usize) -> Vec<f64> {
    let mut t = 1.0f64;
    (0..iterations)
        .map(|_| {
            let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
            let beta = (t - 1.0) / next;
            t = next;
            beta
        })
        .collect()
}

pub(super) fn strongly_convex(algorithm: Algorithm, step: f64, lane: &LaneCurvature) -> f64 {
    let kept = (1.0 - step * lane.strong_convexity) / (1.0 + step * lane.prox_strong_convexity);
    let root = (1.0 - kept).clamp(0.0, 1.0).sqrt();
    match algorithm {
        Algorithm::HeavyBall => (1.0 - root) * (1.0 - root),
        _ => (1.0 - root) / (1.0 + root),
    }
}

impl std::str::FromStr for Momentum {
    type Err = Error;
    /// Reads every rule but `table:FILE.npy`, whose file the caller reads.
    fn from_str(text: &str) -> Result<Self> {
        let at = "--momentum";
        match text {
            "none" => return Ok(Momentum::None),
            "fista" => return Ok(Momentum::Fista),
            "strongly_convex" => return Ok(Momentum::StronglyConvex),
            _ => {}
        }
        let name = text.split(':').next().unwrap_or_default();
        if !["nesterov", "constant"].contains(&name) {
            return Err(Error::unknown(ErrorKind::Usage, at, text, Momentum::NAMES));
        }
        match (name, &split(at, text)?.1[..]) {
            ("nesterov", [a]) if *a > -1.0 && a.is_finite() => Ok(Momentum::Nesterov(*a)),
            ("constant", [v]) if v.is_finite() => Ok(Momentum::Constant(*v)),
            ("nesterov", _) => {
                Err(Error::usage(at, format!("'{text}'"), "nesterov:A, A > -1", "A common choice is 2."))
            }
            _ => Err(Error::usage(at, format!("'{text}'"), "constant:V", "")),
        }
    }
}

impl fmt::Display for Momentum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Momentum::None => f.write_str("none"),
            Momentum::Fista => f.write_str("fista"),
            Momentum::Nesterov(a) => write!(f, "nesterov:{a}"),
            Momentum::StronglyConvex => f.write_str("strongly_convex"),
            Momentum::Constant(v) => write!(f, "constant:{v}"),
            Momentum::Table(table) => write!(f, "table {:?}", table.shape()),
        }
    }
}
