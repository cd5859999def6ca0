//! The tape: the iterations that lanes executed, as a sweep over them in either direction reads them.

use std::sync::Arc;

use ndarray::{Array1, ArrayView1, Axis};
use rayon::prelude::*;

use super::group::PIECE;
use crate::engine::{Chunk, Slot};
use crate::program::RecordLayout;
use crate::schedule::{Code, LaneSchedule};

/// An iteration as it was executed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Executed {
    pub(crate) step: f64,
    pub(crate) momentum: f64,
    /// True if its gradient was taken at the extrapolated point.
    pub(crate) extrapolates: bool,
    /// True if it took the step before back, and began where that had begun.
    pub(crate) takes_back: bool,
    /// True if it began without a previous iterate.
    pub(crate) rests: bool,
}

/// What the tape keeps of an iterate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The signs of coefficients that are not zero.
    Signs,
    /// Their values.
    Values,
}

/// An iterate.
#[derive(Debug, Clone)]
enum Iterate {
    /// For each row of the state that is not zero: twice its number, and one more if it is negative.
    Signs(Arc<[u32]>),
    /// The same, and the values.
    Sparse(Arc<[u32]>, Arc<[f64]>),
    /// `[q]`: the values of all rows.
    Dense(Arc<[f64]>),
}

/// The iterations of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneTape {
    /// Iteration `k` makes iterate `k + 1` from iterates `k` and `k − 1`.
    pub(crate) executed: Vec<Executed>,
    /// The index of the first iterate that is kept.
    first: usize,
    /// `None` where it was dropped.
    iterates: Vec<Option<Iterate>>,
    rests_at: Vec<usize>,
}

/// The iterations of some lanes.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    pub(crate) lanes: Vec<LaneTape>,
    keeps: Keeps,
    /// True if iterates have zeros.
    is_sparse: bool,
    bytes: u64,
    /// The most bytes so far.
    peak: u64,
    /// Iterates are kept in pairs of which the second is a multiple of this; 1: all are.
    every: usize,
}

impl Tape {
    /// An empty tape. Iterates whose penalty keeps coefficients at zero are sparse.
    pub(crate) fn new(lanes: usize, keeps: Keeps, is_sparse: bool) -> Self {
        Tape { lanes: vec![LaneTape::default(); lanes], keeps, is_sparse, bytes: 0, peak: 0, every: 1 }
    }

    /// The same iterations without their iterates.
    pub(crate) fn without_iterates(&self) -> Self {
        let bare = |lane: &LaneTape| LaneTape { executed: lane.executed.clone(), ..LaneTape::default() };
        let lanes = self.lanes.iter().map(bare).collect();
        Tape { lanes, every: 1, bytes: 0, peak: 0, ..*self }
    }

    /// True if values are kept, not only signs.
    pub(crate) fn has_values(&self) -> bool {
        self.keeps == Keeps::Values || !self.is_sparse
    }

    /// True if it takes more, though it keeps as little as it can.
    pub(crate) fn exceeds(&self, budget: u64) -> bool {
        self.bytes > budget && (!self.has_values() || self.every >= MAX_EVERY)
    }

    /// The most bytes that it took.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// Iterations between two pairs of iterates that are kept; 1 if all are.
    pub(crate) fn every(&self) -> usize {
        self.every
    }

    /// Bytes of an iterate of all lanes at most.
    pub(crate) fn iterate_bytes(&self, state_rows: usize) -> u64 {
        (self.lanes.len() * state_rows * size_of::<f64>()) as u64
    }

    /// Takes the executed steps of a chunk, and its iterates; as many of these as fit `budget`, unless only
    /// signs are kept.
    pub(crate) fn take(&mut self, chunk: &Chunk, schedule: &LaneSchedule, budget: Option<u64>) {
        let mut taken = 0;
        for (s, slot) in chunk.slots.iter().enumerate() {
            self.lanes[slot.lane].take_steps(chunk, (s, slot), schedule);
            taken += slot.iterations() * (size_of::<Executed>() + size_of::<Option<Iterate>>());
        }
        self.count(taken as i64);
        let Some(budget) = budget else { return };
        self.take_iterates(chunk, usize::MAX);
        while self.bytes > budget && self.has_values() && self.every < MAX_EVERY {
            self.thin();
        }
    }

