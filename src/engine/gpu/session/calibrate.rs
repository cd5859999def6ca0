//! The time of an iteration, measured before the first frame.

use std::time::Duration;

use super::Session;
use crate::Instant;
use crate::error::Result;

/// Iterations that are measured together, unless the stop rule is tested as often or oftener.
const MEASURED: usize = 16;
/// Times that they are measured; the shortest counts, as others may have used the device meanwhile.
const ROUNDS: usize = 2;

impl Session {
    /// Runs some iterations, including a test of the stop rule, and waits for them, since drivers
    /// compile kernels when they run first; then measures the time of an iteration. Call it once, while
    /// loading. The iterations count. A session that keeps chunks has those of these iterations to collect.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn calibrate(&mut self) -> Result<()> {
        self.wait()?;
        let period = self.plan().request.check_every;
        let mut left = period.max(1) + 1;
        while left > 0 {
            let (iterations, _) = self.timed(left)?;
            if iterations == 0 {
                return Ok(());
            }
            left -= iterations;
        }
        // What was measured until now includes the compilation.
        let mut shortest = f64::INFINITY;
        for _ in 0..ROUNDS {
            let (iterations, seconds) =
                self.timed(if period == 0 { MEASURED } else { period.min(MEASURED) })?;
            if iterations > 0 {
                shortest = shortest.min(seconds / iterations as f64);
            }
        }
        if shortest.is_finite() {
            self.seconds_per_iteration = shortest.max(1e-9);
        }
        Ok(())
    }

    /// Submits iterations and waits. Returns their number and their time, on the device's clock if it has
    /// one.
    fn timed(&mut self, iterations: usize) -> Result<(usize, f64)> {
        self.chunk_seconds = None;
        let clock = Instant::now();
        let iterations = self.submit_recorded(|session, encoder| session.record(encoder, iterations))?;
        self.wait()?;
        Ok((iterations, self.chunk_seconds.unwrap_or_else(|| clock.elapsed().as_secs_f64())))
    }

    /// Device time of an iteration: an estimate, or measured.
    pub fn seconds_per_iteration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds_per_iteration)
    }
}
