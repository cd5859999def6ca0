//! Step-size rules.

use std::fmt;

use ndarray::ArrayD;
use rand::{RngExt, SeedableRng};

use super::curvature::{LaneCurvature, Number};
use crate::error::{Error, ErrorKind, Result};
use crate::objective::catalog::split;

/// A rule for the step size `α_k`; `L` and `m` are the lane's, `k` is the iteration of the run, from 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
    /// From `low/L` to `high/L` in `period` equal stages, repeated.
    Cyclic {
        /// First value, in units of `1/L`.
        low: f64,
        /// Last value, in units of `1/L`.
        high: f64,
        /// Iterations of a cycle.
        period: usize,
    },
    /// `scale/(L (k+1)^power)`.
    Decreasing {
        /// The first value, in units of `1/L`.
        scale: f64,
        /// Exponent of the decay, in `[0, 1]`.
        power: f64,
    },
    /// Starts at `start/L`; a step whose curvature `⟨∇f(x⁺) − ∇f(e), x⁺ − e⟩ / ‖x⁺ − e‖²` exceeds `1/α_k` is
    /// taken back by the next iteration, with `α` times `shrink` but never below `1/L`, which is always
    /// accepted.
    Backtracking {
        /// The first value, in units of `1/L`.
        start: f64,
        /// Factor of the step after a rejection, in `(0, 1)`.
        shrink: f64,
    },
    /// `‖s‖²/⟨s, ∇f(x_k) − ∇f(x_{k−1})⟩`, `s = x_k − x_{k−1}` (Barzilai & Borwein 1988), clamped to `[1/L,
    /// high/L]`; the first step is `1/L`.
    BarzilaiBorwein {
        /// The upper clamp, in units of `1/L`; below 2 the update stays a contraction.
        high: f64,
    },
    /// `2/(L_S + m_S)`, the extreme eigenvalues of the Hessian restricted to the manifold of the lane's
    /// solution: for phases after identification, where steps may be far beyond `2/L`. One step per lane;
    /// `None` until [`resolve_manifold`](crate::diff::resolve_manifold) has found them.
    Manifold(Option<Vec<f64>>),
    /// Given steps, `[iterations]` or `[iterations, lanes]`.
    Table(ArrayD<f64>),
}

