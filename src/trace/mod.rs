//! The trace of a sweep: full frames every so many iterations, and a record per lane at every one.

use ndarray::{Array1, Array2, Array3, Array4};

use crate::engine::{Chunk, Finish, Frame};
use crate::plan::RecordLayout;
use crate::problem::{Derivative, Problem};

/// The recorded sequence `(x_k, Dx_k)` of every lane, in f64.
///
/// Axes: `f` frames, `k` iterations done, `b` lanes, `d` derivatives, `p` features. Entry `k` of the per-iteration
/// arrays belongs to the update that makes iterate `k + 1`.
#[derive(Debug, Clone, PartialEq)]
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
    /// `[k, b]`: step sizes, as the engine used them.
    pub step: Array2<f64>,
    /// `[k, b]`: momenta; −1 where a step was taken back.
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

/// Collects chunks into a [`Trace`].
pub(crate) struct Recorder<'a> {
    problem: &'a Problem,
    derivatives: &'a [Derivative],
    chunks: Vec<Chunk>,
    finishes: Vec<(std::ops::Range<usize>, Finish)>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(problem: &'a Problem, derivatives: &'a [Derivative]) -> Self {
        Recorder { problem, derivatives, chunks: Vec::new(), finishes: Vec::new() }
    }

    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
    }

    pub(crate) fn finish(&mut self, batch: std::ops::Range<usize>, finish: Finish) {
        self.finishes.push((batch, finish));
    }

    /// The trace of the lanes given by their alphas and mixes. A batch that ended earlier than others rests in its final
    /// state.
    pub(crate) fn trace(self, alpha: Vec<f64>, l1_ratio: Vec<f64>) -> Trace {
        let (b, d, p) = (alpha.len(), self.derivatives.len(), self.problem.features());
        let layout = RecordLayout::new(d);
        let done = self.finishes.iter().flat_map(|(_, f)| f.outcomes.iter().map(|o| o.iterations)).max().unwrap_or(0);

        let mut records = Array3::<f64>::zeros((done, b, layout.fields()));
        for (batch, _) in &self.finishes {
            let mut last: Option<ndarray::Array2<f64>> = None;
            let mut k = 0;
            for chunk in self.chunks.iter().filter(|c| c.lanes == *batch) {
                for row in chunk.records.outer_iter().take(done.saturating_sub(k)) {
                    records
                        .index_axis_mut(ndarray::Axis(0), k)
                        .slice_axis_mut(ndarray::Axis(0), batch.clone().into())
                        .assign(&row);
                    last = Some(row.to_owned());
                    k += 1;
                }
            }
            let Some(mut rest) = last else { continue };
            rest.column_mut(RecordLayout::CHANGE).fill(0.0);
            rest.column_mut(RecordLayout::ACTIVE_CHANGE).fill(0.0);
            (0..d).for_each(|t| rest.column_mut(layout.derivative_change(t)).fill(0.0));
            for k in k..done {
                records
                    .index_axis_mut(ndarray::Axis(0), k)
                    .slice_axis_mut(ndarray::Axis(0), batch.clone().into())
                    .assign(&rest);
            }
        }

        let mut iteration: Vec<usize> =
            self.chunks.iter().flat_map(|c| c.frames.iter().map(|f| f.iteration)).filter(|k| *k <= done).collect();
        iteration.push(done);
        iteration.sort_unstable();
        iteration.dedup();
        let f = iteration.len();
        let mut trace = Trace {
            coef: Array3::zeros((f, b, p)),
            dcoef: Array4::zeros((f, b, d, p)),
            intercept: Array2::zeros((f, b)),
            dintercept: Array3::zeros((f, b, d)),
            alpha: alpha.into(),
            l1_ratio: l1_ratio.into(),
            step: field(&records, RecordLayout::STEP),
            momentum: field(&records, RecordLayout::MOMENTUM),
            objective: field(&records, RecordLayout::OBJECTIVE),
            change: field(&records, RecordLayout::CHANGE),
            derivative_change: fields(&records, d, |t| layout.derivative_change(t)),
            support: field(&records, RecordLayout::SUPPORT),
            active_change: field(&records, RecordLayout::ACTIVE_CHANGE),
            validation_loss: self.problem.held_out.as_ref().map(|_| field(&records, RecordLayout::VALIDATION)),
            hypergradient: self.problem.held_out.as_ref().map(|_| fields(&records, d, |t| layout.hypergradient(t))),
            iteration: iteration.clone(),
        };
        let dy_mean: Vec<f64> =
            self.derivatives.iter().map(|t| t.target_tangent(self.problem).map_or(0.0, |(_, mean)| mean)).collect();
        for (batch, finish) in &self.finishes {
            let frames: Vec<&Frame> =
                self.chunks.iter().filter(|c| c.lanes == *batch).flat_map(|c| &c.frames).collect();
            for (row, k) in iteration.iter().enumerate() {
                // Frames come in order; a batch that ended earlier has none and rests.
                let found = frames.binary_search_by_key(k, |f| f.iteration);
                let state = found.map_or(&finish.state, |i| &frames[i].state);
                for (i, lane) in batch.clone().enumerate() {
                    for t in 0..=d {
                        let column = state.index_axis(ndarray::Axis(0), i);
                        let mean = if t == 0 { 0.0 } else { dy_mean[t - 1] };
                        let (coef, intercept) =
                            self.problem.split_state(column.index_axis(ndarray::Axis(0), t), t == 0, mean);
                        trace.put(row, lane, t, &coef, intercept);
                    }
                }
            }
        }
        trace
    }
}

impl Trace {
    /// Identification of a lane that did `iterations`: the iterate from which on its active set did not change any more;
    /// `None` where it changed at the last one.
    pub fn identified(&self, lane: usize, iterations: usize) -> Option<usize> {
        let last = (0..iterations).rev().find(|k| self.active_change[[*k, lane]] != 0.0);
        let first = last.map_or(0, |k| k + 1);
        (iterations > 0 && first < iterations).then_some(first)
    }

    fn put(&mut self, frame: usize, lane: usize, t: usize, coef: &[f64], intercept: f64) {
        for (j, v) in coef.iter().enumerate() {
            if t == 0 {
                self.coef[[frame, lane, j]] = *v;
            } else {
                self.dcoef[[frame, lane, t - 1, j]] = *v;
            }
        }
        if t == 0 {
            self.intercept[[frame, lane]] = intercept;
        } else {
            self.dintercept[[frame, lane, t - 1]] = intercept;
        }
    }
}

fn field(records: &Array3<f64>, field: usize) -> Array2<f64> {
    records.index_axis(ndarray::Axis(2), field).to_owned()
}

fn fields(records: &Array3<f64>, d: usize, field: impl Fn(usize) -> usize) -> Array3<f64> {
    let (k, b, _) = records.dim();
    Array3::from_shape_fn((k, b, d), |(k, lane, t)| records[[k, lane, field(t)]])
}
