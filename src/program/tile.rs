//! Tiles: the division of products into registers, invocations and workgroups.

use super::{Limits, Precision, Request};

/// The side of the design that is summed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Side {
    /// `out = X m`.
    Plain,
    /// `out = Xᵀ m`.
    Transposed,
}

/// The division of a product among invocations and workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tile {
    /// Rows of an invocation, a multiple of four.
    pub rows: usize,
    /// vec4s of lanes of an invocation.
    pub lane4s: usize,
    /// Invocations of a workgroup: along the lanes, along the rows.
    pub group: [usize; 2],
    /// Inner indices of a tile in workgroup memory, a multiple of four; 0: workgroup memory is not used.
    pub depth: usize,
    /// Inner indices processed at once if workgroup memory is not used and the design is transposed.
    pub unroll: usize,
}

impl Tile {
    /// Bytes of workgroup memory for a product of `width` columns a lane.
    pub fn workgroup_bytes(&self, width: usize, precision: Precision) -> u64 {
        (2 * self.half(width) * 4) as u64 * precision.bytes()
    }

    /// The same tile, with less depth if it would need more workgroup memory than available; the bits of
    /// results do not depend on it.
    pub fn within(mut self, memory: u64, width: usize, precision: Precision) -> Tile {
        while self.workgroup_bytes(width, precision) > memory {
            self.depth = self.depth / 8 * 4;
        }
        self
    }

    /// The same tile, with no more invocations along the rows than a result of `rows` rows needs; the bits of
    /// results do not depend on it.
    pub(crate) fn for_rows(mut self, rows: usize) -> Tile {
        if self.depth == 0 {
            self.group[1] = self.group[1].min(rows.div_ceil(self.rows).next_power_of_two());
        }
        self
    }

    /// The same tile with the largest workgroup, up to 128 x 128 outputs of one column, of which a result has
    /// enough to occupy a large device: large workgroups load least.
    fn largest(self, width: usize, result_rows: usize, lane4s: usize) -> Tile {
        let of = |rows: usize, group: [usize; 2]| Tile { rows, group, ..self };
        let workgroups =
            |t: &Tile| result_rows.div_ceil(t.rows * t.group[1]) * lane4s.div_ceil(t.lane4s * t.group[0]);
        // With many columns a lane, more rows would not fit the registers.
        let rows = if width <= 2 { 8 } else { 4 };
        let sizes = [of(rows, [16, 16]), of(rows, [16, 8]), of(rows, [8, 16])];
        sizes.into_iter().find(|t| workgroups(t) >= OCCUPYING).unwrap_or(of(rows, [8, 8]))
    }

    /// The tile for `now` columns of a lane, from that for `before` columns: about as many results per
    /// invocation, in whole blocks of rows. A tile in workgroup memory is not changed.
    pub(crate) fn with_columns(mut self, before: usize, now: usize, lane4s: usize, block: usize) -> Tile {
        if self.depth == 0 {
            let results = self.rows * self.lane4s * before;
            self.lane4s = lane4s;
            self.rows = (results / (lane4s * now) / block * block).max(self.rows);
        }
        self
    }

    /// Row stride of the left operand's tile, in vec4s: one more than needed, to avoid bank conflicts.
    pub(crate) fn left(&self) -> usize {
        self.rows / 4 * self.group[1] + 1
    }

    /// Row stride of the right operand's tile, in vec4s.
    pub(crate) fn right(&self, width: usize) -> usize {
        self.lane4s * self.group[0] * width
    }

    /// vec4s of one of the two pairs of tiles.
    pub(crate) fn half(&self, width: usize) -> usize {
        self.depth * (self.left() + self.right(width))
    }
}

/// The tiles of a run's products: plain, transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tiles {
    /// For stored products, whose columns are computed one by one.
    pub stored: [Tile; 2],
    /// For products with an epilogue, whose columns are computed lane by lane.
    pub fused: [Tile; 2],
}

/// Workgroups that occupy a large device: an NVIDIA H100 has 132 multiprocessors.
const OCCUPYING: usize = 120;

/// Least vec4s of lanes of a workgroup, whatever the tile: this many invocations are along the lanes.
pub(crate) const FEWEST_GROUP_LANE4S: usize = 8;