impl Step {
    /// The syntax of every rule.
    pub const NAMES: &'static [&'static str] = &[
        "1/L",
        "2/(L+m)",
        "constant:V",
        "uniform:LO:HI:SEED",
        "cyclic:LO:HI:PERIOD",
        "decreasing:V:POWER",
        "backtracking:START:SHRINK",
        "barzilai_borwein:HI",
        "manifold",
        "table:FILE.npy",
    ];

    /// The factor of iteration `k` in `step = unit(k) · base(lane)`, which holds for every rule except a
    /// table with a column per lane; `units` are those of [`units`](Self::units).
    pub(super) fn unit(&self, k: usize, units: &[f64]) -> f64 {
        match self {
            Step::Constant(v) => *v,
            Step::Uniform { .. } | Step::Cyclic { .. } => units[k],
            Step::Decreasing { scale, power } => scale / (k as f64 + 1.0).powf(*power),
            Step::Backtracking { start, .. } => *start,
            Step::BarzilaiBorwein { high } => *high,
            Step::Table(table) if table.ndim() == 1 => table[[k]],
            Step::Optimal => 2.0,
            Step::InverseLipschitz | Step::Manifold(_) | Step::Table(_) => 1.0,
        }
    }

    /// The factor of a lane.
    pub(super) fn base<D: Number>(&self, k: usize, lane: usize, of: &LaneCurvature<D>) -> D {
        match self {
            Step::Optimal => (of.lipschitz + of.strong_convexity).recip(),
            Step::Manifold(steps) => D::from(steps.as_ref().map_or(f64::NAN, |s| s[lane])),
            Step::Table(table) if table.ndim() == 2 => D::from(table[[k, lane]]),
            Step::Table(_) => D::one(),
            _ => of.lipschitz.recip(),
        }
    }

    /// True if the factor of a lane is the same at every iteration.
    pub(super) fn is_factored(&self) -> bool {
        !matches!(self, Step::Table(table) if table.ndim() == 2)
    }

    /// True if the factor of an iteration is the same at every iteration.
    pub(super) fn is_steady(&self) -> bool {
        !matches!(self, Step::Uniform { .. } | Step::Cyclic { .. } | Step::Decreasing { .. } | Step::Table(_))
    }

    /// True if the step increases at some iteration, which is not safe with momentum.
    pub(super) fn rises(&self) -> bool {
        match self {
            Step::Uniform { .. } | Step::BarzilaiBorwein { .. } => true,
            Step::Cyclic { low, high, .. } => low < high,
            Step::Table(table) => {
                let rows = table.axis_iter(ndarray::Axis(0)).zip(table.axis_iter(ndarray::Axis(0)).skip(1));
                rows.into_iter().any(|(a, b)| a.iter().zip(&b).any(|(a, b)| *b > a * (1.0 + 1e-12)))
            }
            _ => false,
        }
    }

    /// The range of the rule's numbers, if one of them is outside.
    fn out_of_range(&self) -> Option<&'static str> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let (inside, expected) = match *self {
            Step::Constant(v) => (positive(v), "constant:V, V > 0 in units of 1/L"),
            Step::Uniform { low, high, .. } => (
                low >= 0.0 && low < high && high.is_finite(),
                "uniform:LO:HI:SEED, 0 <= LO < HI in units of 1/L and a whole SEED",
            ),
            Step::Cyclic { low, high, period } => (
                positive(low) && low <= high && high.is_finite() && period >= 1,
                "cyclic:LO:HI:PERIOD, 0 < LO <= HI in units of 1/L and a whole PERIOD >= 1",
            ),
            Step::Decreasing { scale, power } => (
                positive(scale) && (0.0..=1.0).contains(&power),
                "decreasing:V:POWER, V > 0 in units of 1/L and POWER from 0 to 1",
            ),
            Step::Backtracking { start, shrink } => (
                start >= 1.0 && start.is_finite() && shrink > 0.0 && shrink < 1.0,
                "backtracking:START:SHRINK, START >= 1 in units of 1/L and SHRINK between 0 and 1",
            ),
            Step::BarzilaiBorwein { high } => (
                high > 1.0 && high.is_finite(),
                "barzilai_borwein:HI, HI > 1 in units of 1/L (below 2 to stay safe, for example 1.9)",
            ),
            _ => return None,
        };
        (!inside).then_some(expected)
    }

    pub(super) fn check(&self, iterations: usize, lanes: usize) -> Result<()> {
        if let Some(expected) = self.out_of_range() {
            return Err(Error::usage("step", format!("'{self}'"), expected, ""));
        }
        match self {
            Step::Table(table) => super::check_table("step table", table, iterations, lanes),
            Step::Manifold(Some(steps)) if steps.len() == lanes => Ok(()),
            Step::Manifold(steps) => Err(Error::usage(
                "step",
                format!("'manifold' with steps of {} lanes", steps.as_ref().map_or(0, Vec::len)),
                format!("steps of {lanes} lanes"),
                "Let diff::resolve_manifold find them first.",
            )),
            _ => Ok(()),
        }
    }

    /// Multiples of `1/L` for the rules that vary by iteration.
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
        let at = "step";
        match text {
            "1/L" => return Ok(Step::InverseLipschitz),
            "2/(L+m)" => return Ok(Step::Optimal),
            "manifold" => return Ok(Step::Manifold(None)),
            _ => {}
        }
        let name = text.split(':').next().unwrap_or_default();
        if !["constant", "uniform", "cyclic", "decreasing", "backtracking", "barzilai_borwein"]
            .contains(&name)
        {
            return Err(Error::unknown(ErrorKind::Usage, at, text, Step::NAMES));
        }
        let (_, values) = split(at, text)?;
        let whole = |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(53)).then_some(v as u64);
        let step = match (name, &values[..]) {
            ("constant", [v]) => Some(Step::Constant(*v)),
            ("uniform", [low, high, seed]) => {
                whole(*seed).map(|seed| Step::Uniform { low: *low, high: *high, seed })
            }
            ("cyclic", [low, high, period]) => {
                whole(*period).map(|period| Step::Cyclic { low: *low, high: *high, period: period as usize })
            }
            ("decreasing", [scale, power]) => Some(Step::Decreasing { scale: *scale, power: *power }),
            ("backtracking", [start, shrink]) => Some(Step::Backtracking { start: *start, shrink: *shrink }),
            ("barzilai_borwein", [high]) => Some(Step::BarzilaiBorwein { high: *high }),
            _ => None,
        };
        let expected = match step {
            Some(step) => match step.out_of_range() {
                None => return Ok(step),
                Some(expected) => expected,
            },
            None => Step::NAMES.iter().copied().find(|known| known.starts_with(name)).unwrap_or_default(),
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
            Step::Decreasing { scale, power } => write!(f, "decreasing:{scale}:{power}"),
            Step::Backtracking { start, shrink } => write!(f, "backtracking:{start}:{shrink}"),
            Step::BarzilaiBorwein { high } => write!(f, "barzilai_borwein:{high}"),
            Step::Manifold(_) => f.write_str("manifold"),
            Step::Table(table) => write!(f, "table {:?}", table.shape()),
        }
    }
}
