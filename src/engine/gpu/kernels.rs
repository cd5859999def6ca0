//! Pipelines, and the bind groups of a run.

use std::collections::HashMap;

use super::compose::{Composed, compose_all};
use super::context::GpuContext;
use super::spec::ShaderSpec;
use crate::engine::Status;
use crate::error::Result;

/// Codes of the statuses on the device: WGSL constant, status, code.
pub(super) const STATUS_CODES: [(&str, Status, u32); 5] = [
    ("RUNNING", Status::Running, 0),
    ("CONVERGED", Status::Converged, 1),
    ("MAX_ITERATIONS", Status::MaxIterations, 2),
    ("DIVERGED", Status::Diverged, 3),
    ("NOT_FINITE", Status::NotFinite, 4),
];

/// Code of a slot without a lane.
pub(super) const EMPTY: u32 = 5;

/// Bytes of a kernel's parameters in the uniform buffer; the portable alignment of dynamic offsets.
pub(super) const PARAMS_STRIDE: u64 = 256;
/// Bytes of `Params`.
pub(super) const PARAMS_BYTES: u64 = 16;

/// A kernel that can be bound and dispatched.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) groups: [u32; 3],
    layout: wgpu::BindGroupLayout,
    /// Names of the storage buffers it binds, in order.
    bindings: Vec<String>,
}

/// Kernels by their text.
#[derive(Debug, Default)]
pub(super) struct Library {
    params: Option<wgpu::BindGroupLayout>,
    by_text: HashMap<String, Kernel>,
}

/// Every kernel of a run.
pub(super) struct Kernels {
    by_name: HashMap<&'static str, Kernel>,
    pub(super) params: wgpu::BindGroupLayout,
}

impl Kernels {
    /// Compiles the kernels of a run that the library has not yet.
    pub(super) fn new(context: &GpuContext, library: &mut Library, spec: &ShaderSpec) -> Result<Self> {
        let mut by_name = HashMap::new();
        for shader in compose_all(spec) {
            by_name.insert(shader.name, library.kernel(context, &shader)?);
        }
        Ok(Kernels { by_name, params: library.params(context) })
    }

    pub(super) fn get(&self, name: &str) -> &Kernel {
        &self.by_name[name]
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Names of all kernels.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// Binds the storage buffers that a kernel names.
    pub(super) fn bind<'b>(
        &self,
        device: &wgpu::Device,
        name: &str,
        buffer: impl Fn(&str) -> &'b wgpu::Buffer,
    ) -> wgpu::BindGroup {
        self.get(name).bind(device, name, buffer)
    }
}

impl Library {
    /// A kernel, compiled if it is new.
    pub(super) fn kernel(&mut self, context: &GpuContext, shader: &Composed) -> Result<Kernel> {
        if let Some(kernel) = self.by_text.get(&shader.source) {
            return Ok(kernel.clone());
        }
        let kernel = compile(context, &self.params(context), shader)?;
        self.by_text.insert(shader.source.clone(), kernel.clone());
        Ok(kernel)
    }

    /// The layout of every kernel's parameters.
    pub(super) fn params(&mut self, context: &GpuContext) -> wgpu::BindGroupLayout {
        let layout = || {
            context.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("params"),
                entries: &[wgpu::BindGroupLayoutEntry {
                    binding: 0,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: true,
                        min_binding_size: wgpu::BufferSize::new(PARAMS_BYTES),
                    },
                    count: None,
                }],
            })
        };
        self.params.get_or_insert_with(layout).clone()
    }
}

impl Kernel {
    /// Binds the storage buffers that it names.
    pub(super) fn bind<'b>(
        &self,
        device: &wgpu::Device,
        label: &str,
        buffer: impl Fn(&str) -> &'b wgpu::Buffer,
    ) -> wgpu::BindGroup {
        let entry = |(i, binding): (usize, &String)| wgpu::BindGroupEntry {
            binding: i as u32,
            resource: buffer(binding).as_entire_binding(),
        };
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &self.layout,
            entries: &self.bindings.iter().enumerate().map(entry).collect::<Vec<_>>(),
        })
    }
}

fn compile(context: &GpuContext, params: &wgpu::BindGroupLayout, shader: &Composed) -> Result<Kernel> {
    let device = &context.device;
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl(shader.source.as_str().into()),
    });
    let (bindings, entries): (Vec<_>, Vec<_>) = storage_bindings(&shader.source).into_iter().unzip();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(shader.name),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(shader.name),
        bind_group_layouts: &[Some(params), Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(shader.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(shader.entry),
        compilation_options: Default::default(),
        cache: None,
    });
    match pollster::block_on(scope.pop()) {
        None => Ok(Kernel { pipeline, groups: shader.groups, layout, bindings }),
        Some(error) => {
            let info = pollster::block_on(module.get_compilation_info());
            let places: Vec<String> = info
                .messages
                .iter()
                .filter_map(|m| {
                    Some(format!("{}: {}", shader.locate(m.location?.line_number as usize), m.message))
                })
                .collect();
            let found = if places.is_empty() { error.to_string() } else { places.join("; ") };
            Err(context.error(format!("shader '{}' refused: {found}", shader.name)))
        }
    }
}

/// The storage bindings of group 1, read off the text, where they are numbered from 0 without gaps.
fn storage_bindings(source: &str) -> Vec<(String, wgpu::BindGroupLayoutEntry)> {
    let binding = |(i, line): (usize, &str)| {
        let name =
            line.split_once("> ").and_then(|(_, rest)| rest.split_once(':')).map_or("", |(name, _)| name);
        let entry = wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: !line.contains("read_write") },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        (name.to_string(), entry)
    };
    source.lines().filter(|line| line.starts_with("@group(1)")).enumerate().map(binding).collect()
}
