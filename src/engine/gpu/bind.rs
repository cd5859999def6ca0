//! The buffers of a run, and the bind groups of its passes.

use std::collections::HashMap;

use super::compile::Library;
use super::compose::compose_program;
use super::context::GpuContext;
use super::data::content;
use super::params::PARAMS_BYTES;
use super::prelude::ShaderSpec;
use crate::error::Result;
use crate::lanes::{Job, RunNumbers};
use crate::program::{Binding, Buffer, BufferId, Copies, Params, Pass, Program, Usage, Which};

/// The device resources of a run.
pub(super) struct Resources {
    pub(super) program: Program,
    /// The passes of the program, in order.
    pub(super) passes: Vec<BoundPass>,
    buffers: HashMap<BufferId, [wgpu::Buffer; 2]>,
}

/// A pass with its pipeline and bind groups.
pub(super) struct BoundPass {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// By parity of the iterate and of the chunk.
    pub(super) storage: [[wgpu::BindGroup; 2]; 2],
    /// By parity of the chunk.
    pub(super) params: Option<[wgpu::BindGroup; 2]>,
}

/// Creates a buffer of a program: the only place that does.
pub(super) fn allocate(context: &GpuContext, buffer: &Buffer) -> wgpu::Buffer {
    use wgpu::BufferUsages as Usages;
    let usage = match buffer.usage {
        Usage::Storage => Usages::STORAGE | Usages::COPY_SRC | Usages::COPY_DST,
        Usage::Uniform => Usages::UNIFORM | Usages::COPY_DST,
        Usage::Staging => Usages::MAP_READ | Usages::COPY_DST,
        Usage::Upload => Usages::MAP_WRITE | Usages::COPY_SRC,
        Usage::Times => Usages::QUERY_RESOLVE | Usages::COPY_SRC,
    };
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(buffer.id.name()),
        size: buffer.bytes_of_one(),
        usage,
        mapped_at_creation: buffer.usage == Usage::Upload,
    })
}

impl Resources {
    /// Compiles the kernels of a run, and creates, fills and binds its buffers.
    pub(super) fn new(
        context: &GpuContext,
        library: &mut Library,
        program: Program,
        job: &Job<'_>,
        numbers: &RunNumbers,
    ) -> Result<Self> {
        let spec = ShaderSpec::new(&program.shape, numbers, job);
        let shaders = compose_program(&program, &spec);
        let mut buffers = HashMap::new();
        for buffer in &program.buffers {
            let first = match buffer.copies {
                // Created when it is first needed.
                Copies::Many(_) => continue,
                Copies::One | Copies::Iterate | Copies::Chunk => allocate(context, buffer),
            };
            if let Some(bytes) = content(buffer.id, &program.shape, job, numbers) {
                context.queue.write_buffer(&first, 0, &bytes);
            }
            let second = if buffer.count() == 2 { allocate(context, buffer) } else { first.clone() };
            buffers.insert(buffer.id, [first, second]);
        }
        let mut resources = Resources { program, passes: Vec::new(), buffers };
        for (pass, shader) in resources.program.passes.iter().zip(&shaders) {
            let kernel = library.kernel(context, pass, shader)?;
            let params = library.params(context);
            resources.passes.push(BoundPass {
                storage: resources.bind_storage(context, pass, &kernel.storage),
                params: pass.params.map(|of| resources.bind_params(context, of, &params)),
                pipeline: kernel.pipeline,
            });
        }
        Ok(resources)
    }

    /// A buffer, or copy `which` of a pair.
    pub(super) fn buffer(&self, id: BufferId, which: usize) -> &wgpu::Buffer {
        &self.buffers[&id][which]
    }

    /// A new copy of a buffer that has several copies.
    pub(super) fn another(&self, context: &GpuContext, id: BufferId) -> Option<wgpu::Buffer> {
        self.program.buffer(id).map(|buffer| allocate(context, buffer))
    }

    /// Bytes of the buffers that are held, without those that have several copies.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> u64 {
        let of = |pair: &[wgpu::Buffer; 2]| {
            let both = if pair[0] == pair[1] { &pair[..1] } else { &pair[..] };
            both.iter().map(wgpu::Buffer::size).sum::<u64>()
        };
        self.buffers.values().map(of).sum()
    }

    /// The copy of a buffer that a binding refers to.
    fn bound(&self, binding: &Binding, parity: usize, chunk_parity: usize) -> &wgpu::Buffer {
        let which = match binding.which {
            Which::Only => 0,
            Which::Current => parity,
            Which::Other => 1 - parity,
            Which::Chunk => chunk_parity,
        };
        self.buffer(binding.buffer, which)
    }

    fn bind_storage(
        &self,
        context: &GpuContext,
        pass: &Pass,
        layout: &wgpu::BindGroupLayout,
    ) -> [[wgpu::BindGroup; 2]; 2] {
        let bind = |parity: usize, chunk_parity: usize| {
            let entries: Vec<_> = pass
                .bindings
                .iter()
                .zip(0..)
                .map(|(b, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: self.bound(b, parity, chunk_parity).as_entire_binding(),
                })
                .collect();
            context.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(pass.kernel),
                layout,
                entries: &entries,
            })
        };
        let has = |which: &[Which]| pass.bindings.iter().any(|b| which.contains(&b.which));
        let by_iterate = |chunk_parity: usize| {
            let first = bind(0, chunk_parity);
            let alternates = has(&[Which::Current, Which::Other]);
            let second = if alternates { bind(1, chunk_parity) } else { first.clone() };
            [first, second]
        };
        let first = by_iterate(0);
        let second = if has(&[Which::Chunk]) { by_iterate(1) } else { first.clone() };
        [0, 1].map(|parity: usize| [first[parity].clone(), second[parity].clone()])
    }

    fn bind_params(
        &self,
        context: &GpuContext,
        params: Params,
        layout: &wgpu::BindGroupLayout,
    ) -> [wgpu::BindGroup; 2] {
        [0, 1].map(|chunk_parity| {
            let which = if params.which == Which::Chunk { chunk_parity } else { 0 };
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.buffer(params.buffer, which),
                offset: 0,
                size: wgpu::BufferSize::new(PARAMS_BYTES),
            });
            context.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(params.structure),
                layout,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource }],
            })
        })
    }
}
