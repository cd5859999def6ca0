//! Runs the waiting lanes of a sweep on one or several engines, and continues after a device fault.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::Sweep;
use super::judge::Judge;
use super::queue::Queue;
use super::worker::Worker;
use crate::Instant;
use crate::certificate::Certified;
use crate::engine::cpu::CpuEngine;
use crate::engine::{Chunk, Engine, LaneOutcome, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::{Job, LaneState};
use crate::program::Plan;

/// The reaction to a device failure during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnFault {
    /// Continue from the last collected chunk on a fresh device, as long as retries make progress.
    #[default]
    Retry,
    /// Continue from the last collected chunk on the CPU engine.
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

/// Progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Lanes of the sweep.
    pub lanes: usize,
    /// Lanes that ended.
    pub finished: usize,
    /// Lanes that are running.
    pub running: usize,
    /// Iterations done, summed over all lanes.
    pub iterations: usize,
    /// Iterations that were not needed because lanes ended early.
    pub skipped: usize,
}

/// An event reported by a worker.
pub(super) enum Event {
    /// A lane begins, in this state.
    Begin(LaneState),
    /// A chunk was collected.
    Chunk(Chunk),
    /// A lane ended, in this state; with its certificate, unless it has no finite iterate.
    Finish(LaneState, LaneOutcome, Option<Box<Certified>>),
    /// A device failed, and the run continues.
    Fault(String),
}

/// The work of a run, shared by its engines.
pub(super) struct Scheduler<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) deadline: Option<Instant>,
    pub(super) on_fault: OnFault,
    pub(super) judge: &'a Judge<'a>,
    /// Flags that cancel the run.
    flags: &'a [Arc<AtomicBool>],
    /// Plans for another engine.
    pub(super) replan: &'a (dyn Fn(&dyn Engine) -> Result<Plan> + Sync),
    pub(super) queue: Mutex<Queue>,
    /// Lanes that were running on engines that failed and were not replaced.
    interrupted: Mutex<Vec<LaneState>>,
    cancelled: AtomicBool,
}

/// Number of consecutive faults, without a chunk in between, after which a run ends.
const MAX_RETRIES: usize = 3;

