//! The application of `embed_egui`: the solver steps in the callback of a plot, in egui's own commands.

use std::error::Error;

use egui_wgpu::{Callback, CallbackResources, CallbackTrait, Renderer, RendererOptions, ScreenDescriptor};
use proxjet::engine::gpu::{Session, wgpu};

use crate::app::RANGE;
use crate::path::{COLORS, PathPicture, View};
use crate::{BUDGET, Host, SAMPLES, sweep};

/// What lives beside egui's renderer: callbacks find it there.
struct Guest {
    session: Session,
    path: PathPicture,
    failure: Option<String>,
}

/// The plot of this frame.
struct Plot {
    /// Its size, in pixels.
    pixels: [f32; 2],
    /// Change of log alpha that the band shows.
    band: f32,
    linear: bool,
}

impl CallbackTrait for Plot {
    /// Before egui draws: some iterations, recorded into its encoder.
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(guest) = resources.get_mut::<Guest>() else { return Vec::new() };
        if let Err(e) = guest.session.encode(encoder, BUDGET) {
            guest.failure = Some(e.to_string());
        }
        let [width, height] = self.pixels;
        guest.path.set(
            queue,
            &View {
                plot: [0.0, 0.0, width, height],
                viewport: self.pixels,
                range: RANGE,
                band: self.band,
                half_width: 1.4,
                linear: f32::from(u8::from(self.linear)),
                opacity: 0.22,
            },
        );
        Vec::new()
    }

    /// While egui draws: the path, from the solver's buffers. egui has set viewport and scissor to the plot.
    fn paint(
        &self,
        _: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        if let Some(guest) = resources.get::<Guest>() {
            guest.path.draw(pass, guest.session.current());
        }
    }
}

/// An application with egui's widgets around the plot.
pub struct Gui {
    host: Host,
    context: egui::Context,
    renderer: Renderer,
    samples: wgpu::TextureView,
    size: [u32; 2],
    linear: bool,
    features: Vec<String>,
    /// Percent that alpha moves by.
    band: f32,
}

impl Gui {
    /// An application that draws into targets of a format and size.
    ///
    /// # Errors
    /// A device that cannot run the sweep.
    pub fn new(host: Host, format: wgpu::TextureFormat, size: [u32; 2]) -> Result<Gui, Box<dyn Error>> {
        let options = RendererOptions { msaa_samples: SAMPLES, ..RendererOptions::default() };
        let mut renderer = Renderer::new(&host.device, format, options);
        let sweep = sweep()?;
        let features = sweep.problem().feature_names().to_vec();
        let session = host.session(sweep)?;
        let path = PathPicture::new(&host.device, format, SAMPLES, &session);
        renderer.callback_resources.insert(Guest { session, path, failure: None });
        let samples = host.target(format, size, SAMPLES).create_view(&Default::default());
        let context = egui::Context::default();
        context.set_theme(egui::Theme::Light);
        Ok(Gui { host, context, renderer, samples, size, linear: format.is_srgb(), features, band: 25.0 })
    }

    /// The device.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The solver.
    pub fn session(&self) -> Option<&Session> {
        self.renderer.callback_resources.get::<Guest>().map(|guest| &guest.session)
    }

