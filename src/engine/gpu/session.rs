//! A run in an application that owns the device: recorded into the application's own commands, a few
//! milliseconds at a time.

use std::collections::VecDeque;
use std::time::Duration;

use self_cell::self_cell;

use super::GpuEngine;
use super::clock::Clock;
use super::context::GpuContext;
use super::readback::Mapping;
use super::run::GpuRun;
use crate::engine::{Chunk, LaneOutcome, Run, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::OwnedJob;
use crate::program::{BufferId, Keep, Plan};

use landing::{Flying, Kit};
pub use state::StateLayout;

mod calibrate;
mod landing;
mod state;

/// The context, plan and job of a session.
struct Owner {
    context: GpuContext,
    plan: Plan,
    job: OwnedJob,
}

self_cell!(
    /// A run together with the data that it borrows.
    struct Cell {
        owner: Owner,
        #[covariant]
        dependent: GpuRun,
    }
);

/// A sweep in progress on a device that an application owns: all lanes at once, in one batch, as a value that
/// the application holds.
///
/// [`encode`](Self::encode) records iterations into the application's command encoder, and
/// [`submit`](Self::submit) submits them in commands of its own; neither waits for the device. The recorded
/// commands upload everything that an iteration needs, so any number of calls may go into one submission.
/// They must be submitted in the order in which they were recorded.
///
/// The iterate and its derivatives stay on the device, in [`buffers`](Self::buffers), for the
/// application's own shaders.
///
/// Dropping a session ends it; commands that were recorded may still be submitted.
pub struct Session {
    cell: Cell,
    keep: Keep,
    layout: StateLayout,
    outcomes: Vec<LaneOutcome>,
    flying: VecDeque<Flying>,
    spare: Vec<Kit>,
    chunks: VecDeque<Chunk>,
    /// Seconds of an iteration: the plan's estimate, later the measured time.
    seconds_per_iteration: f64,
    measured: bool,
    /// Device time of the last finished chunk, if the device has a clock.
    chunk_seconds: Option<f64>,
    failure: Option<Error>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = (self.iteration(), self.running(), self.flying.len());
        f.debug_struct("Session")
            .field("layout", &self.layout)
            .field("iteration_running_in_flight", &of)
            .finish()
    }
}

impl GpuEngine {
    /// Loads all lanes of a job on this engine's device. This compiles kernels, uploads the data and
    /// submits once; it does not wait for the device. The session holds the device itself and does
    /// not borrow the engine.
    ///
    /// # Errors
    /// The plan cannot run all lanes at once, or the device failed.
    pub fn session(&mut self, plan: Plan, job: OwnedJob) -> Result<Session> {
        let Some(keep) = plan.request.session else {
            let remedy = "Plan with Request::session, or use Sweep::session.";
            return Err(Error::usage("session", "the plan of a sweep", "the plan of a session", remedy));
        };
        if plan.slots < job.lanes.len() {
            let found = format!("{} lanes, of which {} fit at a time", job.lanes.len(), plan.slots);
            let remedy = "Use fewer lanes, a larger memory budget where that is the limit, or Sweep::submit, \
                in which lanes take turns.";
            return Err(Error::new(ErrorKind::Memory, "session", found, "all lanes at once", remedy));
        }
        let tiles = self.tiles(&plan);
        let context = self.context.clone();
        let library = &mut self.compiled;
        let cell = context.guarded(|| {
            Cell::try_new(Owner { context: context.clone(), plan, job }, |owner| {
                let job = owner.job.job();
                let mut run = GpuRun::new(&owner.context, library, &owner.plan, &job, tiles)?;
                let times = run.held.another(&owner.context, BufferId::Times);
                run.clock = times.map(|times| Clock::of_passes(&owner.context, times));
                run.load(&(0..job.lanes.len()).map(|lane| job.begin(lane, None)).collect::<Vec<_>>())?;
                Ok(run)
            })
        })?;
        let (owner, run) = (cell.borrow_owner(), cell.borrow_dependent());
        let s = run.shape();
        let layout = StateLayout {
            rows: s.state_rows(),
            lanes: s.slots,
            tangents: s.d(),
            tangent_stride: s.padded_lanes(),
            row_stride: s.columns(),
            precision: s.request.precision,
        };
        let iterations = owner.plan.request.iterations.max(1);
        Ok(Session {
            keep,
            layout,
            outcomes: vec![LaneOutcome::open(0); owner.job.lanes.len()],
            seconds_per_iteration: (owner.plan.seconds / iterations as f64).max(1e-9),
            measured: false,
            chunk_seconds: None,
            flying: VecDeque::new(),
            spare: Vec::new(),
            chunks: VecDeque::new(),
            failure: None,
            cell,
        })
    }
}

impl Session {
    /// Records iterations into an encoder of the application's device: as many as are expected to take
    /// `budget` of device time, at least one, at most the plan's chunk. Returns their number; 0 if nothing is
    /// left to do, or if earlier chunks are still in flight ([`in_flight`](Self::in_flight)) or wait to be
    /// collected. The encoder must not have an open pass.
    ///
    /// The time of an iteration is measured if the device has `TIMESTAMP_QUERY`; otherwise it is the plan's
    /// estimate until [`calibrate`](Self::calibrate) is called.
    ///
    /// # Errors
    /// The device was lost, or commands recorded earlier were dropped or did not run; the session cannot be
    /// used any more then.
    pub fn encode(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Duration) -> Result<usize> {
        self.take_note()?;
        if self.flying.len() + self.chunks.len() >= self.keep.depth() {
            return Ok(0);
        }
        self.record(encoder, (budget.as_secs_f64() / self.seconds_per_iteration) as usize)
    }

