//! Execution strategies: how an engine computes an iteration.

use std::fmt;
use std::str::FromStr;

use super::{Limits, MetricKind, Request};
use crate::error::{Error, ErrorKind, Result};

/// How an iteration is computed. All strategies compute the same sequences, to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Strategy {
    /// Products with the design: `4 n q b (1+d)` operations.
    Direct,
    /// A product with `XᵀX`: `2 q² b (1+d)` operations. Squared loss only.
    Gram,
    /// The same with many iterations in one dispatch, in which a workgroup keeps some lanes in its own memory.
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

    /// Why this strategy cannot answer a request on an engine, if it cannot.
    fn obstacle(self, r: &Request, limits: &Limits) -> Option<&'static str> {
        match self {
            Strategy::Direct => None,
            _ if limits.engine != "gpu" => Some("the CPU engine has only the direct strategy"),
            _ if !r.quadratic => Some("only the squared loss is quadratic"),
            _ if r.measures_curvature => Some("the schedule measures curvature along its steps"),
            _ if matches!(r.metric, MetricKind::Hessian { .. }) => {
                Some("the metric follows from the design's squares")
            }
            _ if !limits.wide => Some("the adapter has no f64 to sum XᵀX in"),
            Strategy::Gram => None,
            Strategy::Persistent if r.metric != MetricKind::None => Some("there is a metric"),
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

    /// Estimated seconds of an iteration of some lanes together: products, what is between them, launches, and what is decided lane
    /// by lane.
    pub(super) fn iteration(self, r: &Request, limits: &Limits, lanes: usize) -> f64 {
        let request = Request { strategy: Some(self), ..*r };
        // What is done once in a while is done alike in every strategy.
        let (often, rarely): (Vec<_>, Vec<_>) =
            super::kernels::kernels(&request, lanes).into_iter().partition(|k| k.every == 1);
        let operations: f64 = often.iter().map(|k| k.flops).sum();
        let tests: f64 = rarely.iter().map(|k| k.flops / k.every as f64 / limits.flops).sum();
        let (n, q, lanes) = (r.rows as f64, r.state_rows as f64, lanes as f64);
        let columns = lanes * (1 + r.tangents) as f64;
        let of = |flops: f64, elements: f64, dispatches: f64, deciding: f64| {
            operations / flops
                + elements * columns * limits.element
                + dispatches * limits.dispatch
                + deciding * lanes * limits.lane
        };
        tests
            + match self {
                Strategy::Direct => of(limits.flops, n + q, 3.0, 1.0),
                Strategy::Gram => of(limits.flops, 1.5 * q, 3.0, 1.0),
                // Of invocations that work at the same time fewer decide.
                Strategy::Persistent => {
                    let deciding = if limits.parallel { 2.5 } else { 1.0 };
                    of(limits.flops_persistent, 0.5 * q, 2.0 / super::kernels::segment(r) as f64, deciding)
                }
            }
    }

    /// Estimated seconds of what is done once a run.
    pub(super) fn once(self, r: &Request, limits: &Limits) -> f64 {
        let (n, q) = (r.rows as f64, r.state_rows as f64);
        if self == Strategy::Direct { 0.0 } else { n * q * q / limits.flops_wide }
    }

    fn seconds(self, r: &Request, limits: &Limits) -> f64 {
        self.iteration(r, limits, r.lanes) * r.iterations as f64 + self.once(r, limits)
    }
}

/// Storage buffers that the persistent strategy binds.
const PERSISTENT_BUFFERS: u32 = 9;

/// How a workgroup of the persistent strategy is cut. The same however many lanes there are, as it decides the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PersistentTile {
    /// vec4s of lanes of a workgroup.
    pub lane4s: usize,
    /// Invocations that share the coefficients of a lane, at least four.
    pub groups: usize,
}

impl PersistentTile {
    /// The first that fits the device, if any does: the most lanes, then by how invocations work.
    pub(super) fn of(r: &Request, limits: &Limits) -> Option<Self> {
        // Where invocations take turns anyway, few of them waste the least of those that have nothing to decide.
        let groups = if limits.parallel { [64, 32, 16, 8, 4] } else { [4, 8, 16, 32, 64] };
        let candidates = [8, 4, 2, 1]
            .into_iter()
            .flat_map(|lane4s| groups.map(|groups| PersistentTile { lane4s, groups }));
        let fits = |t: &PersistentTile| {
            let useful = t.groups == 4 || t.groups < 2 * r.state_rows;
            useful
                && (t.lane4s * t.groups) as u64 <= limits.max_invocations.min(256)
                && t.own_rows(r.state_rows) * (1 + r.tangents) <= MOST_VALUES
                && t.bytes(r) <= limits.workgroup_bytes.min(MOST_BYTES)
        };
        candidates.into_iter().find(fits)
    }

    /// Coefficients of an invocation.
    pub fn own_rows(&self, state_rows: usize) -> usize {
        state_rows.div_ceil(self.groups)
    }

    fn bytes(&self, r: &Request) -> u64 {
        let d = r.tangents;
        let pool = 2 * r.state_rows.next_multiple_of(4) * (1 + d) * self.lane4s * 4;
        let shares = (6 + usize::from(r.constants > 0) + 2 * d) * self.groups * self.lane4s * 4;
        let pages = super::lane_state_fields(d) * self.lane4s * 4;
        (pool + shares + pages + 2) as u64 * r.precision.bytes()
    }
}

/// vec4s of a product that an invocation keeps in registers.
const MOST_VALUES: usize = 16;
/// Bytes of workgroup memory at most: more would leave a multiprocessor with a single workgroup.
const MOST_BYTES: u64 = 48 << 10;

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

/// The strategy a plan takes, and why.
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
    let (best, _) =
        *estimates.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("the direct strategy always can");
    let mut reasons: Vec<String> =
        estimates.iter().map(|(strategy, s)| format!("{strategy} about {s:.2e} s")).collect();
    reasons.extend(
        unable
            .iter()
            .filter_map(|strategy| Some(format!("not {strategy}: {}", strategy.obstacle(r, limits)?))),
    );
    Ok((best, reasons.join("; ")))
}
