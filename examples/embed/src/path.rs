//! The regularisation path and its sensitivity band, drawn from the solver's buffers: no number of it comes
//! to the host.

use proxjet::engine::gpu::{Session, wgpu};

/// sRGB colours of the coefficients, as in the shader.
pub const COLORS: [[u8; 3]; 10] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [120, 94, 60],
    [90, 90, 90],
    [140, 80, 200],
    [150, 160, 30],
];

/// Where and how the path is drawn.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct View {
    /// Left, top, right and bottom of the plot, in pixels of the viewport.
    pub plot: [f32; 4],
    /// Pixels of the viewport.
    pub viewport: [f32; 2],
    /// Values at the bottom and at the top.
    pub range: [f32; 2],
    /// Change of log alpha that the band shows.
    pub band: f32,
    /// Half the width of a curve, in pixels.
    pub half_width: f32,
    /// 1 where the target's format is an sRGB one, else 0.
    pub linear: f32,
    /// Of the band.
    pub opacity: f32,
}

/// Pipelines, and bind groups of the two buffers that hold the iterate in turn.
#[derive(Debug)]
pub struct PathPicture {
    band: wgpu::RenderPipeline,
    curve: wgpu::RenderPipeline,
    view: wgpu::Buffer,
    groups: [wgpu::BindGroup; 2],
    rows: u32,
    vertices: u32,
}

impl PathPicture {
    /// What draws a session's coefficients into targets of a format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat, samples: u32, session: &Session) -> Self {
        let layout = session.layout();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("path"),
            source: wgpu::ShaderSource::Wgsl((layout.wgsl() + include_str!("path.wgsl")).into()),
        });
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("path"),
            entries: &[
                entry(0, wgpu::BufferBindingType::Uniform),
                entry(1, wgpu::BufferBindingType::Storage { read_only: true }),
            ],
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("path"),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let pipeline = |entry| {
            device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some(entry),
                layout: Some(&pipeline_layout),
                // No vertex buffers: vertices are pulled from the solver's state.
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some(entry),
                    compilation_options: Default::default(),
                    buffers: &[],
                },
                primitive: wgpu::PrimitiveState {
                    topology: wgpu::PrimitiveTopology::TriangleStrip,
                    ..Default::default()
                },
                depth_stencil: None,
                multisample: wgpu::MultisampleState { count: samples, ..Default::default() },
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some("paint"),
                    compilation_options: Default::default(),
                    targets: &[Some(wgpu::ColorTargetState {
                        format,
                        blend: Some(wgpu::BlendState::ALPHA_BLENDING),
                        write_mask: wgpu::ColorWrites::ALL,
                    })],
                }),
                multiview_mask: None,
                cache: None,
            })
        };
        let view = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("view"),
            size: size_of::<View>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let groups = session.buffers().map(|state| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("path"),
                layout: &bindings,
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: view.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: state.as_entire_binding() },
                ],
            })
        });
        PathPicture {
            band: pipeline("band"),
            curve: pipeline("curve"),
            view,
            groups,
            rows: layout.rows as u32,
            vertices: 2 * layout.lanes as u32,
        }
    }

    /// Sets where the next submission draws.
    pub fn set(&self, queue: &wgpu::Queue, view: &View) {
        queue.write_buffer(&self.view, 0, bytemuck::bytes_of(view));
    }

    /// Draws the iterate that `current` says: [`Session::current`] after the iterations of this frame were
    /// recorded.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, current: usize) {
        pass.set_bind_group(0, &self.groups[current], &[]);
        pass.set_pipeline(&self.band);
        pass.draw(0..self.vertices, 0..self.rows);
        pass.set_pipeline(&self.curve);
        pass.draw(0..self.vertices, 0..self.rows);
    }
}
