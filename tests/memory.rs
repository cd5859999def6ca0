//! Memory: nothing is allocated from one iteration to the next, and nothing piles up over many chunks. One
//! test, as allocations and persistent bytes are those of the whole process.

use std::alloc::System;
use std::ops::ControlFlow;

use proxjet::engine::cpu::{CpuEngine, products_alone};
use proxjet::objective::{Loss, Objective, Penalty};
use proxjet::program::Precision;
use proxjet::solve::Sweep;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[allow(dead_code)]
mod common;
use common::synthetic;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Persistent bytes of this process.
fn persistent() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

#[test]
fn nothing_is_allocated_by_iterations_and_nothing_piles_up() {
    iterations_of_the_cpu_engine_allocate_nothing();
    the_entries_of_a_design_are_shared();
    ten_thousand_chunks_pile_up_nothing();
}

/// A run of twice as many iterations allocates as much, but for what the product library takes for its two
/// products, and a block of the thread pool's queue now and then.
fn iterations_of_the_cpu_engine_allocate_nothing() {
    for (loss, classes) in [(Loss::squared(), false), (Loss::logistic(), true)] {
        let problem = Objective::builder(synthetic(80, 12, classes, 3)).loss(loss).build().unwrap();
        let count = |work: &dyn Fn()| {
            work();
            let region = Region::new(ALLOCATOR);
            work();
            region.change().allocations as f64
        };
        // One chunk, one frame: what is left are the iterations.
        let run = |iterations: usize| {
            let sweep =
                Sweep::new(problem.clone()).alphas("path:0.1:20".parse().unwrap()).iterations(iterations);
            sweep.tol(0.0).every(iterations).chunk(iterations).run(&mut CpuEngine::new()).unwrap();
        };
        let each = (count(&|| run(200)) - count(&|| run(100))) / 100.0;
        let alone = |times: usize| {
            products_alone(&problem, 40, Precision::F64, times);
        };
        let products = (count(&|| alone(200)) - count(&|| alone(100))) / 100.0;
        println!("{loss}: {each} allocations an iteration, {products} of them by its products");
        assert!(each - products < 0.5, "{each} {products}");
    }
}

/// One copy of the design in f64 serves data set, objective and CPU engine; an engine in f32 has one of its
/// own.
fn the_entries_of_a_design_are_shared() {
    let data = synthetic(3000, 400, false, 5);
    let design = (3000 * 400 * 8) as f64;
    // The product library gives each thread pages of its own when that first needs them: the least of some
    // runs counts.
    let designs = |work: &dyn Fn()| {
        let allocated = |_| {
            let region = Region::new(ALLOCATOR);
            work();
            region.change().bytes_allocated as f64 / design
        };
        (0..5).map(allocated).reduce(f64::min).unwrap()
    };
    let objective =
        || Objective::builder(data.clone()).penalty(Penalty::l2()).intercept(false).build().unwrap();
    let build = designs(&|| drop(objective()));
    let sweep = Sweep::new(objective()).alphas("0.1".parse().unwrap()).iterations(2).every(2).tol(0.0);
    let run = |precision: Precision| {
        let sweep = sweep.clone().precision(precision);
        designs(&|| drop(sweep.run(&mut CpuEngine::new()).unwrap()))
    };
    let (double, single) = (run(Precision::F64), run(Precision::F32));
    println!("in units of a design: {build} by the objective, {double} by a run in f64, {single} in f32");
    assert!(build < 0.6 && double < 0.2, "{build} {double}");
    assert!((0.5..0.7).contains(&single), "{single}");
}

fn ten_thousand_chunks_pile_up_nothing() {
    let Some(mut engine) = common::engine("gpu") else { return };
    let problem = Objective::builder(synthetic(20, 4, false, 8)).build().unwrap();
    let sweep =
        Sweep::new(problem).alphas("path:0.1:4".parse().unwrap()).iterations(20_400).tol(0.0).every(20_400);
    let (mut chunks, mut early, mut late) = (0, 0, 0);
    let watch = |_: &_, _: &_| {
        chunks += 1;
        match chunks {
            500 => early = persistent(),
            10_200 => late = persistent(),
            _ => {}
        }
        ControlFlow::Continue(())
    };
    sweep.precision(Precision::F32).chunk(2).run_with(engine.as_mut(), watch).unwrap();
    assert!(chunks >= 10_000, "{chunks}");
    assert!(early > 0 || !cfg!(target_os = "linux"), "nothing was measured");
    // Pages of the trace, which is made for all iterations at once, are touched on the way: 9 numbers of 4
    // lanes.
    let trace = 20_400 * 4 * 9 * 8;
    println!("{early} persistent bytes after 500 chunks, {late} after 10 200");
    assert!(late < early + trace + (2 << 20), "{early} {late}");
}
