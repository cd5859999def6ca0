//! Product kernels and element-wise kernels as data; `engine/gpu` generates their text.

use super::passes::count;
use super::{Side, Tile};

/// The columns of operand and result that a product computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// All, one by one.
    Each,
    /// A range of columns of every lane (0 is the iterate, then its tangents); one invocation
    /// computes those of a lane.
    OfLane {
        /// The first column.
        first: usize,
        /// The number of columns.
        count: usize,
    },
}

/// The side of a product that an active set restricts, for the lanes of a workgroup, in blocks of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveSet {
    /// None: there is no list.
    None,
    /// Terms that are not listed are zero.
    Terms,
    /// Rows of the result that are not listed are not computed, and keep their values.
    Rows,
}

/// A product kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Variables of the matrix, of the operand and, if it is stored, of the result.
    pub names: (&'static str, &'static str, Option<&'static str>),
    /// Rows of the result, and rows of the operand.
    pub shape: (usize, usize),
    /// The side of the matrix that is summed over.
    pub side: Side,
    /// Columns.
    pub columns: Columns,
    /// Parts into which the inner index is split; each stores a result of its own.
    pub split_k: usize,
    /// The side that an active set restricts.
    pub active_set: ActiveSet,
    /// Tile.
    pub tile: Tile,
    /// Epilogues, by the prefix of their functions.
    pub epilogues: Vec<&'static str>,
    /// Rows that epilogues add up.
    pub rows_per_sum: usize,
}

impl Product {
    /// Columns of a lane that one invocation computes.
    #[cfg(feature = "gpu")]
    pub(crate) fn width(&self) -> usize {
        if let Columns::OfLane { count, .. } = self.columns { count } else { 1 }
    }

    /// The first of these columns.
    #[cfg(feature = "gpu")]
    pub(crate) fn first(&self) -> usize {
        if let Columns::OfLane { first, .. } = self.columns { first } else { 0 }
    }

    /// Workgroups for `lane4s` vec4s of lanes, or of columns if they are computed one by one.
    pub(crate) fn grid(&self, lane4s: usize) -> [u32; 3] {
        let Tile { rows, lane4s: own, group, .. } = self.tile;
        [
            count(lane4s.div_ceil(own * group[0])),
            count(self.shape.0.div_ceil(rows * group[1])),
            count(self.split_k),
        ]
    }
}

/// A kernel of epilogues without a product: one invocation per lane4 and block of rows of a matrix.
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
