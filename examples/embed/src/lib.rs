//! What the host applications share: a device of their own, the sweep that they step, and how they draw it.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use proxjet::engine::gpu::{GpuContext, GpuEngine, Keep, Session, wgpu};
use proxjet::prelude::{Objective, Penalty, bundled};
use proxjet::program::Precision;
use proxjet::solve::{Alphas, Sweep};

pub mod app;
pub mod gui;
pub mod path;
pub mod quads;

/// Device time that the solver may take of a frame.
pub const BUDGET: Duration = Duration::from_millis(3);

/// Samples of a pixel.
pub const SAMPLES: u32 = 4;

/// The device of the application: the solver is a guest on it.
#[derive(Debug)]
pub struct Host {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// What it is.
    pub info: wgpu::AdapterInfo,
}

impl Host {
    /// A device on an adapter, with what the solver needs besides what the application does.
    ///
    /// # Errors
    /// An adapter that gives no device.
    pub fn new(adapter: &wgpu::Adapter) -> Result<Host, Box<dyn Error>> {
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("host"),
            required_features: GpuContext::required_features(adapter),
            required_limits: GpuContext::required_limits(adapter),
            ..Default::default()
        }))?;
        Ok(Host { device, queue, info: adapter.get_info() })
    }

    /// A device that draws into textures only.
    ///
    /// # Errors
    /// No adapter, or one that gives no device.
    pub fn headless() -> Result<Host, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
        Host::new(&adapter)
    }

    /// The sweep on this device.
    ///
    /// # Errors
    /// A device that cannot run it.
    pub fn session(&self, sweep: Sweep) -> Result<Session, Box<dyn Error>> {
        let context = GpuContext::from_device(self.device.clone(), self.queue.clone(), self.info.clone())?;
        Ok(sweep.session(&mut GpuEngine::new(context), Keep::Nothing)?)
    }

    /// A texture to draw into, and where the samples of its pixels go.
    pub fn target(&self, format: wgpu::TextureFormat, size: [u32; 2], samples: u32) -> wgpu::Texture {
        let copied = if samples == 1 { wgpu::TextureUsages::COPY_SRC } else { wgpu::TextureUsages::empty() };
        self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("target"),
            size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: samples,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | copied,
            view_formats: &[],
        })
    }

    /// The pixels of a texture of four bytes each, row by row: the one thing that is read back.
    ///
    /// # Errors
    /// A device that failed.
    pub fn pixels(&self, texture: &wgpu::Texture) -> Result<Vec<u8>, Box<dyn Error>> {
        let (width, height) = (texture.width(), texture.height());
        let stride = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pixels"),
            size: u64::from(stride) * u64::from(height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
        self.queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| ());
        self.wait()?;
        let bytes = buffer.get_mapped_range(..)?;
        Ok(bytes.chunks(stride as usize).flat_map(|row| row[..4 * width as usize].to_vec()).collect())
    }

    /// Waits until everything that was submitted has finished, but no longer than a minute.
    ///
    /// # Errors
    /// The device failed, or does not answer.
    pub fn wait(&self) -> Result<(), wgpu::PollError> {
        let timeout = Some(std::time::Duration::from_secs(60));
        self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout }).map(drop)
    }
}

/// The lasso on the diabetes data: 200 values of alpha, with the derivative of every coefficient by log
/// alpha.
///
/// # Errors
/// None that data inside the program could cause.
pub fn sweep() -> Result<Sweep, proxjet::error::Error> {
    let problem = Objective::builder(bundled("diabetes")?.standardize()).penalty(Penalty::l1()).build()?;
    let alphas = Alphas::Path { epsilon: 1e-3, count: 200 };
    Ok(Sweep::new(problem).alphas(alphas).iterations(1000).tol(1e-5).precision(Precision::F32))
}

/// Writes pixels as a PNG.
///
/// # Errors
/// What keeps the file from being written.
pub fn write_png(path: &Path, [width, height]: [u32; 2], pixels: &[u8]) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut encoder = png::Encoder::new(std::fs::File::create(path)?, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(())
}
