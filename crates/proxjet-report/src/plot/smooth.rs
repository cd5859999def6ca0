//! Lines, areas and points at fractions of a pixel, which plotters rounds to whole ones.

use std::fmt::Write;

use plotters::style::RGBColor;

/// The place of numbers on a picture: from the pixels of two corners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axes {
    x: Axis,
    y: Axis,
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    logarithmic: bool,
    /// Values of the corners, their logarithms on a logarithmic axis, and their pixels.
    values: [f64; 2],
    pixels: [f64; 2],
}

impl Axis {
    fn new((low, high): (f64, f64), pixels: [i32; 2], logarithmic: bool) -> Self {
        let of = |v: f64| if logarithmic { v.ln() } else { v };
        Axis { logarithmic, values: [of(low), of(high)], pixels: pixels.map(f64::from) }
    }

    fn pixel(&self, v: f64) -> f64 {
        let v = if self.logarithmic { v.ln() } else { v };
        let [low, high] = self.values;
        let share = (v - low) / (high - low);
        self.pixels[0] + share * (self.pixels[1] - self.pixels[0])
    }
}

impl Axes {
    /// Axes between two corners, given as `(x, y)` in values and in pixels; `(true, false)` if `x` is
    /// logarithmic and `y` is not.
    pub(super) fn new(
        [low, high]: [(f64, f64); 2],
        [at_low, at_high]: [(i32, i32); 2],
        (log_x, log_y): (bool, bool),
    ) -> Self {
        Axes {
            x: Axis::new((low.0, high.0), [at_low.0, at_high.0], log_x),
            y: Axis::new((low.1, high.1), [at_low.1, at_high.1], log_y),
        }
    }

    fn points(&self, values: impl Iterator<Item = (f64, f64)>) -> String {
        let mut text = String::new();
        for (x, y) in values.filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let _ = write!(text, "{:.2},{:.2} ", self.x.pixel(x), self.y.pixel(y));
        }
        text
    }
}

/// What is drawn over a picture, in SVG.
#[derive(Debug, Default)]
pub(super) struct Shapes(String);

impl Shapes {
    pub(super) fn line(
        &mut self,
        axes: &Axes,
        values: impl Iterator<Item = (f64, f64)>,
        (color, width): (RGBColor, u32),
    ) {
        let points = axes.points(values);
        let color = hex(color);
        let _ = writeln!(
            self.0,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" points=\"{points}\"/>"
        );
    }

    pub(super) fn area(
        &mut self,
        axes: &Axes,
        values: impl Iterator<Item = (f64, f64)>,
        (color, opacity): (RGBColor, f64),
    ) {
        let points = axes.points(values);
        let color = hex(color);
        let _ =
            writeln!(self.0, "<polygon fill=\"{color}\" fill-opacity=\"{opacity}\" points=\"{points}\"/>");
    }

    pub(super) fn point(&mut self, axes: &Axes, (x, y): (f64, f64), (color, radius): (RGBColor, u32)) {
        let (x, y, color) = (axes.x.pixel(x), axes.y.pixel(y), hex(color));
        let _ = writeln!(self.0, "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{color}\"/>");
    }

    /// A broad transparent line that says something when the pointer is on it.
    pub(super) fn title(&mut self, axes: &Axes, values: impl Iterator<Item = (f64, f64)>, title: &str) {
        // XML has no control characters.
        let title = title.replace(char::is_control, " ");
        let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let points = axes.points(values);
        let _ = writeln!(
            self.0,
            "<polyline fill=\"none\" stroke=\"transparent\" stroke-width=\"9\" pointer-events=\"stroke\" \
             points=\"{points}\"><title>{title}</title></polyline>"
        );
    }

    /// Puts the shapes over a picture.
    pub(super) fn over(self, svg: &mut String) {
        if let Some(end) = svg.rfind("</svg>") {
            svg.insert_str(end, &self.0);
        }
    }
}

fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_keep_their_pixels_and_the_middle_is_between_them() {
        let axes = Axes::new([(0.01, -1.0), (1.0, 3.0)], [(100, 400), (300, 50)], (true, false));
        let points = [(0.01, -1.0), (0.1, 1.0), (1.0, 3.0), (1.0, f64::NAN)];
        assert_eq!(axes.points(points.into_iter()), "100.00,400.00 200.00,225.00 300.00,50.00 ");
    }
}
