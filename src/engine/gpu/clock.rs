//! Times of dispatches, or of the passes of a chunk, measured by the device's clock.

use super::context::GpuContext;
use crate::error::Result;
use crate::program::TIMED_PASSES;

/// Timestamp queries of dispatches, or of the passes of a chunk.
pub(super) struct Clock {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Buffer from which the host reads the times of dispatches.
    readable: Option<wgpu::Buffer>,
    /// Seconds per tick.
    tick: f64,
    names: Vec<&'static str>,
}

/// Most passes that are timed between two readings.
const CAPACITY: u32 = TIMED_PASSES as u32;
const _: () = assert!(2 * CAPACITY <= wgpu::QUERY_SET_MAX_QUERIES);

impl Clock {
    /// A clock that times every dispatch, if the device supports it.
    pub(super) fn of_dispatches(context: &GpuContext) -> Option<Self> {
        if !context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let buffer = |usage| {
            let size = u64::from(2 * CAPACITY) * 8;
            let label = Some("times");
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let readable = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        Some(Clock { readable: Some(readable), ..Clock::of_passes(context, resolved) })
    }

    /// A clock that times passes, with the plan's buffer for their times.
    pub(super) fn of_passes(context: &GpuContext, resolved: wgpu::Buffer) -> Self {
        Clock {
            set: context.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * CAPACITY,
            }),
            resolved,
            readable: None,
            tick: f64::from(context.queue.get_timestamp_period()) * 1e-9,
            names: Vec::new(),
        }
    }

    /// True if every dispatch has a pass of its own.
    pub(super) fn times_each(&self) -> bool {
        self.readable.is_some()
    }

    /// Timestamp writes that time the next pass.
    pub(super) fn next(&mut self, name: &'static str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let at = self.names.len() as u32;
        if at == CAPACITY {
            return None;
        }
        self.names.push(name);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(2 * at),
            end_of_pass_write_index: Some(2 * at + 1),
        })
    }

    /// Records the commands that write the times of the recorded passes.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = 2 * self.names.len() as u32;
        if count > 0 {
            encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
            if let Some(readable) = &self.readable {
                encoder.copy_buffer_to_buffer(&self.resolved, 0, readable, 0, u64::from(count) * 8);
            }
        }
    }

    /// Records the copy of these times into a buffer, and returns the number of passes.
    pub(super) fn take(&mut self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer, at: u64) -> usize {
        let passes = self.names.len();
        self.names.clear();
        if passes > 0 {
            encoder.copy_buffer_to_buffer(&self.resolved, 0, to, at, 16 * passes as u64);
        }
        passes
    }

    /// Seconds from the begin of the first pass to the end of the last.
    pub(super) fn span(&self, bytes: &[u8], passes: usize) -> f64 {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes[..16 * passes]);
        let (first, last) = (ticks.first().copied().unwrap_or(0), ticks.iter().copied().max().unwrap_or(0));
        last.saturating_sub(first) as f64 * self.tick
    }

    /// Waits for the last submission and reads its times: kernel, begin and end in seconds.
    pub(super) fn read(&mut self, context: &GpuContext) -> Result<Vec<(&'static str, f64, f64)>> {
        let Some(readable) = &self.readable else { return Ok(Vec::new()) };
        readable.map_async(wgpu::MapMode::Read, .., |_| ());
        context.wait(None)?;
        context.check()?;
        let ticks: Vec<u64> = {
            let bytes = readable.get_mapped_range(..).map_err(|e| context.error(e.to_string()))?;
            bytemuck::pod_collect_to_vec(&bytes)
        };
        readable.unmap();
        let seconds = |i: usize| ticks[i] as f64 * self.tick;
        Ok(self
            .names
            .drain(..)
            .enumerate()
            .map(|(i, name)| (name, seconds(2 * i), seconds(2 * i + 1)))
            .collect())
    }
}
