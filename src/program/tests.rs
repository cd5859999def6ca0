use std::collections::HashSet;

use super::*;
use crate::error::ErrorKind;

pub(super) fn request() -> Request {
    let plain = Request::plain((442, 10), 100, 1, 500, Precision::F64);
    Request { every: 10, check_every: 10, memory_budget: 1 << 30, ..plain }
}

pub(super) fn limits() -> Limits {
    Limits {
        engine: "cpu",
        max_buffer_bytes: u64::MAX,
        max_workgroups: 65535,
        max_lanes: usize::MAX,
        flops: 1e10,
        flops_wide: 1e10,
        element: 1e-9,
        flops_persistent: 2e9,
        overhead: 1e-4,
        dispatch: 0.0,
        lane: 0.0,
        workgroup_bytes: 32 << 10,
        max_invocations: 256,
        device: DeviceKind::Discrete,
        storage_buffers: 16,
        wide: true,
        timestamps: false,
    }
}

#[test]
fn a_plan_that_fits_has_slots_for_all_lanes() {
    let plan = Plan::new(request(), &limits()).unwrap();
    assert_eq!(plan.slots, 100);
    assert_eq!(plan.device_bytes, plan.program.buffers.iter().map(Buffer::bytes).sum::<u64>());
    assert!(plan.device_bytes + plan.host_bytes < 1 << 30);
    assert!(plan.is_frame(0) && plan.is_frame(20) && !plan.is_frame(21));
    assert!(plan.is_check(500) && plan.is_check(20) && !plan.is_check(21));
    assert!(plan.to_string().contains("100 lanes"));
}

