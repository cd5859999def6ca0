//! Execution strategies: the ways to compute an iteration.

use std::fmt;
use std::str::FromStr;

use super::{Limits, MetricKind, PersistentTile, Request};
use crate::error::{Error, ErrorKind, Result};

/// The way an iteration is computed. All strategies compute the same sequences, to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Strategy {
    /// Products with the design: `4 n q b (1+d)` operations.
    Direct,
    /// A product with `XᵀX`: `2 q² b (1+d)` operations; on the CPU engine two with its triangular factor.
    /// Squared loss only.
    Gram,
    /// The same with many iterations in one dispatch, in which a workgroup keeps some
    /// lanes in its own memory.
    Persistent,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 3] = [Strategy::Direct, Strategy::Gram, Strategy::Persistent];
    /// Every name, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] = &["direct", "gram", "persistent"];

    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The reason why this strategy cannot run a request on an engine, if it cannot.
    fn obstacle(self, r: &Request, limits: &Limits) -> Option<&'static str> {
        match self {
            Strategy::Direct => None,
            Strategy::Persistent if limits.engine != "gpu" => {
                Some("the CPU engine has no persistent strategy")
            }
            _ if !r.quadratic => Some("only the squared loss is quadratic"),
            _ if r.folds > 0 => Some("lanes are fitted on folds of the rows"),
            _ if r.measures_curvature => Some("the schedule measures curvature along its steps"),
            _ if matches!(r.metric, MetricKind::Hessian { .. }) => {
                Some("the metric follows from the design's squares")
            }
            _ if limits.engine != "gpu" && r.target_tangents => Some("a derivative changes the target"),
            _ if limits.engine != "gpu" => None,
            _ if !limits.wide && r.stored.is_none() => Some("the adapter has no f64 to sum XᵀX in"),
            Strategy::Gram => None,
            Strategy::Persistent if r.metric != MetricKind::None => {
                Some("there is a metric, which `metric none` leaves out")
            }
            Strategy::Persistent if r.validation_rows > 0 => {
                Some("held-out rows are predicted at every iteration")
            }
            Strategy::Persistent if limits.storage_buffers < PERSISTENT_BUFFERS => {
                Some("the device binds too few storage buffers")
            }
            Strategy::Persistent if PersistentTile::of(r, limits).is_none() => {
                Some("a lane is too large for a workgroup's memory")
            }
            Strategy::Persistent => None,
        }
    }

    fn seconds(self, r: &Request, limits: &Limits) -> f64 {
        self.iteration(r, limits, r.lanes) * r.iterations as f64 + self.once(r, limits)
    }
}

/// Storage buffers that the persistent strategy binds.
const PERSISTENT_BUFFERS: u32 = 9;

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "direct" => Ok(Strategy::Direct),
            "gram" => Ok(Strategy::Gram),
            // "resident" is the name of earlier versions.
            "persistent" | "resident" => Ok(Strategy::Persistent),
            _ => Err(Error::unknown(ErrorKind::Usage, "strategy", text, Self::NAMES)),
        }
    }
}

/// The strategy of a plan, and the reason for it.
pub(super) fn choose(r: &Request, limits: &Limits) -> Result<(Strategy, String)> {
    if let Some(strategy) = r.strategy {
        return match strategy.obstacle(r, limits) {
            None => Ok((strategy, "as asked".into())),
            Some(why) => {
                let (found, expected) =
                    (format!("the {strategy} strategy, but {why}"), "a strategy that can run this");
                Err(Error::usage("strategy", found, expected, "Leave the strategy to the plan."))
            }
        };
    }
    let (able, unable): (Vec<Strategy>, Vec<Strategy>) =
        Strategy::ALL.into_iter().partition(|f| f.obstacle(r, limits).is_none());
    let estimates: Vec<(Strategy, f64)> =
        able.into_iter().map(|strategy| (strategy, strategy.seconds(r, limits))).collect();
    // The direct strategy runs everything.
    let best = estimates.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(Strategy::Direct, |of| of.0);
    let mut reasons: Vec<String> =
        estimates.iter().map(|(strategy, s)| format!("{strategy} about {s:.2e} s")).collect();
    reasons.extend(
        unable
            .iter()
            .filter_map(|strategy| Some(format!("not {strategy}: {}", strategy.obstacle(r, limits)?))),
    );
    Ok((best, reasons.join("; ")))
}
