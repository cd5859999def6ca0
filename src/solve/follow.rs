//! A path by Newton's method, before any engine works: lanes that it cannot solve are left to the engines.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;

use super::path::order;
use super::queue::Queue;
use super::scheduler::{Event, Scheduler, lock};
use crate::certificate::{Certified, Follower, Limits, MAX_OPERATIONS};
use crate::engine::{LaneOutcome, Status};
use crate::lanes::LaneState;

/// The lanes of a fold, from the largest alpha to the smallest.
struct Chain<'a> {
    follower: Follower<'a>,
    /// Of its first lane.
    start: LaneState,
    /// The lane that was solved last, with its state.
    last: Option<(usize, Arc<Array2<f64>>)>,
}

impl Scheduler<'_> {
    /// Solves the lanes of a path one after the other, those of the folds of an alpha side by side. The queue
    /// then holds the lanes without a certified solution, and those that were not reached.
    pub(super) fn follow_path(&self, folds: usize, on_event: &mut dyn FnMut(Event) -> ControlFlow<()>) {
        let lanes = self.job.lanes;
        let of_fold = |fold: usize| {
            let start = self.job.begin(fold, None);
            let follower = self.judge.certifier.follower(lanes[fold].fold, start.state.row(0));
            Chain { follower, start, last: None }
        };
        let folds = folds.max(1);
        let mut chains: Vec<Chain<'_>> = (0..folds).map(of_fold).collect();
        let mut ended = vec![false; lanes.len()];
        let mut sources = HashMap::new();
        for first in order(lanes, folds) {
            if self.stop().is_some() {
                break;
            }
            let solved: Vec<_> = chains
                .par_iter_mut()
                .enumerate()
                .map(|(fold, chain)| self.advance(chain, first + fold))
                .collect();
            for (chain, solved) in chains.iter_mut().zip(solved) {
                match solved {
                    Ok((state, outcome, certified)) => {
                        ended[state.lane] = true;
                        chain.last = Some((state.lane, Arc::new(state.state.clone())));
                        self.emit(on_event, Event::Begin(state.clone()));
                        self.emit(on_event, Event::Finish(state, outcome, Some(certified)));
                    }
                    Err(lane) => {
                        let source = chain.last.as_ref();
                        if let Some((_, state)) =
                            source.filter(|(s, _)| lanes[lane].start.source() == Some(*s))
                        {
                            sources.insert(lane, state.clone());
                        }
                    }
                }
            }
        }
        *lock(&self.queue) = Queue::without(lanes, &ended, sources);
    }

    /// The certified solution of a lane, or the lane.
    fn advance(
        &self,
        chain: &mut Chain<'_>,
        lane: usize,
    ) -> Result<(LaneState, LaneOutcome, Box<Certified>), usize> {
        let judge = self.judge;
        let stopped = || self.stop().is_some();
        let limits = Limits { active: judge.most_active, operations: MAX_OPERATIONS, stopped: &stopped };
        let mut certified = chain.follower.solve(&self.job.lanes[lane], limits).map_err(|_| lane)?;
        let solution = certified.polished.as_ref().ok_or(lane)?;
        // A derivative that is one of several is a solution of the linear system all the same.
        if !certified.meets(judge.tol, judge.has_derivatives, 0.0) {
            return Err(lane);
        }
        let state = LaneState {
            lane,
            state: solution.state.clone(),
            previous: solution.state.clone(),
            ..chain.start.clone()
        };
        certified.judge(judge.tol, judge.has_derivatives, judge.polishes);
        let outcome = LaneOutcome { status: Status::Converged, ..LaneOutcome::open(0) };
        Ok((state, outcome, Box::new(certified)))
    }
}
