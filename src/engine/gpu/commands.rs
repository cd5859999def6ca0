//! Recording commands: one compute pass as long as nothing has to be copied, or, where kernels are timed, a pass for each.

use super::context::GpuContext;
use crate::error::Result;

/// Commands being recorded.
pub(super) struct Commands<'e> {
    encoder: &'e mut wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
    clock: Option<&'e mut Clock>,
}

/// What a dispatch needs.
pub(super) struct Dispatch<'b> {
    pub(super) name: &'static str,
    pub(super) pipeline: &'b wgpu::ComputePipeline,
    /// Parameters and where they begin, then storage.
    pub(super) params: (&'b wgpu::BindGroup, u32),
    pub(super) storage: &'b wgpu::BindGroup,
    pub(super) groups: [u32; 3],
}

impl<'e> Commands<'e> {
    pub(super) fn new(encoder: &'e mut wgpu::CommandEncoder, clock: Option<&'e mut Clock>) -> Self {
        Commands { encoder, pass: None, clock }
    }

    pub(super) fn dispatch(&mut self, what: &Dispatch<'_>) {
        if let Some(clock) = self.clock.as_deref_mut() {
            self.pass = None;
            let descriptor =
                wgpu::ComputePassDescriptor { label: Some(what.name), timestamp_writes: clock.next(what.name) };
            record(&mut self.encoder.begin_compute_pass(&descriptor), what);
        } else {
            let encoder = &mut *self.encoder;
            let begin = || encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
            record(self.pass.get_or_insert_with(begin), what);
        }
    }

    /// Copies a whole buffer, or its first bytes.
    pub(super) fn copy(&mut self, from: &wgpu::Buffer, to: (&wgpu::Buffer, u64), bytes: u64) {
        self.pass = None;
        self.encoder.copy_buffer_to_buffer(from, 0, to.0, to.1, bytes);
    }

    /// Ends what is open; where kernels are timed, has the times written.
    pub(super) fn finish(mut self) {
        self.pass = None;
        if let Some(clock) = self.clock {
            clock.resolve(self.encoder);
        }
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, what: &Dispatch<'_>) {
    let [x, y, z] = what.groups;
    pass.set_pipeline(what.pipeline);
    pass.set_bind_group(0, what.params.0, &[what.params.1]);
    pass.set_bind_group(1, what.storage, &[]);
    pass.dispatch_workgroups(x, y, z);
}

/// Times of dispatches on the device's own clock.
pub(super) struct Clock {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    /// Seconds of a tick.
    tick: f64,
    names: Vec<&'static str>,
}

/// Dispatches that are timed at most between two readings.
const CAPACITY: u32 = wgpu::QUERY_SET_MAX_QUERIES / 2;

impl Clock {
    /// A clock, where the device has one.
    pub(super) fn new(context: &GpuContext) -> Option<Self> {
        let device = &context.device;
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let buffer = |usage| {
            let size = u64::from(2 * CAPACITY) * 8;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Clock {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * CAPACITY,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            tick: f64::from(context.queue.get_timestamp_period()) * 1e-9,
            names: Vec::new(),
        })
    }

    fn next(&mut self, name: &'static str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
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

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = 2 * self.names.len() as u32;
        if count > 0 {
            encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, u64::from(count) * 8);
        }
    }

    /// Waits for the last submission and takes its times: kernel, begin and end in seconds.
    pub(super) fn read(&mut self, context: &GpuContext) -> Result<Vec<(&'static str, f64, f64)>> {
        self.readable.map_async(wgpu::MapMode::Read, .., |_| ());
        context.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| context.error(e.to_string()))?;
        context.check()?;
        let ticks: Vec<u64> = {
            let bytes = self.readable.get_mapped_range(..).map_err(|e| context.error(e.to_string()))?;
            bytemuck::pod_collect_to_vec(&bytes)
        };
        self.readable.unmap();
        let seconds = |i: usize| ticks[i] as f64 * self.tick;
        Ok(self.names.drain(..).enumerate().map(|(i, name)| (name, seconds(2 * i), seconds(2 * i + 1))).collect())
    }
}
