//! Buffers and cost of the CPU engine, which has no passes.

use super::buffers::{Buffer, BufferId, Copies, Element, Usage};
use super::memory::{working_set, working_set_gram};
use super::{Limits, MetricKind, RecordLayout, Request};
use crate::design::PRODUCT_ROWS;

/// Rows that the engine computes with: those of the triangular factor in the Gram strategy.
fn rows(r: &Request) -> usize {
    if r.is_gram() { r.own_rows() + 1 } else { r.rows }
}

/// The buffers of a run with `lanes` slots.
pub(super) fn buffers(
    r: &Request,
    limits: &Limits,
    lanes: usize,
    chunk: usize,
    frames: usize,
) -> Vec<Buffer> {
    use BufferId::*;
    let (n, q, d, v) = (rows(r), r.own_rows(), r.tangents, r.validation_rows);
    let columns = lanes.saturating_mul(1 + d);
    // An entry of a sparse design is a number and its place.
    let design = |entries: usize| if r.stored.is_some() { [entries, 2] } else { [1, entries] };
    let [stored, stored_held_out] = r.entries();
    // The triangular factor, and the blocks of rows that it is made of.
    let stored = if r.is_gram() { n.saturating_mul(q).saturating_mul(6) } else { stored };
    let mut list = Vec::new();
    let mut add = |id, copies, shape: &[usize]| {
        let element = Element::real(r.precision);
        list.push(Buffer { id, element, shape: shape.to_vec(), copies, usage: Usage::Storage });
    };
    add(Design, Copies::One, &design(stored));
    add(Rows, Copies::One, &[n, 2 + d + 2 * r.folds]);
    add(State, Copies::Iterate, &[q, columns]);
    add(Gradient, Copies::One, &[q, columns]);
    add(Prediction, Copies::Iterate, &[n, columns]);
    add(Residual, Copies::One, &[n, columns]);
    if v > 0 {
        add(ValidationDesign, Copies::One, &design(stored_held_out));
        add(ValidationRows, Copies::One, &[v, 2]);
        add(ValidationPrediction, Copies::One, &[v, columns]);
    }
    if r.measures_curvature {
        add(Extrapolated, Copies::One, &[n, columns]);
    }
    if r.metric != MetricKind::None {
        add(Metric, Copies::One, &[q, columns]);
    }
    if matches!(r.metric, MetricKind::Hessian { .. }) {
        add(DesignSquares, Copies::One, &design(stored));
    }
    let set = working_set(r, limits, lanes);
    if set > 0 {
        let groups = Copies::Many(lanes.div_ceil(r.group_lanes()));
        // The columns of a set, and its matrices.
        let all = set.saturating_mul(n + v);
        let columns = r.stored.filter(|_| r.is_sparse()).map_or(all, |stored| {
            stored.iter().map(|of| of.entries.saturating_mul(2)).fold(0, usize::saturating_add).min(all)
        });
        let matrices = 3 + usize::from(r.metric != MetricKind::None);
        let matrices = set.saturating_mul(matrices * r.group_lanes() * (1 + d));
        // A Gram matrix, the one that it replaces, the new products in f64 and the columns copied for them;
        // then what is multiplied by it, its products and references.
        let gram = working_set_gram(r, limits, lanes);
        let copies = 4 * gram + 4 * PRODUCT_ROWS.min(n);
        let products = gram.saturating_mul(copies + r.group_lanes() * (2 * (1 + d) + 2) + 2 + d);
        add(WorkingSets, groups, &[1, columns.saturating_add(matrices).saturating_add(products)]);
        add(WorkingSetReferences, Copies::One, &[n, lanes]);
    }
    add(Records, Copies::One, &[chunk, lanes, RecordLayout::new(d).fields()]);
    add(Frames, Copies::Many(frames), &[q, columns]);
    list
}

/// Operations of a dense product in the time of one of a sparse product.
const SPARSE: f64 = 16.0;

/// Floating-point operations of an iteration of some lanes, with its share of tests and refreshes.
pub(super) fn flops(r: &Request, lanes: usize) -> f64 {
    let (n, q, v) = (rows(r) as f64, r.own_rows() as f64, r.validation_rows as f64);
    let columns = lanes as f64 * (1 + r.tangents) as f64;
    let [entries, held_out] =
        r.entries().map(|entries| entries as f64 * if r.stored.is_some() { SPARSE } else { 1.0 });
    // Half of the triangular factor is zero.
    let entries = if r.is_gram() { 0.5 * n * q } else { entries };
    let product = |entries: f64| 2.0 * entries * columns;
    let iteration = 2.0 * product(entries) + (10.0 * n + 12.0 * q + 20.0) * columns;
    let validation = product(held_out) + 4.0 * v * columns;
    let metric = match r.metric {
        MetricKind::Hessian { every } => (product(entries) + 8.0 * (n + q) * columns) / every as f64,
        MetricKind::None | MetricKind::Fixed | MetricKind::Table { .. } => 0.0,
    };
    let check = (product(entries) + 20.0 * (n + q) * columns) / r.check_period() as f64;
    iteration + validation + metric + check
}

/// Estimated seconds of an iteration of some lanes.
pub(super) fn iteration_seconds(r: &Request, limits: &Limits, lanes: usize) -> f64 {
    let entries = (rows(r) + r.own_rows()) as f64 * lanes as f64 * (1 + r.tangents) as f64;
    flops(r, lanes) / limits.flops + entries * limits.element
}

/// Floating-point operations of the products of an iteration.
pub(super) fn counted_operations(r: &Request, lanes: usize) -> f64 {
    let entries = if r.is_gram() { rows(r) * r.own_rows() / 2 } else { r.entries()[0] };
    4.0 * entries as f64 * (lanes * (1 + r.tangents)) as f64
}

/// Bytes that an iteration moves: the design once for each of its products; state, gradient, prediction and
/// residual each read once and written once, of a pair both read and one written.
pub(super) fn counted_bytes(buffers: &[Buffer]) -> f64 {
    use BufferId::*;
    let times = |b: &Buffer| match b.id {
        Design => 2.0,
        State | Prediction => 3.0,
        Gradient | Residual => 2.0,
        _ => 0.0,
    };
    buffers.iter().map(|b| times(b) * b.bytes_of_one() as f64).sum()
}
