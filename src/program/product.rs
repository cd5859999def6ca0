//! Product kernels and element-wise kernels as data; `engine/gpu` generates their text.

use super::passes::count;
use super::{Side, Tile};

/// Columns of operand and result that a product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// All, one by one.
    Each,
    /// Of every lane so many, its iterate and tangents counted from 0, and those of a lane by one invocation.
    OfLane {
        /// The first of them.
        first: usize,
        /// Their number.
        count: usize,
    },
}

/// Which side of a product an active set restricts, for the lanes of a workgroup and four by four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveSet {
    /// None: there is no list.
    None,
    /// Terms that are not listed are zero.
    Terms,
    /// Rows of the result that are not listed are not computed, and stay what they are.
    Rows,
}

/// A product kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Variables of the matrix, of the operand and of the result, if that is stored.
    pub names: (&'static str, &'static str, Option<&'static str>),
    /// Rows of the result, and rows of the operand.
    pub shape: (usize, usize),
    /// Which side of the matrix is summed over.
    pub side: Side,
    /// Columns.
    pub columns: Columns,
    /// Parts into which the inner index is split; each leaves a result of its own.
    pub split_k: usize,
    /// What an active set restricts.
    pub active_set: ActiveSet,
    /// How it is cut.
    pub tile: Tile,
    /// Epilogues, by the prefix of their functions.
    pub epilogues: Vec<&'static str>,
    /// Rows that they add up.
    pub rows_per_sum: usize,
}

impl Product {
    /// Columns of a lane that one invocation computes.
    #[cfg(feature = "gpu")]
    pub(crate) fn width(&self) -> usize {
        if let Columns::OfLane { count, .. } = self.columns { count } else { 1 }
    }

    /// The first of them.
    #[cfg(feature = "gpu")]
    pub(crate) fn first(&self) -> usize {
        if let Columns::OfLane { first, .. } = self.columns { first } else { 0 }
    }

    /// Workgroups for so many vec4s of lanes, or of columns where they are taken one by one.
    pub(crate) fn grid(&self, lane4s: usize) -> [u32; 3] {
        let Tile { rows, lane4s: own, group, .. } = self.tile;
        [
            count(lane4s.div_ceil(own * group[0])),
            count(self.shape.0.div_ceil(rows * group[1])),
            count(self.split_k),
        ]
    }
}

/// A kernel of epilogues without their product: one invocation takes four lanes and a block of rows of a
/// matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Rowwise {
    /// Variable of the matrix.
    pub matrix: &'static str,
    /// Its rows.
    pub rows: usize,
    /// Rows of an invocation.
    pub block: usize,
    /// Epilogues, by the prefix of their functions.
    pub epilogues: Vec<&'static str>,
}
