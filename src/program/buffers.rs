//! The buffers of a run on a device.

use super::{Keep, MetricKind, Shape, Strategy, staging};
use super::{Precision, RecordLayout};
use crate::lanes::fields::{code, unit};

/// Generates [`BufferId`] and the name of each variant.
macro_rules! buffer_ids {
    ($($(#[$doc:meta])* $Id:ident $name:literal,)+) => {
        /// A buffer of a run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
        pub enum BufferId { $($(#[$doc])* $Id,)+ }

        impl BufferId {
            /// The name in plans and in messages of the device.
            pub fn name(self) -> &'static str {
                match self { $(BufferId::$Id => $name),+ }
            }
        }
    };
}

buffer_ids! {
    /// `[n, stride]`: the design, rows padded with zeros. If it is sparse, its entries by rows.
    Design "design",
    /// The entries of a sparse design by columns.
    DesignByColumns "design_by_columns",
    /// `[q]`: what is subtracted from the columns of a sparse design.
    Shift "shift",
    /// `[n, 2 + d]`: target, weight and the target's tangents; then `[folds, 2, n]` weights.
    Rows "rows",
    /// `[stride, columns]`: the iterate with its tangents, and the previous iterate. The row after the last
    /// coefficient may have the sum of a sparse design's shift.
    State "state",
    /// `[n, columns]`: predictions of both iterates.
    Prediction "prediction",
    /// `[n, columns]`: the residual with its tangents; one more row for the sums of a sparse design's shift.
    Residual "residual",
    /// `[stride, columns]`: the gradient with its tangents.
    Gradient "gradient",
    /// `[stride, stride]`: `XᵀWX`.
    Gram "gram",
    /// `[stride, columns]`: `XᵀWX` times the iterate, and times the previous iterate.
    Carried "carried",
    /// `[n, columns]`: predictions at the point where the gradient was taken, for steps
    /// that measure curvature.
    Extrapolated "extrapolated",
    /// `[stride, columns]`: the diagonal metric with its tangents.
    Metric "metric",
    /// `[n, stride]`: squares of the design. If it is sparse, its entries by columns.
    DesignSquares "design_squares",
    /// `[q]`: bounds on the Hessian's diagonal.
    CurvatureBound "curvature_bound",
    /// `[chunk, q, lanes or 1]`: the metrics of a chunk's iterations.
    MetricTables "metric_tables",
    /// `[held-out rows, stride]`: the held-out design. If it is sparse, its entries by rows.
    ValidationDesign "validation_design",
    /// `[held-out rows, 2]`: their target and weight.
    ValidationRows "validation_rows",
    /// `[held-out rows, columns]`: their predictions.
    ValidationPrediction "validation_prediction",
    /// `[parts · rows, columns]`: partial results of split-K products.
    SplitPartials "split_partials",
    /// `[groups, 1 + stride/4]`: blocks of four coefficients that are not zero: their
    /// number, then their indices.
    ActiveSets "active_sets",
    /// `[groups]`: the number of blocks listed since the chunk began.
    ActiveCounts "active_counts",
    /// `[q, 2, lanes]`: values that a step stores for its tangents.
    Stepped "stepped",
    /// `[sums · blocks, lanes]`: partial sums.
    Partials "partials",
    /// Constants of each lane, then those that all lanes share.
    Lanes "lanes",
    /// Constants of adaptive phases.
    Constants "constants",
    /// `[fields, lanes]`: the lane state, which is stored from one iteration to the next.
    LaneState "lane_state",
    /// `[iterations, stages, 5]`: the schedule's factors.
    StepFactors "step_factors",
    /// `[chunk + 1, stages, fields, lanes]`: the schedule's numbers.
    StepTables "step_tables",
    /// `[chunk, fields, lanes]`: records of a chunk.
    Records "records",
    /// Lanes to be loaded.
    Arrivals "arrivals",
    /// Parameters of `load`.
    LoadParams "load_params",
    /// Parameters of `gram`.
    GramParams "gram_params",
    /// Parameters of `finalize`, by iteration.
    FinalizeParams "finalize_params",
    /// Parameters of `residual`: at the iterate, at the extrapolated point.
    ResidualParams "residual_params",
    /// Parameters of `persistent`, by iteration.
    PersistentParams "persistent_params",
    /// Parameters of `metric_table`, by iteration.
    MetricParams "metric_params",
    /// The results of a chunk, read by the host.
    Staging "staging",
    /// The tables that a chunk of a session needs.
    Upload "upload",
    /// A copy of a session's state for the host.
    StateCopy "state_copy",
    /// Times of a session's passes.
    Times "times",
    /// The coefficients that can change, for groups of lanes (CPU engine).
    WorkingSets "working_sets",
    /// Gradients from which working sets were chosen (CPU engine).
    WorkingSetReferences "working_set_references",
    /// Frames of a chunk (CPU engine).
    Frames "frames",
}

/// Bytes between two entries of uniform parameters: the portable alignment of dynamic offsets.
pub const PARAMS_STRIDE: u64 = 256;

/// The type of a buffer's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Element {
    /// 32-bit numbers.
    F32,
    /// 64-bit numbers.
    F64,
    /// 32-bit counts.
    U32,
    /// Entries of a sparse matrix: a place and a 32-bit number.
    Entry32,
    /// Entries of a sparse matrix: a place and a 64-bit number.
    Entry64,
    /// Bytes.
    Byte,
    /// Entries of parameters, [`PARAMS_STRIDE`] apart.
    Params,
}

impl Element {
    /// The element type of a precision.
    pub(super) fn real(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Element::F32,
            Precision::F64 => Element::F64,
        }
    }
    /// The type of a sparse matrix's entries in a precision.
    fn entry(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Element::Entry32,
            Precision::F64 => Element::Entry64,
        }
    }
    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Element::F32 | Element::U32 => 4,
            Element::F64 | Element::Entry32 => 8,
            Element::Entry64 => 16,
            Element::Byte => 1,
            Element::Params => PARAMS_STRIDE,
        }
    }
    /// The name in plans.
    pub fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F64 => "f64",
            Element::U32 => "u32",
            Element::Entry32 => "places and f32",
            Element::Entry64 => "places and f64",
            Element::Byte => "bytes",
            Element::Params => "params",
        }
    }
}

