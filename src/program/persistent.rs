//! The persistent strategy: many iterations in one dispatch, in which a workgroup keeps some
//! lanes in its own memory.

use super::passes::{At, Binding, Cost, Entry, Params, Part, Pass, When, count, file, read, update, write};
use super::{BufferId, Shape, Which, gram, shared};

/// The passes of the iterations up to the next frame or test of the stop rule; the last of them is finalized
/// by a pass of its own.
pub(super) fn passes(s: &Shape) -> Vec<Pass> {
    let mut list = vec![persistent(s)];
    list.extend(gram::product(s, When::Check, Binding::other).stored(s));
    list.extend(gram::check(s));
    list.push(shared::finalize(s, When::Iteration));
    list
}

fn persistent(s: &Shape) -> Pass {
    let tile = s.persistent.unwrap_or(super::PersistentTile { lane4s: 1, groups: 4 });
    let (q, width) = (s.state_rows(), 1 + s.d());
    let columns = s.counted_columns();
    // The cost is that of all iterations of a dispatch.
    let segment = s.segment() as f64;
    let product = 2.0 * q as f64 * q as f64 * columns * segment;
    Pass {
        params: Some(Params {
            structure: "PersistentParams",
            buffer: BufferId::PersistentParams,
            which: Which::Chunk,
            entry: Entry::Iteration,
        }),
        grid: [count(s.lane4s().div_ceil(tile.lane4s)), 1, 1],
        cost: Cost {
            product_flops: product,
            flops: product + (16.0 * q as f64 + 20.0) * columns * segment,
            entries: 0.5 * q as f64 * columns * segment,
            ..Cost::default()
        },
        at: At::First,
        ..Pass::new("persistent", When::Iteration)
    }
    .binds([
        read("gram", BufferId::Gram),
        update("x", BufferId::State).current(),
        update("x_previous", BufferId::State).other(),
    ])
    .binds(shared::control_bindings(s))
    .binds([write("partials", BufferId::Partials)])
    .with([file!("kernel/persistent.wgsl"), Part::Multiply { rows: tile.own_rows(q), width }])
    .with(gram::loss_parts())
    .with([
        file!("epilogue/gradient_at_e.wgsl"),
        file!("epilogue/step.wgsl"),
        file!("shared/metric_none.wgsl"),
        file!("shared/restore_none.wgsl"),
        file!("shared/step_params.wgsl"),
        file!("shared/strength.wgsl"),
        file!("shared/values.wgsl"),
        file!("shared/prox.wgsl"),
        Part::Penalty,
    ])
    .with(shared::control_parts(s))
}
