//! Results of a sweep: the trace (full frames and records of lanes at intervals), and the final models of the
//! lanes.

use ndarray::{Array, Array1, Array2, Array3, Array4, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::engine::Chunk;
use crate::lanes::{Lane, LaneState};
use crate::objective::{Derivative, Objective};
use crate::program::{Keep, Plan, RecordLayout};

mod fit;

pub(crate) use fit::Columns;
pub use fit::Fit;

/// The recorded sequence `(x_k, Dx_k)` of every lane, in f64.
///
/// Axes: `f` frames, `k` records, `b` lanes, `d` derivatives, `p` features. Which iterations are recorded is
/// a setting of the sweep ([`Sweep::keep`](crate::solve::Sweep::keep)); a record belongs to the update that
/// makes its iterate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trace {
    /// `[f]`: index of each frame's iterate; 0 is the start, the last one is where the last lane ended.
    pub iteration: Vec<usize>,
    /// `[f, b, p]`: coefficients.
    pub coef: Array3<f64>,
    /// `[f, b, d, p]`: their derivatives.
    pub dcoef: Array4<f64>,
    /// `[f, b]`: intercepts; 0 without one.
    pub intercept: Array2<f64>,
    /// `[f, b, d]`: their derivatives.
    pub dintercept: Array3<f64>,
    /// `[b]`: alpha of each lane.
    pub alpha: Array1<f64>,
    /// `[b]`: l1_ratio of each lane.
    pub l1_ratio: Array1<f64>,
    /// `[b]`: fold of each lane; absent without folds.
    pub fold: Option<Vec<usize>>,
    /// `[r, n]`: the fold that holds out each row of the fit, in each repeat; −1 if none does; absent without
    /// folds.
    pub fold_id: Option<Array2<i64>>,
    /// `[k]`: the iterate of each record, from 1.
    pub recorded: Vec<usize>,
    /// `[k, b]`: step sizes, as the engine used them.
    pub step: Array2<f64>,
    /// `[k, b]`: momenta; −1 if a step was taken back.
    pub momentum: Array2<f64>,
    /// `[k, b]`: objective at the new iterate.
    pub objective: Array2<f64>,
    /// `[k, b]`: `‖x⁺ − x‖₂` over the state (coefficients, and the intercept where it is a column).
    pub change: Array2<f64>,
    /// `[k, b, d]`: `‖dx⁺ − dx‖₂`.
    pub derivative_change: Array3<f64>,
    /// `[k, b]`: non-zero coefficients.
    pub support: Array2<f64>,
    /// `[k, b]`: coefficients that became active or inactive.
    pub active_change: Array2<f64>,
    /// `[k, b]`: mean loss over the held-out rows; absent without any.
    pub validation_loss: Option<Array2<f64>>,
    /// `[k, b, d]`: its derivative, the hypergradient.
    pub hypergradient: Option<Array3<f64>>,
}

/// Writes chunks into a [`Trace`] as they arrive.
pub(crate) struct Recorder<'a> {
    problem: &'a Objective,
    every: usize,
    keep: Keep,
    layout: RecordLayout,
    /// `[d]`: means of the target's tangents.
    dy_mean: Vec<f64>,
    /// The trace, allocated for every record and every frame.
    trace: Trace,
    /// `[fields, b]`: the last record of each lane; NaN before.
    last: Array2<f64>,
    /// Iterations of each lane that ended; `None` before.
    ends: Vec<Option<usize>>,
    polished: Polish,
}

/// The polished model of each lane that has one: a frame of a single lane, in the units of the fit.
pub(crate) type Polish = Vec<Option<Model>>;

/// A model and its derivatives, in the units of the fit.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) coef: Array1<f64>,
    pub(crate) intercept: f64,
    pub(crate) dcoef: Array2<f64>,
    pub(crate) dintercept: Array1<f64>,
}