    /// A frame of egui, with what happened to the widgets meanwhile.
    ///
    /// # Errors
    /// A device that was lost.
    pub fn frame(
        &mut self,
        mut input: egui::RawInput,
        target: &wgpu::TextureView,
    ) -> Result<(), Box<dyn Error>> {
        let size = egui::vec2(self.size[0] as f32, self.size[1] as f32);
        input.screen_rect = Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size));
        let context = self.context.clone();
        let output = context.run_ui(input, |ui| self.widgets(ui));
        if let Some(failure) = self.renderer.callback_resources.get::<Guest>().and_then(|g| g.failure.clone())
        {
            return Err(failure.into());
        }
        let (device, queue) = (&self.host.device, &self.host.queue);
        for (id, deltas) in &output.textures_delta.set {
            deltas.iter().for_each(|delta| self.renderer.update_texture(device, queue, *id, delta));
        }
        let screen =
            ScreenDescriptor { size_in_pixels: self.size, pixels_per_point: output.pixels_per_point };
        let shapes = context.tessellate(output.shapes, output.pixels_per_point);
        let mut encoder =
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("egui") });
        let mut commands = self.renderer.update_buffers(device, queue, &mut encoder, &shapes, &screen);
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("egui"),
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
        self.renderer.render(&mut pass.forget_lifetime(), &shapes, &screen);
        commands.push(encoder.finish());
        queue.submit(commands);
        output.textures_delta.free.iter().for_each(|id| self.renderer.free_texture(id));
        Ok(())
    }

    fn widgets(&mut self, ui: &mut egui::Ui) {
        let Some(session) = self.session() else { return };
        let (done, most) = (session.iteration(), session.plan().request.iterations);
        let words =
            format!("iteration {done}, {} of {} lanes going", session.running(), session.layout().lanes);
        let share = if session.is_done() { 1.0 } else { done as f32 / most as f32 };
        egui::Panel::left("settings").exact_size(230.0).show(ui, |ui| {
            ui.add_space(8.0);
            ui.heading("Lasso on the diabetes data");
            ui.add_space(8.0);
            ui.label(words);
            ui.add(egui::ProgressBar::new(share).desired_width(200.0));
            ui.add_space(16.0);
            ui.label("Band: first-order change when alpha moves by");
            ui.add(egui::Slider::new(&mut self.band, 0.0..=60.0).suffix(" %"));
            ui.add_space(16.0);
            for (row, name) in self.features.iter().enumerate() {
                let [r, g, b] = COLORS[row % COLORS.len()];
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(egui::vec2(22.0, 4.0), egui::Sense::hover());
                    ui.painter().rect_filled(rect, 0.0, egui::Color32::from_rgb(r, g, b));
                    ui.label(name);
                });
            }
        });
        egui::CentralPanel::default().show(ui, |ui| self.plot(ui));
    }

    /// Axes by egui, curves by the callback.
    fn plot(&self, ui: &mut egui::Ui) {
        let Some(session) = self.session() else { return };
        let (response, painter) = ui.allocate_painter(ui.available_size(), egui::Sense::hover());
        let outer = response.rect;
        let rect =
            egui::Rect::from_min_max(outer.min + egui::vec2(48.0, 12.0), outer.max - egui::vec2(20.0, 52.0));
        let (ink, grid) = (ui.visuals().text_color(), egui::Color32::from_gray(226));
        let font = egui::FontId::proportional(13.0);
        for value in (-30..=30).step_by(10) {
            let y = egui::remap(value as f32, RANGE[0]..=RANGE[1], rect.max.y..=rect.min.y);
            painter.hline(rect.x_range(), y, egui::Stroke::new(1.0, grid));
            let at = egui::pos2(rect.min.x - 8.0, y);
            painter.text(at, egui::Align2::RIGHT_CENTER, value.to_string(), font.clone(), ink);
        }
        let lanes = &session.job().lanes;
        let ends = [lanes.last(), lanes.first()].map(|l| l.map_or(1.0, |l| l.alpha as f32).ln());
        for alpha in [0.1f32, 1.0, 10.0, 100.0] {
            if (ends[0]..=ends[1]).contains(&alpha.ln()) {
                let x = egui::remap(alpha.ln(), ends[0]..=ends[1], rect.x_range());
                painter.vline(x, rect.y_range(), egui::Stroke::new(1.0, grid));
                let at = egui::pos2(x, rect.max.y + 8.0);
                painter.text(at, egui::Align2::CENTER_TOP, alpha.to_string(), font.clone(), ink);
            }
        }
        let below = egui::pos2(rect.center().x, rect.max.y + 30.0);
        painter.text(below, egui::Align2::CENTER_TOP, "alpha (logarithmic)", font, ink);
        let scale = ui.pixels_per_point();
        let pixels = [rect.width() * scale, rect.height() * scale];
        let plot = Plot { pixels, band: self.band / 100.0, linear: self.linear };
        painter.add(Callback::new_paint_callback(rect, plot));
    }
}
