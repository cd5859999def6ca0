//! Some iterations of all lanes, from given iterates.

use ndarray::Array1;

use super::Sweep;
use crate::engine::{Chunk, Engine};
use crate::error::Result;
use crate::lanes::LaneState;
use crate::program::Plan;

impl Sweep {
    /// Does iterations `from..to` of some lanes, given each by its index, iterate and previous iterate,
    /// `[q]`, and passes every chunk to `watch`. The schedule must be one of tables: others depend on what
    /// went before.
    pub(crate) fn run_segment(
        &self,
        engine: &mut dyn Engine,
        starts: Vec<(usize, [Array1<f64>; 2])>,
        (from, to): (usize, usize),
        watch: &mut dyn FnMut(&Chunk),
    ) -> Result<()> {
        let prepared = self.prepare()?;
        let plan = self.plan_prepared(&prepared, engine)?;
        let problem = self.problem_of(std::slice::from_ref::<Plan>(&plan));
        let job = prepared.job(&problem, 0.0);
        let begin = |(lane, [x, previous]): (usize, [Array1<f64>; 2])| {
            let mut state = LaneState { iteration: from, ..job.begin(lane, None) };
            state.state.row_mut(0).assign(&x);
            state.previous.row_mut(0).assign(&previous);
            state
        };
        let states: Vec<LaneState> = starts.into_iter().map(begin).collect();
        let mut run = engine.open(&plan, &job)?;
        for some in states.chunks(plan.slots) {
            run.load(some)?;
            let mut done = from;
            while done < to {
                done += run.submit((to - done).min(plan.chunk))?;
                watch(&run.collect()?);
            }
            run.evict(&some.iter().map(|state| state.lane).collect::<Vec<_>>());
        }
        Ok(())
    }
}
