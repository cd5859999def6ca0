//! Pipelines, cached by the text of their shaders.

use std::collections::HashMap;

use super::compose::Composed;
use super::context::GpuContext;
use super::params::PARAMS_BYTES;
use crate::error::Result;
use crate::program::{Access, Pass};

/// A compiled kernel, which can be bound and dispatched.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// Layout of its storage bindings.
    pub(super) storage: wgpu::BindGroupLayout,
}

/// Compiled kernels by their text.
#[derive(Debug, Default)]
pub(super) struct Library {
    params: Option<wgpu::BindGroupLayout>,
    by_text: HashMap<String, Kernel>,
}

impl Library {
    /// The kernel of a pass, compiled if it is new.
    pub(super) fn kernel(&mut self, context: &GpuContext, pass: &Pass, shader: &Composed) -> Result<Kernel> {
        if let Some(kernel) = self.by_text.get(&shader.source) {
            return Ok(kernel.clone());
        }
        let params = self.params(context);
        let kernel = compile(context, pass.params.is_some().then_some(&params), pass, shader)?;
        self.by_text.insert(shader.source.clone(), kernel.clone());
        Ok(kernel)
    }

    /// The layout of every kernel's parameters.
    pub(super) fn params(&mut self, context: &GpuContext) -> wgpu::BindGroupLayout {
        let layout = || {
            let ty = wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: wgpu::BufferSize::new(PARAMS_BYTES),
            };
            context.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("params"),
                entries: &[entry(0, ty)],
            })
        };
        self.params.get_or_insert_with(layout).clone()
    }
}

fn entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

/// The layout of a pass's storage bindings.
fn storage_layout(device: &wgpu::Device, pass: &Pass) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = pass
        .bindings
        .iter()
        .zip(0..)
        .map(|(b, binding)| {
            let ty = wgpu::BufferBindingType::Storage { read_only: b.access == Access::Read };
            entry(
                binding,
                wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            )
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(pass.kernel),
        entries: &entries,
    })
}

fn compile(
    context: &GpuContext,
    params: Option<&wgpu::BindGroupLayout>,
    pass: &Pass,
    shader: &Composed,
) -> Result<Kernel> {
    let device = &context.device;
    #[cfg(not(target_family = "wasm"))]
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl(shader.source.as_str().into()),
    });
    let storage = storage_layout(device, pass);
    let layouts: Vec<_> = std::iter::once(Some(&storage)).chain(params.map(Some)).collect();
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(shader.name),
        bind_group_layouts: &layouts,
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(shader.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    // In a page the error handler hears of it.
    #[cfg(not(target_family = "wasm"))]
    if let Some(error) = pollster::block_on(scope.pop()) {
        return Err(refused(context, &module, shader, &error));
    }
    Ok(Kernel { pipeline, storage })
}

/// The error of a shader that the device refused, with the places in its sources.
#[cfg(not(target_family = "wasm"))]
fn refused(
    context: &GpuContext,
    module: &wgpu::ShaderModule,
    shader: &Composed,
    error: &wgpu::Error,
) -> crate::error::Error {
    let info = pollster::block_on(module.get_compilation_info());
    let places: Vec<String> = info
        .messages
        .iter()
        .filter_map(|m| Some(format!("{}: {}", shader.locate(m.location?.line_number as usize), m.message)))
        .collect();
    let found = if places.is_empty() { error.to_string() } else { places.join("; ") };
    context.error(format!("shader '{}' refused: {found}", shader.name))
}
