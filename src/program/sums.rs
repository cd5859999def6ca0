//! The sums over rows: the partial sums that blocks of a kernel store, and how they are reduced.

use super::{ROW_BLOCK, Shape, rows_per_sum};

/// A kind of sum, one or several per lane. Name and check are used in WGSL.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code))]
pub(crate) struct Sum {
    /// Name in WGSL.
    pub(crate) name: &'static str,
    /// Index among all sums.
    pub(crate) index: usize,
    pub(crate) count: usize,
    /// First row of its partial sums, and the number of blocks of each sum.
    pub(crate) start: usize,
    pub(crate) blocks: usize,
    /// True if it belongs to the stop rule.
    pub(crate) check: bool,
}

/// vec4s of lanes of a workgroup of `finalize`, if its invocations share sums.
pub(crate) const FINALIZE_LANE4S: usize = 4;
/// Most partial sums that a single invocation reduces.
const SHORT_SUM: usize = 16;
/// Bytes of workgroup memory that `finalize` may use: every device has more.
#[cfg(feature = "gpu")]
const FINALIZE_BYTES: usize = 8 << 10;

impl Shape {
    /// Sums of each lane in order: those of every iteration, then those of the stop rule.
    pub(crate) fn sums(&self) -> Vec<Sum> {
        let r = &self.request;
        let (d, curvature, dual) = (self.d(), usize::from(r.measures_curvature), usize::from(r.has_dual));
        let mut list: Vec<Sum> = Vec::new();
        let groups = self.persistent.map(|tile| tile.groups);
        let mut add = |name: &'static str, count: usize, (rows, block): (usize, usize), check: bool| {
            let blocks = groups.filter(|_| !check).unwrap_or(rows.div_ceil(block));
            let (start, index) =
                list.last().map_or((0, 0), |s| (s.start + s.count * s.blocks, s.index + s.count));
            list.push(Sum { name, index, count, start, blocks, check });
        };
        // A block of an epilogue is the rows of one invocation.
        let own = rows_per_sum(d);
        let state = (self.state_rows(), own);
        let rows = (self.carried_rows(), own);
        let held_out = if r.folds > 0 { rows } else { (r.validation_rows, own) };
        for name in ["PENALTY_VALUE", "CHANGE", "SUPPORT", "ACTIVE_CHANGE"] {
            add(name, 1, state, false);
        }
        add("RESTART", usize::from(r.adaptive), state, false);
        add("DCHANGE", d, state, false);
        add("LOSS", 1, rows, false);
        add("SQUARE", curvature, state, false);
        add("SECANT_STATE", curvature, state, false);
        add("DSQUARE", curvature * d, state, false);
        add("DSECANT_STATE", curvature * d, state, false);
        add("SECANT_ROWS", curvature, rows, false);
        add("DSECANT_ROWS", curvature * d, rows, false);
        add("VALIDATION", 1, held_out, false);
        add("HYPERGRADIENT", d, held_out, false);
        let state = (self.state_rows(), ROW_BLOCK);
        add("GAP_PENALTY", dual, state, true);
        add("RATIO", dual, state, true);
        // With `XᵀX` this sum is computed from the loss.
        let rows = if self.is_gram() { (1, 1) } else { (self.rows(), ROW_BLOCK) };
        add("GAP_LOSS", dual, rows, true);
        add("NORMS", 3 * (1 + d), state, true);
        list
    }

    /// Rows of `padded_lanes` numbers that hold all partial sums.
    pub(crate) fn sum_rows(&self) -> usize {
        self.sums().last().map_or(0, |s| s.start + s.count * s.blocks)
    }

    fn longest_sum(&self) -> usize {
        self.sums().iter().map(|s| s.blocks).max().unwrap_or(0)
    }

    /// Invocations that reduce the partial sums of a lane: more for longer sums, at least one for
    /// each lane of a lane4.
    #[cfg(feature = "gpu")]
    pub(crate) fn reducers(&self) -> usize {
        (self.longest_sum() / 16).next_power_of_two().clamp(4, 32)
    }

    /// True if the invocation that decides for a lane also reduces all of its sums.
    pub(crate) fn sums_alone(&self) -> bool {
        self.longest_sum() <= SHORT_SUM
    }

    /// vec4s of lanes of a workgroup of `finalize`.
    pub(crate) fn finalize_lane4s(&self) -> usize {
        if self.sums_alone() { 4 * FINALIZE_LANE4S } else { FINALIZE_LANE4S }
    }

    /// Sums that a workgroup reduces at a time.
    #[cfg(feature = "gpu")]
    pub(crate) fn sum_batch(&self) -> usize {
        let bytes = self.reducers() * FINALIZE_LANE4S * 4 * self.request.precision.bytes() as usize;
        (FINALIZE_BYTES / bytes).max(1)
    }
}