/// The number of copies of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Copies {
    /// One.
    One,
    /// Two, which alternate by the parity of the iterate.
    Iterate,
    /// Two, which alternate from chunk to chunk.
    Chunk,
    /// This number of copies, created when they are first needed.
    Many(usize),
}

/// The usage of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Usage {
    /// Bound as storage.
    Storage,
    /// Bound as uniform parameters.
    Uniform,
    /// Read by the host.
    Staging,
    /// Written by the host, copied by the device.
    Upload,
    /// Timestamps, written by the device.
    Times,
}

/// A buffer of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Buffer {
    /// Identifier.
    pub id: BufferId,
    /// Type of the elements.
    pub element: Element,
    /// Shape of each copy, row-major.
    pub shape: Vec<usize>,
    /// Number of copies.
    pub copies: Copies,
    /// Usage.
    pub usage: Usage,
}

impl Buffer {
    /// Bytes of one copy.
    pub fn bytes_of_one(&self) -> u64 {
        let length = self.shape.iter().fold(1u64, |n, s| n.saturating_mul(*s as u64));
        length.saturating_mul(self.element.bytes())
    }
    /// Number of copies.
    pub fn count(&self) -> usize {
        match self.copies {
            Copies::One => 1,
            Copies::Iterate | Copies::Chunk => 2,
            Copies::Many(count) => count,
        }
    }
    /// Bytes of all copies.
    pub fn bytes(&self) -> u64 {
        self.bytes_of_one().saturating_mul(self.count() as u64)
    }
    /// Bytes that an iteration reads or writes: one row, if the buffer has a row for each iteration.
    pub(super) fn bytes_of_iteration(&self) -> f64 {
        use BufferId::{MetricTables, Records, StepFactors, StepTables};
        let of_iterations = matches!(self.id, Records | StepTables | StepFactors | MetricTables);
        self.bytes_of_one() as f64 / if of_iterations { self.shape[0].max(1) as f64 } else { 1.0 }
    }
    /// True if the host writes it before every chunk.
    pub fn is_table(&self) -> bool {
        self.copies == Copies::Chunk && self.id != BufferId::Records
    }
}

/// Approximate bytes of an upload of lanes.
const ARRIVAL_BYTES: u64 = 4 << 20;
/// Chunks of a sweep in flight.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 2;
/// Most passes that are timed between two readings: each takes one query for its begin and one for its end,
/// in a query set of wgpu's size.
pub(crate) const TIMED_PASSES: usize = 2048;

impl Keep {
    /// Chunks of a session that may be in flight.
    pub(crate) fn depth(self) -> usize {
        match self {
            Keep::Nothing => 16,
            Keep::Records | Keep::Frames | Keep::All | Keep::Iterates => 4,
        }
    }
}

/// A list of buffers that is being built.
struct List {
    real: Element,
    buffers: Vec<Buffer>,
}

