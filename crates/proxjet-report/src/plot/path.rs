//! The regularisation path with its first-order sensitivity band.

use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{COLORS, Canvas, FONT, Picture, label};
use proxjet::error::Result;
use proxjet::solve::SweepResult;

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

/// Half width of the band: the change of a coefficient when alpha changes by a quarter, to first order.
const BAND: f64 = 0.223_143_551_314_209_7; // ln 1.25

/// Features drawn in colour and named; the others are grey.
const NAMED: usize = 8;

/// Coefficients against alpha, each with the band `coef ± |dcoef/dlog alpha| · ln 1.25`. `derivative` is the
/// index of `log_alpha` among the derivatives. With held-out rows, their loss is drawn below, with its slope
/// at every tenth lane.
///
/// # Errors
/// A picture that cannot be drawn.
pub fn path(
    result: &SweepResult,
    derivative: usize,
    names: &[String],
    title: &str,
    subtitle: &str,
) -> Result<Picture> {
    let validation = result.lanes.iter().all(|l| l.validation_loss.is_some());
    let height = if validation { 760 } else { 540 };
    Picture::draw::<Box<dyn std::error::Error>>((900, height), |canvas| {
        let canvas = heading(canvas, title, subtitle)?;
        let (top, bottom) = canvas.split_vertically(if validation { 460 } else { height as i32 - 60 });
        coefficients(&top, result, derivative, names)?;
        if validation {
            held_out(&bottom, result, derivative)?;
        }
        Ok(())
    })
}

/// Draws the heading and returns the area below it.
/// Height of a picture's heading.
pub(super) const HEADING: i32 = 60;

pub(super) fn heading<'a>(
    canvas: &Canvas<'a>,
    title: &str,
    subtitle: &str,
) -> std::result::Result<Canvas<'a>, Box<dyn std::error::Error>> {
    canvas.draw(&Text::new(title.to_string(), (24, 16), (FONT, 20).into_font()))?;
    canvas.draw(&Text::new(
        subtitle.to_string(),
        (24, 40),
        (FONT, 13).into_font().color(&RGBColor(90, 90, 90)),
    ))?;
    Ok(canvas.margin(HEADING, 0, 0, 0))
}

