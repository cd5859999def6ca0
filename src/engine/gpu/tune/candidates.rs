//! The products of a plan whose tiles are tuned, and the tiles that are tried for them.

use crate::engine::gpu::measure::Measured;
use crate::program::{
    DeviceKind, FEWEST_GROUP_LANE4S, FUSED_TANGENTS, Plan, Side, Tile, Tiles, pad4, rows_per_sum,
};

/// A product of a plan's iterations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) what: Measured,
    /// True if an epilogue follows, and the number of rows in each of its sums.
    pub(super) fused: bool,
    pub(super) rows_per_sum: usize,
}

impl Wanted {
    /// A stored product.
    pub(super) fn stored(what: Measured) -> Self {
        Wanted { what, fused: false, rows_per_sum: 4 }
    }

    /// The products of every iteration of a plan: plain and transposed, with their
    /// epilogues if there are any.
    pub(super) fn of_iterations(plan: &Plan) -> Vec<Wanted> {
        let r = &plan.request;
        let width = 1 + r.tangents;
        let of = |stored: Wanted| {
            if r.tangents > FUSED_TANGENTS || stored.what.split_k > 1 {
                return stored;
            }
            let what = Measured { lanes: plan.slots, width, ..stored.what };
            Wanted { what, fused: true, rows_per_sum: rows_per_sum(r.tangents) }
        };
        Wanted::of_matrices(plan).into_iter().map(of).collect()
    }

    /// The stored products of a plan: for tests of the stop rule, and for lanes that do not start from zeros.
    pub(super) fn of_matrices(plan: &Plan) -> Vec<Wanted> {
        let r = &plan.request;
        let columns = (1 + r.tangents) * pad4(plan.slots);
        let of = |side| Wanted::stored(Measured::stored((r.rows, r.state_rows), columns, side, r.precision));
        vec![of(Side::Plain), of(Side::Transposed)]
    }

    /// All products of a plan.
    pub(super) fn of_plan(plan: &Plan) -> Vec<Wanted> {
        let mut all = Wanted::of_iterations(plan);
        // Without epilogues, those of iterations are stored products already.
        let has_end = |side| all.iter().any(|w| w.fused && w.what.side == side);
        let more: Vec<Wanted> =
            Wanted::of_matrices(plan).into_iter().filter(|w| has_end(w.what.side)).collect();
        all.extend(more);
        all
    }

    /// Its tile among the tiles of a run.
    pub(super) fn place<'t>(&self, tiles: &'t mut Tiles) -> &'t mut Tile {
        let pair = if self.fused { &mut tiles.fused } else { &mut tiles.stored };
        match self.what.side {
            Side::Plain => &mut pair[0],
            Side::Transposed => &mut pair[1],
        }
    }

    pub(super) fn flops(&self) -> f64 {
        2.0 * self.what.design.0 as f64 * self.what.design.1 as f64 * self.what.columns() as f64
    }

    /// The same with fewer lanes, if the product would take long: only its rate matters.
    pub(super) fn shortened(&self, flops: f64) -> Measured {
        let of_lane = self.flops() / pad4(self.what.lanes) as f64;
        let most = (TIMED_SECONDS * flops / of_lane).clamp(FEWEST_LANES, 1e9) as usize;
        Measured { lanes: self.what.lanes.min(pad4(most)), ..self.what }
    }
}

/// Most seconds that a timed product should take.
pub(super) const TIMED_SECONDS: f64 = 0.05;
/// Least lanes of a timed product, if there are as many.
pub(super) const FEWEST_LANES: f64 = 256.0;
/// The power of two nearest to a number, by ratio.
pub(super) fn bucket(count: usize) -> usize {
    1 << (count.max(1) as f64).log2().round() as u32
}

/// Rows and vec4s of columns per invocation, the workgroup, inner indices in workgroup memory, and unrolling.
pub(super) type Template = (usize, usize, [usize; 2], usize, usize);

pub(super) fn templates(kind: DeviceKind) -> &'static [Template] {
    match kind {
        // Each takes most of a second to compile there.
        DeviceKind::Software => &[
            (8, 2, [8, 8], 0, 1),
            (8, 2, [8, 8], 0, 4),
            (16, 4, [8, 8], 0, 4),
            (8, 4, [8, 8], 0, 4),
            (8, 2, [8, 8], 16, 1),
        ],
        // The outputs of a workgroup if tiles are in its memory: 128x128, 64x64 by many and by
        // few invocations, 32x32.
        DeviceKind::Integrated => &[
            (8, 2, [8, 8], 0, 1),
            (8, 2, [8, 8], 0, 4),
            (4, 1, [8, 8], 0, 4),
            (8, 2, [16, 16], 16, 1),
            (8, 2, [8, 8], 16, 1),
            (4, 1, [16, 16], 16, 1),
            (4, 1, [8, 8], 16, 1),
        ],
        // 128x128 twice, 128x64, 64x128, 64x64 twice, 32x32.
        DeviceKind::Discrete => &[
            (8, 2, [8, 8], 16, 1),
            (8, 2, [16, 16], 16, 1),
            (16, 2, [16, 8], 16, 1),
            (8, 2, [8, 16], 16, 1),
            (8, 2, [16, 8], 16, 1),
            (4, 1, [16, 16], 16, 1),
            (4, 1, [8, 8], 16, 1),
            (8, 2, [8, 8], 0, 1),
            (8, 2, [8, 8], 0, 4),
        ],
    }
}

/// Most accumulators of an invocation, in vec4s.
pub(super) const ACCUMULATORS: usize = 64;