impl<'a> Recorder<'a> {
    /// Allocates the trace of these lanes, over a plan's iterations.
    pub(crate) fn new(
        problem: &'a Objective,
        derivatives: &'a [Derivative],
        plan: &Plan,
        lanes: &[Lane],
    ) -> Self {
        let (b, d, p) = (lanes.len(), derivatives.len(), problem.features());
        let (iterations, every) = (plan.request.iterations, plan.request.every);
        // The multiples of `every`, and the last iterate.
        let keep = plan.request.keep;
        let f = if keep.has_frames() { iterations / every + 2 } else { 1 };
        let recorded = if keep.has_records() { plan.recorded() } else { Vec::new() };
        let k = if keep.has_records() { recorded.len() } else { 1 };
        let of = || Array2::zeros((k, b));
        let held_out = problem.holds_out();
        let trace = Trace {
            iteration: Vec::new(),
            coef: Array3::zeros((f, b, p)),
            dcoef: Array4::zeros((f, b, d, p)),
            intercept: Array2::zeros((f, b)),
            dintercept: Array3::zeros((f, b, d)),
            alpha: lanes.iter().map(|l| l.alpha).collect(),
            l1_ratio: lanes.iter().map(|l| l.l1_ratio).collect(),
            fold: lanes.iter().map(|l| l.fold).collect(),
            fold_id: problem.fold_ids(),
            recorded,
            step: of(),
            momentum: of(),
            objective: of(),
            change: of(),
            derivative_change: Array3::zeros((k, b, d)),
            support: of(),
            active_change: of(),
            validation_loss: held_out.then(of),
            hypergradient: held_out.then(|| Array3::zeros((k, b, d))),
        };
        let dy_mean =
            derivatives.iter().map(|t| t.target_tangent(problem).map_or(0.0, |(_, mean)| mean)).collect();
        Recorder {
            problem,
            every,
            keep,
            layout: RecordLayout::new(d),
            dy_mean,
            last: Array2::from_elem((RecordLayout::new(d).fields(), b), f64::NAN),
            trace,
            ends: vec![None; b],
            polished: vec![None; b],
        }
    }

    /// Records the start of a lane, frame 0.
    pub(crate) fn begin(&mut self, state: &LaneState) {
        self.put(0, state.lane, state.state.view());
    }

    pub(crate) fn chunk(&mut self, chunk: &Chunk) {
        self.columns().into_par_iter().for_each(|kept| kept.take(chunk));
        if !self.keep.has_frames() {
            return;
        }
        for frame in &chunk.frames {
            for ((lane, iteration), state) in frame.lanes.iter().zip(frame.state.outer_iter()) {
                if iteration.is_multiple_of(self.every) {
                    self.put(iteration / self.every, *lane, state);
                }
            }
        }
    }