    /// Takes the iterates of a chunk, up to the lanes' iterations and to iterate `last`.
    pub(crate) fn take_iterates(&mut self, chunk: &Chunk, last: usize) {
        let mut of_lanes: Vec<Vec<(usize, ArrayView1<'_, f64>)>> = vec![Vec::new(); self.lanes.len()];
        for frame in &chunk.frames {
            for ((lane, k), state) in frame.lanes.iter().zip(frame.state.axis_iter(Axis(0))) {
                if *k <= self.lanes[*lane].iterations().min(last) {
                    of_lanes[*lane].push((*k, state.index_axis_move(Axis(0), 0)));
                }
            }
        }
        let how = (self.keeps, self.is_sparse, self.every);
        let put = |(lane, iterates): (&mut LaneTape, Vec<_>)| -> i64 {
            iterates.into_iter().map(|(k, x)| lane.put(k, x, how)).sum()
        };
        let bytes = self.lanes.par_iter_mut().zip(of_lanes).map(put).sum();
        self.count(bytes);
    }

    /// Stores iterate `k` of a lane, `[q]`: the next one, or the first of a lane that has none.
    pub(crate) fn put(&mut self, lane: usize, k: usize, x: ArrayView1<'_, f64>) {
        let bytes = self.lanes[lane].put(k, x, (self.keeps, self.is_sparse, self.every));
        self.count(bytes);
    }

    /// Counts bytes that were taken, or freed.
    fn count(&mut self, bytes: i64) {
        self.bytes = self.bytes.saturating_add_signed(bytes);
        self.peak = self.peak.max(self.bytes);
    }

    /// Doubles the distance of the iterates that are kept.
    fn thin(&mut self) {
        self.every = (2 * self.every).max(PIECE);
        for lane in &mut self.lanes {
            let end = lane.first + lane.iterates.len();
            // The last one is needed until the next is known.
            let dropped = (lane.first..end.saturating_sub(1)).filter(|k| !is_kept(*k, self.every));
            self.bytes -= dropped.collect::<Vec<_>>().into_iter().map(|k| lane.drop(k)).sum::<u64>();
        }
    }
}

/// Most iterations between pairs.
const MAX_EVERY: usize = 1 << 20;

/// True if iterate `k` belongs to a pair that is kept.
fn is_kept(k: usize, every: usize) -> bool {
    every == 1 || k.is_multiple_of(every) || (k + 1).is_multiple_of(every)
}

impl Iterate {
    /// An iterate, and the bytes that it takes: a pattern that is that of the last one is shared with it.
    fn new(x: ArrayView1<'_, f64>, keeps: Keeps, is_sparse: bool, last: Option<&Iterate>) -> (Self, u64) {
        if !is_sparse {
            let all: Arc<[f64]> = x.iter().copied().collect();
            let bytes = size_of_val(&*all) as u64;
            return (Iterate::Dense(all), bytes);
        }
        let count = x.iter().map(|v| usize::from(*v != 0.0)).sum();
        let is_like = |codes: &&Arc<[u32]>| {
            let has = |code: &u32| {
                let v = x[(code / 2) as usize];
                v != 0.0 && (v < 0.0) != code.is_multiple_of(2)
            };
            codes.len() == count && codes.iter().all(has)
        };
        let (codes, mut bytes) = match last.and_then(Iterate::codes).filter(is_like) {
            Some(codes) => (codes.clone(), 0),
            None => {
                let mut codes = Vec::with_capacity(count);
                let rows = x.iter().enumerate().filter(|(_, v)| **v != 0.0);
                codes.extend(rows.map(|(j, v)| 2 * j as u32 + u32::from(*v < 0.0)));
                let bytes = size_of_val(&codes[..]) as u64;
                (codes.into(), bytes)
            }
        };
        if keeps == Keeps::Signs {
            return (Iterate::Signs(codes), bytes);
        }
        let values: Arc<[f64]> = codes.iter().map(|code| x[(code / 2) as usize]).collect();
        bytes += size_of_val(&*values) as u64;
        (Iterate::Sparse(codes, values), bytes)
    }

    /// Bytes that nothing shares.
    fn own_bytes(&self) -> u64 {
        let of_codes = |codes: &Arc<[u32]>| {
            if Arc::strong_count(codes) == 1 { size_of_val(&**codes) } else { 0 }
        };
        (match self {
            Iterate::Signs(codes) => of_codes(codes),
            Iterate::Sparse(codes, values) => of_codes(codes) + size_of_val(&**values),
            Iterate::Dense(values) => size_of_val(&**values),
        }) as u64
    }