impl List {
    fn add(&mut self, id: BufferId, copies: Copies, shape: &[usize]) {
        self.put(id, self.real, copies, Usage::Storage, shape);
    }
    fn put(&mut self, id: BufferId, element: Element, copies: Copies, usage: Usage, shape: &[usize]) {
        self.buffers.push(Buffer { id, element, shape: shape.to_vec(), copies, usage });
    }
    /// A sparse matrix: the places of its lines' first entries, its end, the entries and one for the shift of
    /// each line.
    fn sparse(&mut self, id: BufferId, s: &Shape, lines: usize, entries: usize) {
        let length = (lines + 1).saturating_add(entries).saturating_add(lines * s.shift_rows());
        self.put(id, Element::entry(s.request.precision), Copies::One, Usage::Storage, &[length]);
    }
    fn params(&mut self, id: BufferId, copies: Copies, entries: usize) {
        self.put(id, Element::Params, copies, Usage::Uniform, &[entries]);
    }
}

/// Every buffer of a run.
pub(super) fn buffers(s: &Shape) -> Vec<Buffer> {
    let mut list = List { real: Element::real(s.request.precision), buffers: Vec::new() };
    matrices(s, &mut list);
    objective_parts(s, &mut list);
    lists(s, &mut list);
    lanes(s, &mut list);
    schedule(s, &mut list);
    host(s, &mut list);
    list.buffers
}

/// The design, and the columns of all lanes.
fn matrices(s: &Shape, list: &mut List) {
    use BufferId::*;
    let (n, d, stride, columns) = (s.rows(), s.d(), s.stride(), s.columns());
    match &s.request.stored {
        None => list.add(Design, Copies::One, &[n, stride]),
        Some([design, _]) if s.strategy == Strategy::Direct => {
            list.sparse(Design, s, n, design.entries);
            list.sparse(DesignByColumns, s, s.state_rows(), design.entries);
        }
        // `XᵀX` is computed by the host.
        Some(_) => {}
    }
    if s.shift_rows() > 0 {
        list.add(Shift, Copies::One, &[s.state_rows()]);
    }
    list.add(Rows, Copies::One, &[n, 2 + d + 2 * s.request.folds]);
    list.add(State, Copies::Iterate, &[stride, columns]);
    list.add(Gradient, Copies::One, &[stride, columns]);
    match s.strategy {
        Strategy::Direct => {
            list.add(Prediction, Copies::Iterate, &[n, columns]);
            list.add(Residual, Copies::One, &[n + s.shift_rows(), columns]);
        }
        Strategy::Gram => list.add(Carried, Copies::Iterate, &[stride, columns]),
        // Written for the stop rule only.
        Strategy::Persistent => list.add(Carried, Copies::One, &[stride, columns]),
    }
    if s.is_gram() {
        list.add(Gram, Copies::One, &[stride, stride]);
        if !s.is_sparse() {
            list.params(GramParams, Copies::One, 1);
        }
    } else {
        list.params(ResidualParams, Copies::One, 2);
    }
    let [of_predictions, of_gradients] = s.request.split_k();
    let split = |parts: usize, rows: usize| if parts > 1 { parts.saturating_mul(rows) } else { 0 };
    let parts = split(of_predictions, n).max(split(of_gradients, stride));
    if parts > 0 {
        list.add(SplitPartials, Copies::One, &[parts, columns]);
    }
}

/// Held-out rows and the metric.
fn objective_parts(s: &Shape, list: &mut List) {
    use BufferId::*;
    let (r, n, stride, columns) = (&s.request, s.rows(), s.stride(), s.columns());
    if r.validation_rows > 0 {
        match &r.stored {
            None => list.add(ValidationDesign, Copies::One, &[r.validation_rows, stride]),
            Some([_, held_out]) => list.sparse(ValidationDesign, s, r.validation_rows, held_out.entries),
        }
        list.add(ValidationRows, Copies::One, &[r.validation_rows, 2]);
        if !s.validates_in_product() {
            list.add(ValidationPrediction, Copies::One, &[r.validation_rows, columns]);
        }
    }
    if r.measures_curvature {
        list.add(Extrapolated, Copies::One, &[n, columns]);
    }
    if s.has_metric() {
        list.add(Metric, Copies::One, &[stride, columns]);
    }
    match r.metric {
        MetricKind::None | MetricKind::Fixed => {}
        MetricKind::Table { .. } => {
            list.add(MetricTables, Copies::Chunk, &[s.chunk, s.state_rows(), s.metric_lanes()]);
            list.params(MetricParams, Copies::One, s.chunk);
        }
        MetricKind::Hessian { .. } => {
            match &r.stored {
                None => list.add(DesignSquares, Copies::One, &[n, stride]),
                Some([design, _]) => list.sparse(DesignSquares, s, s.state_rows(), design.entries),
            }
            list.add(CurvatureBound, Copies::One, &[s.state_rows()]);
        }
    }
}

