//! A device as an application owns it.

use std::sync::{Arc, Mutex};

use proxjet::engine::gpu::{GpuContext, GpuEngine, wgpu};

/// What an application owns.
pub(crate) struct Host {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    /// Errors that its handler received.
    pub(crate) errors: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// A host on the best adapter; `None` only where there is none and nobody requires one.
    pub(crate) fn new() -> Option<Host> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
        let adapter = match adapter {
            Ok(adapter) => adapter,
            Err(e) => {
                super::no_adapter(&e.to_string());
                return None;
            }
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("host"),
            required_features: GpuContext::required_features(&adapter),
            required_limits: GpuContext::required_limits(&adapter),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let errors = Arc::new(Mutex::new(Vec::new()));
        let heard = errors.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| heard.lock().unwrap().push(e.to_string())));
        Some(Host { device, queue, info: adapter.get_info(), errors })
    }

    /// An engine on the host's device.
    pub(crate) fn engine(&self) -> GpuEngine {
        let (device, queue) = (self.device.clone(), self.queue.clone());
        GpuEngine::new(GpuContext::from_device(device, queue, self.info.clone()).unwrap())
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") })
    }

    pub(crate) fn has_f64(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F64)
    }

    /// A compute pipeline of a shader's only entry point.
    pub(crate) fn pipeline(&self, source: String) -> wgpu::ComputePipeline {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        })
    }

    pub(crate) fn buffer(&self, bytes: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes as u64,
            usage,
            mapped_at_creation: false,
        })
    }

    /// A bind group of whole buffers, in the order of their bindings.
    pub(crate) fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        buffers: &[&wgpu::Buffer],
    ) -> wgpu::BindGroup {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }
}