    fn codes(&self) -> Option<&Arc<[u32]>> {
        match self {
            Iterate::Signs(codes) | Iterate::Sparse(codes, _) => Some(codes),
            Iterate::Dense(_) => None,
        }
    }
}

impl LaneTape {
    /// Stores iterate `k`, `[q]`; returns the bytes that this takes, less those that it frees.
    fn put(
        &mut self,
        k: usize,
        x: ArrayView1<'_, f64>,
        (keeps, is_sparse, every): (Keeps, bool, usize),
    ) -> i64 {
        if self.iterates.is_empty() {
            self.first = k;
        }
        // After a fault a lane goes on from its last collected chunk.
        self.iterates.truncate(k - self.first);
        let last = self.iterates.last().and_then(Option::as_ref);
        let (iterate, taken) = Iterate::new(x, keeps, is_sparse, last);
        self.iterates.push(Some(iterate));
        let freed = if k > self.first && !is_kept(k - 1, every) { self.drop(k - 1) } else { 0 };
        taken as i64 - freed as i64
    }

    fn take_steps(&mut self, chunk: &Chunk, (s, slot): (usize, &Slot), schedule: &LaneSchedule) {
        let done = slot.iterations();
        for (row, i) in chunk.recorded.iter().enumerate().filter(|(_, i)| **i < done) {
            let k = slot.first + i;
            let number = |field: usize| chunk.records[[row, s, field]];
            let momentum = number(RecordLayout::MOMENTUM);
            // After a fault a lane goes on from its last collected chunk.
            self.executed.truncate(k);
            self.rests_at.retain(|at| *at <= k);
            self.executed.push(Executed {
                step: number(RecordLayout::STEP),
                momentum: if momentum == -1.0 { 0.0 } else { momentum },
                extrapolates: schedule.unit(0, k).code.has(Code::EXTRAPOLATES),
                takes_back: momentum == -1.0,
                rests: k == 0 || self.rests_at.contains(&k),
            });
        }
        if slot.rests {
            self.rests_at.push(slot.outcome.iterations);
        }
    }

    /// Iterations done.
    pub(crate) fn iterations(&self) -> usize {
        self.executed.len()
    }

    /// Iterate `k`, if it is kept.
    fn get(&self, k: usize) -> Option<&Iterate> {
        self.iterates.get(k.checked_sub(self.first)?)?.as_ref()
    }

    /// True if iterate `k` is kept.
    pub(crate) fn has(&self, k: usize) -> bool {
        self.get(k).is_some()
    }

    /// Drops iterate `k`, and returns the bytes that are free then.
    fn drop(&mut self, k: usize) -> u64 {
        self.iterates[k - self.first].take().map_or(0, |of| of.own_bytes())
    }

    /// The iterate from which iteration `k` began.
    pub(crate) fn start_of(&self, k: usize) -> usize {
        let back = self.executed[..=k].iter().rev().take_while(|executed| executed.takes_back).count();
        k - back
    }

    /// The previous iterate of iteration `k`.
    pub(crate) fn previous_of(&self, k: usize) -> usize {
        if k == 0 || self.executed[k].rests { self.start_of(k) } else { self.start_of(k - 1) }
    }

    /// `[q]`: iterate `k`; signs if only those are kept.
    pub(crate) fn iterate(&self, k: usize, state_rows: usize) -> Array1<f64> {
        let mut x = Array1::zeros(state_rows);
        self.for_each(k, |j, v| x[j] = v);
        x
    }

    /// Calls `f` with each row of iterate `k` that is not zero, ascending, and its value, or ±1 if only signs
    /// are kept.
    pub(crate) fn for_each(&self, k: usize, mut f: impl FnMut(usize, f64)) {
        let sign = |code: u32| if code.is_multiple_of(2) { 1.0 } else { -1.0 };
        match self.get(k).expect("an iterate on the tape") {
            Iterate::Signs(codes) => codes.iter().for_each(|code| f((code / 2) as usize, sign(*code))),
            Iterate::Sparse(codes, values) => {
                codes.iter().zip(&**values).for_each(|(code, v)| f((code / 2) as usize, *v));
            }
            Iterate::Dense(values) => values.iter().enumerate().for_each(|(j, v)| f(j, *v)),
        }
    }

    /// True if both iterates have the same rows that are not zero, as far as that is known without a look.
    pub(crate) fn is_like_before(&self, k: usize) -> bool {
        let codes = |k: usize| self.get(k).and_then(Iterate::codes);
        k > 0 && codes(k).zip(codes(k - 1)).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The iterations of a solver whose iterates are all `x`, `[q]`, with these steps.
    pub(crate) fn frozen(executed: Vec<Executed>, x: ArrayView1<'_, f64>, is_sparse: bool) -> Self {
        let (one, _) = Iterate::new(x, Keeps::Values, is_sparse, None);
        let iterates = vec![Some(one); executed.len() + 1];
        LaneTape { executed, first: 0, iterates, rests_at: Vec::new() }
    }
}
