//! The direct strategy: products with the design, whose epilogues are the step, the loss and the residual.

use super::passes::{Binding, Cost, Entry, Params, Part, Pass, When, file, read, update, write};
use super::products::{Cut, Operation, rowwise, step_bindings, step_parts};
use super::{BufferId, ROW_BLOCK, Shape, Side, Which, rows_per_sum, shared};

/// The passes of an iteration, in their order.
pub(super) fn passes(s: &Shape) -> Vec<Pass> {
    let mut list = vec![shared::finalize(s, When::Iteration)];
    list.extend(shared::metric(s));
    list.push(residual(s, When::Stale));
    list.extend(step(s));
    list.extend(observe(s));
    list.extend(shared::validation(s));
    list.extend(check(s));
    list
}

/// The predictions of lanes that do not start from zeros: of their iterate, and of the previous one.
pub(super) fn given(s: &Shape) -> Vec<Pass> {
    let mut list = predict(s, When::LoadGiven, Binding::current);
    list.extend(predict(s, When::LoadGiven, Binding::other));
    list
}

fn predict(s: &Shape, when: When, which: fn(Binding) -> Binding) -> Vec<Pass> {
    let operand = which(read("x", BufferId::State));
    let result = Some(which(write("z", BufferId::Prediction)));
    Operation { kernel: "predict", when, side: Side::Plain, matrix: BufferId::Design, operand, result }
        .stored(s)
}

fn gradient(kernel: &'static str, when: When, stored: bool) -> Operation {
    let operand = read("r", BufferId::Residual);
    let result = stored.then(|| write("g", BufferId::Gradient));
    Operation { kernel, when, side: Side::Transposed, matrix: BufferId::Design, operand, result }
}

/// The residual as a pass of its own: at the extrapolated point of the iteration, or, on a
/// check, at the new iterate.
fn residual(s: &Shape, when: When) -> Pass {
    let at_e = when == When::Stale;
    let z = if s.request.measures_curvature { update } else { read };
    let (z, before) = (z("z", BufferId::Prediction), read("z_before", BufferId::Prediction));
    let (z, before) = if at_e { (z.current(), before.other()) } else { (z.other(), before.current()) };
    let measured = s.request.measures_curvature;
    let row =
        if measured { file!("shared/predictions_measured.wgsl") } else { file!("shared/predictions.wgsl") };
    let columns = s.counted_columns();
    Pass {
        grid: s.blocks(s.rows(), ROW_BLOCK),
        params: Some(Params {
            structure: "ResidualParams",
            buffer: BufferId::ResidualParams,
            which: Which::Only,
            entry: Entry::Fixed(usize::from(at_e)),
        }),
        cost: Cost::rowwise(6.0 * s.rows() as f64 * columns, 0.0),
        ..Pass::new("residual", when)
    }
    .binds([
        z,
        before,
        read("rows", BufferId::Rows).reals(),
        read("lane_state", BufferId::LaneState),
        write("r", BufferId::Residual),
    ])
    .binds(measured.then(|| write("extrapolated", BufferId::Extrapolated)))
    .with([
        file!("kernel/residual.wgsl"),
        row,
        file!("epilogue/residual.wgsl"),
        file!("epilogue/extrapolate.wgsl"),
        file!("shared/values.wgsl"),
        file!("shared/lane_state4.wgsl"),
        file!("shared/step_params.wgsl"),
        Part::Loss,
    ])
    .weighs_rows(s)
}

/// The step: an epilogue of the gradient's product if possible.
fn step(s: &Shape) -> Vec<Pass> {
    let (q, own, when) = (s.state_rows(), rows_per_sum(s.d()), When::Iteration);
    let columns = s.counted_columns();
    let work = Cost::rowwise(12.0 * q as f64 * columns, q as f64 * columns);
    if s.tangents_wait() {
        return step_of_listed(s, work);
    }
    if s.steps_in_product() {
        let product = gradient("gradient_step", when, false).pass(s, Cut::Whole, vec!["step"]);
        let step = product.binds(step_bindings(s)).with(step_parts(s)).costs(work);
        return std::iter::once(step).chain(active_set(s)).collect();
    }
    let mut list = gradient("gradient", when, true).stored(s);
    let step = rowwise(s, ("step", when), read("g", BufferId::Gradient), (q, own), vec!["step"]);
    list.push(step.binds(step_bindings(s)).with(step_parts(s)).costs(work));
    list
}

