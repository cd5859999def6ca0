//! Extreme settings: no panic, no table before its memory is checked, no time that grows with the square of
//! the lanes, and no wait without an end.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ndarray::{Array1, Array2, arr1, arr2};
use proxjet::data::{Dataset, Validation};
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::{Chunk, Engine, EngineInfo, Run, Sealed, Status};
use proxjet::error::{ErrorKind, Result};
use proxjet::lanes::{Job, LaneState};
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{DeviceKind, Keep, Limits, Plan, Precision, Request};
use proxjet::schedule::{Algorithm, LaneCurvature, LaneSchedule, Metric, Momentum, Schedule, Step};
use proxjet::solve::{Alphas, Sweep};

use crate::common;
use crate::common::compare::max_abs_diff;
use crate::common::synthetic;

fn sweep() -> Sweep {
    Sweep::new(Objective::builder(synthetic(20, 4, false, 1)).build().unwrap())
        .alphas("path:0.1:4".parse().unwrap())
        .iterations(10)
}

/// Refused at once, of a kind and with words; from a plan and from a run.
#[track_caller]
fn refused(sweep: &Sweep, kind: ErrorKind, words: &str) {
    let clock = Instant::now();
    let mut engine = CpuEngine::new();
    for error in [sweep.plan(&engine).unwrap_err(), sweep.run(&mut engine).unwrap_err()] {
        assert!(error.kind == kind && error.to_string().contains(words), "{error}");
        assert!(!error.expected.is_empty(), "{error:?}");
    }
    assert!(clock.elapsed() < Duration::from_secs(1), "{:?}", clock.elapsed());
}

#[test]
fn memory_is_checked_before_tables_are_laid_out() {
    for iterations in [100_000_000, 1_000_000_000_000, usize::MAX - 1, usize::MAX] {
        let sweep = || sweep().keep(if iterations > 100_000_000 { Keep::Frames } else { Keep::All });
        refused(&sweep().iterations(iterations), ErrorKind::Memory, "trace kept by the host");
        let counted = sweep().momentum(Momentum::Nesterov(2.0)).iterations(iterations);
        refused(&counted, ErrorKind::Memory, "trace kept by the host");
        let drawn = sweep().algorithm(Algorithm::Pgd).iterations(iterations);
        let drawn = drawn.step(Step::Uniform { low: 0.5, high: 1.0, seed: 1 });
        refused(&drawn, ErrorKind::Memory, "trace kept by the host");
    }
    refused(&sweep().iterations(20_000_000).every(1), ErrorKind::Memory, "trace kept by the host");
    let lane = LaneCurvature { lipschitz: 1.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };
    let tables = |k: usize| LaneSchedule::new(Schedule::default(), k, vec![lane], vec![vec![]], &[]);
    assert!(tables(usize::MAX).unwrap_err().to_string().contains("at most 268435456"));
    assert!(tables(100).is_ok());
}

#[test]
fn a_deadline_beyond_the_clock_never_passes() {
    for limit in [Duration::MAX, Duration::from_secs(10_000_000_000_000_000_000)] {
        let result = sweep().tol(0.0).deadline(limit).run(&mut CpuEngine::new()).unwrap();
        assert!(result.lanes.iter().all(|lane| lane.status == Status::MaxIterations));
    }
}

#[test]
fn every_rule_checks_its_numbers() {
    let pgd = || sweep().algorithm(Algorithm::Pgd);
    let steps = [
        (Step::Cyclic { low: 0.5, high: 1.0, period: 0 }, "PERIOD >= 1"),
        (Step::Cyclic { low: f64::NAN, high: 1.0, period: 2 }, "0 < LO <= HI"),
        (Step::Uniform { low: 1.0, high: 0.5, seed: 1 }, "0 <= LO < HI"),
        (Step::Uniform { low: 0.5, high: f64::INFINITY, seed: 1 }, "0 <= LO < HI"),
        (Step::Constant(0.0), "V > 0"),
        (Step::Constant(f64::NAN), "V > 0"),
        (Step::Decreasing { scale: 1.0, power: f64::NAN }, "POWER from 0 to 1"),
        (Step::Backtracking { start: 2.0, shrink: 1.0 }, "SHRINK between 0 and 1"),
        (Step::Backtracking { start: f64::NAN, shrink: 0.5 }, "START >= 1"),
        (Step::BarzilaiBorwein { high: f64::NAN }, "HI > 1"),
    ];
    for (step, words) in steps {
        refused(&pgd().step(step), ErrorKind::Usage, words);
    }
    for momentum in [f64::NAN, -1.0, f64::INFINITY] {
        refused(&sweep().momentum(Momentum::Nesterov(momentum)), ErrorKind::Usage, "A > -1");
    }
    refused(&sweep().momentum(Momentum::Constant(f64::NAN)), ErrorKind::Usage, "at most 1");
    for (every, gain) in [(0, 1.5), (5, f64::NAN), (5, 0.5), (5, f64::INFINITY)] {
        refused(&pgd().metric(Metric::Hessian { every, gain }), ErrorKind::Usage, "a whole EVERY >= 1");
    }
}

