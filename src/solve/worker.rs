//! Drives one engine: loads lanes into slots, keeps chunks in flight, and evicts lanes that have ended.

use std::time::Duration;

use super::chunk_sizer::ChunkSizer;
use super::judge::Decided;
use super::scheduler::{Event, Scheduler};
use crate::Instant;
use crate::engine::{Chunk, DEVICE_TIMEOUT, Engine, LaneOutcome, Run, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::LaneState;
use crate::program::Plan;

/// Time between two tests of cancelling and of the deadline while a chunk runs.
const POLL: Duration = Duration::from_millis(50);
/// Time that a chunk has to end after the run was stopped, before it is given up.
const GRACE: Duration = Duration::from_secs(1);

/// Drives one engine until it fails or no lane is ready.
pub(super) struct Worker<'a> {
    scheduler: &'a Scheduler<'a>,
    plan: &'a Plan,
    /// Running lanes of a failed engine, which are loaded first.
    pub(super) interrupted: Vec<LaneState>,
    /// Lanes in slots, in the engine's order.
    loaded: Vec<usize>,
    /// `[lanes of the sweep]`: true if the lane is in a slot and is not known to have ended.
    active: Vec<bool>,
    active_count: usize,
    /// Lanes that the engine stopped but whose certificate fails, each with the number of chunks in flight
    /// that still hold it.
    resuming: Vec<(Option<usize>, LaneState)>,
    /// Chunks collected.
    pub(super) chunks: usize,
}

impl<'a> Worker<'a> {
    pub(super) fn new(scheduler: &'a Scheduler<'a>, plan: &'a Plan, interrupted: Vec<LaneState>) -> Self {
        let active = vec![false; scheduler.job.lanes.len()];
        Worker {
            scheduler,
            plan,
            interrupted,
            loaded: Vec::new(),
            active,
            active_count: 0,
            resuming: Vec::new(),
            chunks: 0,
        }
    }

    /// Runs until no lane is ready. On an error, `interrupted` holds the running lanes as of the last
    /// collected chunk.
    pub(super) fn run(&mut self, engine: &mut dyn Engine, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let mut run = engine.open(self.plan, self.scheduler.job)?;
        let done = self.drive(run.as_mut(), emit);
        if done.is_err() {
            let under_way = self.loaded.iter().filter(|lane| self.active[**lane]);
            let saved: Vec<LaneState> = under_way.map(|lane| run.state(*lane)).collect();
            let resuming = self.resuming.drain(..).map(|(_, state)| state);
            self.interrupted.splice(0..0, saved.into_iter().chain(resuming));
        }
        done
    }

    fn drive(&mut self, run: &mut dyn Run, emit: &mut dyn FnMut(Event)) -> Result<()> {
        // Lanes are exchanged only at multiples of the plan's chunk, so that the layout of the engine's
        // columns does not depend on the speed of the machine.
        let mut since_exchange = 0;
        let mut chunk_sizer = ChunkSizer::new(self.plan.chunk);
        loop {
            while run.in_flight() < run.depth() {
                if since_exchange == self.plan.chunk || (run.in_flight() == 0 && self.active_count == 0) {
                    since_exchange = 0;
                }
                if since_exchange == 0 {
                    self.exchange_slots(run, emit)?;
                }
                if self.active_count == 0 {
                    break;
                }
                since_exchange +=
                    run.submit(chunk_sizer.iterations().min(self.plan.chunk - since_exchange))?;
            }
            if run.in_flight() == 0 {
                return Ok(());
            }
            if self.wait(run)? {
                let chunk = run.collect()?;
                self.count_resuming();
                self.chunks += 1;
                chunk_sizer.collected(chunk.iterations());
                self.finish_ended(run, chunk, emit);
            }
            if let Some(status) = self.scheduler.stop() {
                self.finish_all(run, status, emit);
                return Ok(());
            }
        }
    }

