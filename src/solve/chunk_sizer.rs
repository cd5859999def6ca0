//! The length of chunks, from the time that earlier ones took.

use std::time::Instant;

use crate::program::CHUNK_SECONDS;

/// Sizes chunks to about [`CHUNK_SECONDS`] each.
pub(super) struct ChunkSizer {
    most: usize,
    iterations: usize,
    clock: Instant,
}

impl ChunkSizer {
    /// `most` iterations is the plan's estimate; the first chunk is an eighth of it, as estimates may be too
    /// high.
    pub(super) fn new(most: usize) -> Self {
        ChunkSizer { most, iterations: most.div_ceil(8), clock: Instant::now() }
    }

    /// Iterations of the next chunk.
    pub(super) fn iterations(&self) -> usize {
        self.iterations
    }

    /// A chunk of so many iterations was collected. The engine is never idle, so the time since the last one
    /// is its own.
    pub(super) fn collected(&mut self, iterations: usize) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        let iterations = iterations.max(1);
        let fitting = CHUNK_SECONDS * iterations as f64 / seconds.max(1e-9);
        // At most twice as many as before: the first chunks hold compilation and warming up.
        self.iterations = (fitting as usize).clamp(1, (2 * iterations).min(self.most));
    }
}