#[test]
fn every_number_of_lanes_is_checked() {
    for count in [usize::MAX, 1 << 25] {
        for alphas in [Alphas::path(1e-3, count), Alphas::geometric(1.0, 0.1, count)] {
            refused(&sweep().alphas(alphas), ErrorKind::Usage, "at most 16777216");
        }
    }
    refused(&sweep().alphas(Alphas::path(1e-3, 0)), ErrorKind::Usage, "at least one");
    refused(&sweep().alphas(Alphas::path(f64::NAN, 3)), ErrorKind::Usage, "finite numbers");
    refused(&sweep().alphas(Alphas::list([])), ErrorKind::Usage, "at least one");
}

#[test]
fn sizes_of_zero_are_refused_by_a_plan() {
    let plain = Request::plain((10, 4), 3, 1, 20, Precision::F32);
    let limits = [
        CpuEngine::new().limits(Precision::F32).unwrap(),
        Limits::of_gpu(DeviceKind::Discrete, Precision::F32),
        Limits {
            flops: 0.0,
            element: 0.0,
            max_lanes: 0,
            ..Limits::of_gpu(DeviceKind::Software, Precision::F32)
        },
    ];
    for limits in &limits {
        assert!(Plan::new(plain, limits).is_ok());
        for request in [
            Request { rows: 0, ..plain },
            Request { state_rows: 0, ..plain },
            Request { lanes: 0, ..plain },
            Request { iterations: 0, ..plain },
            Request { every: 0, ..plain },
            Request { stages: 0, ..plain },
            Request { phases: 0, ..plain },
        ] {
            let error = Plan::new(request, limits).unwrap_err();
            assert!(error.to_string().contains("found 0, expected at least 1"), "{error}");
        }
        for huge in [usize::MAX, usize::MAX / 2, 1 << 40] {
            for request in [
                Request { rows: huge, memory_budget: 1 << 32, ..plain },
                Request { state_rows: huge, memory_budget: 1 << 32, ..plain },
                Request { tangents: huge, memory_budget: 1 << 32, ..plain },
            ] {
                assert_eq!(Plan::new(request, limits).unwrap_err().kind, ErrorKind::Memory, "{request:?}");
            }
        }
    }
}

#[test]
fn rows_and_shares_that_do_not_exist_are_refused() {
    let data = synthetic(6, 2, false, 1);
    for rows in [&[6][..], &[0, usize::MAX], &[]] {
        assert_eq!(data.select(rows).unwrap_err().kind, ErrorKind::Data);
    }
    assert_eq!(data.select(&[5, 0]).unwrap().rows(), 2);
    for fraction in [f64::NAN, 0.0, 1.0, -1.0, f64::INFINITY] {
        assert!(
            data.split(Validation { fraction, seed: 1 }).unwrap_err().to_string().contains("between 0 and 1")
        );
    }
    assert!(Dataset::new(Array2::zeros((0, 3)), Array1::zeros(0)).is_err());
    assert!(Dataset::new(Array2::zeros((3, 0)), Array1::zeros(3)).is_err());
}

#[test]
fn other_settings_out_of_range_are_refused() {
    let words = [
        (sweep().check_every(0).tol(f64::NAN), "finite number"),
        (sweep().l1_ratio(f64::NAN), "from 0 to 1"),
        (sweep().every(0), "at least 1"),
        (sweep().chunk(0), "at least 1"),
        (sweep().iterations(0), "at least 1"),
        (sweep().derivatives([Derivative::PenaltyFactor(usize::MAX)]), "an index below"),
        (sweep().derivatives([Derivative::Step(usize::MAX)]), "an iteration below"),
        (sweep().derivatives([Derivative::Target(arr1(&[1.0]))]), "one per fitted row"),
        (sweep().start(arr2(&[[f64::NAN; 4]])), "finite numbers"),
        (sweep().start(Array2::zeros((0, 4))), "a row below 0"),
        (sweep().step(Step::Manifold(Some(vec![]))), "steps of 4 lanes"),
        (sweep().step(Step::Table(ndarray::ArrayD::zeros(vec![]))), "shape []"),
        (sweep().metric(Metric::Table(ndarray::ArrayD::zeros(vec![]))), "shape []"),
    ];
    for (sweep, words) in &words {
        refused(sweep, ErrorKind::Usage, words);
    }
    // Periods that never come are allowed.
    for sweep in [sweep().every(usize::MAX), sweep().check_every(usize::MAX), sweep().chunk(usize::MAX)] {
        assert!(sweep.run(&mut CpuEngine::new()).is_ok());
        if let Some(mut gpu) = common::engine("gpu") {
            assert!(sweep.precision(Precision::F32).run(gpu.as_mut()).is_ok());
        }
    }
}