/// Candidate tiles of a product: the usual one first, and only those that the device can run.
pub(super) fn candidates(kind: DeviceKind, wanted: &Wanted, usual: Tile, limits: &wgpu::Limits) -> Vec<Tile> {
    let Measured { lanes, width, side, precision, .. } = wanted.what;
    let memory = u64::from(limits.max_compute_workgroup_storage_size);
    // Only transposed products without workgroup memory are unrolled.
    let plainly =
        |tile: Tile| if side == Side::Plain || tile.depth > 0 { Tile { unroll: 1, ..tile } } else { tile };
    let mut all = vec![plainly(usual)];
    for &(rows, columns, group, depth, unroll) in templates(kind) {
        let lane4s = (columns / width).max(1).min(lanes.div_ceil(4));
        let rows = if rows * lane4s * width > ACCUMULATORS { 4 } else { rows };
        // Sums are over whole blocks of an invocation's rows.
        let rows = rows.next_multiple_of(wanted.rows_per_sum);
        let tile = plainly(Tile { rows, lane4s, group, depth, unroll }).within(memory, width, precision);
        let [x, y] = group.map(|count| count as u32);
        let runs = x * y <= limits.max_compute_invocations_per_workgroup
            && x <= limits.max_compute_workgroup_size_x
            && y <= limits.max_compute_workgroup_size_y
            && wanted.what.groups(tile).iter().all(|n| *n <= limits.max_compute_workgroups_per_dimension)
            // A plan counts active sets for workgroups of this size, so smaller ones are excluded.
            && group[0] >= FEWEST_GROUP_LANE4S
            // A tile that lost all of its depth belongs to the other family.
            && (tile.depth > 0) == (depth > 0);
        if runs && !all.contains(&tile) {
            all.push(tile);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Precision;

    fn wanted(
        design: (usize, usize),
        lanes: usize,
        tangents: usize,
        fused: bool,
        precision: Precision,
    ) -> [Wanted; 2] {
        let width = 1 + tangents;
        [Side::Plain, Side::Transposed].map(|side| {
            let stored = Measured::stored(design, width * pad4(lanes), side, precision);
            let what = Measured { lanes, width, split_k: 1, ..stored };
            if fused {
                Wanted { what, fused, rows_per_sum: rows_per_sum(tangents) }
            } else {
                Wanted::stored(stored)
            }
        })
    }

    #[test]
    fn sizes_are_rounded_by_ratio() {
        let of = |list: &[usize]| list.iter().map(|n| bucket(*n)).collect::<Vec<_>>();
        assert_eq!(
            of(&[0, 1, 2, 3, 5, 6, 1000, 1025, 1448, 1449]),
            [1, 1, 2, 4, 4, 8, 1024, 1024, 1024, 2048]
        );
    }

    /// Checks the candidates for a product.
    fn check(kind: DeviceKind, limits: &wgpu::Limits, w: &Wanted, tangents: usize) {
        let precision = w.what.precision;
        let usual = Tile { rows: 8, lane4s: 1, group: [8, 8], depth: 0, unroll: 1 };
        let list = candidates(kind, w, usual, limits);
        assert_eq!(list[0], usual);
        let depths: Vec<bool> = list.iter().map(|t| t.depth > 0).collect();
        // In f64, columns of many tangents fill the smallest workgroup memory there is.
        let fits = w.what.width <= 2 || precision == Precision::F32;
        let both = depths.contains(&false) && (depths.contains(&true) || !fits);
        assert!(both, "{kind:?} {w:?}: {list:?}");
        for (i, tile) in list.iter().enumerate() {
            assert!(!list[..i].contains(tile), "{tile:?} twice");
            let threads = (tile.group[0] * tile.group[1]) as u32;
            assert!(threads <= limits.max_compute_invocations_per_workgroup);
            let memory = tile.workgroup_bytes(w.what.width, precision);
            assert!(memory <= u64::from(limits.max_compute_workgroup_storage_size));
            assert!(tile.rows.is_multiple_of(4) && tile.depth.is_multiple_of(4));
            assert!(!w.fused || tile.rows.is_multiple_of(rows_per_sum(tangents)));
            assert!(tile.rows * tile.lane4s * w.what.width <= ACCUMULATORS);
            // A plan counts active sets for workgroups of this size.
            assert!(tile.group[0] >= FEWEST_GROUP_LANE4S);
        }
    }

    #[test]
    fn candidates_run_on_the_device_and_sum_whole_blocks() {
        let products = [(0, true), (1, true), (4, true), (7, true), (1, false), (9, false)];
        for kind in [DeviceKind::Software, DeviceKind::Integrated, DeviceKind::Discrete] {
            for limits in [wgpu::Limits::default(), wgpu::Limits::downlevel_defaults()] {
                for (tangents, fused) in products {
                    for precision in [Precision::F32, Precision::F64] {
                        let pair = wanted((300, 500), 100, tangents, fused, precision);
                        pair.iter().for_each(|w| check(kind, &limits, w, tangents));
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_product_is_timed_with_fewer_lanes() {
        let [w, _] = wanted((4096, 8192), 4096, 1, true, Precision::F32);
        let short = w.shortened(2e12);
        assert_eq!((short.lanes, short.width, short.design), (748, 2, (4096, 8192)));
        assert_eq!(w.shortened(1e9).lanes, FEWEST_LANES as usize);
        let [w, _] = wanted((40, 80), 100, 1, true, Precision::F32);
        assert_eq!(w.shortened(2e12).lanes, 100);
    }
}