fn coefficients(
    area: &Canvas<'_>,
    result: &SweepResult,
    derivative: usize,
    names: &[String],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let trace = &result.trace;
    let f = trace.iteration.len() - 1;
    let p = trace.coef.dim().2;
    let order = by_alpha(result);
    let coef =
        |j: usize| order.iter().map(move |&i| (trace.alpha[i], trace.coef[[f, i, j]])).collect::<Vec<_>>();
    let band = |j: usize| {
        let half = move |i: usize| BAND * trace.dcoef[[f, i, derivative, j]].abs();
        let lower = order.iter().map(move |&i| (trace.alpha[i], trace.coef[[f, i, j]] - half(i)));
        let upper = order.iter().rev().map(move |&i| (trace.alpha[i], trace.coef[[f, i, j]] + half(i)));
        lower.chain(upper).filter(|(_, v)| v.is_finite()).collect::<Vec<_>>()
    };
    let Some(&last) = order.first() else {
        return Err("a path needs lanes with a positive alpha".into());
    };
    let mut largest: Vec<usize> = (0..p).collect();
    largest.sort_by(|a, b| trace.coef[[f, last, *b]].abs().total_cmp(&trace.coef[[f, last, *a]].abs()));

    let finite = (0..p).flat_map(coef).map(|(_, v)| v).filter(|v| v.is_finite());
    let (low, high) = finite.fold((0.0f64, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    let pad = 0.06 * (high - low).max(1e-12);
    let (x_low, x_high) = alpha_range(result);
    let caption = "coefficient; band: first-order change when alpha moves by 25 %";
    let mut chart = over_alpha(area, (x_low, x_high), (low - pad, high + pad), caption)?;
    let grey = RGBColor(170, 170, 170);
    let color = |rank: usize| if rank < NAMED { COLORS[rank] } else { grey };
    for (rank, j) in largest.iter().enumerate().rev() {
        chart.draw_series(std::iter::once(Polygon::new(band(*j), color(rank).mix(0.18))))?;
    }
    for (rank, j) in largest.iter().enumerate().rev() {
        let line = coef(*j).into_iter().filter(|(_, v)| v.is_finite());
        chart.draw_series(LineSeries::new(line, color(rank).stroke_width(2)))?;
    }
    // Names beside the ends of the lines, moved apart if they would overlap.
    let mut ends: Vec<(i32, usize)> = largest
        .iter()
        .take(NAMED)
        .enumerate()
        .map(|(rank, j)| (chart.backend_coord(&(x_low, trace.coef[[f, last, *j]])).1, rank))
        .collect();
    let right = chart.backend_coord(&(x_high, low)).0;
    drop(chart);
    ends.sort_unstable();
    spread(&mut ends, 17);
    let origin = area.get_base_pixel();
    for (y, rank) in &ends {
        let at = (right + 14 - origin.0, *y - 7 - origin.1);
        let name: String = names[largest[*rank]].chars().take(20).collect();
        area.draw(&Rectangle::new([(at.0, at.1 + 5), (at.0 + 10, at.1 + 9)], color(*rank).filled()))?;
        area.draw(&Text::new(name, (at.0 + 16, at.1), (FONT, 13).into_font()))?;
    }
    if p > NAMED {
        let at = (right + 30 - origin.0, ends.last().map_or(0, |e| e.0) + 12 - origin.1);
        area.draw(&Text::new(
            format!("{} more in grey", p - NAMED),
            at,
            (FONT, 12).into_font().color(&grey),
        ))?;
    }
    Ok(())
}

fn held_out(
    area: &Canvas<'_>,
    result: &SweepResult,
    derivative: usize,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let order = by_alpha(result);
    let points: Vec<(f64, f64)> = order
        .iter()
        .filter_map(|&i| Some((result.lanes[i].alpha, result.lanes[i].validation_loss?)))
        .collect();
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    let pad = 0.08 * (high - low).max(1e-12);
    let (x_low, x_high) = alpha_range(result);
    let mut chart = over_alpha(area, (x_low, x_high), (low - pad, high + pad), "held-out loss")?;
    chart.draw_series(LineSeries::new(points.iter().copied(), COLORS[0].stroke_width(2)))?;
    for &i in order.iter().step_by((order.len() / 12).max(1)) {
        let lane = &result.lanes[i];
        let slope = lane.hypergradient.as_ref().and_then(|h| h.get(derivative).copied().flatten());
        let (Some(slope), Some(loss)) = (slope, lane.validation_loss) else { continue };
        let ends = [-0.12f64, 0.12].map(|t| (lane.alpha * t.exp(), loss + slope * t));
        chart.draw_series(LineSeries::new(ends, COLORS[1].stroke_width(3)))?;
    }
    if let Some(best) = points.iter().min_by(|a, b| a.1.total_cmp(&b.1)) {
        chart.draw_series([Circle::new(*best, 5, COLORS[2].filled())])?;
    }
    let right = chart.backend_coord(&(x_high, high));
    drop(chart);
    let origin = area.get_base_pixel();
    for (row, (text, color)) in
        [("held-out loss", COLORS[0]), ("its hypergradient", COLORS[1]), ("lowest", COLORS[2])]
            .iter()
            .enumerate()
    {
        let at = (right.0 + 14 - origin.0, right.1 - origin.1 + 20 * row as i32);
        area.draw(&Rectangle::new([(at.0, at.1 + 5), (at.0 + 10, at.1 + 9)], color.filled()))?;
        area.draw(&Text::new(*text, (at.0 + 16, at.1), (FONT, 13).into_font()))?;
    }
    Ok(())
}

/// Axes with alpha on a logarithmic scale, and room for names on the right.
fn over_alpha<'a>(
    area: &Canvas<'a>,
    x: (f64, f64),
    y: (f64, f64),
    caption: &str,
) -> std::result::Result<Chart<'a>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(170)
        .margin_bottom(8)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d((x.0..x.1).log_scale(), y.0..y.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(230, 230, 230))
        .x_desc("alpha (logarithmic)")
        .y_desc(caption)
        .x_label_formatter(&|v| label(*v))
        .y_label_formatter(&|v| label((*v * 1e4).round() / 1e4))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 13))
        .draw()?;
    Ok(chart)
}

/// Lanes in the order of alpha, smallest first.
fn by_alpha(result: &SweepResult) -> Vec<usize> {
    let mut order: Vec<usize> = (0..result.lanes.len()).filter(|i| result.lanes[*i].alpha > 0.0).collect();
    order.sort_by(|a, b| result.lanes[*a].alpha.total_cmp(&result.lanes[*b].alpha));
    order
}

fn alpha_range(result: &SweepResult) -> (f64, f64) {
    let positive = result.lanes.iter().map(|l| l.alpha).filter(|a| *a > 0.0);
    let (low, high) = positive.fold((f64::MAX, 0.0f64), |(l, h), a| (l.min(a), h.max(a)));
    if low < high { (low, high) } else { (0.5 * high, 2.0 * high) }
}

/// Moves sorted positions apart to a distance of at least `gap`.
fn spread(ends: &mut [(i32, usize)], gap: i32) {
    for _ in 0..100 {
        let mut moved = false;
        for i in 1..ends.len() {
            let short = gap - (ends[i].0 - ends[i - 1].0);
            if short > 0 {
                ends[i].0 += (short + 1) / 2;
                ends[i - 1].0 -= (short + 1) / 2;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
}
