//! Products with a sparse design: one pass for the product, and one for the sums that its shift needs.
//!
//! A design `S − 1 shiftᵀ` is stored as `S` with one more entry in each line, so that its product needs no
//! other kernel: `X x` subtracts `shiftᵀ x`, and `Xᵀ r` subtracts `shift_j Σ r`. Both sums are computed
//! first, and stored in the row after the last of the operand.

use super::passes::{Cost, Part, Pass, count, file, read, update};
use super::products::Operation;
use super::{BufferId, DeviceKind, Shape, Side};

/// vec4s of columns, and invocations along the rows, of a workgroup of `shift_sums`.
const SUMMED: [usize; 2] = [2, 128];
/// vec4s of columns of a workgroup of the product.
const GROUP_COLUMN4S: usize = 8;
/// Least invocations of its workgroups along the rows.
const GROUP_ROWS: usize = 8;
/// Most invocations that share the sum of a row.
const MOST_PEERS: usize = 32;
/// Most workgroups of the product along its second dimension; more lie along the third.
const MOST_ALONG_Y: usize = 1 << 15;

/// A stored product, and before it the sums that the shift needs.
pub(super) fn product(s: &Shape, of: Operation) -> Vec<Pass> {
    let sums = (s.shift_rows() > 0).then(|| shift_sums(s, &of));
    sums.into_iter().chain([entries(s, of)]).collect()
}

fn entries(s: &Shape, of: Operation) -> Pass {
    let (rows, _) = of.shape(s, false);
    let matrix = match (of.side, of.matrix) {
        (Side::Transposed, BufferId::Design) => BufferId::DesignByColumns,
        (_, matrix) => matrix,
    };
    let peers = peers(s, of.side, of.matrix);
    let group_rows = (GROUP_ROWS / peers).max(1);
    let groups = rows.div_ceil(group_rows);
    let terms = s.request.entries()[usize::from(of.matrix == BufferId::ValidationDesign)];
    let work = terms as f64 * s.counted_columns();
    let mut operand = of.operand;
    operand.variable = "operand";
    let result = of.result.map(|mut result| {
        result.variable = "result";
        result
    });
    Pass {
        grid: [
            count((s.columns() / 4).div_ceil(GROUP_COLUMN4S)),
            count(groups.min(MOST_ALONG_Y)),
            count(groups.div_ceil(MOST_ALONG_Y)),
        ],
        cost: Cost { product_flops: 2.0 * work, flops: 2.0 * work, entries: work, ..Cost::default() },
        bindings: vec![read("matrix", matrix).entries(), operand],
        parts: vec![
            file!("kernel/sparse_product.wgsl"),
            file!("shared/entry.wgsl"),
            Part::Constants(vec![
                ("RESULT_ROWS", rows),
                ("PEERS", peers),
                ("GROUP_ROWS", group_rows),
                ("GROUP_COLUMN4S", GROUP_COLUMN4S),
                ("ALONG_Y", MOST_ALONG_Y),
            ]),
        ],
        ..Pass::new(of.kernel, of.when)
    }
    .binds(result)
}

/// `shiftᵀ x`, or `Σ r`, of every column.
fn shift_sums(s: &Shape, of: &Operation) -> Pass {
    let plain = of.side == Side::Plain;
    let rows = if plain { s.state_rows() } else { s.rows() };
    let kernel = if plain { "shift_of_iterate" } else { "shift_of_residual" };
    let operand = update("operand", of.operand.buffer);
    let share = if plain { file!("shared/share_shift.wgsl") } else { file!("shared/share_one.wgsl") };
    Pass {
        grid: [count((s.columns() / 4).div_ceil(SUMMED[0])), 1, 1],
        cost: Cost::rowwise(2.0 * rows as f64 * s.counted_columns(), rows as f64 * s.counted_columns()),
        bindings: vec![super::Binding { which: of.operand.which, ..operand }],
        parts: vec![
            file!("kernel/shift_sums.wgsl"),
            share,
            Part::Constants(vec![
                ("SUMMED_ROWS", rows),
                ("SUMMED_COLUMN4S", SUMMED[0]),
                ("SUMMING", SUMMED[1]),
            ]),
        ],
        ..Pass::new(kernel, of.when)
    }
    .binds(plain.then(|| read("shift", BufferId::Shift).reals()))
}

/// Invocations that share the sum of a row: so many that the fullest row does not keep the others waiting,
/// and few enough that short rows do not leave most of them idle. Independent of the number of lanes, since
/// it determines the order of the sums.
fn peers(s: &Shape, side: Side, matrix: BufferId) -> usize {
    let [design, held_out] = s.request.stored.unwrap_or_default();
    let (of, rows) = match (matrix, side) {
        (BufferId::ValidationDesign, _) => (held_out, s.request.validation_rows),
        (_, Side::Plain) => (design, s.rows()),
        (_, Side::Transposed) => (design, s.state_rows()),
    };
    let fullest = if side == Side::Plain { of.fullest_row } else { of.fullest_column };
    // Rows that a device computes at a time, with about a hundred columns.
    let together = match s.device {
        DeviceKind::Software => 2.0,
        DeviceKind::Integrated => 512.0,
        DeviceKind::Discrete => 8192.0,
    };
    let mean = of.entries as f64 / rows.max(1) as f64;
    let time = |peers: usize| {
        let peers = peers as f64;
        rows as f64 * mean.max(peers) / together + fullest as f64 / peers
    };
    let choices = std::iter::successors(Some(1), |p| Some(2 * p)).take_while(|p| *p <= MOST_PEERS);
    choices.min_by(|a, b| time(*a).total_cmp(&time(*b))).unwrap_or(1)
}
