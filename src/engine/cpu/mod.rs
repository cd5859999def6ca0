//! The CPU engine, in f64 or f32: the reference text of the solver.
//!
//! `solve` below is the algorithm; `passes.rs` holds its element-wise ends, `criterion.rs` its stop rule. The two products of
//! an iteration are faer's.

use std::ops::{ControlFlow, Range};

use ndarray::Array3;

use super::{Chunk, Engine, EngineInfo, Finish, Frame, Job, LaneNumbers, LaneOutcome, Sink, Status};
use crate::error::Result;
use crate::plan::{Limits, Plan, Precision, RecordLayout};
use crate::problem::{Problem, Real};

mod criterion;
mod metric;
mod passes;
mod state;
mod vector;

use passes::Probe;
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
        Ok(Limits { engine: "cpu", max_buffer_bytes: u64::MAX, max_workgroups: u64::MAX, flops, overhead: 2e-5 })
    }

    fn run(&mut self, plan: &Plan, job: &Job<'_>, batch: Range<usize>, sink: &mut Sink<'_>) -> Result<Finish> {
        Ok(match plan.request.precision {
            Precision::F32 => solve::<f32>(plan, job, batch, sink),
            Precision::F64 => solve::<f64>(plan, job, batch, sink),
        })
    }
}

/// Seconds that the product library alone needs for `count` times the two products of an iteration, `X M` and `Xᵀ R`
/// with `columns` columns: the yardstick of the benchmarks.
pub fn products_alone(problem: &Problem, columns: usize, precision: Precision, count: usize) -> f64 {
    fn of<T: Real>(problem: &Problem, columns: usize, count: usize) -> f64 {
        let (n, q) = problem.design().dim();
        let design: Vec<T> = problem.design().iter().map(|v| T::of(*v)).collect();
        let (mut x, mut z) = (vec![T::of(0.5); q * columns], vec![T::of(0.5); n * columns]);
        let clock = std::time::Instant::now();
        for _ in 0..count {
            state::product(&mut z, &design, (n, q), false, &x);
            state::product(&mut x, &design, (n, q), true, &z);
        }
        clock.elapsed().as_secs_f64()
    }
    match precision {
        Precision::F32 => of::<f32>(problem, columns, count),
        Precision::F64 => of::<f64>(problem, columns, count),
    }
}

/// Proximal gradient, FISTA and heavy ball with tangents, for all lanes of a batch.
///
/// The gradient is taken at `e = x + β(x − x₋)` (FISTA) or `e = x`; as predictions are linear, `X e` follows from `X x`
/// and `X x₋`, so that one product with `X` serves the step and the objective.
fn solve<T: Real>(plan: &Plan, job: &Job<'_>, batch: Range<usize>, sink: &mut Sink<'_>) -> Finish {
    let numbers = LaneNumbers::new(job, batch.clone());
    let mut s = State::<T>::new(job, numbers);
    let mut book = Book::new(plan, job, batch.clone());
    s.predict(); // z = X x
    s.z_previous.copy_from_slice(&s.z); // x₋ = x at the start
    let mut frames = vec![book.frame(0, &s)];
    let mut first = 0;
    while first < plan.request.iterations && !s.active.is_empty() {
        let count = plan.chunk.min(plan.request.iterations - first);
        let lanes: Vec<usize> = s.active.iter().map(|i| batch.start + i).collect();
        let rows = job.schedule.rows(first, count, &lanes);
        let mut records = Array3::zeros((count, batch.len(), plan.record_fields));
        let mut done = 0;
        for k in first..first + count {
            s.direct(k, &rows[k - first]); // α, β and their tangents, from the schedule and from what was seen
            if job.metric.refreshes(k) {
                s.refresh_metric(job.metric, k, batch.start); // D
            }
            s.residual(Probe::Ahead); // r = ω φ'(X e)              dr = ω (φ''(X e) X de + ∂_u φ')
            s.gradient(); //             g = Xᵀ r                   dg = Xᵀ dr
            s.step(); //                 x⁺ = prox(x + β(x − x₋) − α D g), with its tangents
            s.predict(); //              z⁺ = X x⁺                  dz⁺ = X dx⁺

            s.observe();
            if plan.is_check(k + 1) {
                s.criterion();
            }
            book.close(k + 1, &mut s, records.index_axis_mut(ndarray::Axis(0), k - first));
            if plan.is_frame(k + 1) {
                frames.push(book.frame(k + 1, &s));
            }
            done = k + 1 - first;
            if book.running() == 0 {
                break;
            }
        }
        if done < count {
            records = records.slice_axis(ndarray::Axis(0), (..done).into()).to_owned();
        }
        book.retire(&mut s);
        let chunk = Chunk {
            lanes: batch.clone(),
            first,
            records,
            frames: std::mem::take(&mut frames),
            running: s.active.len(),
        };
        first += done;
        if sink(chunk) == ControlFlow::Break(()) {
            book.cancel(first);
            break;
        }
    }
    book.finish(&s)
}

