//! The passes of a run on a device: kernel, buffers, workgroups, and when it runs.

use super::{Buffer, BufferId, Product, Rowwise, Shape, Strategy};

/// A piece of a kernel's text: a whole file of `shaders/`, or generated text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A file: its path and its text.
    File(&'static str, &'static str),
    /// The objective's loss, with the elementary functions that it calls.
    Loss,
    /// The objective's penalty.
    Penalty,
    /// A product.
    Product(Product),
    /// Epilogues without their product.
    Rowwise(Rowwise),
    /// The product within a workgroup of the persistent strategy.
    Multiply {
        /// Rows of an invocation.
        rows: usize,
        /// Columns of a lane.
        width: usize,
    },
    /// Constants of this kernel.
    Constants(Vec<(&'static str, usize)>),
}

/// A whole file of `shaders/`.
macro_rules! file {
    ($path:literal) => {
        $crate::program::Part::File(
            concat!("shaders/", $path),
            include_str!(concat!("../../shaders/", $path)),
        )
    };
}
pub(super) use file;

/// The copy of a buffer that a pass binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Which {
    /// The only one.
    Only,
    /// The copy of the iterate from which the iteration starts.
    Current,
    /// The other copy of that pair: the previous iterate, until the iteration replaces it by the next.
    Other,
    /// The copy of the current chunk.
    Chunk,
}

/// The access of a pass to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Access {
    /// Reads it.
    Read,
    /// Writes it; `read_write` in WGSL.
    Write,
    /// Reads and writes it.
    ReadWrite,
}

/// The element type of a buffer in a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum View {
    /// Numbers.
    Real,
    /// Numbers of a lane4, or four numbers.
    Real4,
    /// Counts.
    U32,
    /// Entries of a sparse matrix.
    Entry,
}

impl View {
    /// The type in WGSL.
    pub fn wgsl(self) -> &'static str {
        match self {
            View::Real => "real",
            View::Real4 => "real4",
            View::U32 => "u32",
            View::Entry => "Entry",
        }
    }
}

/// A buffer that a pass binds to a variable of its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Binding {
    /// The variable.
    pub variable: &'static str,
    /// The buffer.
    pub buffer: BufferId,
    /// The copy that is bound.
    pub which: Which,
    /// The access.
    pub access: Access,
    /// The type of its elements in the kernel.
    pub view: View,
}

fn binding(variable: &'static str, buffer: BufferId, access: Access) -> Binding {
    Binding { variable, buffer, which: Which::Only, access, view: View::Real4 }
}
/// A buffer that is read.
pub(super) fn read(variable: &'static str, buffer: BufferId) -> Binding {
    binding(variable, buffer, Access::Read)
}
/// A buffer that is written.
pub(super) fn write(variable: &'static str, buffer: BufferId) -> Binding {
    binding(variable, buffer, Access::Write)
}
/// A buffer that is read and written.
pub(super) fn update(variable: &'static str, buffer: BufferId) -> Binding {
    binding(variable, buffer, Access::ReadWrite)
}

impl Binding {
    /// Binds the copy of the iterate from which the iteration starts.
    pub(super) fn current(self) -> Self {
        Binding { which: Which::Current, ..self }
    }
    /// Binds the other copy.
    pub(super) fn other(self) -> Self {
        Binding { which: Which::Other, ..self }
    }
    /// Binds the copy of the chunk.
    pub(super) fn chunk(self) -> Self {
        Binding { which: Which::Chunk, ..self }
    }
    /// Binds the buffer as single numbers.
    pub(super) fn reals(self) -> Self {
        Binding { view: View::Real, ..self }
    }
    /// Binds the buffer as entries of a sparse matrix.
    pub(super) fn entries(self) -> Self {
        Binding { view: View::Entry, ..self }
    }
    /// Binds the buffer as counts.
    pub(super) fn counts(self) -> Self {
        Binding { view: View::U32, ..self }
    }

    /// The number of times the buffer is read or written: 1 or 2.
    fn times(&self) -> f64 {
        if self.access == Access::ReadWrite { 2.0 } else { 1.0 }
    }
}

/// The entry of its parameters that a pass reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Entry {
    /// Always this one.
    Fixed(usize),
    /// The entry of the pass's iteration.
    Iteration,
}

/// Uniform parameters of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Params {
    /// The structure in WGSL.
    pub structure: &'static str,
    /// The buffer.
    pub buffer: BufferId,
    /// The copy that is bound.
    pub which: Which,
    /// The entry.
    pub entry: Entry,
}