#[test]
fn the_strategy_is_the_fastest_of_those_that_can_run() {
    let gpu = Limits { engine: "gpu", ..limits() };
    let chosen = |r: Request, l: &Limits| Plan::new(r, l).map(|p| (p.strategy, p.strategy_reason));
    let tall = Request { rows: 5000, state_rows: 50, ..request() };
    let wide = Request { rows: 50, state_rows: 5000, lanes: 4, ..request() };
    assert_eq!(chosen(tall, &gpu).unwrap().0, Strategy::Gram);
    assert_eq!(chosen(wide, &gpu).unwrap().0, Strategy::Direct);
    // For a single lane of few iterations the matrix does not pay.
    let short = Request { state_rows: 500, lanes: 1, iterations: 10, ..tall };
    assert_eq!(chosen(short, &gpu).unwrap().0, Strategy::Direct);
    // If dispatches are slow, the strategy with fewer of them is faster, as long as a lane fits a workgroup.
    let dear = Limits { dispatch: 1e-3, ..gpu.clone() };
    let small = Request { state_rows: 10, ..tall };
    assert_eq!(chosen(small, &dear).unwrap().0, Strategy::Persistent);
    let (strategy, reason) = chosen(Request { state_rows: 4000, ..small }, &dear).unwrap();
    assert!(strategy != Strategy::Persistent && reason.contains("workgroup's memory"), "{reason}");
    let (strategy, reason) = chosen(Request { validation_rows: 5, ..small }, &dear).unwrap();
    assert!(strategy != Strategy::Persistent && reason.contains("held-out"), "{reason}");
    assert_eq!(chosen(tall, &limits()).unwrap().0, Strategy::Gram);
    assert_eq!(chosen(wide, &limits()).unwrap().0, Strategy::Direct);
    for (r, l, why) in [
        (Request { target_tangents: true, ..tall }, &limits(), "target"),
        (Request { quadratic: false, ..tall }, &gpu, "quadratic"),
        (Request { measures_curvature: true, ..tall }, &gpu, "curvature"),
        (Request { metric: MetricKind::Hessian { every: 1 }, ..tall }, &gpu, "metric"),
        (tall, &Limits { wide: false, ..gpu.clone() }, "f64"),
    ] {
        let (strategy, reason) = chosen(r, l).unwrap();
        assert!(strategy == Strategy::Direct && reason.contains(why), "{reason}");
        let refused = chosen(Request { strategy: Some(Strategy::Gram), ..r }, l).unwrap_err();
        assert!(refused.kind == ErrorKind::Usage && refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn lanes_take_turns_when_a_buffer_is_too_small_for_all() {
    let narrow = Limits { max_buffer_bytes: 300_000, ..limits() };
    let plan = Plan::new(request(), &narrow).unwrap();
    assert!(plan.slots > 0 && plan.slots < 100);
    assert!(plan.program.buffers.iter().all(|b| b.bytes_of_one() <= narrow.max_buffer_bytes));
}

#[test]
fn a_plan_over_the_budget_is_refused_with_the_numbers() {
    let e = Plan::new(Request { memory_budget: 100_000, ..request() }, &limits()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Memory);
    assert!(e.to_string().contains("at most 97.7 KiB"), "{e}");
    let huge = Request { lanes: usize::MAX / 64, iterations: 1 << 20, ..request() };
    assert_eq!(Plan::new(huge, &limits()).unwrap_err().kind, ErrorKind::Memory);
}

/// Programs of all strategies and settings, by name.
fn programs() -> Vec<(String, Program)> {
    let r = Request { sparsity: true, asks_sparsity: true, ..request() };
    let curvature = Request { measures_curvature: true, adaptive: true, constants: 2, ..r };
    let mut requests = vec![
        ("measured", curvature),
        ("adaptive", Request { adaptive: true, constants: 9, ..r }),
        ("held-out rows", Request { validation_rows: 7, ..r }),
        ("held-out rows, 9 tangents", Request { validation_rows: 7, tangents: 9, ..r }),
        ("Hessian", Request { metric: MetricKind::Hessian { every: 3 }, ..r }),
        ("table", Request { metric: MetricKind::Table { per_lane: true }, ..r }),
        ("fixed", Request { metric: MetricKind::Fixed, ..r }),
        ("tabulated", Request { factored: false, stages: 2, ..r }),
        ("no dual", Request { has_dual: false, ..r }),
        ("split predictions", Request { rows: 3, state_rows: 3000, ..r }),
        ("split gradients", Request { rows: 3000, state_rows: 3, ..r }),
        ("active sets", Request { rows: 300, state_rows: 260, ..r }),
        ("active sets, no tangents", Request { rows: 300, state_rows: 260, tangents: 0, ..r }),
        ("session", Request { session: Some(Keep::Frames), ..r }),
    ];
    requests.extend([0, 1, 9].map(|tangents| ("tangents", Request { tangents, ..r })));
    let gpu = Limits { engine: "gpu", timestamps: true, ..limits() };
    let all = requests.into_iter().flat_map(|r| Strategy::ALL.map(|strategy| (r, strategy)));
    let planned = all.filter_map(|((name, r), strategy)| {
        let plan = Plan::new(Request { strategy: Some(strategy), ..r }, &gpu).ok()?;
        Some((format!("{name}, {} tangents, {strategy}", r.tangents), plan.program))
    });
    planned.collect()
}

#[test]
fn passes_bind_the_buffers_of_their_program() {
    let programs = programs();
    assert!(programs.len() > 35, "{}", programs.len());
    for (name, program) in programs {
        let mut bound = HashSet::new();
        let mut check = |id: BufferId, which: Which, usage: Usage| {
            let buffer = program.buffer(id).unwrap_or_else(|| panic!("{name}: no buffer {}", id.name()));
            let fits = match which {
                Which::Only => buffer.copies == Copies::One,
                Which::Current | Which::Other => buffer.copies == Copies::Iterate,
                Which::Chunk => buffer.copies == Copies::Chunk,
            };
            assert!(fits && buffer.usage == usage, "{name}: {which:?} {buffer:?}");
            bound.insert(id);
        };
        for pass in &program.passes {
            pass.bindings.iter().for_each(|b| check(b.buffer, b.which, Usage::Storage));
            pass.params.iter().for_each(|p| check(p.buffer, p.which, Usage::Uniform));
        }
        for buffer in &program.buffers {
            let is_bound = matches!(buffer.usage, Usage::Storage | Usage::Uniform);
            assert_eq!(bound.contains(&buffer.id), is_bound, "{name}: {}", buffer.id.name());
        }
    }
}

/// Values that are not kept for the next iteration are written before they are read.
#[test]
fn buffers_of_an_iteration_are_written_before_they_are_read() {
    use BufferId::{ActiveSets, Gradient, SplitPartials, Stepped, ValidationPrediction};
    let writes = |p: &Pass, id| p.bindings.iter().any(|b| b.buffer == id && b.access != Access::Read);
    let mut read = HashSet::new();
    for (name, program) in programs() {
        for (i, pass) in program.passes.iter().enumerate() {
            let earlier = &program.passes[..i];
            for b in pass.bindings.iter().filter(|b| b.access != Access::Write) {
                if ![ActiveSets, Gradient, SplitPartials, Stepped, ValidationPrediction].contains(&b.buffer) {
                    continue;
                }
                let written =
                    |p: &Pass| writes(p, b.buffer) && (p.when == pass.when || p.when == When::Iteration);
                assert!(earlier.iter().any(written), "{name}: {} reads {}", pass.kernel, b.buffer.name());
                read.insert(b.buffer);
            }
        }
    }
    assert_eq!(read.len(), 5, "{read:?}");
}

#[test]
fn tiles_change_neither_buffers_nor_bindings() {
    let other = Tile { rows: 4, lane4s: 1, group: [16, 16], depth: 8, unroll: 1 };
    for (name, program) in programs() {
        let tiled = program.with_tiles(Tiles { stored: [other; 2], fused: [other; 2] });
        assert_eq!(program.buffers, tiled.buffers, "{name}");
        for (a, b) in program.passes.iter().zip(&tiled.passes) {
            assert_eq!((a.kernel, &a.bindings, a.when), (b.kernel, &b.bindings, b.when), "{name}");
        }
    }
}

/// An iteration has as few dispatches as its strategy allows.
#[test]
fn the_passes_of_an_iteration() {
    let kernels = |r: Request, strategy: Strategy| {
        let gpu = Limits { engine: "gpu", ..limits() };
        let plan = Plan::new(Request { strategy: Some(strategy), ..r }, &gpu).unwrap();
        let always = plan.program.passes_at(When::Iteration);
        always.map(|(_, pass)| pass.kernel).collect::<Vec<_>>()
    };
    let large = Request { rows: 300, state_rows: 260, sparsity: true, asks_sparsity: true, ..request() };
    let many = Request { tangents: 9, ..request() };
    for (r, strategy, expected) in [
        (request(), Strategy::Direct, &["finalize", "gradient_step", "predict_observe"][..]),
        (request(), Strategy::Gram, &["finalize", "gram_step", "gram_product_loss"]),
        (request(), Strategy::Persistent, &["persistent", "finalize"]),
        (many, Strategy::Direct, &["finalize", "gradient", "step", "predict", "observe"]),
        (many, Strategy::Gram, &["finalize", "gram_step", "gram_product", "gram_loss"]),
        (
            large,
            Strategy::Direct,
            &[
                "finalize",
                "gradient_iterate",
                "active_set",
                "gradient_tangents",
                "step_tangents",
                "predict_observe",
            ],
        ),
        (
            Request { tangents: 0, ..large },
            Strategy::Direct,
            &["finalize", "gradient_step", "active_set", "predict_observe"],
        ),
    ] {
        assert_eq!(kernels(r, strategy), expected, "{strategy}");
    }
}
