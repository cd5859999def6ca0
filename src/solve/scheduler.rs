//! Lanes on engines: slots them, keeps chunks in flight, makes room for lanes that wait, and goes on after a fault.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use crate::engine::cpu::CpuEngine;
use crate::engine::{Chunk, Engine, LaneOutcome, Run, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::{Job, LaneState};
use crate::program::{CHUNK_SECONDS, Plan};

/// What to do when a device fails in the middle of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum OnFault {
    /// Go on from the last chunk collected on a fresh device, as long as that gets further.
    #[default]
    Retry,
    /// Go on from there on the CPU engine.
    Cpu,
    /// End the run with the error.
    Fail,
}

impl OnFault {
    /// Every name.
    pub const NAMES: &'static [&'static str] = &["retry", "cpu", "fail"];
}

impl std::str::FromStr for OnFault {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "retry" => Ok(OnFault::Retry),
            "cpu" => Ok(OnFault::Cpu),
            "fail" => Ok(OnFault::Fail),
            _ => Err(Error::unknown(ErrorKind::Usage, "on_fault", text, OnFault::NAMES)),
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Lanes of the sweep.
    pub lanes: usize,
    /// Lanes that ended.
    pub finished: usize,
    /// Lanes that are going.
    pub running: usize,
    /// Iterations done, all lanes together.
    pub iterations: usize,
    /// Iterations that lanes which ended early did not need.
    pub skipped: usize,
}

/// What an engine at work reports.
pub(super) enum Event {
    /// A lane begins here.
    Begin(LaneState),
    /// A chunk was collected.
    Chunk(Chunk),
    /// A lane ended here.
    Finish(LaneState, LaneOutcome),
    /// A device failed, and the run goes on.
    Fault(String),
}

/// What holds for all engines of a run.
pub(super) struct Orders<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) deadline: Option<Instant>,
    pub(super) on_fault: OnFault,
    /// Plans for another engine.
    pub(super) replan: &'a (dyn Fn(&dyn Engine) -> Result<Plan> + Sync),
    /// Lanes that wait for their first slot.
    queue: Mutex<VecDeque<usize>>,
    /// Lanes that were under way on engines which failed for good.
    left: Mutex<Vec<LaneState>>,
    cancelled: AtomicBool,
}

/// Faults in a row, without a chunk in between, that end a run.
const MAX_RETRIES: usize = 3;

