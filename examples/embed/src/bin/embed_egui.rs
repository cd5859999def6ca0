//! The solver inside an egui-wgpu callback, without a window: some frames of egui, of which the last picture
//! is kept.
//!
//! cargo run --release -p proxjet-embed --bin embed_egui -- --frames 200 --out target/embed_egui.png

use std::error::Error;
use std::path::PathBuf;

use proxjet::engine::gpu::wgpu;
use proxjet_embed::gui::Gui;
use proxjet_embed::{Host, write_png};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut frames, mut out) = (300, PathBuf::from("target/embed_egui.png"));
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--frames", Some(n)) => frames = n.parse()?,
            ("--out", Some(file)) => out = file.into(),
            _ => return Err("embed_egui [--frames N] [--out FILE.png]".into()),
        }
    }
    let (format, size) = (wgpu::TextureFormat::Rgba8Unorm, [1280, 800]);
    let mut gui = Gui::new(Host::headless()?, format, size)?;
    let target = gui.host().target(format, size, 1);
    let view = target.create_view(&Default::default());
    for _ in 0..frames {
        gui.frame(egui::RawInput::default(), &view)?;
        gui.host().wait()?;
    }
    write_png(&out, size, &gui.host().pixels(&target)?)?;
    let done = gui.session().map_or(0, |session| session.iteration());
    println!("{frames} frames on {}: {done} iterations; {}", gui.host().info.name, out.display());
    Ok(())
}
