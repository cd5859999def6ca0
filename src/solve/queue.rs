//! The queue of waiting lanes. A lane that starts from another lane is ready when that lane has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ndarray::Array2;

use crate::engine::{LaneOutcome, Status};
use crate::error::{Error, Result};
use crate::lanes::{Job, Lane, LaneState, Start};

/// The waiting lanes of a sweep, in their order.
pub(super) struct Queue {
    ready: VecDeque<usize>,
    /// Lanes that are not ready, by the lane that they start from.
    blocked: HashMap<usize, Vec<usize>>,
    /// `[1 + d, q]`: states of the lanes that ready lanes start from.
    sources: HashMap<usize, Arc<Array2<f64>>>,
}

impl Queue {
    pub(super) fn new(lanes: &[Lane]) -> Self {
        Queue::without(lanes, &vec![false; lanes.len()], HashMap::new())
    }

    /// The queue of the lanes that have not ended yet, with the states of those that others start from.
    pub(super) fn without(lanes: &[Lane], ended: &[bool], sources: HashMap<usize, Arc<Array2<f64>>>) -> Self {
        let mut queue = Queue { ready: VecDeque::new(), blocked: HashMap::new(), sources };
        for (lane, of) in lanes.iter().enumerate().filter(|(lane, _)| !ended[*lane]) {
            match of.start.source().filter(|source| !ended[*source]) {
                Some(source) => queue.blocked.entry(source).or_default().push(lane),
                None => queue.ready.push_back(lane),
            }
        }
        queue
    }

    /// Removes the next ready lane and returns it before its first iteration.
    pub(super) fn pop(&mut self, job: &Job<'_>) -> Option<LaneState> {
        let lane = self.ready.pop_front()?;
        let source = self.sources.remove(&lane);
        Some(job.begin(lane, source.as_ref().map(|x| x.view())))
    }

    /// Marks a lane as ended: the lanes that start from it become ready.
    pub(super) fn finish(&mut self, state: &LaneState, outcome: &LaneOutcome) {
        let Some(lanes) = self.blocked.remove(&state.lane) else { return };
        let usable = !matches!(outcome.status, Status::Diverged | Status::NotFinite);
        let source = Arc::new(state.state.clone());
        for lane in lanes {
            if usable {
                self.sources.insert(lane, source.clone());
            } else {
                log::warn!(
                    "lane {lane} starts at zero: lane {} ended as {}",
                    state.lane,
                    outcome.status.name()
                );
            }
            self.ready.push_back(lane);
        }
    }

    /// Removes all remaining lanes, ready or not, in the order of the sweep.
    pub(super) fn drain(&mut self) -> Vec<usize> {
        let mut lanes: Vec<usize> =
            self.ready.drain(..).chain(self.blocked.drain().flat_map(|(_, b)| b)).collect();
        lanes.sort_unstable();
        lanes
    }

    /// True if no lane waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.blocked.is_empty()
    }
}

/// Checks that every lane can start: its row is one of the `rows` given starts, and no lane
/// depends on itself.
///
/// # Errors
/// The first lane that cannot.
pub(super) fn check_lanes(lanes: &[Lane], rows: usize) -> Result<()> {
    for (lane, of) in lanes.iter().enumerate() {
        let refuse = |field: &str, found: String, expected: String, remedy: &str| {
            Err(Error::usage(format!("{field} of lane {lane}"), found, expected, remedy))
        };
        match of.start {
            Start::Given(row) if row >= rows => {
                return refuse(
                    "start",
                    format!("row {row}"),
                    format!("a row below {rows}, as many starts are given"),
                    "",
                );
            }
            Start::From(source) | Start::Carried(source) if source >= lanes.len() => {
                return refuse(
                    "start",
                    format!("lane {source}"),
                    format!("a lane below {}", lanes.len()),
                    "",
                );
            }
            _ => {}
        }
    }
    match first_in_cycle(lanes) {
        None => Ok(()),
        Some(lane) => Err(Error::usage(
            format!("start of lane {lane}"),
            "a chain of lanes that leads back to it",
            "a chain that begins at zero or at a given start",
            "Let the first lane of each chain start at zero.",
        )),
    }
}

/// The first lane whose chain of starts is a cycle, if any.
fn first_in_cycle(lanes: &[Lane]) -> Option<usize> {
    // 0: not visited, 1: on the current chain, 2: known to end.
    let mut seen = vec![0u8; lanes.len()];
    for first in 0..lanes.len() {
        let (mut at, mut chain) = (first, Vec::new());
        loop {
            match seen[at] {
                1 => return Some(at),
                2 => break,
                _ => {}
            }
            seen[at] = 1;
            chain.push(at);
            let Some(source) = lanes[at].start.source() else { break };
            at = source;
        }
        chain.into_iter().for_each(|lane| seen[lane] = 2);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(starts: &[Start]) -> Vec<Lane> {
        starts.iter().map(|start| Lane { start: *start, ..Lane::new(1.0, 1.0) }).collect()
    }

    #[test]
    fn a_cycle_and_a_missing_source_are_refused() {
        use Start::{From, Given, Zero};
        assert!(check_lanes(&lanes(&[Zero, From(0), From(1), Given(1), From(3)]), 2).is_ok());
        for (starts, rows, words) in [
            (&[Zero, From(2), From(1)][..], 0, "leads back"),
            (&[From(0)][..], 0, "leads back"),
            (&[From(1)][..], 0, "a lane below 1"),
            (&[Given(0)][..], 0, "a row below 0"),
        ] {
            let error = check_lanes(&lanes(starts), rows).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
