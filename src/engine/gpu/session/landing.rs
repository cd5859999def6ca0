//! Chunks of a session in flight: their buffers, and the processing of finished ones.

use super::{Session, failed};
use crate::engine::Status;
use crate::engine::gpu::readback::{Mapped, Mapping, see_bytes};
use crate::engine::gpu::run::Order;
use crate::error::{Error, Result};
use crate::program::{BufferId, Keep};

/// Buffers of a chunk in flight, reused for a later one.
pub(super) struct Kit {
    pub(super) upload: wgpu::Buffer,
    pub(super) staging: wgpu::Buffer,
}

/// A chunk that was recorded and whose results have not been read.
pub(super) struct Flying {
    pub(super) order: Order,
    /// Iterations done at its end.
    pub(super) end: usize,
    pub(super) kit: Kit,
    pub(super) writable: Mapping,
    pub(super) readable: Mapping,
    /// Passes that were timed.
    pub(super) passes: usize,
}

impl Session {
    /// Buffers for one more chunk.
    pub(super) fn kit(&self) -> Result<Kit> {
        let (owner, run) = (self.cell.borrow_owner(), self.cell.borrow_dependent());
        let context = &owner.context;
        context.guarded(|| {
            let missing = || failed(context, "a plan that is not of a session");
            let upload = run.held.another(context, BufferId::Upload).ok_or_else(missing)?;
            Ok(Kit { upload, staging: run.staging()? })
        })
    }

    pub(super) fn fail<T>(&mut self, error: Error) -> Result<T> {
        self.failure = Some(error.clone());
        Err(error)
    }

    /// Processes the chunks that have finished.
    pub(super) fn take_note(&mut self) -> Result<()> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if let Err(error) = self.cell.borrow_owner().context.check() {
            return self.fail(error);
        }
        if self.flying.iter().any(|f| matches!(f.readable.get(), Some(Mapped::Forgotten))) {
            let context = &self.cell.borrow_owner().context;
            let error =
                failed(context, "recorded commands that were dropped, or never ran as the device was lost");
            return self.fail(error);
        }
        while let Some(flying) =
            self.flying.pop_front_if(|f| f.readable.get().is_some() && f.writable.get().is_some())
        {
            if let Err(error) = self.land(flying) {
                return self.fail(error);
            }
        }
        Ok(())
    }

    /// Processes a finished chunk.
    fn land(&mut self, flying: Flying) -> Result<()> {
        let Flying { order, end, kit, writable, readable, passes } = flying;
        let context = &self.cell.borrow_owner().context;
        for mapping in [&writable, &readable] {
            match mapping.get() {
                Some(Mapped::Ready) => {}
                Some(Mapped::Failed(e)) => {
                    return Err(failed(context, &format!("results that never came: {e}")));
                }
                Some(Mapped::Forgotten) | None => return Err(failed(context, "results that never came")),
            }
        }
        let iterations = order.iterations;
        let (chunk, seconds) = self.cell.with_dependent_mut(|owner, run| {
            see_bytes(&owner.context, &kit.staging, |bytes| {
                let times = &bytes[run.staging_places.times.clone()];
                let seconds = run.clock.as_ref().map_or(0.0, |clock| clock.span(times, passes));
                (run.unpack(order, bytes), seconds)
            })
        })?;
        let late =
            chunk.slots.iter().find(|s| s.outcome.status == Status::Running && s.outcome.iterations != end);
        if let Some(slot) = late {
            let found = format!("lane {} after {} of {end} iterations", slot.lane, slot.outcome.iterations);
            return Err(failed(&self.cell.borrow_owner().context, &found));
        }
        self.chunk_seconds = Some(seconds).filter(|seconds| *seconds > 0.0);
        if let Some(seconds) = self.chunk_seconds {
            let taken = (seconds / iterations as f64).max(1e-9);
            // Halves at most, so that one chunk that was measured too short makes no frame much too long.
            let least = if self.measured { self.seconds_per_iteration / 2.0 } else { 0.0 };
            self.seconds_per_iteration = taken.max(least);
            self.measured = true;
        }
        chunk.slots.iter().for_each(|slot| self.outcomes[slot.lane] = slot.outcome);
        self.spare.push(kit);
        if self.keep != Keep::Nothing {
            self.chunks.push_back(chunk);
        }
        Ok(())
    }
}
