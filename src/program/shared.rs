//! Passes that all strategies use: finalizing, the metric, held-out rows, the stop rule, and loading lanes.

use super::passes::{At, Binding, Cost, Entry, Params, Part, Pass, When, count, file, read, update, write};
use super::products::{Cut, Operation, rowwise};
use super::{BufferId, MetricKind, ROW_BLOCK, Shape, Side, Strategy, Which, rows_per_sum};

/// Bindings of the kernels that finalize an iteration of a lane or decide its next one.
pub(super) fn control_bindings(s: &Shape) -> Vec<Binding> {
    let rules = if s.request.factored {
        read("rules", BufferId::StepFactors)
    } else {
        read("rules", BufferId::StepTables).chunk()
    };
    vec![
        rules.reals(),
        read("constants", BufferId::Constants).reals(),
        read("lanes", BufferId::Lanes),
        update("lane_state", BufferId::LaneState).reals(),
        write("records", BufferId::Records).chunk().reals(),
    ]
}

/// Files of these kernels.
pub(super) fn control_parts(s: &Shape) -> Vec<Part> {
    let rules =
        if s.request.factored { file!("schedule/factored.wgsl") } else { file!("schedule/tabulated.wgsl") };
    vec![file!("shared/control.wgsl"), file!("shared/status.wgsl"), rules, file!("shared/lane.wgsl")]
}

/// Reduces the partial sums of an iteration, records it, and decides the status of each lane
/// and its next iteration.
pub(super) fn finalize(s: &Shape, when: When) -> Pass {
    let sums =
        if s.sums_alone() { file!("shared/sums_alone.wgsl") } else { file!("shared/sums_together.wgsl") };
    // In the persistent strategy, and at the end of a chunk, this pass follows an iteration;
    // otherwise it precedes one.
    let after = when == When::ChunkEnd || s.strategy == Strategy::Persistent;
    Pass {
        params: Some(Params {
            structure: "FinalizeParams",
            buffer: BufferId::FinalizeParams,
            which: Which::Chunk,
            entry: Entry::Iteration,
        }),
        bindings: control_bindings(s),
        grid: [count(s.lane4s().div_ceil(s.finalize_lane4s())), 1, 1],
        cost: Cost::rowwise(20.0 * s.counted_columns(), 0.0),
        at: if after { At::Next } else { At::Last },
        ..Pass::new("finalize", when)
    }
    .binds([read("partials", BufferId::Partials)])
    .with([file!("kernel/finalize.wgsl"), sums, file!("shared/lane_state.wgsl")])
    .with(control_parts(s))
}

/// The metric of an iteration, if it changes.
pub(super) fn metric(s: &Shape) -> Vec<Pass> {
    match s.request.metric {
        MetricKind::None | MetricKind::Fixed => Vec::new(),
        MetricKind::Table { .. } => vec![metric_table(s)],
        MetricKind::Hessian { .. } => metric_hessian(s),
    }
}

fn metric_table(s: &Shape) -> Pass {
    Pass {
        params: Some(Params {
            structure: "MetricParams",
            buffer: BufferId::MetricParams,
            which: Which::Only,
            entry: Entry::Iteration,
        }),
        bindings: vec![
            read("metric_table", BufferId::MetricTables).chunk().reals(),
            write("metric", BufferId::Metric),
        ],
        parts: vec![file!("kernel/metric_table.wgsl")],
        grid: s.blocks(s.state_rows(), ROW_BLOCK),
        ..Pass::new("metric_table", When::Refresh)
    }
}

/// Curvatures of the rows, their product with the squares of the design, and the metric computed from it.
fn metric_hessian(s: &Shape) -> Vec<Pass> {
    let (n, q, when) = (s.rows(), s.state_rows(), When::Refresh);
    let curvatures = Pass {
        bindings: vec![
            read("z", BufferId::Prediction).current(),
            read("rows", BufferId::Rows).reals(),
            write("r", BufferId::Residual),
        ],
        parts: vec![file!("kernel/curvatures.wgsl"), Part::Loss],
        grid: s.blocks(n, ROW_BLOCK),
        cost: Cost::rowwise(8.0 * n as f64 * s.counted_columns(), 0.0),
        ..Pass::new("curvatures", when)
    }
    .weighs_rows(s);
    let squares = Operation {
        kernel: "gradient_squares",
        when,
        side: Side::Transposed,
        matrix: BufferId::DesignSquares,
        operand: read("r", BufferId::Residual),
        result: Some(write("g", BufferId::Gradient)),
    };
    let metric = Pass {
        bindings: vec![
            read("g", BufferId::Gradient),
            read("bound", BufferId::CurvatureBound).reals(),
            read("lane_state", BufferId::LaneState),
            update("metric", BufferId::Metric),
        ],
        parts: vec![
            file!("kernel/metric_hessian.wgsl"),
            file!("shared/lane_state4.wgsl"),
            file!("shared/step_params.wgsl"),
        ],
        grid: s.blocks(q, ROW_BLOCK),
        cost: Cost::rowwise(8.0 * q as f64 * s.counted_columns(), 0.0),
        ..Pass::new("metric_hessian", when)
    };
    std::iter::once(curvatures).chain(squares.stored(s)).chain([metric]).collect()
}