impl<'a> Orders<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        deadline: Option<Instant>,
        on_fault: OnFault,
        replan: &'a (dyn Fn(&dyn Engine) -> Result<Plan> + Sync),
    ) -> Self {
        let queue = Mutex::new((0..job.lanes.len()).collect());
        Orders {
            job,
            deadline,
            on_fault,
            replan,
            queue,
            left: Mutex::default(),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Runs the whole queue on the engines, each with its plan; `on_event` is told everything that happens, and its `Break` cancels.
    ///
    /// # Errors
    /// A device that failed for good.
    pub(super) fn run(
        &self,
        engines: &mut [(&mut dyn Engine, Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if let [(engine, plan)] = engines {
            self.work(*engine, plan, &mut |event| self.emit(on_event, event))?;
        } else {
            self.work_together(engines, on_event)?;
        }
        // Lanes that never had a slot.
        let status = self.stop().unwrap_or(Status::Cancelled);
        while let Some(lane) = self.next() {
            let state = self.job.begin(lane);
            self.emit(on_event, Event::Begin(state.clone()));
            self.emit(on_event, Event::Finish(state, LaneOutcome { status, ..LaneOutcome::open(0) }));
        }
        Ok(())
    }

    /// Rounds of all engines that work, until no lane is left by one that failed for good.
    fn work_together(
        &self,
        engines: &mut [(&mut dyn Engine, Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut able: Vec<(&mut dyn Engine, &Plan)> = Vec::new();
        for (engine, plan) in engines {
            able.push((&mut **engine, plan));
        }
        loop {
            let mut failed = None;
            let ends = self.round(&mut able, on_event);
            let mut ends = ends.into_iter();
            able.retain(|_| match ends.next() {
                Some(Err(error)) => {
                    failed = Some(error);
                    false
                }
                _ => true,
            });
            match failed {
                None => return Ok(()),
                Some(error) if able.is_empty() || self.on_fault == OnFault::Fail => return Err(error),
                Some(error) => self
                    .emit(on_event, Event::Fault(format!("{error} The other engines go on with its lanes."))),
            }
            if self.stop().is_none() && lock(&self.left).is_empty() {
                return Ok(());
            }
        }
    }

    /// How the work of each engine ended.
    fn round(
        &self,
        engines: &mut [(&mut dyn Engine, &Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Vec<Result<()>> {
        std::thread::scope(|scope| {
            // A slow listener slows the engines down instead of filling memory.
            let (sender, events) = mpsc::sync_channel(2 * engines.len());
            let workers: Vec<_> = engines
                .iter_mut()
                .map(|(engine, plan)| {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let done = self.work(&mut **engine, plan, &mut |event| {
                            let _ = sender.send(event);
                        });
                        if done.is_err() && self.on_fault == OnFault::Fail {
                            self.cancelled.store(true, Ordering::Relaxed);
                        }
                        done
                    })
                })
                .collect();
            drop(sender);
            events.into_iter().for_each(|event| self.emit(on_event, event));
            let panicked = || {
                Error::new(ErrorKind::Device, "solver thread", "a panic", "a result", "Please report this.")
            };
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(panicked()))).collect()
        })
    }

    fn emit(&self, on_event: &mut dyn FnMut(Event) -> ControlFlow<()>, event: Event) {
        if on_event(event).is_break() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Why the run has to stop, if it has to.
    fn stop(&self) -> Option<Status> {
        if self.cancelled.load(Ordering::Relaxed) {
            Some(Status::Cancelled)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Status::Deadline)
        } else {
            None
        }
    }

    fn next(&self) -> Option<usize> {
        lock(&self.queue).pop_front()
    }

    /// Takes lanes from the queue until it is empty, on one engine, and on what takes its place after a fault. Where nothing does,
    /// its lanes are left to the other engines.
    fn work(&self, engine: &mut dyn Engine, plan: &Plan, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let mut again = std::mem::take(&mut *lock(&self.left));
        let done = self.work_with_retries(engine, plan, &mut again, emit);
        lock(&self.left).append(&mut again);
        done
    }

    fn work_with_retries(
        &self,
        engine: &mut dyn Engine,
        plan: &Plan,
        again: &mut Vec<LaneState>,
        emit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let mut in_a_row = 0;
        loop {
            let mut shift = Shift::new(self, plan, std::mem::take(again));
            let Err(error) = shift.run(engine, emit) else { return Ok(()) };
            *again = shift.again;
            in_a_row = if shift.chunks > 0 { 1 } else { in_a_row + 1 };
            if error.kind != ErrorKind::Device || self.on_fault == OnFault::Fail {
                return Err(error);
            }
            let moved = format!("{} lane(s) go on from their last chunk", again.len());
            if self.on_fault == OnFault::Cpu {
                emit(Event::Fault(format!("{error} {moved} on the CPU engine.")));
                let mut cpu = CpuEngine::new();
                let plan = (self.replan)(&cpu)?;
                return Shift::new(self, &plan, std::mem::take(again)).run(&mut cpu, emit);
            }
            if in_a_row > MAX_RETRIES {
                let found = format!("{}, {in_a_row} times in a row without getting further", error.found);
                return Err(Error { found, ..error });
            }
            engine.recover()?;
            emit(Event::Fault(format!("{error} {moved} on a fresh device.")));
        }
    }
}

/// What a panic elsewhere left is whole: nothing is half changed under these locks.
fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|e| e.into_inner())
}

/// An engine at work until it fails or nothing is left to do.
struct Shift<'a> {
    orders: &'a Orders<'a>,
    plan: &'a Plan,
    /// Lanes to be active again, before any other.
    again: Vec<LaneState>,
    /// Lanes in the engine's order.
    active: Vec<usize>,
    /// For each lane of the sweep, whether it is active and going as far as is known; and how many are.
    going: Vec<bool>,
    running: usize,
    /// Chunks collected.
    chunks: usize,
}

impl<'a> Shift<'a> {
    fn new(orders: &'a Orders<'a>, plan: &'a Plan, again: Vec<LaneState>) -> Self {
        let going = vec![false; orders.job.lanes.len()];
        Shift { orders, plan, again, active: Vec::new(), going, running: 0, chunks: 0 }
    }

    /// On an error, `again` holds the lanes that were under way as of the last chunk collected.
    fn run(&mut self, engine: &mut dyn Engine, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let mut run = engine.open(self.plan, self.orders.job)?;
        let done = self.drive(run.as_mut(), emit);
        if done.is_err() {
            let under_way = self.active.iter().filter(|lane| self.going[**lane]);
            let saved: Vec<LaneState> = under_way.map(|lane| run.state(*lane)).collect();
            self.again.splice(0..0, saved);
        }
        done
    }

    fn drive(&mut self, run: &mut dyn Run, emit: &mut dyn FnMut(Event)) -> Result<()> {
        // Lanes come and go at multiples of the plan's chunk only, so that the engine's columns do not depend on how
        // fast the machine happens to be.
        let mut since_border = 0;
        let mut chunk_sizer = ChunkSizer::new(self.plan.chunk);
        loop {
            while run.in_flight() < run.depth() {
                if since_border == self.plan.chunk || (run.in_flight() == 0 && self.running == 0) {
                    since_border = 0;
                }
                if since_border == 0 {
                    self.exchange_slots(run, emit)?;
                }
                if self.running == 0 {
                    break;
                }
                since_border += run.submit(chunk_sizer.iterations().min(self.plan.chunk - since_border))?;
            }
            if run.in_flight() == 0 {
                return Ok(());
            }
            let chunk = run.collect()?;
            self.chunks += 1;
            chunk_sizer.took(&chunk);
            self.settle(run, chunk, emit);
            if let Some(status) = self.orders.stop() {
                self.end_all(run, status, emit);
                return Ok(());
            }
        }
    }

    /// Lanes that ended make room for those that wait.
    fn exchange_slots(&mut self, run: &mut dyn Run, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let ended: Vec<usize> = self.active.iter().copied().filter(|lane| !self.going[*lane]).collect();
        if !ended.is_empty() {
            run.evict(&ended);
            self.active.retain(|lane| self.going[*lane]);
        }
        if !self.plan.refills && !self.active.is_empty() {
            return Ok(());
        }
        let free = run.free();
        let mut newcomers: Vec<LaneState> = self.again.drain(..self.again.len().min(free)).collect();
        while newcomers.len() < free {
            let Some(lane) = self.orders.next() else { break };
            let state = self.orders.job.begin(lane);
            emit(Event::Begin(state.clone()));
            newcomers.push(state);
        }
        if newcomers.is_empty() {
            return Ok(());
        }
        let saved = newcomers.clone();
        let lanes: Vec<usize> = newcomers.iter().map(|state| state.lane).collect();
        match run.load(newcomers) {
            Ok(()) => {
                self.running += lanes.len();
                lanes.iter().for_each(|lane| self.going[*lane] = true);
                self.active.extend(lanes);
                Ok(())
            }
            Err(error) => {
                self.again.splice(0..0, saved);
                Err(error)
            }
        }
    }

    /// Hands a chunk on, and lanes that ended in it.
    fn settle(&mut self, run: &dyn Run, mut chunk: Chunk, emit: &mut dyn FnMut(Event)) {
        // A lane that ended rests in the chunks that were in flight by then.
        let mut ended = Vec::new();
        for slot in &mut chunk.slots {
            if !self.going[slot.lane] {
                slot.first = slot.outcome.iterations;
            } else if slot.outcome.status != Status::Running {
                ended.push((slot.lane, slot.outcome));
            }
        }
        emit(Event::Chunk(chunk));
        for (lane, outcome) in ended {
            emit(Event::Finish(run.state(lane), outcome));
            self.going[lane] = false;
            self.running -= 1;
        }
    }

    /// Ends every lane where it stands.
    fn end_all(&mut self, run: &dyn Run, status: Status, emit: &mut dyn FnMut(Event)) {
        for lane in self.active.iter().filter(|lane| self.going[**lane]) {
            let state = run.state(*lane);
            let outcome = LaneOutcome { status, ..LaneOutcome::open(state.iteration) };
            emit(Event::Finish(state, outcome));
        }
        for state in self.again.drain(..) {
            let outcome = LaneOutcome { status, ..LaneOutcome::open(state.iteration) };
            emit(Event::Finish(state, outcome));
        }
    }
}

/// How many iterations fit into the time of a chunk, by the chunks before.
struct ChunkSizer {
    most: usize,
    iterations: usize,
    clock: Instant,
}

impl ChunkSizer {
    fn new(most: usize) -> Self {
        // The estimate may be wrong by a factor of some.
        ChunkSizer { most, iterations: most.div_ceil(8), clock: Instant::now() }
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    /// A chunk was collected: the time since the one before is its own, as the engine is never idle.
    fn took(&mut self, chunk: &Chunk) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        let iterations = chunk.records.dim().0.max(1);
        let fitting = CHUNK_SECONDS * iterations as f64 / seconds.max(1e-9);
        // At most twice as many as before: the first chunks hold compilation and warming up.
        self.iterations = (fitting as usize).clamp(1, (2 * iterations).min(self.most));
    }
}
