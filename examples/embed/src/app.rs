//! The application of `embed`: a few milliseconds of solving, then a picture, in the same commands.

use std::error::Error;
use std::time::Duration;

use proxjet::engine::gpu::{Session, wgpu};

use crate::path::{COLORS, PathPicture, View};
use crate::quads::Quads;
use crate::{Host, SAMPLES, sweep};

/// What the band shows: how far coefficients move, to first order, when alpha moves by 25 %.
const BAND: f32 = 0.25;
/// Coefficients between these are drawn: the data are known.
pub const RANGE: [f32; 2] = [-36.0, 38.0];

const INK: [u8; 3] = [30, 30, 34];
const GREY: [u8; 3] = [110, 110, 116];
const GRID: [u8; 3] = [228, 228, 230];

/// Everything that the application keeps from frame to frame, the solver included.
#[derive(Debug)]
pub struct App {
    host: Host,
    session: Session,
    path: PathPicture,
    quads: Quads,
    samples: wgpu::TextureView,
    format: wgpu::TextureFormat,
    size: [u32; 2],
    features: Vec<String>,
}

impl App {
    /// An application that draws into targets of an sRGB format.
    ///
    /// # Errors
    /// A device that cannot run the sweep.
    pub fn new(host: Host, format: wgpu::TextureFormat, size: [u32; 2]) -> Result<App, Box<dyn Error>> {
        let sweep = sweep()?;
        let features = sweep.problem().feature_names().to_vec();
        let session = host.session(sweep)?;
        let path = PathPicture::new(&host.device, format, SAMPLES, &session);
        let quads = Quads::new(&host.device, &host.queue, format, SAMPLES)?;
        let samples = host.target(format, size, SAMPLES).create_view(&Default::default());
        Ok(App { host, session, path, quads, samples, format, size, features })
    }

    /// The device.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The solver.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Targets have another size from now on.
    pub fn resize(&mut self, size: [u32; 2]) {
        self.size = size;
        self.samples = self.host.target(self.format, size, SAMPLES).create_view(&Default::default());
    }

    /// Left, top, right and bottom of the plot, in pixels.
    pub fn plot(&self) -> [f32; 4] {
        [78.0, 96.0, self.size[0] as f32 - 120.0, self.size[1] as f32 - 72.0]
    }

    /// A frame: as many iterations as fit the budget, and the picture of what they give.
    ///
    /// # Errors
    /// A device that was lost.
    pub fn frame(&mut self, target: &wgpu::TextureView, budget: Duration) -> Result<(), Box<dyn Error>> {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("frame") };
        let mut encoder = self.host.device.create_command_encoder(&descriptor);
        self.session.encode(&mut encoder, budget)?;

        let viewport = self.size.map(|v| v as f32);
        let plot = self.plot();
        let view =
            View { plot, viewport, range: RANGE, band: BAND, half_width: 1.4, linear: 1.0, opacity: 0.34 };
        self.path.set(&self.host.queue, &view);
        self.axes();
        self.quads.set(&self.host.queue, viewport);

        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("picture"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &self.samples,
                depth_slice: None,
                resolve_target: Some(target),
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::WHITE),
                    store: wgpu::StoreOp::Discard,
                },
            })],
            ..Default::default()
        });
        self.quads.draw(&mut pass);
        let [left, top, right, bottom] = plot.map(|v| v.max(0.0) as u32);
        if right > left && bottom > top {
            pass.set_scissor_rect(left, top, right - left, bottom - top);
            self.path.draw(&mut pass, self.session.current());
        }
        drop(pass);
        self.host.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Axes, labels and title; nothing of them depends on the solver's numbers.
    fn axes(&mut self) {
        let plot @ [left, top, right, bottom] = self.plot();
        let quads = &mut self.quads;
        quads.clear();
        quads.text("Lasso on the diabetes data", [left, 40.0], 0.0, 1, INK);
        let words = match (self.session.is_done(), self.session.running()) {
            (true, 0) => "all lanes done".to_string(),
            (_, running) => format!("{running} of {} lanes going", self.session.layout().lanes),
        };
        let words = format!(
            "iteration {}, {words}; band: first-order change when alpha moves by 25 %",
            self.session.iteration()
        );
        quads.text(&words, [left, 68.0], 0.0, 0, GREY);

        for value in (-30..=30).step_by(10) {
            let share = (value as f32 - RANGE[0]) / (RANGE[1] - RANGE[0]);
            let y = (bottom + share * (top - bottom)).round();
            quads.rectangle([left, y, right, y + 1.0], if value == 0 { [180, 180, 184] } else { GRID });
            quads.rectangle([left - 6.0, y, left, y + 1.0], INK);
            let text = format!("{value}").replace('-', "−");
            quads.text(&text, [left - 12.0, y + 6.0], 1.0, 0, INK);
        }
        let lanes = &self.session.job().lanes;
        let ends = [lanes.last(), lanes.first()].map(|l| l.map_or(1.0, |l| l.alpha).ln());
        for (alpha, text) in [(0.1f64, "0.1"), (1.0, "1"), (10.0, "10"), (100.0, "100")] {
            let share = (alpha.ln() - ends[0]) / (ends[1] - ends[0]);
            if (0.0..=1.0).contains(&share) {
                let x = (left + share as f32 * (right - left)).round();
                quads.rectangle([x, top, x + 1.0, bottom], GRID);
                quads.rectangle([x, bottom, x + 1.0, bottom + 6.0], INK);
                quads.text(text, [x, bottom + 26.0], 0.5, 0, INK);
            }
        }
        quads.rectangle([left, plot[1], left + 1.0, bottom], INK);
        quads.rectangle([left, bottom, right, bottom + 1.0], INK);
        quads.text("alpha (logarithmic)", [(left + right) / 2.0, bottom + 54.0], 0.5, 0, INK);
        for (row, name) in self.features.iter().enumerate() {
            let y = top + 14.0 + 26.0 * row as f32;
            quads.rectangle([right + 24.0, y - 3.0, right + 46.0, y + 1.0], COLORS[row % COLORS.len()]);
            quads.text(name, [right + 54.0, y + 5.0], 0.0, 0, INK);
        }
    }
}
