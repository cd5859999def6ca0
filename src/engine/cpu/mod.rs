//! The CPU engine, in f64 or f32: the reference implementation of the solver.
//!
//! `iterate.rs` is the algorithm, one iteration of some lanes; `residual.rs`, `step.rs` and `observe.rs` are
//! its element-wise parts, `prox.rs` the proximal step of a lane with its chain rule, `criterion.rs` the stop
//! rule. Products are methods of the design.

use std::ops::Range;

use ndarray::{Array3, ArrayViewMut3, Axis};
use rayon::prelude::*;

use super::{Chunk, Engine, EngineInfo, Frame, Run, Sealed, Slot};
use crate::design::{Design, Threads};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::{ControlRules, Job, LaneState};
use crate::objective::{Objective, Real};
use crate::program::{DeviceKind, Limits, Plan, Precision};

mod block;
mod criterion;
mod iterate;
mod lane;
mod metric;
mod observe;
mod prox;
mod residual;
mod shared;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod vector;
mod working_set;

use block::Block;
use iterate::Inputs;
use lane::ActiveLane;
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

/// Most lanes at the same time: more would not make the products faster, and take more memory.
const MAX_LANES: usize = 1 << 15;

impl Sealed for CpuEngine {}

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
        // Rough estimates: a core's share of the speed of faer with AVX2; `proxjet bench` measures.
        let core = if precision == Precision::F32 { 8e10 } else { 4e10 };
        let flops = core * rayon::current_num_threads() as f64;
        Ok(Limits {
            engine: "cpu",
            max_buffer_bytes: u64::MAX,
            max_workgroups: u64::MAX,
            max_lanes: MAX_LANES,
            flops,
            // A factorisation takes five halves of the operations of XᵀX.
            flops_wide: flops / 2.5,
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

/// Seconds of `count` times the two products of an iteration, `X M` and `Xᵀ R` with `columns` columns, in the
/// product library alone: the reference of the benchmarks.
pub fn products_alone(problem: &Objective, columns: usize, precision: Precision, count: usize) -> f64 {
    fn of<T: Real>(problem: &Objective, columns: usize, count: usize) -> f64 {
        let design: Design<T> = problem.design().cast();
        let (n, q) = (design.rows(), design.columns());
        let (mut x, mut z) = (vec![T::of(0.5); q * columns], vec![T::of(0.5); n * columns]);
        let clock = crate::Instant::now();
        for _ in 0..count {
            design.apply(&mut z, &x, Threads::All);
            design.apply_t(&mut x, &z, Threads::All);
        }
        clock.elapsed().as_secs_f64()
    }
    match precision {
        Precision::F32 => of::<f32>(problem, columns, count),
        Precision::F64 => of::<f64>(problem, columns, count),
    }
}

/// A plan in progress. A chunk is computed when it is collected.
struct CpuRun<'a, T> {
    inputs: Inputs<'a, T>,
    state: State<T>,
    /// Iterations submitted.
    order: Option<usize>,
}

impl<'a, T: Real> CpuRun<'a, T> {
    fn new(plan: &'a Plan, job: &'a Job<'a>) -> Self {
        let inputs = Inputs { plan, job, rules: ControlRules::new(job.schedule) };
        CpuRun { inputs, state: State::new(plan, job), order: None }
    }
}

impl<T: Real> Run for CpuRun<'_, T> {
    fn free(&self) -> usize {
        self.inputs.plan.slots - self.state.lanes.len()
    }

    fn load(&mut self, lanes: &[LaneState]) -> Result<()> {
        self.state.load(self.inputs.job, lanes);
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
        // Within the thread pool an operation need not be handed over to it.
        Ok(rayon::scope(|_| self.chunk(iterations)))
    }

    fn state(&self, lane: usize) -> LaneState {
        self.state.lane(lane)
    }
}

impl<T: Real> CpuRun<'_, T> {
    /// Iterates the loaded lanes.
    fn chunk(&mut self, iterations: usize) -> Chunk {
        let mut recorded = self.recorded(iterations);
        let fields = self.inputs.plan.record_fields;
        let mut records = Array3::zeros((recorded.len(), self.state.lanes.len(), fields));
        let mut frames = Vec::new();
        let skipped = self.state.skipped();
        self.state.lanes.iter_mut().for_each(|lane| lane.first = lane.outcome.iterations);
        let mut done = 0;
        while done < iterations && self.state.lanes.iter().any(ActiveLane::is_running) {
            let span = self.state.sets.as_ref().map_or(iterations, |sets| sets.span()).min(iterations - done);
            let row = |iteration: usize| recorded.partition_point(|i| *i < iteration);
            let rows = row(done)..row(done + span);
            let places = &recorded[rows.clone()];
            let records = records.slice_axis_mut(Axis(0), rows.into());
            frames.extend(self.advance(done..done + span, (places, records)));
            self.state.adapt_working_sets(span);
            done += span;
        }
        let most = self.state.lanes.iter().map(|s| s.outcome.iterations - s.first).max().unwrap_or(0);
        recorded.truncate(recorded.partition_point(|i| *i < most));
        if recorded.len() < records.dim().0 {
            records = records.slice_axis(Axis(0), (..recorded.len()).into()).to_owned();
        }
        let slot =
            |s: &ActiveLane<T>| Slot { lane: s.lane, first: s.first, outcome: s.outcome, rests: false };
        Chunk {
            slots: self.state.lanes.iter().map(slot).collect(),
            recorded,
            records,
            frames,
            skipped: self.state.skipped() - skipped,
        }
    }

    /// The iterations of a chunk that are recorded.
    fn recorded(&self, iterations: usize) -> Vec<usize> {
        let mut done: Vec<usize> =
            self.state.lanes.iter().filter(|l| l.is_running()).map(|l| l.outcome.iterations).collect();
        done.sort_unstable();
        done.dedup();
        let plan = self.inputs.plan;
        let is_due = |i: &usize| i + 1 == iterations || done.iter().any(|k| plan.is_recorded(k + i + 1));
        (0..iterations).filter(is_due).collect()
    }

    /// Does some iterations of the chunk, and returns the frames; `records` has the iterations that are
    /// recorded, and a row for each.
    fn advance(
        &mut self,
        iterations: Range<usize>,
        (recorded, mut records): (&[usize], ArrayViewMut3<'_, f64>),
    ) -> Vec<Frame> {
        let (inputs, state) = (&self.inputs, &mut self.state);
        if !state.is_in_groups() {
            return state.with_all_lanes(|block| block.advance(inputs, iterations, (recorded, records)));
        }
        let records = records.axis_chunks_iter_mut(Axis(1), state.group_lanes);
        let groups: Vec<_> = state.groups().into_iter().zip(records).collect();
        let advance = |(mut group, records): (Block<'_, T>, _)| {
            let frames = group.advance(inputs, iterations.clone(), (recorded, records));
            group.exchange_swapped();
            frames
        };
        if groups.iter().any(|(group, _)| group.threads == Threads::All) {
            groups.into_iter().flat_map(advance).collect()
        } else {
            groups.into_par_iter().map(advance).collect::<Vec<_>>().into_iter().flatten().collect()
        }
    }
}