    /// The fields of a record, and where they are kept.
    fn columns(&mut self) -> Vec<Kept<'_>> {
        let (layout, trace, last) = (&self.layout, &mut self.trace, &mut self.last);
        let mut last: Vec<_> = last.outer_iter_mut().map(Some).collect();
        let recorded = &trace.recorded[..];
        let mut list = vec![
            (RecordLayout::OBJECTIVE, trace.objective.view_mut()),
            (RecordLayout::CHANGE, trace.change.view_mut()),
            (RecordLayout::SUPPORT, trace.support.view_mut()),
            (RecordLayout::ACTIVE_CHANGE, trace.active_change.view_mut()),
            (RecordLayout::STEP, trace.step.view_mut()),
            (RecordLayout::MOMENTUM, trace.momentum.view_mut()),
        ];
        let changes = trace.derivative_change.axis_iter_mut(Axis(2)).enumerate();
        list.extend(changes.map(|(t, column)| (layout.derivative_change(t), column)));
        if let Some(hypergradient) = &mut trace.hypergradient {
            let columns = hypergradient.axis_iter_mut(Axis(2)).enumerate();
            list.extend(columns.map(|(t, column)| (layout.hypergradient(t), column)));
        }
        list.extend(trace.validation_loss.iter_mut().map(|loss| (RecordLayout::VALIDATION, loss.view_mut())));
        let kept = |(field, of_trace): (usize, _)| {
            let last = last[field].take().expect("a field has one place");
            let is_change = !VALUES.contains(&field) && field < layout.hypergradient(0);
            Kept { field, is_change, recorded, of_trace, last }
        };
        list.into_iter().map(kept).collect()
    }

    /// Records the final state of a lane that ended.
    pub(crate) fn finish(&mut self, state: &LaneState) {
        self.ends[state.lane] = Some(state.iteration);
        let frame = if self.keep.has_frames() { state.iteration.div_ceil(self.every) } else { 0 };
        self.put(frame, state.lane, state.state.view());
    }

    /// Keeps the polished model of a lane, from its state `[1 + d, q]`.
    pub(crate) fn polish(&mut self, lane: usize, state: ArrayView2<'_, f64>) {
        let p = self.problem.features();
        let mean = |t: usize| if t == 0 { 0.0 } else { self.dy_mean[t - 1] };
        let intercept = |t: usize| self.problem.intercept_of(state.row(t), t == 0, mean(t));
        self.polished[lane] = Some(Model {
            coef: state.row(0).slice_axis(Axis(0), (..p).into()).to_owned(),
            intercept: intercept(0),
            dcoef: state.slice_axis(Axis(0), (1..).into()).slice_axis(Axis(1), (..p).into()).to_owned(),
            dintercept: (1..state.nrows()).map(intercept).collect(),
        });
    }

    /// The trace, up to where the last lane ended, the last record of each lane, and the polished models.
    pub(crate) fn trace(mut self) -> (Trace, LastRecords, Polish) {
        let done = self.ends.iter().flatten().copied().max().unwrap_or(0);
        let ends: Vec<usize> = self.ends.iter().map(|end| end.unwrap_or(0)).collect();
        if !self.keep.has_records() {
            self.trace.recorded = vec![done];
        }
        for kept in self.columns() {
            kept.rest(&ends);
        }
        let (mut trace, every) = (self.trace, self.every);
        if self.keep.has_frames() {
            trace.iteration = (0..=done).step_by(every).collect();
        }
        if !self.keep.has_frames() || !done.is_multiple_of(every) {
            trace.iteration.push(done);
        }
        trace.recorded.truncate(trace.recorded.partition_point(|k| (1..=done).contains(k)));
        let records = trace.recorded.len();
        let f = trace.iteration.len();
        truncate(&mut trace.coef, f);
        truncate(&mut trace.dcoef, f);
        truncate(&mut trace.intercept, f);
        truncate(&mut trace.dintercept, f);
        for array in [
            &mut trace.step,
            &mut trace.momentum,
            &mut trace.objective,
            &mut trace.change,
            &mut trace.support,
            &mut trace.active_change,
        ]
        .into_iter()
        .chain(&mut trace.validation_loss)
        {
            truncate(array, records);
        }
        truncate(&mut trace.derivative_change, records);
        if let Some(hypergradient) = &mut trace.hypergradient {
            truncate(hypergradient, records);
        }
        rest(&mut trace, &ends, every);
        (trace, LastRecords { layout: self.layout, of: self.last }, self.polished)
    }

    /// Writes a lane's state, `[1 + d, q]`, into a frame.
    fn put(&mut self, frame: usize, lane: usize, state: ArrayView2<'_, f64>) {
        for (t, column) in state.outer_iter().enumerate() {
            let mean = if t == 0 { 0.0 } else { self.dy_mean[t - 1] };
            let intercept = self.problem.intercept_of(column, t == 0, mean);
            let coef = column.slice_axis(Axis(0), (..self.problem.features()).into());
            let trace = &mut self.trace;
            if t == 0 {
                trace.intercept[[frame, lane]] = intercept;
                trace.coef.index_axis_mut(Axis(0), frame).row_mut(lane).assign(&coef);
            } else {
                trace.dintercept[[frame, lane, t - 1]] = intercept;
                let mut of_frame = trace.dcoef.index_axis_mut(Axis(0), frame);
                of_frame.index_axis_mut(Axis(0), lane).row_mut(t - 1).assign(&coef);
            }
        }
    }
}

/// Fields of a record that describe the iterate, as derivatives of the held-out loss do.
const VALUES: [usize; 5] = [
    RecordLayout::OBJECTIVE,
    RecordLayout::SUPPORT,
    RecordLayout::STEP,
    RecordLayout::MOMENTUM,
    RecordLayout::VALIDATION,
];

/// A field of the records, and where it is kept.
struct Kept<'a> {
    field: usize,
    /// True if it is a change, which is zero after the end of a lane.
    is_change: bool,
    /// The iterates that have a record.
    recorded: &'a [usize],
    /// `[k, b]`.
    of_trace: ArrayViewMut2<'a, f64>,
    /// `[b]`.
    last: ArrayViewMut1<'a, f64>,
}

