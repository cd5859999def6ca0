//! The state of a session: its layout in the buffers, and reading it.

use ndarray::Array3;

use super::{Session, failed};
use crate::engine::gpu::readback::{Mapped, Mapping, number, see_bytes};
use crate::error::{Error, Result};
use crate::program::{BufferId, Precision};

/// Layout of the state in its buffers: a matrix in row-major order, `f32` or `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLayout {
    /// Rows of the state: coefficients, then the intercept if it is a coefficient.
    pub rows: usize,
    /// Lanes.
    pub lanes: usize,
    /// Tangents per lane.
    pub tangents: usize,
    /// Columns from one tangent to the next: the lanes, rounded up to a multiple of four.
    pub tangent_stride: usize,
    /// Numbers from one row to the next: `(1 + tangents) · tangent_stride`.
    pub row_stride: usize,
    /// Arithmetic.
    pub precision: Precision,
}

impl StateLayout {
    /// Index of a number: `tangent` 0 is the iterate, `t + 1` its derivative by the
    /// `t`-th of the derivatives.
    pub fn index(&self, row: usize, lane: usize, tangent: usize) -> usize {
        row * self.row_stride + tangent * self.tangent_stride + lane
    }

    /// WGSL for shaders that read the state: its type of numbers, `StateElement`, `f32` or `f64`; constants
    /// `STATE_ROWS`, `STATE_LANES` and `STATE_TANGENTS`; and the function `state_index(row, lane, tangent)`,
    /// the twin of [`index`](Self::index).
    pub fn wgsl(&self) -> String {
        let StateLayout { rows, lanes, tangents, tangent_stride, row_stride, precision } = self;
        let element = precision.name();
        format!(
            "alias StateElement = {element};\n\
             const STATE_ROWS: u32 = {rows}u;\n\
             const STATE_LANES: u32 = {lanes}u;\n\
             const STATE_TANGENTS: u32 = {tangents}u;\n\
             fn state_index(row: u32, lane: u32, tangent: u32) -> u32 {{\n    \
                 return row * {row_stride}u + tangent * {tangent_stride}u + lane;\n\
             }}\n"
        )
    }
}

impl Session {
    /// The state of every lane as `[lanes, 1 + d, rows]`, in f64: the iterate, then its derivatives.
    /// Submits a copy and waits for it and for all recorded commands: not for an event loop. The lanes
    /// are not certified yet: `certificate::certify` does that.
    /// # Errors
    /// As [`encode`](Self::encode), and if recorded commands were not submitted yet.
    pub fn read(&mut self) -> Result<Array3<f64>> {
        self.take_note()?;
        let context = self.cell.borrow_owner().context.clone();
        let bytes = self.cell.borrow_dependent().staging_places.state_bytes as u64;
        let from = self.buffers()[self.current()];
        let missing = || failed(&context, "a plan that is not of a session");
        let to = context.guarded(|| {
            self.cell.borrow_dependent().held.another(&context, BufferId::StateCopy).ok_or_else(missing)
        })?;
        let mut encoder =
            context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        encoder.copy_buffer_to_buffer(from, 0, &to, 0, bytes);
        let mapping = Mapping::default();
        encoder.map_buffer_on_submit(&to, wgpu::MapMode::Read, .., mapping.callback());
        context.queue.submit([encoder.finish()]);
        self.wait()?;
        if !self.flying.is_empty() {
            let found = "commands that were recorded and not submitted yet";
            return Err(Error::usage(
                "session",
                found,
                "all of them submitted",
                "Submit the encoder, then read.",
            ));
        }
        if !matches!(mapping.get(), Some(Mapped::Ready)) {
            return Err(failed(&context, &format!("a state that never came ({:?})", mapping.get())));
        }
        let of = self.layout;
        see_bytes(&context, &to, |bytes| {
            Array3::from_shape_fn((of.lanes, 1 + of.tangents, of.rows), |(lane, t, row)| {
                number(bytes, of.index(row, lane, t), of.precision)
            })
        })
    }
}