    /// Evicts lanes that have ended and loads waiting ones into free slots.
    fn exchange_slots(&mut self, run: &mut dyn Run, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let ended: Vec<usize> = self.loaded.iter().copied().filter(|lane| !self.active[*lane]).collect();
        if !ended.is_empty() {
            run.evict(&ended);
            // Chunks that were submitted before hold the lane's last load.
            self.resuming.iter_mut().for_each(|(waits, _)| *waits = waits.or(Some(run.in_flight())));
            self.release_resuming();
            self.loaded.retain(|lane| self.active[*lane]);
        }
        if !self.plan.refills && !self.loaded.is_empty() {
            return Ok(());
        }
        let free = run.free();
        let mut states: Vec<LaneState> = self.interrupted.drain(..self.interrupted.len().min(free)).collect();
        let resumed = states.len();
        while states.len() < free {
            let Some(state) = self.scheduler.next() else { break };
            states.push(state);
        }
        if states.is_empty() {
            return Ok(());
        }
        let done = run.load(&states);
        if done.is_err() {
            states[resumed..].iter().for_each(|state| emit(Event::Begin(state.clone())));
            self.interrupted.splice(0..0, states);
            return done;
        }
        self.active_count += states.len();
        states.iter().for_each(|state| self.active[state.lane] = true);
        self.loaded.extend(states.iter().map(|state| state.lane));
        states.drain(resumed..).for_each(|state| emit(Event::Begin(state)));
        Ok(())
    }

    /// Waits for the oldest chunk; false if the run was stopped and the chunk does not come.
    fn wait(&self, run: &mut dyn Run) -> Result<bool> {
        let clock = Instant::now();
        let mut stopped: Option<Instant> = None;
        while !run.wait(POLL)? {
            if self.scheduler.stop().is_some() && stopped.get_or_insert_with(Instant::now).elapsed() >= GRACE
            {
                run.abandon();
                return Ok(false);
            }
            if clock.elapsed() >= DEVICE_TIMEOUT {
                run.abandon();
                let found = format!("no answer for {} s", DEVICE_TIMEOUT.as_secs());
                let remedy = "Run again with `CpuEngine`, or with fewer lanes; a driver update may help.";
                let expected = "a device that runs to the end";
                return Err(Error::new(ErrorKind::Device, "device", found, expected, remedy));
            }
        }
        Ok(true)
    }

    /// Counts a collected chunk for the lanes that wait for it, and releases those that no chunk holds.
    fn count_resuming(&mut self) {
        for (waits, _) in &mut self.resuming {
            *waits = waits.map(|waits| waits.saturating_sub(1));
        }
        self.release_resuming();
    }

    /// Makes lanes ready to be loaded that no chunk in flight holds.
    fn release_resuming(&mut self) {
        let held = |(waits, _): &(Option<usize>, LaneState)| *waits != Some(0);
        let (waiting, ready): (Vec<_>, Vec<_>) = self.resuming.drain(..).partition(held);
        self.resuming = waiting;
        self.interrupted.extend(ready.into_iter().map(|(_, state)| state));
    }

    /// Emits a chunk, then the lanes that ended in it. A lane that the engine stopped but whose certificate
    /// fails goes on.
    fn finish_ended(&mut self, run: &dyn Run, mut chunk: Chunk, emit: &mut dyn FnMut(Event)) {
        let mut ended = Vec::new();
        for (i, slot) in chunk.slots.iter_mut().enumerate() {
            if !self.active[slot.lane] {
                // The lane had ended before this chunk, which was already in flight.
                slot.first = slot.outcome.iterations;
                let resumes = |state: &LaneState| state.lane == slot.lane;
                if self.resuming.iter().any(|(_, state)| resumes(state))
                    || self.interrupted.iter().any(resumes)
                {
                    slot.outcome.status = Status::Running;
                }
            } else if slot.outcome.status != Status::Running {
                ended.push((i, run.state(slot.lane), slot.outcome));
            }
        }
        let ended = self.scheduler.judge.all(ended, &|| self.scheduler.stop());
        for (i, decided) in &ended {
            if let Decided::Resume(_) = decided {
                let slot = &mut chunk.slots[*i];
                (slot.outcome.status, slot.rests) = (Status::Running, true);
            }
        }
        emit(Event::Chunk(chunk));
        for (_, decided) in ended {
            let lane = decided.lane();
            self.active[lane] = false;
            self.active_count -= 1;
            match decided {
                Decided::Finish(state, outcome, certified) => {
                    self.scheduler.finish(&state, &outcome);
                    emit(Event::Finish(state, outcome, certified));
                }
                Decided::Resume(state) => self.resuming.push((None, state)),
            }
        }
    }

    /// Ends every running lane at its current iterate.
    fn finish_all(&mut self, run: &dyn Run, status: Status, emit: &mut dyn FnMut(Event)) {
        let active = self.loaded.iter().filter(|lane| self.active[**lane]).map(|lane| run.state(*lane));
        let resuming = self.resuming.drain(..).map(|(_, state)| state);
        for state in active.chain(resuming).chain(self.interrupted.drain(..)) {
            let outcome = LaneOutcome { status, ..LaneOutcome::open(state.iteration) };
            emit(Event::Finish(state, outcome, None));
        }
    }
}
