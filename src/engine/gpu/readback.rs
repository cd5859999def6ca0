//! Reads back the results of a chunk while the next one runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rayon::prelude::*;

use super::context::GpuContext;
use crate::error::Result;
use crate::program::Precision;

/// The result of a request to map a buffer.
#[derive(Debug, Clone)]
pub(super) enum Mapped {
    Ready,
    Failed(String),
    /// The commands that fill it were dropped before they were submitted.
    Forgotten,
}

/// The state of a buffer's mapping, set once the device is done with the buffer.
#[derive(Debug, Default)]
pub(super) struct Mapping(Arc<OnceLock<Mapped>>);

/// Records when a callback is dropped without having been called.
struct Notice(Arc<OnceLock<Mapped>>);

impl Drop for Notice {
    fn drop(&mut self) {
        let _ = self.0.set(Mapped::Forgotten);
    }
}

impl Mapping {
    /// The callback for wgpu.
    pub(super) fn callback(
        &self,
    ) -> impl FnOnce(std::result::Result<(), wgpu::BufferAsyncError>) + Send + 'static {
        let notice = Notice(self.0.clone());
        move |result| {
            let _ = notice.0.set(result.map_or_else(|e| Mapped::Failed(e.to_string()), |()| Mapped::Ready));
        }
    }

    /// `None` until the mapping has succeeded or failed.
    pub(super) fn get(&self) -> Option<&Mapped> {
        self.0.get()
    }
}

/// A staging buffer that is being read back.
pub(super) struct Pending {
    buffer: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapping: Mapping,
}

impl Pending {
    /// Requests the mapping of a staging buffer that a submission fills.
    pub(super) fn new(buffer: wgpu::Buffer, submission: wgpu::SubmissionIndex) -> Self {
        let mapping = Mapping::default();
        buffer.map_async(wgpu::MapMode::Read, .., mapping.callback());
        Pending { buffer, submission, mapping }
    }

    /// True if the bytes have come, or will never come, within `limit`.
    pub(super) fn is_ready(&self, context: &GpuContext, limit: Duration) -> Result<bool> {
        context.wait_for(Some(self.submission.clone()), limit)
    }

    /// Waits for the bytes, passes them to `see`, and returns its result and the buffer.
    pub(super) fn take<T>(
        self,
        context: &GpuContext,
        see: impl FnOnce(&[u8]) -> T,
    ) -> Result<(T, wgpu::Buffer)> {
        context.wait(Some(self.submission))?;
        context.check()?;
        match self.mapping.get() {
            Some(Mapped::Ready) => {}
            Some(Mapped::Failed(e)) => return Err(context.error(e.clone())),
            Some(Mapped::Forgotten) | None => {
                return Err(context.error("results that never came: the device was lost"));
            }
        }
        let seen = see_bytes(context, &self.buffer, see)?;
        Ok((seen, self.buffer))
    }
}

/// Passes the bytes of a mapped buffer to `see`, then unmaps it.
pub(super) fn see_bytes<T>(
    context: &GpuContext,
    buffer: &wgpu::Buffer,
    see: impl FnOnce(&[u8]) -> T,
) -> Result<T> {
    let mapped = buffer.get_mapped_range(..).map_err(|e| context.error(e.to_string()))?;
    let seen = see(&mapped);
    drop(mapped);
    buffer.unmap();
    Ok(seen)
}

/// The number at an index.
pub(super) fn number(bytes: &[u8], index: usize, precision: Precision) -> f64 {
    let real = precision.bytes() as usize;
    let at = &bytes[index * real..(index + 1) * real];
    match precision {
        Precision::F32 => f64::from(bytemuck::pod_read_unaligned::<f32>(at)),
        Precision::F64 => bytemuck::pod_read_unaligned(at),
    }
}

/// Fewest numbers that a thread decodes.
const PARALLEL: usize = 1 << 14;

/// Numbers in the device's format.
pub(super) fn decode(bytes: &[u8], precision: Precision) -> Vec<f64> {
    match precision {
        Precision::F32 => {
            let number = |four: &[u8]| f64::from(bytemuck::pod_read_unaligned::<f32>(four));
            bytes.par_chunks_exact(4).with_min_len(PARALLEL).map(number).collect()
        }
        Precision::F64 => bytemuck::pod_collect_to_vec(bytes),
    }
}
