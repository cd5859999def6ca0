//! Sizes chunks from the time of earlier ones.

use crate::Instant;
use crate::program::CHUNK_SECONDS;

/// Sizes chunks to about [`CHUNK_SECONDS`] each.
pub(super) struct ChunkSizer {
    most: usize,
    iterations: usize,
    clock: Instant,
}

impl ChunkSizer {
    /// `most` is the plan's estimate of iterations; the first chunk is an eighth of it, because the estimate
    /// may be too high.
    pub(super) fn new(most: usize) -> Self {
        ChunkSizer { most, iterations: most.div_ceil(8), clock: Instant::now() }
    }

    /// Iterations of the next chunk.
    pub(super) fn iterations(&self) -> usize {
        self.iterations
    }

    /// Records that a chunk of this many iterations was collected. The engine is never idle, so the chunk
    /// took the time since the last one.
    pub(super) fn collected(&mut self, iterations: usize) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        let iterations = iterations.max(1);
        let fitting = CHUNK_SECONDS * iterations as f64 / seconds.max(1e-9);
        // At most double: the first chunks include compilation and warm-up.
        self.iterations = (fitting as usize).clamp(1, (2 * iterations).min(self.most));
    }
}
