//! A sweep that runs on its own thread, for programs that must not block: a stream of updates and a future of
//! the result.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_channel::{mpsc, oneshot};
use futures_core::Stream;

use super::{Progress, Sweep, SweepResult};
use crate::engine::{Chunk, Engine};
use crate::error::{Error, ErrorKind, Result};

/// One item of a [`Handle`]'s stream: a chunk of iterations, and the progress of the run after it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// The records and the frames of the chunk.
    pub chunk: Chunk,
    /// Progress of the run.
    pub progress: Progress,
}

/// Maximum number of updates that wait for the reader.
const WAITING: usize = 4;

/// A sweep that was submitted: a [`Stream`] of its [`Update`]s, and by [`result`](Self::result) a future of
/// its result.
///
/// Any executor can poll it: it spawns no task and does not block. Only a few updates are queued, so a slow
/// reader slows the run down instead of filling memory. The stream ends when the run ends, for whatever
/// reason.
///
/// Dropping a handle cancels the run; so does [`cancel`](Self::cancel), which keeps the result. Both take
/// effect after the current chunk, about 50 ms later, and neither waits for that.
#[derive(Debug)]
pub struct Handle {
    updates: mpsc::Receiver<Update>,
    finish: Finish,
}

/// The future of a sweep's result. Dropping it cancels the run.
#[derive(Debug)]
pub struct Finish {
    result: oneshot::Receiver<Result<SweepResult>>,
    cancelled: Arc<AtomicBool>,
}

impl Sweep {
    /// Runs the sweep on its own thread. Settings are checked there too: an error in them is returned as the
    /// result.
    pub fn submit(self, mut engine: Box<dyn Engine>) -> Handle {
        let (mut sender, updates) = mpsc::channel(WAITING);
        let (finished, result) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let sweep = self.cancel_by(cancelled.clone());
        let work = move || {
            let result = sweep.run_with(engine.as_mut(), |chunk, progress| {
                // A caller of `result` has dropped the receiver: then there is no update to send.
                if !sender.is_closed() {
                    let update = Update { chunk: chunk.clone(), progress: *progress };
                    let room = pollster::block_on(poll_fn(|context| sender.poll_ready(context)));
                    let _ = room.and_then(|()| sender.start_send(update));
                }
                ControlFlow::Continue(())
            });
            // Free the device before the result is sent.
            drop(engine);
            let _ = finished.send(result);
        };
        // If the thread cannot start, the sender is dropped, and the future reports that.
        let _ = std::thread::Builder::new().name("proxjet sweep".into()).spawn(work);
        Handle { updates, finish: Finish { result, cancelled } }
    }
}

impl Handle {
    /// Asks the run to end. Lanes that ended keep their results; the others end at their current iterate with
    /// the status `cancelled`. The stream yields the queued updates and ends.
    pub fn cancel(&mut self) {
        self.finish.cancelled.store(true, Ordering::Relaxed);
        // Unblocks a run that waits for the reader.
        self.updates.close();
    }

    /// The result, without further updates: a run that waits for the reader continues.
    pub fn result(self) -> Finish {
        self.finish
    }

    /// Waits for the result, without an executor.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub fn wait(self) -> Result<SweepResult> {
        pollster::block_on(self.finish)
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Stream for Handle {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        Pin::new(&mut self.updates).poll_next(context)
    }
}

impl Future for Finish {
    type Output = Result<SweepResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.result).poll(context)).unwrap_or_else(|_| {
            let found = "a thread that panicked, or that the system did not start";
            Err(Error::new(
                ErrorKind::Device,
                "solver thread",
                found,
                "a result",
                "Please report this with its log.",
            ))
        }))
    }
}