impl Kept<'_> {
    /// Takes the field from the records of a chunk.
    fn take(mut self, chunk: &Chunk) {
        let rows = chunk.records.index_axis(Axis(2), self.field);
        for (iteration, values) in chunk.recorded.iter().zip(rows.outer_iter()) {
            // Most lanes of a chunk are at the same iteration.
            let mut known = (usize::MAX, None);
            for (slot, value) in chunk.slots.iter().zip(values).filter(|(s, _)| *iteration < s.iterations()) {
                let k = slot.first + iteration + 1;
                if known.0 != k {
                    known = (k, self.recorded.binary_search(&k).ok());
                }
                if let Some(row) = known.1 {
                    self.of_trace[[row, slot.lane]] = *value;
                }
                if iteration + 1 == slot.iterations() {
                    self.last[slot.lane] = *value;
                }
            }
        }
    }

    /// Fills the entries from each lane's end on.
    fn rest(mut self, ends: &[usize]) {
        for (k, mut row) in self.recorded.iter().zip(self.of_trace.outer_iter_mut()) {
            for (lane, end) in ends.iter().enumerate().filter(|(_, end)| **end > 0 && *end <= k) {
                // The record of the end itself is kept, unless only that is.
                if end == k && self.recorded.len() > 1 {
                    continue;
                }
                row[lane] = if self.is_change && end < k { 0.0 } else { self.last[lane] };
            }
        }
    }
}

/// The last record of each lane.
pub(crate) struct LastRecords {
    layout: RecordLayout,
    /// `[fields, b]`.
    of: Array2<f64>,
}

impl LastRecords {
    /// A field of a lane's last record; `None` if there is none, or it is not finite.
    pub(crate) fn number(&self, field: usize, lane: usize) -> Option<f64> {
        Some(self.of[[field, lane]]).filter(|v| v.is_finite())
    }

    /// Derivatives of the held-out loss; NaN where there is none.
    pub(crate) fn hypergradient(&self, lane: usize, derivatives: usize) -> Vec<f64> {
        let of = |t: usize| self.number(self.layout.hypergradient(t), lane).unwrap_or(f64::NAN);
        (0..derivatives).map(of).collect()
    }
}

/// Fills the frames after a lane's end with its last iterate.
fn rest(trace: &mut Trace, ends: &[usize], every: usize) {
    for frame in 1..trace.iteration.len() {
        for lane in (0..ends.len()).filter(|lane| ends[*lane].div_ceil(every) < frame) {
            repeat(&mut trace.coef, frame, lane);
            repeat(&mut trace.dcoef, frame, lane);
            repeat(&mut trace.intercept, frame, lane);
            repeat(&mut trace.dintercept, frame, lane);
        }
    }
}

/// Copies entry `[row − 1, lane, …]` to `[row, lane, …]`.
fn repeat<D: ndarray::RemoveAxis>(array: &mut Array<f64, D>, row: usize, lane: usize)
where
    D::Smaller: ndarray::RemoveAxis,
{
    let (before, mut after) = array.view_mut().split_at(Axis(0), row);
    let from = before.index_axis(Axis(0), row - 1);
    after.index_axis_mut(Axis(0), 0).index_axis_mut(Axis(0), lane).assign(&from.index_axis(Axis(0), lane));
}

/// Keeps the first `rows` along the first axis.
fn truncate<D: ndarray::RemoveAxis>(array: &mut Array<f64, D>, rows: usize) {
    if rows < array.len_of(Axis(0)) {
        array.slice_axis_inplace(Axis(0), (..rows).into());
    }
}

impl Trace {
    /// True if so many iterations have a record each.
    pub(crate) fn has_every_iteration(&self, iterations: usize) -> bool {
        iterations == 0 || self.recorded.get(iterations - 1) == Some(&iterations)
    }

    /// Identification of a lane that ran `iterations`: the iterate from which on its active set did not
    /// change; `None` if it changed at the last iterate, or if not every iteration is recorded.
    pub fn identified(&self, lane: usize, iterations: usize) -> Option<usize> {
        if !self.has_every_iteration(iterations) {
            return None;
        }
        let last = (0..iterations).rev().find(|k| self.active_change[[*k, lane]] != 0.0);
        let first = last.map_or(0, |k| k + 1);
        (iterations > 0 && first < iterations).then_some(first)
    }
}