/// The step if tangents follow in a later pass: first the iterates, then the tangents in the
/// rows that are not zero.
fn step_of_listed(s: &Shape, work: Cost) -> Vec<Pass> {
    let (q, own, when) = (s.state_rows(), rows_per_sum(s.d()), When::Iteration);
    let iterate = gradient("gradient_iterate", when, false)
        .pass(s, Cut::Iterate, vec!["iterate"])
        .binds(step_bindings(s))
        .binds([write("stepped", BufferId::Stepped)])
        .with([file!("epilogue/iterate.wgsl")])
        .with(step_parts(s))
        .costs(work);
    let tangents = gradient("gradient_tangents", when, true)
        .pass(s, Cut::Tangents, Vec::new())
        .binds([read("active_set", BufferId::ActiveSets).counts()]);
    let g = read("g", BufferId::Gradient);
    let step = rowwise(s, ("step_tangents", when), g, (q, own), vec!["tangents"])
        .binds(step_bindings(s))
        .binds([read("stepped", BufferId::Stepped)])
        .with([file!("epilogue/tangents.wgsl")])
        .with(step_parts(s));
    std::iter::once(iterate).chain(active_set(s)).chain([tangents, step]).collect()
}

/// Lists the coefficients that are not zero in the new iterates.
fn active_set(s: &Shape) -> Option<Pass> {
    s.active_sets.then(|| Pass {
        bindings: vec![
            read("x", BufferId::State).other(),
            write("active_set", BufferId::ActiveSets).counts(),
            update("active_counts", BufferId::ActiveCounts).counts(),
        ],
        parts: vec![
            file!("kernel/active_set.wgsl"),
            Part::Constants(vec![("ACTIVE_SET_LANE4S", s.active_set_lane4s())]),
        ],
        grid: [super::passes::count(s.lane4s().div_ceil(s.active_set_lane4s())), 1, 1],
        ..Pass::new("active_set", When::Iteration)
    })
}

/// The new predictions with their loss and, if the schedule is not adaptive, the residual
/// of the next iteration.
fn observe(s: &Shape) -> Vec<Pass> {
    let (n, own, when) = (s.rows(), rows_per_sum(s.d()), When::Iteration);
    let columns = s.counted_columns();
    let mut work = Cost::rowwise(4.0 * n as f64 * columns, n as f64 * columns);
    let mut epilogues = vec!["observe"];
    let mut bindings = vec![read("rows", BufferId::Rows).reals(), write("partials", BufferId::Partials)];
    let mut parts = vec![file!("epilogue/observe.wgsl"), file!("shared/partials.wgsl"), Part::Loss];
    if s.request.folds > 0 {
        epilogues.push("validate");
        parts.push(file!("epilogue/validate.wgsl"));
    }
    if s.request.measures_curvature {
        epilogues.push("secant");
        bindings.extend([read("r", BufferId::Residual), read("extrapolated", BufferId::Extrapolated)]);
        parts.push(file!("epilogue/secant.wgsl"));
    }
    if !s.observes_in_product() {
        let mut list = predict(s, when, Binding::other);
        let z = read("z", BufferId::Prediction).other();
        let observe = rowwise(s, ("observe", when), z, (n, own), epilogues);
        list.push(observe.binds(bindings).with(parts).costs(work).weighs_rows(s));
        return list;
    }
    if s.stores_next_residual() {
        epilogues.push("residual");
        work.flops += 6.0 * n as f64 * columns;
        bindings.extend([
            read("z_before", BufferId::Prediction).current(),
            read("lane_state", BufferId::LaneState),
            write("r", BufferId::Residual),
        ]);
        parts.extend([
            file!("epilogue/residual.wgsl"),
            file!("epilogue/extrapolate.wgsl"),
            file!("epilogue/next_extrapolation.wgsl"),
            file!("shared/lane_state4.wgsl"),
            file!("shared/step_params.wgsl"),
        ]);
    }
    if s.active_sets {
        bindings.push(read("active_set", BufferId::ActiveSets).counts());
    }
    let predict = Operation {
        kernel: "predict_observe",
        when,
        side: Side::Plain,
        matrix: BufferId::Design,
        operand: read("x", BufferId::State).other(),
        result: Some(write("z", BufferId::Prediction).other()),
    };
    let cut = if s.active_sets { Cut::Terms } else { Cut::Whole };
    vec![predict.pass(s, cut, epilogues).binds(bindings).with(parts).costs(work).weighs_rows(s)]
}

/// The stop rule at the new iterate.
fn check(s: &Shape) -> Vec<Pass> {
    let mut list = vec![residual(s, When::Check)];
    list.extend(gradient("gradient", When::Check, true).stored(s));
    list.push(shared::criterion(s));
    if s.request.has_dual {
        list.extend([gap_loss(s), shared::gap_penalty(s)]);
    }
    list
}

/// The loss term of the duality gap.
fn gap_loss(s: &Shape) -> Pass {
    Pass {
        bindings: vec![
            read("z", BufferId::Prediction).other(),
            read("rows", BufferId::Rows).reals(),
            update("partials", BufferId::Partials),
        ],
        parts: vec![
            file!("kernel/gap_loss.wgsl"),
            file!("shared/partials.wgsl"),
            file!("shared/dual_scale.wgsl"),
            Part::Loss,
        ],
        grid: s.blocks(s.rows(), ROW_BLOCK),
        cost: Cost::rowwise(20.0 * s.rows() as f64 * s.counted_columns(), 0.0),
        ..Pass::new("gap_loss", When::Check)
    }
    .weighs_rows(s)
}