    /// Records this many iterations: at least one, at most a chunk and what is left.
    fn record(&mut self, encoder: &mut wgpu::CommandEncoder, iterations: usize) -> Result<usize> {
        if self.is_done() {
            return Ok(0);
        }
        let plan = self.plan();
        let left = plan.request.iterations - self.iteration();
        let fitting = iterations.clamp(1, plan.chunk).min(left);
        let kit = match self.spare.pop() {
            Some(kit) => kit,
            None => self.kit()?,
        };
        let flying = self.cell.with_dependent_mut(|owner, run| {
            let ahead = run.prepare_chunk(fitting);
            let tables = run.tables(&ahead);
            {
                let mut mapped = kit
                    .upload
                    .get_mapped_range_mut(..)
                    .map_err(|e| failed(&owner.context, &e.to_string()))?;
                let mut at = 0;
                for (id, bytes) in &tables {
                    mapped.slice(at..at + bytes.len()).copy_from_slice(bytes);
                    let to = run.held.buffer(*id, run.chunk_parity);
                    encoder.copy_buffer_to_buffer(&kit.upload, at as u64, to, 0, bytes.len() as u64);
                    at += bytes.len().next_multiple_of(8);
                }
            }
            kit.upload.unmap();
            let order = run.encode_chunk(encoder, ahead, &kit.staging);
            let at = run.staging_places.times.start as u64;
            let passes = run.clock.as_mut().map_or(0, |clock| clock.take(encoder, &kit.staging, at));
            let (writable, readable) = (Mapping::default(), Mapping::default());
            encoder.map_buffer_on_submit(&kit.upload, wgpu::MapMode::Write, .., writable.callback());
            encoder.map_buffer_on_submit(&kit.staging, wgpu::MapMode::Read, .., readable.callback());
            Ok(Flying { order, end: run.submitted, kit, writable, readable, passes })
        })?;
        let iterations = flying.order.iterations;
        self.flying.push_back(flying);
        Ok(iterations)
    }

    /// The same with an encoder of its own, submitted to the application's queue.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn submit(&mut self, budget: Duration) -> Result<usize> {
        self.submit_recorded(|session, encoder| session.encode(encoder, budget))
    }

    /// Submits what is recorded into an encoder of its own.
    fn submit_recorded(
        &mut self,
        record: impl FnOnce(&mut Self, &mut wgpu::CommandEncoder) -> Result<usize>,
    ) -> Result<usize> {
        let context = self.cell.borrow_owner().context.clone();
        let mut encoder =
            context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("proxjet") });
        let iterations = record(self, &mut encoder)?;
        if iterations > 0 {
            context.queue.submit([encoder.finish()]);
        }
        Ok(iterations)
    }

    /// Checks, without waiting, which chunks have finished, and updates the outcomes of their lanes. This
    /// polls the device, so the application's own callbacks may run here. [`encode`](Self::encode) does the
    /// same without polling: wgpu polls at every submission.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn poll(&mut self) -> Result<()> {
        let context = &self.cell.borrow_owner().context;
        if let Err(e) = context.device.poll(wgpu::PollType::Poll) {
            let error = failed(context, &e.to_string());
            return self.fail(error);
        }
        self.take_note()
    }

    /// Removes and returns the oldest finished chunk, if the session keeps them.
    pub fn collect(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Waits until everything that was submitted has finished: not for an event loop.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn wait(&mut self) -> Result<()> {
        let context = &self.cell.borrow_owner().context;
        if let Err(e) = context.wait(None) {
            let error = failed(context, &e.found);
            return self.fail(error);
        }
        self.take_note()
    }

    /// The two buffers that hold the iterate alternately, laid out by [`layout`](Self::layout), with the
    /// usages `STORAGE | COPY_SRC | COPY_DST`. They are the same for the whole session, so that bind groups
    /// can be created once. Do not write to them.
    pub fn buffers(&self) -> [&wgpu::Buffer; 2] {
        let held = &self.cell.borrow_dependent().held;
        [0, 1].map(|which| held.buffer(BufferId::State, which))
    }

    /// The index in [`buffers`](Self::buffers) of the latest iterate after all recorded commands have run:
    /// the one to draw from with commands recorded now. The other buffer holds the previous iterate.
    pub fn current(&self) -> usize {
        self.cell.borrow_dependent().submitted % 2
    }

    /// The layout of the buffers.
    pub fn layout(&self) -> StateLayout {
        self.layout
    }

    /// The plan of the session.
    pub fn plan(&self) -> &Plan {
        &self.cell.borrow_owner().plan
    }

    /// The job of the session: its lanes and data.
    pub fn job(&self) -> &OwnedJob {
        &self.cell.borrow_owner().job
    }

    /// Iterations recorded. Lanes that ended do not change in later ones.
    pub fn iteration(&self) -> usize {
        self.cell.borrow_dependent().submitted
    }

    /// The outcome of every lane, as of the last chunk that is known to have finished.
    pub fn outcomes(&self) -> &[LaneOutcome] {
        &self.outcomes
    }

    /// Lanes that are not known to have ended.
    pub fn running(&self) -> usize {
        self.outcomes.iter().filter(|o| o.status == Status::Running).count()
    }

    /// Chunks that were recorded and are not known to have finished.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// True if there is nothing left to record: every lane has ended, or all iterations are recorded.
    pub fn is_done(&self) -> bool {
        self.running() == 0 || self.iteration() >= self.plan().request.iterations
    }
}

/// The error of a session that cannot continue.
fn failed(context: &GpuContext, found: &str) -> Error {
    let at = format!("session on {}", context.info.name);
    let expected = "a device that works, and every recorded encoder submitted once, in order";
    let remedy = "Begin a new session, on a new device if this one was lost; the application's own errors \
        may say more.";
    Error::new(ErrorKind::Device, at, found, expected, remedy)
}
