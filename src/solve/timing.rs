//! Times iterations, without the work that a run does only once.

use super::Sweep;
use crate::Instant;
use crate::engine::{Engine, Run};
use crate::error::{Error, Result};
use crate::lanes::Job;
use crate::program::{CHUNK_SECONDS, Plan};

/// The measured time of a sweep's iterations.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct IterationTime {
    /// Lanes that ran at the same time: the plan's slots.
    pub lanes: usize,
    /// Iterations timed.
    pub iterations: usize,
    /// Seconds per iteration of these lanes, with chunks in flight as in a run.
    pub seconds: f64,
    /// The same if each chunk is collected before the next one is submitted; `None` for an engine that
    /// accepts only one chunk at a time.
    pub one_by_one: Option<f64>,
    /// Seconds from opening the run to the end of its first iteration: buffers, uploads, and the compilation
    /// of kernels that are not cached.
    pub start_seconds: f64,
}

/// Iterations of the trial that estimates the time of one.
const TRIAL: usize = 4;

impl Sweep {
    /// Times iterations with all slots loaded, for about the given seconds. No trace is recorded, and the
    /// tolerance is ignored.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); a device that failed; fewer iterations than it takes to fill the engine's
    /// queue.
    pub fn time_iterations(&self, engine: &mut dyn Engine, seconds: f64) -> Result<IterationTime> {
        let prepared = self.prepare()?;
        let plan = self.plan_prepared(&prepared, engine)?;
        let problem = self.problem_of(std::slice::from_ref(&plan));
        let job = prepared.job(&problem, 0.0);
        let clock = Instant::now();
        let mut run = active(engine, &plan, &job)?;
        in_turn(run.as_mut(), 1, 1)?;
        let start_seconds = clock.elapsed().as_secs_f64();
        let trial = plan.chunk.min(TRIAL);
        let (trial, rough) = in_turn(run.as_mut(), trial, 1)?;
        let rough = rough / trial as f64;

        let (depth, left) = (run.depth(), plan.request.iterations.saturating_sub(1 + trial));
        let shares = if depth > 1 { 2 } else { 1 };
        let most = left / (depth + shares);
        if most == 0 {
            let found = format!("{}", plan.request.iterations);
            let expected = format!("at least {}", 1 + trial + depth + shares);
            return Err(Error::usage("iterations to be timed", found, expected, ""));
        }
        let chunk = ((CHUNK_SECONDS / rough) as usize).clamp(1, plan.chunk.min(most));
        let wanted = (seconds / rough / chunk as f64).ceil() as usize;
        let chunks = wanted.clamp(1, (left / chunk - depth) / shares);

        let (iterations, timed) = in_flight(run.as_mut(), chunk, chunks)?;
        let one_by_one = if depth > 1 {
            let (iterations, timed) = in_turn(run.as_mut(), chunk, chunks)?;
            Some(timed / iterations as f64)
        } else {
            None
        };
        let seconds = timed / iterations as f64;
        Ok(IterationTime { lanes: plan.slots, iterations, seconds, one_by_one, start_seconds })
    }

    /// Seconds of all iterations from the first to the last, without preparation and trace. Only the lanes
    /// that the plan runs at once are timed.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and a device that failed.
    pub fn time_to_the_end(&self, engine: &mut dyn Engine) -> Result<f64> {
        let prepared = self.prepare()?;
        let plan = self.plan_prepared(&prepared, engine)?;
        let problem = self.problem_of(std::slice::from_ref(&plan));
        let job = prepared.job(&problem, 0.0);
        let mut run = active(engine, &plan, &job)?;
        let clock = Instant::now();
        let mut left = plan.request.iterations;
        while left > 0 || run.in_flight() > 0 {
            while left > 0 && run.in_flight() < run.depth() {
                left -= run.submit(plan.chunk.min(left))?;
            }
            run.collect()?;
        }
        Ok(clock.elapsed().as_secs_f64())
    }
}

/// A run with every slot loaded.
fn active<'a>(engine: &'a mut dyn Engine, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
    let mut run = engine.open(plan, job)?;
    run.load(&(0..plan.slots).map(|lane| job.begin(lane, None)).collect::<Vec<_>>())?;
    Ok(run)
}

/// Runs chunks one after the other; returns iterations and seconds.
fn in_turn(run: &mut dyn Run, chunk: usize, chunks: usize) -> Result<(usize, f64)> {
    let (clock, mut iterations) = (Instant::now(), 0);
    for _ in 0..chunks {
        iterations += run.submit(chunk)?;
        run.collect()?;
    }
    Ok((iterations, clock.elapsed().as_secs_f64()))
}

/// Runs chunks in flight; returns iterations and seconds from the time when the queue is full until it needs
/// refilling.
fn in_flight(run: &mut dyn Run, chunk: usize, chunks: usize) -> Result<(usize, f64)> {
    while run.in_flight() < run.depth() {
        run.submit(chunk)?;
    }
    run.collect()?;
    let (clock, mut iterations) = (Instant::now(), 0);
    for _ in 0..chunks {
        iterations += run.submit(chunk)?;
        run.collect()?;
    }
    let seconds = clock.elapsed().as_secs_f64();
    while run.in_flight() > 0 {
        run.collect()?;
    }
    Ok((iterations, seconds))
}
