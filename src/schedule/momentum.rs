//! Momentum rules.

use std::fmt;

use ndarray::ArrayD;

use super::curvature::{LaneCurvature, Number};
use super::{Algorithm, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::objective::catalog::split;

/// A rule for the momentum `β_k`. `fista` and `nesterov` count from the start of their phase, or from the
/// last restart.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Momentum {
    /// 0.
    None,
    /// `(t_k − 1)/t_{k+1}`, `t_{k+1} = (1 + √(1 + 4 t_k²))/2`, `t_1 = 1` (Beck & Teboulle 2009).
    Fista,
    /// `(t_k − 1)/t_{k+1}` with `t_k = (k+a−1)/a`, which is `(k−1)/(k+a)`, `k` counted from 1 (Chambolle &
    /// Dossal 2015).
    Nesterov(f64),
    /// `(1−√q)/(1+√q)` for FISTA (Nesterov 2004; Chambolle & Pock 2016), `(1−√q)²` for heavy ball (Polyak
    /// 1964), with `1 − q = (1 − α m)/(1 + α m_prox)`.
    StronglyConvex,
    /// A fixed value.
    Constant(f64),
    /// Given momenta, `[iterations]` or `[iterations, lanes]`.
    Table(ArrayD<f64>),
}

impl Momentum {
    /// The syntax of every rule.
    pub const NAMES: &'static [&'static str] =
        &["none", "fista", "nesterov:A", "strongly_convex", "constant:V", "table:FILE.npy"];

    /// The rule used when none is given.
    pub(crate) fn default_for(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Pgd => Momentum::None,
            Algorithm::Fista => Momentum::Fista,
            Algorithm::HeavyBall => Momentum::Constant(0.9),
        }
    }

    pub(super) fn check(&self, iterations: usize, lanes: &[LaneCurvature]) -> Result<()> {
        let refuse = |found: String| {
            let remedy = "Momenta of a convergent method lie in [0, 1).";
            Err(Error::usage("momentum", found, "momenta above -1 and at most 1", remedy))
        };
        let inside = |v: f64| v > -1.0 && v <= 1.0;
        match self {
            Momentum::Constant(v) if !inside(*v) => refuse(v.to_string()),
            Momentum::Nesterov(a) if !counts(*a) => {
                Err(Error::usage("momentum", format!("'{self}'"), NESTEROV, "A common choice is 2."))
            }
            Momentum::Table(table) => {
                super::check_table("momentum table", table, iterations, lanes.len())?;
                match table.indexed_iter().find(|(_, v)| !inside(**v)) {
                    None => Ok(()),
                    Some((at, v)) => {
                        let lane =
                            if table.ndim() == 2 { format!(", lane {}", at[1]) } else { String::new() };
                        refuse(format!("{v} at iteration {}{lane}", at[0]))
                    }
                }
            }
            Momentum::StronglyConvex => {
                match lanes.iter().position(|l| l.strong_convexity + l.prox_strong_convexity <= 0.0) {
                    None => Ok(()),
                    Some(lane) => Err(Error::usage(
                        "momentum",
                        format!("'strongly_convex' with strong convexity 0 in lane {lane}"),
                        "a strongly convex problem in every lane",
                        "Use fista, nesterov:A or constant:V, or a penalty with a ridge part and no free \
                            intercept.",
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Momentum {
    /// The momenta by count since the last restart, the first of them 0; `None` for rules that do not count.
    pub(super) fn counted(&self, iterations: usize) -> Option<Vec<f64>> {
        match self {
            Momentum::Fista => Some(fista(iterations)),
            Momentum::Nesterov(a) => Some((0..iterations).map(|k| k as f64 / (k as f64 + 1.0 + a)).collect()),
            _ => None,
        }
    }

    /// The factor of iteration `k` in `momentum = unit(k) · base(lane)`, for the rules that do not count.
    pub(super) fn unit(&self, k: usize) -> f64 {
        match self {
            Momentum::Constant(v) => *v,
            Momentum::Table(table) if table.ndim() == 1 => table[[k]],
            Momentum::StronglyConvex | Momentum::Table(_) => 1.0,
            Momentum::None | Momentum::Fista | Momentum::Nesterov(_) => 0.0,
        }
    }

    /// The factor of a lane whose step is `step`.
    pub(super) fn base<D: Number>(
        &self,
        algorithm: Algorithm,
        k: usize,
        lane: usize,
        step: D,
        of: &LaneCurvature<D>,
    ) -> D {
        match self {
            Momentum::StronglyConvex => strongly_convex(algorithm, step, of),
            Momentum::Table(table) if table.ndim() == 2 => D::from(table[[k, lane]]),
            _ => D::one(),
        }
    }

    /// True if the factor of a lane is the same at every iteration, given a step rule.
    pub(super) fn is_factored(&self, step: &Step) -> bool {
        match self {
            Momentum::StronglyConvex => step.is_steady(),
            Momentum::Table(table) => table.ndim() == 1,
            _ => true,
        }
    }

    /// True if the momentum is always 0.
    pub(super) fn is_none(&self) -> bool {
        match self {
            Momentum::None => true,
            Momentum::Table(table) => table.iter().all(|v| *v == 0.0),
            _ => false,
        }
    }
}

/// The range of the rule `nesterov`.
const NESTEROV: &str = "nesterov:A, A > -1";

/// True for an `A` of `nesterov:A` whose momenta are defined.
fn counts(a: f64) -> bool {
    a > -1.0 && a.is_finite()
}

/// FISTA's momenta; the first is 0.
fn fista(iterations: usize) -> Vec<f64> {
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

fn strongly_convex<D: Number>(algorithm: Algorithm, step: D, lane: &LaneCurvature<D>) -> D {
    let one = D::one();
    let kept = (one - step * lane.strong_convexity) / (one + step * lane.prox_strong_convexity);
    let q = one - kept;
    let root = if q.re() <= 0.0 {
        D::zero()
    } else if q.re() >= 1.0 {
        one
    } else {
        q.sqrt()
    };
    match algorithm {
        Algorithm::HeavyBall => (one - root) * (one - root),
        _ => (one - root) / (one + root),
    }
}

impl std::str::FromStr for Momentum {
    type Err = Error;
    /// Reads every rule but `table:FILE.npy`, whose file the caller reads.
    fn from_str(text: &str) -> Result<Self> {
        let at = "momentum";
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
            ("nesterov", [a]) if counts(*a) => Ok(Momentum::Nesterov(*a)),
            ("constant", [v]) if v.is_finite() => Ok(Momentum::Constant(*v)),
            ("nesterov", _) => Err(Error::usage(at, format!("'{text}'"), NESTEROV, "A common choice is 2.")),
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