#[test]
fn an_iteration_of_many_lanes_takes_linear_time() {
    let problem = Objective::builder(synthetic(50, 4, false, 1)).penalty(Penalty::l1()).build().unwrap();
    let lanes = 200_000;
    let sweep = Sweep::new(problem).alphas(Alphas::path(1e-3, lanes)).iterations(1);
    let clock = Instant::now();
    let result = sweep.run(&mut CpuEngine::new()).unwrap();
    println!("{lanes} lanes in {:?}", clock.elapsed());
    // It was four minutes; a second now.
    assert!(clock.elapsed() < Duration::from_secs(20), "{:?}", clock.elapsed());
    assert_eq!(result.lanes.len(), lanes);
    // Lanes that ran with others are those that ran alone.
    for lane in [0, 70_000, lanes - 1] {
        let alone = sweep.clone().alphas(Alphas::list([result.lanes[lane].alpha]));
        let alone = alone.run(&mut CpuEngine::new()).unwrap();
        assert_eq!(max_abs_diff(&alone.lane(0).coef(), &result.lane(lane).coef()), 0.0);
    }
}

/// An engine whose device never ends a chunk.
struct Hung(CpuEngine);

impl Sealed for Hung {}

impl Engine for Hung {
    fn info(&self) -> EngineInfo {
        self.0.info()
    }
    fn limits(&self, precision: Precision) -> Result<Limits> {
        self.0.limits(precision)
    }
    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
        Ok(Box::new(HungRun(self.0.open(plan, job)?)))
    }
    fn recover(&mut self) -> Result<()> {
        Ok(())
    }
}

struct HungRun<'a>(Box<dyn Run + 'a>);

impl Run for HungRun<'_> {
    fn free(&self) -> usize {
        self.0.free()
    }
    fn load(&mut self, lanes: &[LaneState]) -> Result<()> {
        self.0.load(lanes)
    }
    fn evict(&mut self, lanes: &[usize]) {
        self.0.evict(lanes);
    }
    fn submit(&mut self, iterations: usize) -> Result<usize> {
        self.0.submit(iterations)
    }
    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
    fn depth(&self) -> usize {
        self.0.depth()
    }
    fn wait(&mut self, limit: Duration) -> Result<bool> {
        std::thread::sleep(limit);
        Ok(false)
    }
    fn collect(&mut self) -> Result<Chunk> {
        panic!("a chunk that is not ready");
    }
    fn state(&self, lane: usize) -> LaneState {
        self.0.state(lane)
    }
}

#[test]
fn a_device_that_hangs_ends_at_the_deadline() {
    let clock = Instant::now();
    let timed = sweep().deadline(Duration::from_millis(200));
    let result = timed.run_with(&mut Hung(CpuEngine::new()), |_, _| ControlFlow::Continue(())).unwrap();
    assert!(result.lanes.iter().all(|lane| lane.status == Status::Deadline && lane.iterations == 0));
    assert!(clock.elapsed() < Duration::from_secs(10), "{:?}", clock.elapsed());
}

#[test]
fn a_device_that_hangs_can_be_cancelled() {
    let clock = Instant::now();
    let mut handle = sweep().submit(Box::new(Hung(CpuEngine::new())));
    std::thread::sleep(Duration::from_millis(100));
    handle.cancel();
    let result = futures::executor::block_on(handle.result()).unwrap();
    assert!(result.lanes.iter().all(|lane| lane.status == Status::Cancelled));
    assert!(clock.elapsed() < Duration::from_secs(10), "{:?}", clock.elapsed());
}

/// Blocks of rows along two dimensions, as a device has only 65535 workgroups along one.
#[test]
fn millions_of_rows_or_features_are_loaded_on_a_gpu() {
    let limits = Limits { max_buffer_bytes: 4 << 30, ..Limits::of_gpu(DeviceKind::Discrete, Precision::F32) };
    for (rows, features) in [(2, 4_000_000), (4_000_000, 2)] {
        let plain = Request::plain((rows, features), 1, 0, 5, Precision::F32);
        let plan = Plan::new(Request { memory_budget: 16 << 30, ..plain }, &limits).unwrap();
        assert!(plan.program.passes.iter().all(|pass| pass.grid.iter().all(|n| *n <= 65535)));
    }
    // Two blocks along the third dimension already; each coefficient starts with a value of its own.
    let Some(mut gpu) = common::gpu() else { return };
    let features = 12_000;
    let x = Array2::from_shape_fn((2, features), |(i, j)| ((3 * i + j) % 7) as f64 - 3.0);
    let data = Dataset::new(x, arr1(&[1.0, -1.0])).unwrap();
    let problem = Objective::builder(data).loss(Loss::squared()).intercept(false).build().unwrap();
    let start = Array2::from_shape_fn((1, features), |(_, j)| (j as f64 + 1.0) * 1e-3);
    let sweep = Sweep::new(problem).alphas(Alphas::list([0.1])).iterations(2).every(2).start(start);
    let sweep = sweep.derivatives([]).precision(Precision::F32);
    let (a, b) = (sweep.run(&mut gpu).unwrap(), sweep.run(&mut CpuEngine::new()).unwrap());
    let (a, b) = (a.lane(0), b.lane(0));
    let gap = max_abs_diff(&a.coef(), &b.coef());
    println!("largest difference {gap:.1e}");
    assert!(gap <= 1e-5 * 12.0 && b.coef()[features - 1].abs() > 10.0, "{gap} {}", b.coef()[features - 1]);
}