/// Lists of the coefficients that are not zero.
fn lists(s: &Shape, list: &mut List) {
    use BufferId::*;
    if s.active_sets {
        let groups = s.active_groups();
        list.put(ActiveSets, Element::U32, Copies::One, Usage::Storage, &[groups, 1 + s.stride() / 4]);
        list.put(ActiveCounts, Element::U32, Copies::One, Usage::Storage, &[groups]);
    }
    if s.tangents_wait() {
        list.add(Stepped, Copies::One, &[s.state_rows(), 2, s.padded_lanes()]);
    }
}

/// The state of lanes, and the buffers from which they are loaded.
fn lanes(s: &Shape, list: &mut List) {
    use BufferId::*;
    let padded = s.padded_lanes();
    list.add(Partials, Copies::One, &[s.sum_rows(), padded]);
    // Numbers that all lanes share are repeated for each lane of a lane4.
    let own = s.lane_fields().saturating_mul(padded);
    list.add(Lanes, Copies::One, &[own.saturating_add(4 * s.shared_fields())]);
    list.add(Constants, Copies::One, &[s.request.constants.max(1)]);
    list.add(LaneState, Copies::One, &[s.state_fields(), padded]);
    list.add(Records, Copies::Chunk, &[s.chunk, RecordLayout::new(s.d()).fields(), padded]);
    list.add(Arrivals, Copies::One, &[s.arrivals(), s.arrival_numbers()]);
    list.params(LoadParams, Copies::One, 1);
}

/// The schedule's numbers, and the parameters of each iteration.
fn schedule(s: &Shape, list: &mut List) {
    use BufferId::*;
    let r = &s.request;
    if r.factored {
        list.add(StepFactors, Copies::One, &[r.iterations, r.stages, unit::TABLE.len(0)]);
    } else {
        // One more iteration, since a prediction's epilogue needs the next iteration's
        // extrapolation coefficient.
        let fields = code::TABLE.len(0) + s.rule_fields();
        list.add(StepTables, Copies::Chunk, &[s.chunk + 1, r.stages, fields, s.padded_lanes()]);
    }
    list.params(FinalizeParams, Copies::Chunk, s.chunk + 1);
    if s.strategy == Strategy::Persistent {
        list.params(PersistentParams, Copies::Chunk, s.chunk);
    }
}

/// Buffers for transfers between host and device.
fn host(s: &Shape, list: &mut List) {
    use BufferId::*;
    let staging = staging::Staging::new(s);
    let in_flight = s.request.session.map_or(CHUNKS_IN_FLIGHT, Keep::depth);
    list.put(Staging, Element::Byte, Copies::Many(in_flight), Usage::Staging, &[staging.bytes]);
    if s.request.session.is_some() {
        let tables = list.buffers.iter().filter(|b| b.is_table()).map(Buffer::bytes_of_one);
        let bytes = tables.fold(0u64, |sum, bytes| sum.saturating_add(bytes.next_multiple_of(8)));
        list.put(Upload, Element::Byte, Copies::Many(in_flight), Usage::Upload, &[bytes as usize]);
        list.put(StateCopy, Element::Byte, Copies::Many(1), Usage::Staging, &[staging.state_bytes]);
        if s.timestamps {
            list.put(Times, Element::Byte, Copies::One, Usage::Times, &[16 * TIMED_PASSES]);
        }
    }
}

impl Shape {
    /// Most groups of lanes with an active set: the number of groups if workgroups are the smallest possible.
    pub(crate) fn active_groups(&self) -> usize {
        self.lane4s().div_ceil(super::tile::FEWEST_GROUP_LANE4S)
    }

    /// Length of a lane's entry in `arrivals`: slot, flag (1 if it starts from zeros), lane state; iterate,
    /// previous iterate, metric.
    pub(crate) fn arrival_numbers(&self) -> usize {
        2 + self.state_fields() + 3 * (1 + self.d()) * self.state_rows()
    }

    /// Most lanes in one upload.
    pub(crate) fn arrivals(&self) -> usize {
        let bytes = self.arrival_numbers() as u64 * self.request.precision.bytes();
        ((ARRIVAL_BYTES / bytes).max(1) as usize).min(self.slots.max(1))
    }
}
