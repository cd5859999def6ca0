use super::*;
use crate::data::bundled;
use crate::engine::Engine;
use crate::engine::gpu::{GpuEngine, Keep, Pick};
use crate::objective::{Derivative, Objective};
use crate::program::{Request, Strategy};
use crate::schedule::{Algorithm, Metric, Step};
use crate::solve::{Alphas, Sweep};

fn engine() -> Option<GpuEngine> {
    match GpuEngine::request(Pick::Any) {
        Ok(engine) => Some(engine),
        Err(e) => {
            assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter: {e}");
            eprintln!("SKIPPED, no adapter: {e}");
            None
        }
    }
}

/// Sweeps that have all kinds of buffers.
fn sweeps() -> Vec<(&'static str, Sweep)> {
    let (fitted, held_out) = bundled("digits").unwrap().split("0.2:1".parse().unwrap()).unwrap();
    let validated = Objective::builder(fitted.clone()).validation(held_out).build().unwrap();
    let plain = Objective::builder(fitted).build().unwrap();
    // Large enough for active sets.
    let x = ndarray::Array2::from_shape_fn((300, 260), |(i, j)| ((7 * i + 13 * j) % 31) as f64);
    let y = x.column(0).to_owned();
    let large = Objective::builder(crate::data::Dataset::new(x, y).unwrap()).build().unwrap();
    // Its columns are centred, without filling them.
    let entries = (0..300).map(|i| (i % 90, (7 * i) % 40, (i % 5) as f64));
    let sparse = |rows: usize| {
        let (x, _) = crate::design::Sparse::from_triplets((90, 40), entries.clone()).unwrap();
        let data =
            crate::data::Dataset::new(x, (0..90).map(f64::from).collect::<ndarray::Array1<f64>>()).unwrap();
        data.select(&(0..rows).collect::<Vec<_>>()).unwrap()
    };
    let alone = Objective::builder(sparse(90)).build().unwrap();
    let sparse = Objective::builder(sparse(90)).validation(sparse(50)).build().unwrap();
    let sweep = |problem: &Objective| {
        let sweep = Sweep::new(problem.clone()).alphas(Alphas::List(vec![0.1; 37])).algorithm(Algorithm::Pgd);
        sweep.metric(Metric::None).iterations(20).every(5).tol(0.0).precision(Precision::F32)
    };
    let table = ndarray::ArrayD::from_elem(vec![20, 37, 64], 0.5);
    let in_strategy = |strategy| sweep(&plain).strategy(Some(strategy));
    vec![
        ("direct", in_strategy(Strategy::Direct)),
        ("gram", in_strategy(Strategy::Gram)),
        ("persistent", in_strategy(Strategy::Persistent)),
        ("hessian", sweep(&validated).metric(Metric::Hessian { every: 5, gain: 1.5 })),
        ("sparse", sweep(&sparse).strategy(Some(Strategy::Direct))),
        ("sparse, f64", sweep(&sparse).strategy(Some(Strategy::Direct)).precision(Precision::F64)),
        ("sparse, gram", sweep(&sparse).strategy(Some(Strategy::Gram))),
        ("sparse, persistent", sweep(&alone).strategy(Some(Strategy::Persistent))),
        ("sparse, hessian", sweep(&sparse).metric(Metric::Hessian { every: 5, gain: 1.5 })),
        ("metric table", sweep(&plain).metric(Metric::Table(table))),
        ("step table", sweep(&plain).step(Step::Table(ndarray::ArrayD::from_elem(vec![20, 37], 0.5)))),
        ("backtracking", sweep(&plain).step(Step::Backtracking { start: 4.0, shrink: 0.5 })),
        ("many tangents", sweep(&validated).derivatives(vec![Derivative::LogAlpha; 9])),
        ("active sets", sweep(&large).strategy(Some(Strategy::Direct))),
        ("f64", sweep(&large).strategy(Some(Strategy::Direct)).precision(Precision::F64)),
    ]
}

/// Bytes of the buffers that a run holds from the start, and of those that are created when needed.
fn held(run: &GpuRun<'_>) -> (u64, u64) {
    let (program, held) = (&run.held.program, &run.held);
    let later = program.buffers.iter().filter(|b| matches!(b.copies, crate::program::Copies::Many(_)));
    let bytes = later.map(|b| {
        let one = held.another(run.context, b.id).expect("it is in the program");
        one.size() * b.count() as u64
    });
    (held.held_bytes(), bytes.sum())
}

#[test]
fn a_run_holds_the_bytes_that_its_plan_counts() {
    let Some(mut engine) = engine() else { return };
    for (name, sweep) in sweeps() {
        let prepared = sweep.prepare().unwrap();
        let plan = sweep.plan(&engine).unwrap();
        assert_eq!(plan.active_sets, matches!(name, "active sets" | "f64"), "{name}");
        let job = prepared.job(sweep.problem(), 0.0);
        let tiles = engine.tiles(&plan);
        let mut run = GpuRun::new(&engine.context, &mut engine.compiled, &plan, &job, tiles).unwrap();
        let (first, later) = held(&run);
        assert_eq!(first + later, plan.device_bytes, "{name}");
        // There are no more staging buffers than in the plan, however many chunks there are.
        run.load(&(0..plan.slots).map(|lane| job.begin(lane, None)).collect::<Vec<_>>()).unwrap();
        for _ in 0..2 {
            for _ in 0..run.depth() {
                assert!(run.submit(2).unwrap() > 0);
            }
            while run.in_flight() > 0 {
                run.collect().unwrap();
            }
            assert_eq!(run.staging.len(), CHUNKS_IN_FLIGHT, "{name}");
            let staging: u64 = run.staging.iter().map(wgpu::Buffer::size).sum();
            assert_eq!(staging, later, "{name}");
        }
    }
}

#[test]
fn a_session_holds_the_bytes_that_its_plan_counts() {
    let Some(mut engine) = engine() else { return };
    let (name, sweep) = sweeps().swap_remove(10);
    assert_eq!(name, "step table");
    for keep in [Keep::Nothing, Keep::Records, Keep::Frames] {
        let prepared = sweep.prepare().unwrap();
        let request = Request { session: Some(keep), ..sweep.request(&prepared) };
        let plan = Plan::new(request, &engine.limits(Precision::F32).unwrap()).unwrap();
        let job = prepared.job(sweep.problem(), 0.0);
        let tiles = engine.tiles(&plan);
        let run = GpuRun::new(&engine.context, &mut engine.compiled, &plan, &job, tiles).unwrap();
        let (first, later) = held(&run);
        let times = plan.program.buffer(BufferId::Times).map_or(0, |b| b.bytes());
        assert_eq!(times > 0, engine.has_clock(), "{keep:?}");
        assert_eq!(first + later, plan.device_bytes, "{keep:?}");
    }
}