/// Keeps what is known of every lane of the batch while active ones come and go.
struct Book<'a> {
    plan: &'a Plan,
    tol: f64,
    batch: Range<usize>,
    layout: RecordLayout,
    outcomes: Vec<LaneOutcome>,
    /// The last record of every lane.
    last: Vec<Vec<f64>>,
    /// `[lanes, 1 + d, q]`: final states of retired lanes.
    retired: Array3<f64>,
}

impl<'a> Book<'a> {
    fn new(plan: &'a Plan, job: &Job<'_>, batch: Range<usize>) -> Self {
        let (b, d) = (batch.len(), job.derivatives.len());
        let open = LaneOutcome {
            status: Status::Running,
            iterations: 0,
            gap: None,
            stationarity: f64::NAN,
            derivative_residual: f64::NAN,
        };
        Book {
            plan,
            tol: job.tol,
            batch,
            layout: RecordLayout::new(d),
            outcomes: vec![open; b],
            last: vec![vec![0.0; plan.record_fields]; b],
            retired: Array3::zeros((b, 1 + d, job.problem.state_rows())),
        }
    }

    fn running(&self) -> usize {
        self.outcomes.iter().filter(|o| o.status == Status::Running).count()
    }

    /// Decides the status of every active lane at iterate `k` and writes the records of all lanes, `[lanes, fields]`.
    fn close<T: Real>(&mut self, k: usize, s: &mut State<T>, mut records: ndarray::ArrayViewMut2<'_, f64>) {
        let check = self.plan.is_check(k);
        for slot in 0..s.active.len() {
            let i = s.active[slot];
            let outcome = &mut self.outcomes[i];
            if outcome.status != Status::Running {
                continue;
            }
            let record = &s.records[slot];
            self.last[i].copy_from_slice(record);
            outcome.iterations = k;
            if check {
                let measured = &s.measures[slot];
                outcome.gap = measured.gap;
                outcome.stationarity = measured.stationarity;
                outcome.derivative_residual = measured.derivative_residual;
            }
            let changes = (0..s.d).map(|t| record[self.layout.derivative_change(t)]);
            let finite = record[RecordLayout::OBJECTIVE].is_finite()
                && record[RecordLayout::CHANGE].is_finite()
                && changes.into_iter().all(f64::is_finite);
            outcome.status = if !finite {
                Status::NotFinite
            } else if record[RecordLayout::OBJECTIVE] > s.numbers.objective_limit[i] {
                Status::Diverged
            } else if check && self.tol > 0.0 && outcome.meets(self.tol) {
                Status::Converged
            } else if k == self.plan.request.iterations {
                Status::MaxIterations
            } else {
                Status::Running
            };
            if outcome.status != Status::Running {
                s.freeze(slot);
            }
        }
        for (i, last) in self.last.iter_mut().enumerate() {
            records.row_mut(i).iter_mut().zip(last.iter()).for_each(|(r, v)| *r = *v);
            if self.outcomes[i].status != Status::Running {
                // From the next iteration on the lane rests.
                last[RecordLayout::CHANGE] = 0.0;
                last[RecordLayout::ACTIVE_CHANGE] = 0.0;
                for t in 0..s.d {
                    last[self.layout.derivative_change(t)] = 0.0;
                }
            }
        }
    }

    /// The state of the whole batch at iterate `k`.
    fn frame<T: Real>(&self, k: usize, s: &State<T>) -> Frame {
        Frame { iteration: k, lanes: self.batch.clone(), state: self.state(s) }
    }

    fn state<T: Real>(&self, s: &State<T>) -> Array3<f64> {
        let mut state = self.retired.clone();
        for (slot, &i) in s.active.iter().enumerate() {
            let mut lane = state.index_axis_mut(ndarray::Axis(0), i);
            lane.iter_mut().zip(s.lane_state(slot)).for_each(|(to, from)| *to = from.f64());
        }
        state
    }

    /// Takes lanes that ended out of the active columns.
    fn retire<T: Real>(&mut self, s: &mut State<T>) {
        let keep: Vec<bool> = s.active.iter().map(|i| self.outcomes[*i].status == Status::Running).collect();
        if keep.iter().all(|k| *k) {
            return;
        }
        self.retired = self.state(s);
        s.compact(&keep);
    }

    fn cancel(&mut self, iterations: usize) {
        for outcome in self.outcomes.iter_mut().filter(|o| o.status == Status::Running) {
            outcome.status = Status::Cancelled;
            outcome.iterations = iterations;
        }
    }

    fn finish<T: Real>(self, s: &State<T>) -> Finish {
        Finish { state: self.state(s), outcomes: self.outcomes }
    }
}