impl Tiles {
    /// Tiles that perform well on a kind of device: for products with a design of `rows` by `state_rows`, and
    /// `width` columns for each of `lanes` lanes.
    pub fn usual(kind: DeviceKind, (rows, state_rows): (usize, usize), width: usize, lanes: usize) -> Tiles {
        // For small problems, short text that compiles fast.
        let work = [rows, state_rows, width, lanes].into_iter().fold(1usize, usize::saturating_mul);
        let little = work < 1 << 22;
        let one = |result_rows: usize, width: usize, lane4s: usize| {
            let group = [FEWEST_GROUP_LANE4S, 8];
            let plain = Tile { rows: 8, lane4s: (2 / width).max(1), group, depth: 0, unroll: 1 };
            let tile = match kind {
                // Many rows and columns, since loads are slow.
                DeviceKind::Software if !little => {
                    let own = (4 / width).max(1);
                    Tile { rows: if own * width <= 4 { 16 } else { 8 }, lane4s: own, unroll: 4, ..plain }
                }
                DeviceKind::Discrete => Tile { depth: 16, ..plain }.largest(width, result_rows, lane4s),
                DeviceKind::Software | DeviceKind::Integrated => plain,
            };
            Tile { lane4s: tile.lane4s.min(lane4s), ..tile }
        };
        let pair = |width: usize, lane4s: usize| [rows, state_rows].map(|rows| one(rows, width, lane4s));
        let lane4s = lanes.div_ceil(4);
        Tiles { stored: pair(1, lane4s.saturating_mul(width)), fused: pair(width, lane4s) }
    }

    /// The same tiles, reduced to fit the workgroup memory of a device.
    pub fn within(self, memory: u64, width: usize, precision: Precision) -> Tiles {
        let fitting = |tile: Tile, width| tile.within(memory, width, precision);
        Tiles { stored: self.stored.map(|t| fitting(t, 1)), fused: self.fused.map(|t| fitting(t, width)) }
    }

    /// Usual tiles of a run with `slots` slots.
    pub(crate) fn of_run(r: &Request, limits: &Limits, slots: usize) -> Tiles {
        let rows = if r.is_gram() { r.state_rows } else { r.rows };
        let width = 1 + r.tangents;
        let usual = Tiles::usual(limits.device, (rows, r.state_rows), width, slots);
        usual.within(limits.workgroup_bytes, width, r.precision)
    }
}

/// Kinds of devices that tiles and estimates distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum DeviceKind {
    /// Computes on the processor.
    Software,
    /// Shares its memory with the processor, or is unknown.
    Integrated,
    /// Has a memory of its own.
    Discrete,
}

/// The tile of a workgroup of the persistent strategy. Independent of the number of lanes, since it
/// determines the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PersistentTile {
    /// vec4s of lanes of a workgroup.
    pub lane4s: usize,
    /// Invocations that share the coefficients of a lane, at least four.
    pub groups: usize,
}

/// Most vec4s of a product that an invocation keeps in registers.
const MOST_VALUES: usize = 16;
/// Most bytes of workgroup memory: with more, a multiprocessor could run only a single workgroup.
const MOST_BYTES: u64 = 48 << 10;

impl PersistentTile {
    /// The first candidate that fits the device, if any: most lanes first, then ordered
    /// by the kind of device.
    pub(super) fn of(r: &Request, limits: &Limits) -> Option<Self> {
        // If invocations run one after the other, few of them waste least time on those that
        // have nothing to decide.
        let groups = match limits.device {
            DeviceKind::Software => [4, 8, 16, 32, 64],
            DeviceKind::Integrated | DeviceKind::Discrete => [64, 32, 16, 8, 4],
        };
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

    /// Coefficients per invocation.
    pub fn own_rows(&self, state_rows: usize) -> usize {
        state_rows.div_ceil(self.groups)
    }

    fn bytes(&self, r: &Request) -> u64 {
        let d = r.tangents;
        let pool = 2 * r.state_rows.next_multiple_of(4) * (1 + d) * self.lane4s * 4;
        let shares = (6 + usize::from(r.constants > 0) + 2 * d) * self.groups * self.lane4s * 4;
        let pages = crate::lanes::fields::state::TABLE.len(d) * self.lane4s * 4;
        (pool + shares + pages + 2) as u64 * r.precision.bytes()
    }
}
