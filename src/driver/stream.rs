//! The trace as a stream, while the run goes on.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use futures::channel::mpsc;
use futures::{SinkExt, Stream};

use super::{Sweep, SweepResult};
use crate::engine::{Chunk, Engine};
use crate::error::{Error, ErrorKind, Result};

/// What a [`TraceStream`] yields.
#[derive(Debug)]
pub enum Event {
    /// A chunk of iterations: records of each, and the frames among them.
    Chunk(Chunk),
    /// The end.
    Finished(Box<SweepResult>),
}

/// A running sweep as a [`futures::Stream`]. At most `capacity` chunks wait in it; a slow reader slows the run down
/// instead of filling memory. Dropping it cancels the run at the next chunk.
#[derive(Debug)]
pub struct TraceStream {
    events: mpsc::Receiver<Result<Event>>,
    worker: Option<JoinHandle<()>>,
}

impl Sweep {
    /// Runs the sweep on a thread of its own and yields what it does.
    pub fn stream(self, mut engine: Box<dyn Engine>, capacity: usize) -> TraceStream {
        let (mut sender, events) = mpsc::channel(capacity);
        let worker = std::thread::spawn(move || {
            let result = self.run_with(engine.as_mut(), |chunk, _| {
                // The receiver is gone when the reader dropped the stream.
                match pollster::block_on(sender.send(Ok(Event::Chunk(chunk.clone())))) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
            let _ = pollster::block_on(sender.send(result.map(|r| Event::Finished(Box::new(r)))));
        });
        TraceStream { events, worker: Some(worker) }
    }
}

impl Stream for TraceStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.events).poll_next(context);
        if let Poll::Ready(None) = next
            && let Some(worker) = self.worker.take()
            && worker.join().is_err()
        {
            let remedy = "Please report this with the command that led to it.";
            let error = Error::new(ErrorKind::Device, "solver thread", "a panic", "a result", remedy);
            return Poll::Ready(Some(Err(error)));
        }
        next
    }
}