/// When a pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum When {
    /// Once, before anything else.
    Once,
    /// When lanes are loaded.
    Load,
    /// After that, for lanes that do not start from zeros.
    LoadGiven,
    /// In every iteration.
    Iteration,
    /// In an iteration whose residual is not stored yet.
    Stale,
    /// In an iteration that refreshes the metric.
    Refresh,
    /// In an iteration that tests the stop rule.
    Check,
    /// At the end of a chunk.
    ChunkEnd,
}

/// The iteration, among those dispatched together, to which a pass belongs. Only the persistent strategy
/// dispatches several at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum At {
    /// The first and all after it.
    First,
    /// The last.
    Last,
    /// The one after the last.
    Next,
}

/// The cost of a dispatch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Cost {
    /// Floating-point operations of its product.
    pub product_flops: f64,
    /// All floating-point operations.
    pub flops: f64,
    /// Bytes that are read and written if nothing stays in a cache between two passes.
    pub bytes: f64,
    /// Entries of matrices that are accessed one by one, if they count in estimates.
    pub entries: f64,
}

impl Cost {
    /// Element-wise work: operations and entries.
    pub(super) fn rowwise(flops: f64, entries: f64) -> Self {
        Cost { flops, entries, ..Cost::default() }
    }
}

/// A dispatch.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Pass {
    /// The kernel's name, in profiles and messages.
    pub kernel: &'static str,
    /// The parts of its text.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub parts: Vec<Part>,
    /// Its parameters.
    pub params: Option<Params>,
    /// Its storage buffers, in binding order.
    pub bindings: Vec<Binding>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// What a dispatch costs.
    pub cost: Cost,
    /// When it runs.
    pub when: When,
    /// The iteration, among those dispatched together, to which it belongs.
    pub at: At,
}

impl Pass {
    /// A pass of a kernel without bindings, text or cost.
    pub(super) fn new(kernel: &'static str, when: When) -> Self {
        Pass {
            kernel,
            parts: Vec::new(),
            params: None,
            bindings: Vec::new(),
            grid: [1; 3],
            cost: Cost::default(),
            when,
            at: At::Last,
        }
    }

    /// True if it replaces the content of a buffer, rather than adding to it.
    pub fn replaces(&self, buffer: BufferId) -> bool {
        self.bindings.iter().any(|b| b.buffer == buffer && b.access == Access::Write)
    }

    /// True if its last epilogue is a prediction's that stores the residual of the next iteration.
    pub fn stores_next_residual(&self) -> bool {
        self.when == When::Iteration && self.replaces(BufferId::Residual)
    }

    /// Counts the bytes of a dispatch of one iteration.
    pub(super) fn count_bytes(&mut self, buffers: &[Buffer]) {
        let of = |id: BufferId| buffers.iter().find(|b| b.id == id).map_or(0.0, Buffer::bytes_of_iteration);
        self.cost.bytes = self.bindings.iter().map(|b| b.times() * of(b.buffer)).sum();
    }
}

/// Invocations of a workgroup of an element-wise kernel: along the lane4s, along blocks of rows.
pub(crate) const GROUP: [usize; 2] = [8, 8];

/// A number of workgroups; if it does not fit, more than any device can have.
pub(super) fn count(groups: usize) -> u32 {
    u32::try_from(groups).unwrap_or(u32::MAX)
}

impl Shape {
    /// Workgroups of an element-wise kernel over blocks of rows.
    pub(super) fn blocks(&self, rows: usize, block: usize) -> [u32; 3] {
        let along_rows = rows.div_ceil(block).div_ceil(GROUP[1]);
        [count(self.lane4s().div_ceil(GROUP[0])), count(along_rows), 1]
    }

    /// Columns of lanes, without padding.
    pub(super) fn counted_columns(&self) -> f64 {
        self.slots as f64 * (1 + self.d()) as f64
    }

    /// Iterations from one dispatch of a pass to the next, on average.
    pub fn period(&self, when: When) -> usize {
        let r = &self.request;
        match when {
            When::Once | When::Load | When::LoadGiven => r.iterations.max(1),
            When::Iteration if self.strategy == Strategy::Persistent => self.segment(),
            When::Iteration => 1,
            When::Stale if self.stores_next_residual() => r.check_period(),
            When::Stale => 1,
            When::Refresh => match r.metric {
                super::MetricKind::Hessian { every } => every,
                super::MetricKind::Table { .. } => 1,
                super::MetricKind::None | super::MetricKind::Fixed => r.iterations.max(1),
            },
            When::Check => r.check_period(),
            When::ChunkEnd => self.chunk.max(1),
        }
    }
}
