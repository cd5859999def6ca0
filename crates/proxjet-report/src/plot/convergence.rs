//! Convergence of the iterates and of their derivatives.

use ndarray::Array2;
use plotters::prelude::*;

use super::path::{HEADING, heading};
use super::{Axes, COLORS, Canvas, FONT, Picture, Shapes};
use proxjet::error::Result;

/// One rule: distances of all lanes to the reference, relative to the start.
#[derive(Debug, Clone)]
pub struct ConvergenceCurve {
    /// Name in the legend.
    pub label: String,
    /// `[f]`: iterations of the frames.
    pub iteration: Vec<usize>,
    /// `[f, lanes]`: distance of the iterate.
    pub error: Array2<f64>,
    /// `[f, lanes]`: distance of the derivative.
    pub derivative_error: Array2<f64>,
    /// Identification of the lanes that reached it: a dashed line is drawn at the median.
    pub identified: Vec<usize>,
}

/// Two panels, iterates left and derivatives right: the median over the lanes, the band of 10 to 90 %, and
/// the iteration where the active set stops changing (dashed).
///
/// # Errors
/// A picture that cannot be drawn.
pub fn convergence(curves: &[ConvergenceCurve], title: &str, subtitle: &str) -> Result<Picture> {
    let height = PANELS + legend_height(curves.len());
    Picture::draw::<Box<dyn std::error::Error>>((1000, (HEADING + height) as u32), |canvas, shapes| {
        let canvas = heading(canvas, title, subtitle)?;
        let (panels, below) = canvas.split_vertically(PANELS);
        let (left, right) = panels.split_horizontally(500);
        panel(&left, shapes, curves, |c| &c.error, "‖x(k) − x*‖ / ‖x(0) − x*‖")?;
        panel(&right, shapes, curves, |c| &c.derivative_error, "‖dx(k) − dx*‖ / ‖dx(0) − dx*‖")?;
        legend(&below, curves)
    })
}

/// Height of the panels and of a row of the legend, and columns of the legend.
const PANELS: i32 = 410;
const ROW: i32 = 20;
const COLUMNS: usize = 2;
/// Left end of the legend, and width of its columns.
const LEGEND: i32 = 76;
const COLUMN: i32 = 480;

fn legend_height(curves: usize) -> i32 {
    ROW * curves.div_ceil(COLUMNS) as i32 + 12
}

/// Left, top, width and height of the two panels and the columns of the legend, for screens too narrow for
/// the whole picture.
pub fn convergence_parts(curves: usize) -> Vec<[u32; 4]> {
    let panel = |left| [left, HEADING, 500, PANELS];
    let column =
        |i: usize| [LEGEND + COLUMN * i as i32, HEADING + PANELS, COLUMN - 10, legend_height(curves)];
    let parts = (0..2).map(|i| panel(500 * i)).chain((0..COLUMNS.min(curves)).map(column));
    parts.map(|part| part.map(|v| v as u32)).collect()
}

/// One legend for both panels, below them.
fn legend(
    area: &Canvas<'_>,
    curves: &[ConvergenceCurve],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    for (i, curve) in curves.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let rows = curves.len().div_ceil(COLUMNS);
        let (x, y) = (LEGEND + COLUMN * (i / rows) as i32, ROW * (i % rows) as i32 + 10);
        area.draw(&PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3)))?;
        area.draw(&Text::new(curve.label.clone(), (x + 32, y - 7), (FONT, 13)))?;
    }
    Ok(())
}

/// Errors below this are rounding; it is the lower end of the plot.
const FLOOR: f64 = 1e-15;

fn panel(
    area: &Canvas<'_>,
    shapes: &mut Shapes,
    curves: &[ConvergenceCurve],
    errors: impl Fn(&ConvergenceCurve) -> &Array2<f64>,
    caption: &str,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let last = curves.iter().filter_map(|c| c.iteration.last()).max().copied().unwrap_or(1).max(1);
    let bands: Vec<Vec<[f64; 3]>> =
        curves.iter().map(|c| errors(c).outer_iter().map(|row| quantiles(row.iter())).collect()).collect();
    let (low, high) =
        bands.iter().flatten().flatten().fold((1.0f64, 1.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let low = 10f64.powf(low.max(FLOOR).log10().floor());
    let high = 10f64.powf(high.min(1e12).log10().ceil());
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(30)
        .margin_bottom(8)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .caption(caption, (FONT, 15))
        .build_cartesian_2d(0f64..last as f64, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(230, 230, 230))
        .x_desc("iteration k")
        .x_labels(5)
        .x_label_formatter(&|v| format!("{v:.0}"))
        .y_labels(9)
        .y_label_formatter(&|v| format!("{v:.0e}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 13))
        .draw()?;
    let corners = [(0.0, low), (last as f64, high)];
    let axes = Axes::new(corners, corners.map(|corner| chart.backend_coord(&corner)), (false, true));
    for (i, (curve, band)) in curves.iter().zip(&bands).enumerate() {
        let color = COLORS[i % COLORS.len()];
        let at = |k: usize, q: usize| (curve.iteration[k] as f64, band[k][q].clamp(low, high));
        let mut identified = curve.identified.clone();
        identified.sort_unstable();
        if let Some(k) = identified.get(identified.len() / 2).filter(|k| **k > 0) {
            let line = [(*k as f64, low), (*k as f64, high)];
            chart.draw_series(DashedLineSeries::new(line, 4, 4, color.mix(0.8).stroke_width(1)))?;
        }
        let edge = (0..band.len()).map(|k| at(k, 0)).chain((0..band.len()).rev().map(|k| at(k, 2)));
        shapes.area(&axes, edge, (color, 0.15));
        shapes.line(&axes, (0..band.len()).map(|k| at(k, 1)), (color, 2));
    }
    Ok(())
}

/// The 10 %, 50 % and 90 % quantiles; values that are not finite count as the largest.
fn quantiles<'a>(values: impl Iterator<Item = &'a f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.map(|v| if v.is_finite() { *v } else { f64::MAX }).collect();
    sorted.sort_by(f64::total_cmp);
    let at =
        |q: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * q).round() as usize).copied().unwrap_or(1.0);
    [at(0.1), at(0.5), at(0.9)]
}
