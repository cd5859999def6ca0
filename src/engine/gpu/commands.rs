//! Recording commands: one compute pass until a copy is recorded, or, if kernels are timed,
//! one pass per dispatch.

use super::clock::Clock;

/// Commands that are being recorded.
pub(super) struct Commands<'e> {
    encoder: &'e mut wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
    clock: Option<&'e mut Clock>,
}

/// A dispatch to be recorded.
pub(super) struct Dispatch<'b> {
    pub(super) name: &'static str,
    pub(super) pipeline: &'b wgpu::ComputePipeline,
    pub(super) storage: &'b wgpu::BindGroup,
    /// Parameters and their offset.
    pub(super) params: Option<(&'b wgpu::BindGroup, u32)>,
    pub(super) groups: [u32; 3],
}

impl<'e> Commands<'e> {
    pub(super) fn new(encoder: &'e mut wgpu::CommandEncoder, clock: Option<&'e mut Clock>) -> Self {
        Commands { encoder, pass: None, clock }
    }

    pub(super) fn dispatch(&mut self, what: &Dispatch<'_>) {
        if self.clock.as_ref().is_some_and(|clock| clock.times_each()) {
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

    /// Copies the first bytes of a buffer.
    pub(super) fn copy(&mut self, from: &wgpu::Buffer, to: (&wgpu::Buffer, usize), bytes: usize) {
        self.pass = None;
        self.encoder.copy_buffer_to_buffer(from, 0, to.0, to.1 as u64, bytes as u64);
    }

    /// Ends the open pass; if kernels are timed, records the writing of their times.
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
    pass.set_bind_group(0, what.storage, &[]);
    if let Some((params, offset)) = what.params {
        pass.set_bind_group(1, params, &[offset]);
    }
    pass.dispatch_workgroups(x, y, z);
}
