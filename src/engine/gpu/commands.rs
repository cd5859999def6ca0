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
        if self.clock.as_ref().is_some_and(|clock| clock.each) {
            self.pass = None;
        }
        if self.pass.is_none() {
            let timestamp_writes = self.clock.as_deref_mut().and_then(|clock| clock.next(what.name));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            self.pass = Some(self.encoder.begin_compute_pass(&descriptor).forget_lifetime());
        }
        if let Some(pass) = &mut self.pass {
            record(pass, what);
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

/// Times of dispatches, or of the passes of a chunk, on the device's own clock.
pub(super) struct Clock {
    /// Whether every dispatch has a pass of its own.
    each: bool,
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
    /// A clock of every dispatch (`each`) or of passes, where the device has one.
    pub(super) fn new(context: &GpuContext, each: bool) -> Option<Self> {
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
            each,
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
            if self.each {
                encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, u64::from(count) * 8);
            }
        }
    }

    /// Has the times of what was recorded copied into a buffer, and says how many passes there were.
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
        Ok(self
            .names
            .drain(..)
            .enumerate()
            .map(|(i, name)| (name, seconds(2 * i), seconds(2 * i + 1)))
            .collect())
    }
}
