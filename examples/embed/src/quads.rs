//! Lines, swatches and text: rectangles of one pipeline, whose letters are in an atlas.

use std::collections::HashMap;
use std::error::Error;

use ab_glyph::{Font, FontRef, ScaleFont};
use proxjet::engine::gpu::wgpu;

/// Sizes of letters, in pixels.
pub const SIZES: [f32; 2] = [17.0, 26.0];

/// Rows and columns of the atlas.
const ATLAS: usize = 512;
/// Rectangles at most.
const MOST: usize = 2048;

/// A rectangle: place in pixels, part of the atlas, colour in linear light.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Quad {
    place: [f32; 4],
    source: [f32; 4],
    color: [f32; 4],
}

/// A letter in the atlas.
#[derive(Debug, Clone, Copy)]
struct Letter {
    source: [f32; 4],
    /// From the pen on the baseline to its corner, and its size.
    offset: [f32; 2],
    size: [f32; 2],
    advance: f32,
}

/// By index of their size, and character.
type Letters = HashMap<(usize, char), Letter>;

/// What draws rectangles and text.
#[derive(Debug)]
pub struct Quads {
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
    viewport: wgpu::Buffer,
    instances: wgpu::Buffer,
    letters: Letters,
    list: Vec<Quad>,
}

/// A colour of a picture in linear light.
fn linear(color: [u8; 3]) -> [f32; 4] {
    let of = |c: u8| {
        let c = f32::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    [of(color[0]), of(color[1]), of(color[2]), 1.0]
}

/// Letters of every size, and their coverage row by row. The first pixels are full.
fn atlas() -> Result<(Vec<u8>, Letters), Box<dyn Error>> {
    let font = FontRef::try_from_slice(dejavu::sans::regular())?;
    let mut coverage = vec![0u8; ATLAS * ATLAS];
    (0..2).for_each(|row| coverage[row * ATLAS..row * ATLAS + 2].fill(255));
    let mut letters = HashMap::new();
    let (mut x, mut y, mut tallest) = (4, 0, 4);
    for (size, pixels) in SIZES.into_iter().enumerate() {
        let scaled = font.as_scaled(pixels);
        for letter in (' '..='~').chain(['−', '±', '·']) {
            let id = scaled.glyph_id(letter);
            let mut entry =
                Letter { source: [0.0; 4], offset: [0.0; 2], size: [0.0; 2], advance: scaled.h_advance(id) };
            if let Some(outline) = scaled.outline_glyph(id.with_scale(pixels)) {
                let bounds = outline.px_bounds();
                let (width, height) = (bounds.width() as usize, bounds.height() as usize);
                if x + width + 1 > ATLAS {
                    (x, y, tallest) = (0, y + tallest + 1, 0);
                }
                if y + height > ATLAS {
                    return Err("the atlas is too small for the letters".into());
                }
                outline.draw(|i, j, c| {
                    coverage[(y + j as usize) * ATLAS + x + i as usize] = (255.0 * c.min(1.0)) as u8;
                });
                let unit = |v: usize| v as f32 / ATLAS as f32;
                entry.source = [unit(x), unit(y), unit(x + width), unit(y + height)];
                entry.offset = [bounds.min.x, bounds.min.y];
                entry.size = [width as f32, height as f32];
                x += width + 1;
                tallest = tallest.max(height);
            }
            letters.insert((size, letter), entry);
        }
    }
    Ok((coverage, letters))
}

/// The texture of the letters, from their coverage.
fn letter_texture(device: &wgpu::Device, queue: &wgpu::Queue, coverage: &[u8]) -> wgpu::Texture {
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("letters"),
        size: wgpu::Extent3d { width: ATLAS as u32, height: ATLAS as u32, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::R8Unorm,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let layout =
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(ATLAS as u32), rows_per_image: None };
    queue.write_texture(texture.as_image_copy(), coverage, layout, texture.size());
    texture
}

/// The pipeline that paints quads.
fn pipeline(device: &wgpu::Device, format: wgpu::TextureFormat, samples: u32) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::include_wgsl!("quads.wgsl"));
    let vec4 = wgpu::VertexFormat::Float32x4;
    let attribute =
        |i: u32| wgpu::VertexAttribute { format: vec4, offset: 16 * u64::from(i), shader_location: i };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("quads"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: Default::default(),
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: size_of::<Quad>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &[attribute(0), attribute(1), attribute(2)],
            })],
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
}

impl Quads {
    /// What draws into targets of an sRGB format.
    ///
    /// # Errors
    /// None that a font inside the program could cause.
    pub fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        format: wgpu::TextureFormat,
        samples: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let (coverage, letters) = atlas()?;
        let texture = letter_texture(device, queue, &coverage);
        let pipeline = pipeline(device, format, samples);
        let buffer = |label, size, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let viewport = buffer("viewport", 16, wgpu::BufferUsages::UNIFORM);
        let instances = buffer("quads", (MOST * size_of::<Quad>()) as u64, wgpu::BufferUsages::VERTEX);
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor::default());
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("quads"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: viewport.as_entire_binding() },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&texture.create_view(&Default::default())),
                },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::Sampler(&sampler) },
            ],
        });
        Ok(Quads { pipeline, group, viewport, instances, letters, list: Vec::new() })
    }

    /// Begins a picture anew.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// A rectangle: left, top, right, bottom.
    pub fn rectangle(&mut self, place: [f32; 4], color: [u8; 3]) {
        let full = 1.0 / ATLAS as f32;
        self.list.push(Quad { place, source: [full; 4], color: linear(color) });
    }

    /// Text whose baseline begins at a place, moved left by `anchor` of its width.
    pub fn text(&mut self, text: &str, at: [f32; 2], anchor: f32, size: usize, color: [u8; 3]) {
        let letters: Vec<Letter> =
            text.chars().filter_map(|c| self.letters.get(&(size, c)).copied()).collect();
        let width: f32 = letters.iter().map(|l| l.advance).sum();
        let (mut x, y) = ((at[0] - anchor * width).round(), at[1].round());
        for letter in letters {
            let (left, top) = ((x + letter.offset[0]).round(), y + letter.offset[1]);
            let place = [left, top, left + letter.size[0], top + letter.size[1]];
            if letter.size[0] > 0.0 {
                self.list.push(Quad { place, source: letter.source, color: linear(color) });
            }
            x += letter.advance;
        }
    }

    /// Sets what the next submission draws into a viewport of this many pixels.
    pub fn set(&mut self, queue: &wgpu::Queue, viewport: [f32; 2]) {
        self.list.truncate(MOST);
        queue.write_buffer(&self.viewport, 0, bytemuck::cast_slice(&[viewport[0], viewport[1], 0.0, 0.0]));
        queue.write_buffer(&self.instances, 0, bytemuck::cast_slice(&self.list));
    }

    /// Draws rectangles and text.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.set_vertex_buffer(0, self.instances.slice(..));
        pass.draw(0..4, 0..self.list.len() as u32);
    }
}
