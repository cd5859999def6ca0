//! The plan of a run and its program: plain data from pure functions.
//!
//! A [`Program`] lists the buffers and passes of a run on a device. The memory plan, the cost estimate, the
//! composition of the shaders, bind groups, the recording of commands and `--dry-run` read it. The passes of
//! each strategy are built in one file: `direct.rs`, `gram.rs`, `persistent.rs`; `shared.rs` builds the
//! passes that they share. The CPU engine has only a list of buffers.

pub use buffers::{Buffer, BufferId, Copies, Element, PARAMS_STRIDE, Usage};
pub use passes::{Access, At, Binding, Cost, Entry, Params, Part, Pass, View, When, Which};
pub use plan::Plan;
pub use product::{ActiveSet, Columns, Product, Rowwise};
pub use record::RecordLayout;
pub use request::{Keep, Limits, MetricKind, Precision, Request, split_k};
pub use shape::Shape;
pub use strategy::Strategy;
pub use tile::{DeviceKind, PersistentTile, Side, Tile, Tiles};

mod buffers;
mod cost;
mod cpu;
mod direct;
mod display;
mod gram;
mod memory;
mod passes;
mod persistent;
mod plan;
mod product;
mod products;
mod record;
mod request;
mod shape;
mod shared;
mod sparse;
mod staging;
mod strategy;
mod sums;
mod tile;

#[cfg(feature = "gpu")]
pub(crate) use {
    buffers::{CHUNKS_IN_FLIGHT, TIMED_PASSES},
    passes::GROUP,
    shape::pad4,
    staging::Staging,
    sums::{FINALIZE_LANE4S, Sum},
    tile::FEWEST_GROUP_LANE4S,
};

/// Target seconds of device time of a chunk: short enough for desktop watchdogs, for
/// cancelling and for progress.
pub const CHUNK_SECONDS: f64 = 0.05;
/// Most iterations of a chunk: bounds the tables and records in flight.
const CHUNK_MAX: usize = 256;
/// Most bytes of frames in flight.
const FRAME_BYTES: u64 = 64 << 20;
/// The same where every iterate is one.
const ITERATE_BYTES: u64 = 8 << 20;
/// Rows that an invocation of an element-wise kernel adds up before partial sums are reduced.
pub const ROW_BLOCK: usize = 32;
/// Most tangents of a lane for which the step is an epilogue of the gradient's product, and the loss
/// one of the prediction's.
pub const FUSED_TANGENTS: usize = 7;

/// Rows of a product that one invocation computes for all columns of a lane, and adds up.
pub fn rows_per_sum(tangents: usize) -> usize {
    match tangents {
        0 | 1 => 8,
        _ if tangents <= FUSED_TANGENTS => 4,
        _ => ROW_BLOCK,
    }
}

/// The buffers and passes of a run on a device.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Program {
    /// The shape from which buffers and passes are computed.
    pub shape: Shape,
    /// Every buffer.
    pub buffers: Vec<Buffer>,
    /// Every pass; those of an iteration in order. The CPU engine has none.
    pub passes: Vec<Pass>,
}

impl Program {
    /// The program of a run, given its slots, iterations of a chunk, and frames of a chunk.
    pub(crate) fn new(r: &Request, limits: &Limits, slots: usize, chunk: (usize, usize)) -> Self {
        let shape = Shape::new(r, limits, slots, chunk);
        if limits.engine == "cpu" {
            let buffers = cpu::buffers(r, limits, slots, chunk.0, chunk.1);
            return Program { shape, buffers, passes: Vec::new() };
        }
        Program::of(shape)
    }

    /// The program of a shape.
    pub(crate) fn of(shape: Shape) -> Self {
        let (buffers, mut passes) = (buffers::buffers(&shape), passes_of(&shape));
        passes.iter_mut().for_each(|pass| pass.count_bytes(&buffers));
        Program { shape, buffers, passes }
    }

    /// The same program with other tiles for its products, which changes neither buffers nor results.
    pub fn with_tiles(&self, tiles: Tiles) -> Self {
        Program::of(Shape { tiles, ..self.shape })
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().fold(0, |sum, b| sum.saturating_add(b.bytes()))
    }

    /// A buffer, if the run has it.
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.iter().find(|b| b.id == id)
    }

    /// The passes that run at `when`.
    pub fn passes_at(&self, when: When) -> impl Iterator<Item = (usize, &Pass)> {
        self.passes.iter().enumerate().filter(move |(_, pass)| pass.when == when)
    }
}

/// The passes of a shape: once, on load, of an iteration, and at the end of a chunk.
fn passes_of(s: &Shape) -> Vec<Pass> {
    let mut list = Vec::new();
    if s.is_gram() && !s.is_sparse() {
        list.push(gram::matrix(s));
    }
    list.extend(shared::load(s));
    match s.strategy {
        Strategy::Direct => {
            list.extend(direct::given(s));
            list.extend(direct::passes(s));
        }
        Strategy::Gram => {
            list.extend(gram::given(s));
            list.extend(gram::passes(s));
        }
        // Every dispatch recomputes the product it carries.
        Strategy::Persistent => list.extend(persistent::passes(s)),
    }
    if s.strategy != Strategy::Persistent {
        list.push(shared::finalize(s, When::ChunkEnd));
    }
    list
}

#[cfg(test)]
mod tests;
