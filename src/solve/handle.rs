//! A sweep that runs on a thread of its own, for programs that must not block: a stream of what it does, and
//! a future of its result.

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

/// What a [`Handle`] yields: a chunk of iterations, and where the run stands after it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// Records of every iteration of the chunk, and the frames among them.
    pub chunk: Chunk,
    /// Where the run stands.
    pub progress: Progress,
}

/// Updates that may wait for their reader.
const WAITING: usize = 4;

/// A sweep that was submitted: a [`Stream`] of its [`Update`]s, and by [`result`](Self::result) a future of
/// what it found.
///
/// Any executor can poll it: nothing here needs one in particular, spawns a task or waits. A few updates at
/// most wait for their reader; a slow reader slows the run down instead of filling memory. The stream ends
/// when the run does, whatever its end.
///
/// Dropping a handle cancels the run; so does [`cancel`](Self::cancel), which keeps the result. Either takes
/// effect when the chunk under way is done, about 50 ms later, and neither waits for that.
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
    /// Runs the sweep on a thread of its own. Settings are checked there too: what is wrong with them is the
    /// result.
    pub fn submit(self, mut engine: Box<dyn Engine>) -> Handle {
        let (mut sender, updates) = mpsc::channel(WAITING);
        let (finished, result) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let asked = cancelled.clone();
        let work = move || {
            let result = self.run_with(engine.as_mut(), |chunk, progress| {
                // Whoever asks for the result alone has dropped the receiver: then there is nobody to tell.
                if !sender.is_closed() {
                    let update = Update { chunk: chunk.clone(), progress: *progress };
                    let room = pollster::block_on(poll_fn(|context| sender.poll_ready(context)));
                    let _ = room.and_then(|()| sender.start_send(update));
                }
                if asked.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // The device is free by the time that the result is there.
            drop(engine);
            let _ = finished.send(result);
        };
        // A thread that cannot begin drops the sender, which the future reports.
        let _ = std::thread::Builder::new().name("proxjet sweep".into()).spawn(work);
        Handle { updates, finish: Finish { result, cancelled } }
    }
}

impl Handle {
    /// Asks the run to end. Lanes that ended keep their results; the others end as they stand, with the
    /// status `cancelled`. The stream yields what waits in it and ends.
    pub fn cancel(&mut self) {
        self.finish.cancelled.store(true, Ordering::Relaxed);
        // A run that waits for the reader goes on to its end.
        self.updates.close();
    }

    /// The result, without further updates: a run that waits for its reader goes on.
    pub fn result(self) -> Finish {
        self.finish
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
