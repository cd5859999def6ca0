//! Bringing a chunk's results back while the next one runs.

use std::sync::mpsc;

use super::context::GpuContext;
use crate::error::Result;
use crate::plan::Precision;

/// A staging buffer on its way back.
pub(super) struct Pending {
    buffer: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: mpsc::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

impl Pending {
    /// Asks for a staging buffer that a submission fills.
    pub(super) fn new(buffer: wgpu::Buffer, submission: wgpu::SubmissionIndex) -> Self {
        let (done, mapped) = mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = done.send(result);
        });
        Pending { buffer, submission, mapped }
    }

    /// Waits for the bytes and hands the buffer back.
    pub(super) fn take(self, context: &GpuContext) -> Result<(Vec<u8>, wgpu::Buffer)> {
        let wait = wgpu::PollType::Wait { submission_index: Some(self.submission), timeout: None };
        context.device.poll(wait).map_err(|e| context.error(e.to_string()))?;
        context.check()?;
        match self.mapped.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(context.error(e.to_string())),
            Err(_) => return Err(context.error("results that never came: the device was lost")),
        }
        let bytes = self.buffer.get_mapped_range(..).map_err(|e| context.error(e.to_string()))?.to_vec();
        self.buffer.unmap();
        Ok((bytes, self.buffer))
    }
}

/// Numbers as the device wants them.
pub(super) fn encode(values: impl IntoIterator<Item = f64>, precision: Precision) -> Vec<u8> {
    match precision {
        // An infinite bound becomes the largest number: WGSL may assume that there is no infinity.
        Precision::F32 => values
            .into_iter()
            .flat_map(|v| (v.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32).to_le_bytes())
            .collect(),
        Precision::F64 => values.into_iter().flat_map(f64::to_le_bytes).collect(),
    }
}

/// The number at a place.
pub(super) fn number(bytes: &[u8], index: usize, precision: Precision) -> f64 {
    let real = precision.bytes() as usize;
    let at = &bytes[index * real..(index + 1) * real];
    match precision {
        Precision::F32 => f64::from(bytemuck::pod_read_unaligned::<f32>(at)),
        Precision::F64 => bytemuck::pod_read_unaligned(at),
    }
}

/// Numbers as the device left them.
pub(super) fn decode(bytes: &[u8], precision: Precision) -> Vec<f64> {
    match precision {
        Precision::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(bytes).into_iter().map(f64::from).collect(),
        Precision::F64 => bytemuck::pod_collect_to_vec(bytes),
    }
}