impl<'a> Scheduler<'a> {
    pub(super) fn new(
        sweep: &'a Sweep,
        job: &'a Job<'a>,
        deadline: Option<Instant>,
        judge: &'a Judge<'a>,
        replan: &'a (dyn Fn(&dyn Engine) -> Result<Plan> + Sync),
    ) -> Self {
        let queue = Mutex::new(Queue::new(job.lanes));
        Scheduler {
            job,
            deadline,
            judge,
            on_fault: sweep.on_fault,
            flags: &sweep.cancel,
            replan,
            queue,
            interrupted: Mutex::default(),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Runs the whole queue on the engines, each with its plan. `on_event` receives every event and returns
    /// `Break` to cancel.
    ///
    /// # Errors
    /// A device failure that could not be recovered.
    pub(super) fn run(
        &self,
        engines: &mut [(&mut dyn Engine, Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if lock(&self.queue).is_empty() {
            // Without work no engine is opened.
        } else if let [(engine, plan)] = engines {
            self.work(*engine, plan, &mut |event| self.emit(on_event, event))?;
        } else {
            self.work_together(engines, on_event)?;
        }
        // Lanes that were never loaded.
        let status = self.stop().unwrap_or(Status::Cancelled);
        let waiting = lock(&self.queue).drain();
        for lane in waiting {
            let state = self.job.begin(lane, None);
            self.emit(on_event, Event::Begin(state.clone()));
            self.emit(on_event, Event::Finish(state, LaneOutcome { status, ..LaneOutcome::open(0) }, None));
        }
        Ok(())
    }

    /// Runs rounds of all working engines, until no lane of a failed engine remains.
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
                // A lane may have waited for one that ended on another engine after this engine ran out of
                // work.
                None if self.stop().is_some() || lock(&self.queue).is_empty() => return Ok(()),
                None => continue,
                Some(error) if able.is_empty() || self.on_fault == OnFault::Fail => return Err(error),
                Some(error) => self
                    .emit(on_event, Event::Fault(format!("{error} The other engines go on with its lanes."))),
            }
            if self.stop().is_none() && lock(&self.interrupted).is_empty() && lock(&self.queue).is_empty() {
                return Ok(());
            }
        }
    }

    /// Runs the engines one after the other, since a web page has one thread; returns how each
    /// one ended.
    #[cfg(target_family = "wasm")]
    fn round(
        &self,
        engines: &mut [(&mut dyn Engine, &Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Vec<Result<()>> {
        let mut work = |engine: &mut dyn Engine, plan: &Plan| {
            self.work(engine, plan, &mut |event| self.emit(on_event, event))
        };
        engines.iter_mut().map(|(engine, plan)| work(&mut **engine, plan)).collect()
    }

    /// Runs all engines until each has finished; returns how each one ended.
    #[cfg(not(target_family = "wasm"))]
    fn round(
        &self,
        engines: &mut [(&mut dyn Engine, &Plan)],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Vec<Result<()>> {
        std::thread::scope(|scope| {
            // The bound makes a slow listener slow the engines down instead of filling memory.
            let (sender, events) = std::sync::mpsc::sync_channel(2 * engines.len());
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

    pub(super) fn emit(&self, on_event: &mut dyn FnMut(Event) -> ControlFlow<()>, event: Event) {
        if on_event(event).is_break() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// The reason to stop the run, if there is one.
    pub(super) fn stop(&self) -> Option<Status> {
        let asked = || self.flags.iter().any(|flag| flag.load(Ordering::Relaxed));
        if self.cancelled.load(Ordering::Relaxed) || asked() {
            Some(Status::Cancelled)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Status::Deadline)
        } else {
            None
        }
    }

    /// The next ready lane, before its first iteration.
    pub(super) fn next(&self) -> Option<LaneState> {
        lock(&self.queue).pop(self.job)
    }

    /// Marks a lane as ended.
    pub(super) fn finish(&self, state: &LaneState, outcome: &LaneOutcome) {
        lock(&self.queue).finish(state, outcome);
    }

    /// Runs ready lanes of the queue on one engine, or on its replacement after a fault, until none is ready.
    /// If there is no replacement, the lanes go to the other engines.
    fn work(&self, engine: &mut dyn Engine, plan: &Plan, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let mut interrupted = std::mem::take(&mut *lock(&self.interrupted));
        let done = self.work_with_retries(engine, plan, &mut interrupted, emit);
        lock(&self.interrupted).append(&mut interrupted);
        done
    }

    fn work_with_retries(
        &self,
        engine: &mut dyn Engine,
        plan: &Plan,
        interrupted: &mut Vec<LaneState>,
        emit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let mut in_a_row = 0;
        loop {
            let mut worker = Worker::new(self, plan, std::mem::take(interrupted));
            let Err(error) = worker.run(engine, emit) else { return Ok(()) };
            *interrupted = worker.interrupted;
            in_a_row = if worker.chunks > 0 { 1 } else { in_a_row + 1 };
            if error.kind != ErrorKind::Device || self.on_fault == OnFault::Fail {
                return Err(error);
            }
            let moved = format!("{} lane(s) go on from their last chunk", interrupted.len());
            if self.on_fault == OnFault::Cpu {
                emit(Event::Fault(format!("{error} {moved} on the CPU engine.")));
                let mut cpu = CpuEngine::new();
                let plan = (self.replan)(&cpu)?;
                return Worker::new(self, &plan, std::mem::take(interrupted)).run(&mut cpu, emit);
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

/// Locks, even after a panic of another thread: no update under these locks can be incomplete.
pub(super) fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|e| e.into_inner())
}