/// Predictions of held-out rows, their loss and its derivatives.
pub(super) fn validation(s: &Shape) -> Vec<Pass> {
    let (rows, when) = (s.request.validation_rows, When::Iteration);
    if rows == 0 {
        return Vec::new();
    }
    let parts = |pass: Pass| {
        pass.binds([
            read("validation_rows", BufferId::ValidationRows).reals(),
            write("partials", BufferId::Partials),
        ])
        .with([file!("epilogue/validate.wgsl"), file!("shared/held_out.wgsl")])
        .with([file!("shared/partials.wgsl"), Part::Loss])
        .costs(Cost::rowwise(4.0 * rows as f64 * s.counted_columns(), 0.0))
    };
    let predict = Operation {
        kernel: "predict_validation",
        when,
        side: Side::Plain,
        matrix: BufferId::ValidationDesign,
        operand: read("x", BufferId::State).other(),
        result: Some(write("validation_z", BufferId::ValidationPrediction)),
    };
    if s.validates_in_product() {
        let predict = Operation { kernel: "predict_validate", result: None, ..predict };
        return vec![parts(predict.pass(s, Cut::Whole, vec!["validate"]))];
    }
    let z = read("validation_z", BufferId::ValidationPrediction);
    let block = rows_per_sum(s.d());
    let validate = rowwise(s, ("validate", when), z, (rows, block), vec!["validate"]);
    predict.stored(s).into_iter().chain([parts(validate)]).collect()
}

/// The residuals of the stop rule and, if there is a dual, the factor by which the dual point must shrink.
pub(super) fn criterion(s: &Shape) -> Pass {
    let dual = s.request.has_dual;
    let epilogues = std::iter::once("criterion").chain(dual.then_some("dual_ratio"));
    let g = read("g", BufferId::Gradient);
    let rows = if s.is_gram() { s.state_rows() } else { s.rows() + s.state_rows() };
    rowwise(s, ("criterion", When::Check), g, (s.state_rows(), ROW_BLOCK), epilogues.collect())
        .binds([
            read("x", BufferId::State).other(),
            read("lanes", BufferId::Lanes),
            write("partials", BufferId::Partials),
        ])
        .with([file!("epilogue/criterion.wgsl")])
        .with(dual.then_some(file!("epilogue/dual_ratio.wgsl")))
        .with(penalty_parts())
        .costs(Cost::rowwise(20.0 * rows as f64 * s.counted_columns(), 0.0))
}

fn penalty_parts() -> Vec<Part> {
    vec![
        file!("shared/partials.wgsl"),
        file!("shared/strength.wgsl"),
        file!("shared/prox.wgsl"),
        Part::Penalty,
    ]
}

/// The penalty term of the duality gap.
pub(super) fn gap_penalty(s: &Shape) -> Pass {
    Pass {
        bindings: vec![
            read("x", BufferId::State).other(),
            read("g", BufferId::Gradient),
            read("lanes", BufferId::Lanes),
            update("partials", BufferId::Partials),
        ],
        parts: vec![file!("kernel/gap_penalty.wgsl"), file!("shared/dual_scale.wgsl")],
        grid: s.blocks(s.state_rows(), ROW_BLOCK),
        ..Pass::new("gap_penalty", When::Check)
    }
    .with(penalty_parts())
}

/// Most blocks of rows of `load` along its second dimension; more lie along the third, as a device may have
/// only 65535 workgroups in each.
const MOST_BLOCKS_ALONG_Y: usize = 1 << 8;

/// Workgroups of `load`: lanes, and blocks of rows along two dimensions.
fn load_grid(s: &Shape, rows: usize) -> [u32; 3] {
    let blocks = rows.div_ceil(ROW_BLOCK);
    [
        count(s.arrivals().div_ceil(64)),
        count(blocks.min(MOST_BLOCKS_ALONG_Y)),
        count(blocks.div_ceil(MOST_BLOCKS_ALONG_Y)),
    ]
}

/// Loads lanes: their lane state, and their columns of the iterates, of carried products and of the metric.
pub(super) fn load(s: &Shape) -> Vec<Pass> {
    let arrivals = || read("arrivals", BufferId::Arrivals).reals();
    let pass = |kernel: &'static str, rows: usize, bindings: Vec<Binding>, part: Part| Pass {
        params: Some(Params {
            structure: "LoadParams",
            buffer: BufferId::LoadParams,
            which: Which::Only,
            entry: Entry::Fixed(0),
        }),
        bindings: [vec![arrivals()], bindings].concat(),
        parts: vec![
            part,
            file!("shared/arrivals.wgsl"),
            Part::Constants(vec![("BLOCKS_ALONG_Y", MOST_BLOCKS_ALONG_Y)]),
        ],
        grid: load_grid(s, rows),
        ..Pass::new(kernel, When::Load)
    };
    let state = vec![
        write("lane_state", BufferId::LaneState).reals(),
        write("x", BufferId::State).current().reals(),
        write("x_previous", BufferId::State).other().reals(),
    ];
    let mut list = vec![pass("load", s.stride(), state, file!("kernel/load.wgsl"))];
    let carried = if s.is_gram() { BufferId::Carried } else { BufferId::Prediction };
    if s.carried_rows() > 0 {
        let bindings = vec![
            write("carried", carried).current().reals(),
            write("carried_before", carried).other().reals(),
        ];
        list.push(pass("load_carried", s.carried_rows(), bindings, file!("kernel/load_carried.wgsl")));
    }
    if s.has_metric() {
        let bindings = vec![write("metric", BufferId::Metric).reals()];
        list.push(pass("load_metric", s.state_rows(), bindings, file!("kernel/load_metric.wgsl")));
    }
    list
}
