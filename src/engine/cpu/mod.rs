//! The CPU engine, in f64 or f32: the reference text of the solver.
//!
//! `advance` in `state.rs` is the algorithm, one iteration of all lanes; `residual.rs`, `step.rs` and `observe.rs` hold its
//! element-wise ends, `criterion.rs` its stop rule, `control.rs` of the parent what each lane does next. The products are faer's.

use ndarray::{Array3, ArrayViewMut2, Axis};

use super::{Chunk, Engine, EngineInfo, Frame, Run, Slot, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::{ControlRules, Job, LaneState, Numbers};
use crate::objective::{Objective, Real};
use crate::program::{DeviceKind, Limits, Plan, Precision, RecordLayout};
use crate::schedule::Unit;

mod block;
mod criterion;
mod metric;
mod observe;
mod residual;
mod state;
mod step;
mod vector;
mod working_set;

use block::{ActiveLane, Design};
use state::State;

/// Runs plans on the processor, on all threads of the current rayon pool.
#[derive(Debug, Default)]
pub struct CpuEngine;

impl CpuEngine {
    /// An engine on all threads.
    pub fn new() -> Self {
        CpuEngine
    }
}

impl Engine for CpuEngine {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            engine: "cpu",
            adapter: format!("{} x {} threads", std::env::consts::ARCH, rayon::current_num_threads()),
            driver: "faer 0.24".into(),
            software: false,
        }
    }

    fn limits(&self, precision: Precision) -> Result<Limits> {
        // Estimates only: a core's share of what faer reaches with AVX2; `proxjet bench` measures.
        let core = if precision == Precision::F32 { 8e10 } else { 4e10 };
        let flops = core * rayon::current_num_threads() as f64;
        Ok(Limits {
            engine: "cpu",
            max_buffer_bytes: u64::MAX,
            max_workgroups: u64::MAX,
            max_lanes: usize::MAX,
            flops,
            flops_wide: 0.0,
            element: 0.0,
            wide: true,
            flops_persistent: 0.0,
            dispatch: 0.0,
            lane: 0.0,
            workgroup_bytes: 0,
            max_invocations: 0,
            device: DeviceKind::Software,
            storage_buffers: 0,
            overhead: 2e-5,
            timestamps: false,
        })
    }

    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
        Ok(match plan.request.precision {
            Precision::F32 => Box::new(CpuRun::<f32>::new(plan, job)),
            Precision::F64 => Box::new(CpuRun::<f64>::new(plan, job)),
        })
    }

    fn recover(&mut self) -> Result<()> {
        Err(Error::new(
            ErrorKind::Device,
            "CPU engine",
            "a failure",
            "none: it has no device",
            "Please report this.",
        ))
    }
}

/// Seconds that the product library alone needs for `count` times the two products of an iteration, `X M` and `Xᵀ R`
/// with `columns` columns: the yardstick of the benchmarks.
pub fn products_alone(problem: &Objective, columns: usize, precision: Precision, count: usize) -> f64 {
    fn of<T: Real>(problem: &Objective, columns: usize, count: usize) -> f64 {
        let (n, q) = problem.design().dim();
        let values: Vec<T> = problem.design().iter().map(|v| T::of(*v)).collect();
        let design = Design { values: &values, n, q, by_rows: true };
        let (mut x, mut z) = (vec![T::of(0.5); q * columns], vec![T::of(0.5); n * columns]);
        let clock = std::time::Instant::now();
        for _ in 0..count {
            design.apply(&mut z, &x, faer::Par::rayon(0));
            design.apply_transposed(&mut x, &z, 1, faer::Par::rayon(0));
        }
        clock.elapsed().as_secs_f64()
    }
    match precision {
        Precision::F32 => of::<f32>(problem, columns, count),
        Precision::F64 => of::<f64>(problem, columns, count),
    }
}

/// A plan under way. A chunk is done when it is collected.
struct CpuRun<'a, T> {
    plan: &'a Plan,
    job: &'a Job<'a>,
    rules: ControlRules<'a, T>,
    state: State<T>,
    /// Iterations submitted.
    order: Option<usize>,
    /// Room for a row of the schedule's table.
    row: Vec<f64>,
}

impl<'a, T: Real> CpuRun<'a, T> {
    fn new(plan: &'a Plan, job: &'a Job<'a>) -> Self {
        let rules = ControlRules::new(job.schedule);
        let row = vec![0.0; job.schedule.fields()];
        CpuRun { plan, job, rules, state: State::new(plan, job), order: None, row }
    }

    /// Decides what every lane does next: α, β and their tangents, from the schedule and from what was seen.
    fn decide(&mut self) {
        let schedule = self.job.schedule;
        let fields = schedule.fields();
        // Most lanes are at the same iteration.
        let mut known: Option<(usize, [Unit; 2])> = None;
        for slot in self.state.slots.iter_mut().filter(|s| s.outcome.status == Status::Running) {
            let k = slot.outcome.iterations;
            let units = match known {
                Some((at, units)) if at == k => units,
                _ => [0, schedule.stages() - 1].map(|stage| schedule.unit(stage, k)),
            };
            known = Some((k, units));
            let (stage, switches) = slot.control.stage(&self.rules, k, &units[0]);
            let unit = units[stage];
            let numbers = if schedule.is_factored() {
                Numbers::Factored { unit, base: &slot.numbers.bases[unit.phase * fields..][..fields] }
            } else {
                schedule.entry(stage, k, slot.lane, &mut self.row);
                Numbers::Tabulated(&self.row)
            };
            slot.control.decide(&self.rules, (k, switches), unit.code, &numbers, &mut slot.params);
        }
    }

