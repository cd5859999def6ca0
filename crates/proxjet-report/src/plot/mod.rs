//! Pictures: drawn once as SVG, rendered to PNG from that SVG, with an embedded font.

use std::io::Write;
use std::sync::{Arc, Once};

use plotters::style::{RGBColor, register_font};
use resvg::{tiny_skia, usvg};

use crate::OutputDir;
use proxjet::error::{Error, ErrorKind, Result};

mod convergence;
mod path;
mod smooth;

pub use convergence::{ConvergenceCurve, convergence, convergence_parts};
pub use path::path;
use smooth::{Axes, Shapes};

/// Family name of the embedded font.
const FONT: &str = "DejaVu Sans";

/// Colours that colour-blind people can tell apart (Okabe & Ito 2008).
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 60),
    RGBColor(90, 90, 90),
];

/// A finished picture.
#[derive(Debug, Clone)]
pub struct Picture {
    svg: String,
}

impl Picture {
    /// The picture as SVG text.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The picture as PNG bytes, two pixels per unit.
    ///
    /// # Errors
    /// An SVG that cannot be rendered.
    pub fn png(&self) -> Result<Vec<u8>> {
        let failed =
            |e: String| Error::new(ErrorKind::Output, "picture", e, "a picture", "Please report this.");
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        let options =
            usvg::Options { fontdb: Arc::new(fonts), font_family: FONT.into(), ..Default::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|e| failed(e.to_string()))?;
        let size = tree.size().to_int_size();
        let mut pixels = tiny_skia::Pixmap::new(2 * size.width(), 2 * size.height())
            .ok_or_else(|| failed("an empty picture".into()))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| failed(e.to_string()))
    }

    /// Writes `NAME.svg` and `NAME.png`.
    ///
    /// # Errors
    /// Any failure to write the files.
    pub fn write(&self, out: &OutputDir, name: &str) -> Result<()> {
        let png = self.png()?;
        out.write(&format!("{name}.svg"), |w| w.write_all(self.svg.as_bytes()))?;
        out.write(&format!("{name}.png"), |w| w.write_all(&png))?;
        Ok(())
    }

    /// Draws on a canvas of the given size; plotters cannot fail when it draws to memory.
    fn draw<E: std::fmt::Display>(
        size: (u32, u32),
        content: impl FnOnce(&Canvas<'_>, &mut Shapes) -> std::result::Result<(), E>,
    ) -> Result<Picture> {
        use plotters::prelude::*;
        static FONTS: Once = Once::new();
        FONTS.call_once(|| {
            // The only failure is a broken font file, and this font is embedded in the program.
            let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        });
        let (mut svg, mut shapes) = (String::new(), Shapes::default());
        let failed =
            |e: String| Error::new(ErrorKind::Output, "picture", e, "a picture", "Please report this.");
        {
            let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            canvas.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
            content(&canvas, &mut shapes).map_err(|e| failed(e.to_string()))?;
            canvas.present().map_err(|e| failed(e.to_string()))?;
        }
        shapes.over(&mut svg);
        Ok(Picture { svg })
    }
}

type Canvas<'a> = plotters::drawing::DrawingArea<plotters::prelude::SVGBackend<'a>, plotters::coord::Shift>;

/// A number for an axis label: 0.001, 0.1, 10.
fn label(value: f64) -> String {
    if value == 0.0 {
        "0".into()
    } else if (1e-3..1e5).contains(&value.abs()) {
        format!("{}", (value * 1e6).round() / 1e6)
    } else {
        format!("{value:e}")
    }
}
