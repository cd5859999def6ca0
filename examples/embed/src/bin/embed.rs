//! A host application that owns the device, steps a sweep a few milliseconds per frame, and draws the moving
//! regularisation path and its sensitivity band from the solver's buffers.
//!
//! cargo run --release -p proxjet-embed -- --frames 200 --out target/embed.png
//! cargo run --release -p proxjet-embed --features window -- --window

use std::error::Error;
use std::path::PathBuf;

use proxjet::engine::gpu::wgpu;
use proxjet_embed::app::App;
use proxjet_embed::{BUDGET, Host, write_png};

const USAGE: &str = "embed [--frames N] [--out FILE.png] | --window";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut frames, mut out, mut in_window) = (300, PathBuf::from("target/embed.png"), false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--frames", Some(n)) => frames = n.parse()?,
            ("--out", Some(file)) => out = file.into(),
            ("--window", None) => in_window = true,
            _ => return Err(USAGE.into()),
        }
    }
    if in_window { window::run() } else { headless(frames, &out) }
}

/// Draws into a texture, whose last picture is kept.
fn headless(frames: usize, out: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let format = wgpu::TextureFormat::Rgba8UnormSrgb;
    let size = [1280, 800];
    let mut app = App::new(Host::headless()?, format, size)?;
    let target = app.host().target(format, size, 1);
    let view = target.create_view(&Default::default());
    for _ in 0..frames {
        app.frame(&view, BUDGET)?;
        // A window would show the picture here, and wait for the screen.
        app.host().wait()?;
    }
    write_png(out, size, &app.host().pixels(&target)?)?;
    let session = app.session();
    println!(
        "{frames} frames on {}: {} iterations, {} of {} lanes going; {}",
        app.host().info.name,
        session.iteration(),
        session.running(),
        session.layout().lanes,
        out.display()
    );
    Ok(())
}

#[cfg(not(feature = "window"))]
mod window {
    pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
        Err("this build has no window: add --features window".into())
    }
}

#[cfg(feature = "window")]
mod window {
    use std::error::Error;
    use std::sync::Arc;

    use proxjet::engine::gpu::wgpu;
    use proxjet_embed::app::App;
    use proxjet_embed::{BUDGET, Host};
    use winit::application::ApplicationHandler;
    use winit::event::WindowEvent;
    use winit::event_loop::{ActiveEventLoop, EventLoop};
    use winit::window::{Window, WindowId};

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let events = EventLoop::new()?;
        let mut shown = Shown { open: None, failure: None };
        events.run_app(&mut shown)?;
        shown.failure.map_or(Ok(()), Err)
    }

    struct Shown {
        open: Option<Open>,
        failure: Option<Box<dyn Error>>,
    }

    struct Open {
        window: Arc<Window>,
        surface: wgpu::Surface<'static>,
        config: wgpu::SurfaceConfiguration,
        app: App,
    }

    impl Open {
        fn new(events: &ActiveEventLoop) -> Result<Open, Box<dyn Error>> {
            let size = winit::dpi::LogicalSize::new(1280, 800);
            let attributes = Window::default_attributes().with_title("proxjet").with_inner_size(size);
            let window = Arc::new(events.create_window(attributes)?);
            let descriptor = wgpu::InstanceDescriptor::new_with_display_handle_from_env(Box::new(
                events.owned_display_handle(),
            ));
            let instance = wgpu::Instance::new(descriptor);
            let surface = instance.create_surface(window.clone())?;
            let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
                compatible_surface: Some(&surface),
                ..Default::default()
            }))?;
            let inner = window.inner_size();
            let mut config = surface
                .get_default_config(&adapter, inner.width.max(1), inner.height.max(1))
                .ok_or("the adapter cannot draw into this window")?;
            let formats = surface.get_capabilities(&adapter).formats;
            config.format = formats.into_iter().find(wgpu::TextureFormat::is_srgb).ok_or("no sRGB format")?;
            let host = Host::new(&adapter)?;
            surface.configure(&host.device, &config);
            let app = App::new(host, config.format, [config.width, config.height])?;
            Ok(Open { window, surface, config, app })
        }

        fn resize(&mut self, width: u32, height: u32) {
            (self.config.width, self.config.height) = (width.max(1), height.max(1));
            self.surface.configure(&self.app.host().device, &self.config);
            self.app.resize([self.config.width, self.config.height]);
        }

        fn redraw(&mut self) -> Result<(), Box<dyn Error>> {
            match self.surface.get_current_texture() {
                wgpu::CurrentSurfaceTexture::Success(texture)
                | wgpu::CurrentSurfaceTexture::Suboptimal(texture) => {
                    self.app.frame(&texture.texture.create_view(&Default::default()), BUDGET)?;
                    self.app.host().queue.present(texture);
                }
                wgpu::CurrentSurfaceTexture::Outdated | wgpu::CurrentSurfaceTexture::Lost => {
                    self.surface.configure(&self.app.host().device, &self.config);
                }
                // Nothing to draw into for now.
                _ => {}
            }
            self.window.request_redraw();
            Ok(())
        }
    }

    impl ApplicationHandler for Shown {
        fn resumed(&mut self, events: &ActiveEventLoop) {
            match Open::new(events) {
                Ok(open) => self.open = Some(open),
                Err(e) => {
                    self.failure = Some(e);
                    events.exit();
                }
            }
        }

        fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
            let Some(open) = &mut self.open else { return };
            match event {
                WindowEvent::CloseRequested => events.exit(),
                WindowEvent::Resized(size) => open.resize(size.width, size.height),
                WindowEvent::RedrawRequested => {
                    if let Err(e) = open.redraw() {
                        self.failure = Some(e);
                        events.exit();
                    }
                }
                _ => {}
            }
        }
    }
}