    /// Counts the iteration, decides the status of every lane, and keeps its record.
    fn finalize(&mut self, mut records: ArrayViewMut2<'_, f64>) {
        let going = self.state.slots.iter().filter(|s| s.outcome.status == Status::Running);
        if going.clone().any(|slot| self.plan.is_check(slot.outcome.iterations + 1)) {
            self.state.measure();
        }
        let layout = RecordLayout::new(self.job.derivatives.len());
        for (slot, mut row) in self.state.slots.iter_mut().zip(records.rows_mut()) {
            slot.advanced = slot.outcome.status == Status::Running;
            if !slot.advanced {
                continue;
            }
            slot.outcome.iterations += 1;
            row.iter_mut().zip(&slot.record).for_each(|(to, from)| *to = *from);
            let check = self.plan.is_check(slot.outcome.iterations);
            if check {
                let measured = &slot.measures;
                slot.outcome.gap = measured.gap;
                slot.outcome.stationarity = measured.stationarity;
                slot.outcome.derivative_residual = measured.derivative_residual;
            }
            slot.outcome.status =
                status(slot, layout, check.then_some(self.job.tol), self.plan.request.iterations);
        }
    }

    /// The lanes that have a frame at their iterate.
    fn frame(&self) -> Option<Frame> {
        let slots = &self.state.slots;
        let due = |slot: &ActiveLane<T>| slot.advanced && self.plan.is_frame(slot.outcome.iterations);
        let due_slots: Vec<usize> = (0..slots.len()).filter(|i| due(&slots[*i])).collect();
        if due_slots.is_empty() {
            return None;
        }
        let (d, q) = (self.job.derivatives.len(), self.job.problem.state_rows());
        let mut state = Array3::zeros((due_slots.len(), 1 + d, q));
        for (mut to, slot) in state.outer_iter_mut().zip(&due_slots) {
            to.assign(&self.state.columns(*slot));
        }
        let lanes = due_slots.iter().map(|i| (slots[*i].lane, slots[*i].outcome.iterations)).collect();
        Some(Frame { lanes, state })
    }
}

/// The status of a lane after an iteration; `tol` where the stop rule was tested.
fn status<T>(slot: &ActiveLane<T>, layout: RecordLayout, tol: Option<f64>, iterations: usize) -> Status {
    let record = &slot.record;
    let mut changes = (0..slot.numbers.dl1.len()).map(|t| record[layout.derivative_change(t)]);
    let objective = record[RecordLayout::OBJECTIVE];
    if !(objective.is_finite() && record[RecordLayout::CHANGE].is_finite() && changes.all(f64::is_finite)) {
        Status::NotFinite
    } else if objective > slot.numbers.objective_limit {
        Status::Diverged
    } else if tol.is_some_and(|tol| tol > 0.0 && slot.outcome.meets(tol)) {
        Status::Converged
    } else if slot.outcome.iterations == iterations {
        Status::MaxIterations
    } else {
        Status::Running
    }
}

impl<T: Real> Run for CpuRun<'_, T> {
    fn free(&self) -> usize {
        self.plan.slots - self.state.slots.len()
    }

    fn load(&mut self, lanes: Vec<LaneState>) -> Result<()> {
        self.state.load(self.job, lanes);
        Ok(())
    }

    fn evict(&mut self, lanes: &[usize]) {
        self.state.evict(lanes);
    }

    fn submit(&mut self, iterations: usize) -> Result<usize> {
        self.order = Some(iterations);
        Ok(iterations)
    }

    fn in_flight(&self) -> usize {
        usize::from(self.order.is_some())
    }

    fn depth(&self) -> usize {
        1
    }

    fn collect(&mut self) -> Result<Chunk> {
        let Some(iterations) = self.order.take() else {
            let found = "no chunk to collect";
            return Err(Error::new(ErrorKind::Device, "CPU engine", found, "one", "Please report this."));
        };
        let mut records = Array3::zeros((iterations, self.state.slots.len(), self.plan.record_fields));
        let mut frames = Vec::new();
        let skipped = self.state.skipped();
        self.state.slots.iter_mut().for_each(|slot| slot.first = slot.outcome.iterations);
        for mut row in records.axis_iter_mut(Axis(0)) {
            if !self.state.slots.iter().any(|slot| slot.outcome.status == Status::Running) {
                break;
            }
            self.decide();
            self.state.advance(self.job.metric);
            self.finalize(row.view_mut());
            frames.extend(self.frame());
        }
        let rows = self.state.slots.iter().map(|s| s.outcome.iterations - s.first).max().unwrap_or(0);
        if rows < iterations {
            records = records.slice_axis(Axis(0), (..rows).into()).to_owned();
        }
        let slot = |s: &ActiveLane<T>| Slot { lane: s.lane, first: s.first, outcome: s.outcome };
        Ok(Chunk {
            slots: self.state.slots.iter().map(slot).collect(),
            records,
            frames,
            skipped: self.state.skipped() - skipped,
        })
    }

    fn state(&self, lane: usize) -> LaneState {
        let slot = self.state.slots.iter().position(|slot| slot.lane == lane).expect("a lane that is active");
        self.state.lane(slot)
    }
}
