//! The sweep backward from checkpoints: iterates that the tape does not keep are computed again, segment by
//! segment, from the pair of iterates before.

use ndarray::{Array2, ArrayD};

use super::run::Run;
use crate::diff::unrolled::tape::{LaneTape, Tape};
use crate::diff::unrolled::{Pulled, Unrolled};
use crate::error::{Error, ErrorKind, Result, bytes};
use crate::program::Keep;
use crate::schedule::Schedule;

/// Segments that are computed again.
pub(super) struct Checkpoints {
    /// Iterations of a segment.
    every: usize,
    /// The schedule as it was executed.
    schedule: Schedule,
}

impl Checkpoints {
    /// Those of a tape; `None` if it keeps all iterates. `budget` is that of a segment.
    pub(super) fn new(run: &Run<'_>, budget: u64) -> Result<Option<Self>> {
        let every = run.tape.every();
        if every == 1 {
            return Ok(None);
        }
        let q = run.of.sweep.problem().state_rows();
        let needed = run.tape.iterate_bytes(q).saturating_mul(every as u64);
        if needed > budget {
            return Err(Error::new(
                ErrorKind::Memory,
                "mode",
                format!("{} for {every} iterates of all lanes, in mode 'reverse'", bytes(needed)),
                format!("at most {}", bytes(budget)),
                "Raise `memory_budget`, use fewer `iterations` or lanes, or mode forward.",
            ));
        }
        Ok(Some(Checkpoints { every, schedule: run.as_executed()? }))
    }

    /// Goes back through all iterations, from the last segment to the first.
    pub(super) fn pull_back(
        &self,
        run: &Run<'_>,
        mut parts: Vec<Pulled>,
        unrolled: &Unrolled<'_>,
    ) -> Result<Vec<Pulled>> {
        let ends: Vec<usize> = parts.iter().map(|of| of.next.end).collect();
        let last = ends.iter().copied().max().unwrap_or(0);
        for from in (0..last).step_by(self.every).collect::<Vec<_>>().into_iter().rev() {
            let tape = self.segment(run, from, last.min(from + self.every))?;
            run.note_tape(tape.peak());
            for (of, end) in parts.iter_mut().zip(&ends) {
                let end = (*end).min(from + self.every).max(of.first);
                of.next = from.max(of.first).min(end)..end;
            }
            parts = Unrolled { tape: &tape, ..*unrolled }.pull_back(parts);
        }
        Ok(parts)
    }

    /// The tape of iterations `from..to`.
    fn segment(&self, run: &Run<'_>, from: usize, to: usize) -> Result<Tape> {
        let q = run.of.sweep.problem().state_rows();
        let mut tape = run.tape.without_iterates();
        let mut starts = Vec::new();
        for (lane, of) in run.tape.lanes.iter().enumerate().filter(|(_, of)| of.iterations() > from) {
            let x = of.iterate(from, q);
            let previous = if from == 0 { x.clone() } else { of.iterate(from - 1, q) };
            if from > 0 {
                tape.put(lane, from - 1, previous.view());
            }
            tape.put(lane, from, x.view());
            starts.push((lane, [x, previous]));
        }
        let sweep =
            run.of.sweep.clone().derivatives([]).keep(Keep::Iterates).tol(0.0).iterations(run.longest());
        // Which columns are left out depends on what went before.
        let sweep = sweep.sparsity(false).schedule(self.schedule.clone());
        let mut engine = run.engine();
        sweep.run_segment(&mut **engine, starts, (from, to), &mut |chunk| tape.take_iterates(chunk, to))?;
        Ok(tape)
    }
}

impl Run<'_> {
    /// Iterations of the lane that did most.
    fn longest(&self) -> usize {
        self.tape.lanes.iter().map(LaneTape::iterations).max().unwrap_or(0).max(1)
    }

    /// The schedule with the steps and momenta that were used.
    fn as_executed(&self) -> Result<Schedule> {
        let lanes = &self.tape.lanes;
        if lanes.iter().any(|lane| lane.executed.iter().any(|of| of.takes_back)) {
            let expected = "steps that are not taken back, as iterates are computed again";
            let remedy = "Raise `memory_budget`, so that all iterates are kept, or use another step rule.";
            return Err(Error::usage("step", "'backtracking', in mode 'reverse'", expected, remedy));
        }
        let shape = (self.longest(), lanes.len());
        let at = |lane: &LaneTape, k: usize| lane.executed[k.min(lane.iterations() - 1)];
        let table = |of: &dyn Fn(&LaneTape, usize) -> f64| -> ArrayD<f64> {
            let entry = |(k, lane): (usize, usize)| {
                if lanes[lane].executed.is_empty() { 1.0 } else { of(&lanes[lane], k) }
            };
            Array2::from_shape_fn(shape, entry).into_dyn()
        };
        let steps = table(&|lane, k| at(lane, k).step);
        // Without a previous iterate momentum has no effect.
        let momenta = table(&|lane, k| if at(lane, k).rests { 0.0 } else { at(lane, k).momentum });
        Ok(self.of.sweep.rules().clone().tabulated(&steps, &momenta))
    }
}
