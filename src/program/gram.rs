//! The Gram strategy: the step is computed from `v = XᵀX x`, which is carried from one iteration to the next.

use super::passes::{Binding, Cost, Entry, Params, Part, Pass, When, count, file, read, update, write};
use super::products::{Cut, Operation, rowwise, step_bindings, step_parts};
use super::{BufferId, FUSED_TANGENTS, Shape, Side, Strategy, Which, rows_per_sum, shared};

/// The passes of an iteration, in their order.
pub(super) fn passes(s: &Shape) -> Vec<Pass> {
    let mut list = vec![shared::finalize(s, When::Iteration)];
    list.extend(shared::metric(s));
    list.push(step(s));
    list.extend(loss(s));
    list.extend(shared::validation(s));
    list.extend(check(s));
    list
}

/// The products of lanes that do not start from zeros: with their iterate, and with the previous one.
pub(super) fn given(s: &Shape) -> Vec<Pass> {
    let of = |which: fn(Binding) -> Binding| product(s, When::LoadGiven, which).stored(s);
    of(Binding::current).into_iter().chain(of(Binding::other)).collect()
}

/// `v = XᵀX x` of one of the iterates.
pub(super) fn product(s: &Shape, when: When, which: fn(Binding) -> Binding) -> Operation {
    let v = write("v", BufferId::Carried);
    Operation {
        kernel: "gram_product",
        when,
        side: Side::Plain,
        matrix: BufferId::Gram,
        operand: which(read("x", BufferId::State)),
        result: Some(if s.strategy == Strategy::Persistent { v } else { which(v) }),
    }
}

/// Files of the loss of new iterates.
pub(super) fn loss_parts() -> Vec<Part> {
    vec![file!("epilogue/gram_loss.wgsl"), file!("shared/gram_target.wgsl")]
}

fn step(s: &Shape) -> Pass {
    let (q, own) = (s.state_rows(), rows_per_sum(s.d()));
    let columns = s.counted_columns();
    let v = read("v", BufferId::Carried).current();
    rowwise(s, ("gram_step", When::Iteration), v, (q, own), vec!["gradient_at_e", "step"])
        .binds(step_bindings(s))
        .binds([read("v_before", BufferId::Carried).other()])
        .with([
            file!("epilogue/gradient_at_e.wgsl"),
            file!("shared/carried.wgsl"),
            file!("shared/gram_target.wgsl"),
        ])
        .with(step_parts(s))
        .costs(Cost::rowwise(16.0 * q as f64 * columns, q as f64 * columns))
}

/// `XᵀX` times the new iterates, and their loss.
fn loss(s: &Shape) -> Vec<Pass> {
    let (q, own, when) = (s.state_rows(), rows_per_sum(s.d()), When::Iteration);
    let work = Cost::rowwise(0.0, 0.5 * q as f64 * s.counted_columns());
    let parts = |pass: Pass| {
        pass.binds([read("lanes", BufferId::Lanes), write("partials", BufferId::Partials)])
            .with(loss_parts())
            .with([
                file!("shared/new_iterate.wgsl"),
                file!("shared/partials.wgsl"),
                file!("shared/strength.wgsl"),
            ])
            .costs(work)
    };
    let product = product(s, when, Binding::other);
    if s.d() <= FUSED_TANGENTS {
        let product = Operation { kernel: "gram_product_loss", ..product };
        return vec![parts(product.pass(s, Cut::Whole, vec!["gram_loss"]))];
    }
    let mut list = product.stored(s);
    let v = read("v", BufferId::Carried).other();
    let loss = rowwise(s, ("gram_loss", when), v, (q, own), vec!["gram_loss"]);
    list.push(parts(loss.binds([read("x", BufferId::State).other()])));
    list
}

/// The stop rule at the new iterate, whose product is already computed.
pub(super) fn check(s: &Shape) -> Vec<Pass> {
    let (q, own, when) = (s.state_rows(), rows_per_sum(s.d()), When::Check);
    let v = read("v", BufferId::Carried);
    let v = if s.strategy == Strategy::Persistent { v } else { v.other() };
    let gradient = rowwise(s, ("gram_gradient", when), v, (q, own), vec!["gradient_at_x"])
        .binds([read("lanes", BufferId::Lanes), write("g", BufferId::Gradient)])
        .with([
            file!("epilogue/gradient_at_x.wgsl"),
            file!("shared/gram_target.wgsl"),
            file!("shared/strength.wgsl"),
        ]);
    let mut list = vec![gradient, shared::criterion(s)];
    if s.request.has_dual {
        list.extend([gap_loss(s), shared::gap_penalty(s)]);
    }
    list
}

/// The loss term of the duality gap, computed from the loss itself.
fn gap_loss(s: &Shape) -> Pass {
    Pass {
        bindings: vec![update("partials", BufferId::Partials)],
        parts: vec![
            file!("kernel/gap_gram_loss.wgsl"),
            file!("shared/partials.wgsl"),
            file!("shared/dual_scale.wgsl"),
        ],
        grid: [count(s.lane4s().div_ceil(64)), 1, 1],
        ..Pass::new("gap_gram_loss", When::Check)
    }
}

/// Approximate operations of a dispatch that sums `XᵀX`.
const DISPATCH_OPERATIONS: usize = 1 << 31;
/// Rows and columns of `XᵀX` per workgroup: eight by eight blocks of four by four entries.
const GROUP_SIDE: usize = 32;

/// `XᵀX`, computed in pieces so that no dispatch takes long: the grid is that of a piece.
pub(super) fn matrix(s: &Shape) -> Pass {
    let sides = s.stride().div_ceil(GROUP_SIDE);
    let most = (DISPATCH_OPERATIONS / (2 * s.rows() * GROUP_SIDE * GROUP_SIDE)).max(1);
    let (columns, rows) = (most.min(sides), (most / sides).clamp(1, sides));
    let flops = s.rows() as f64 * s.state_rows() as f64 * s.state_rows() as f64;
    Pass {
        bindings: vec![
            read("design", BufferId::Design),
            read("rows", BufferId::Rows).reals(),
            write("gram", BufferId::Gram),
        ],
        parts: vec![file!("kernel/gram.wgsl")],
        params: Some(Params {
            structure: "GramParams",
            buffer: BufferId::GramParams,
            which: Which::Only,
            entry: Entry::Fixed(0),
        }),
        grid: [count(columns), count(rows), 1],
        cost: Cost { product_flops: flops, flops, ..Cost::default() },
        ..Pass::new("gram", When::Once)
    }
}

#[cfg(feature = "gpu")]
impl Shape {
    /// Workgroups along each side of `XᵀX`.
    pub(crate) fn gram_sides(&self) -> usize {
        self.stride().div_ceil(GROUP_SIDE)
    }
}
