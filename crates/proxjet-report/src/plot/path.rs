//! The regularisation path with its first-order sensitivity band.

use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{Axes, COLORS, Canvas, FONT, Picture, Shapes, label};
use ndarray::ArrayView1;
use proxjet::engine::Status;
use proxjet::error::Result;
use proxjet::objective::Objective;
use proxjet::result::Fit;
use proxjet::solve::SweepResult;

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

/// Half width of the band: the change of a coefficient when alpha changes by a quarter, to first order.
const BAND: f64 = 0.223_143_551_314_209_7; // ln 1.25

/// Features drawn in colour and named; the others are grey.
const NAMED: usize = 8;

/// Most features and lanes that are drawn: those of the largest effects, and lanes at even distances.
const FEATURES: usize = 400;
const LANES: usize = 400;

/// The path of the delivered models, feature by feature, in units of `coef · standard deviation`.
struct Effects<'a> {
    result: &'a SweepResult,
    /// Lanes of positive alpha with finite coefficients, smallest alpha first.
    lanes: Vec<usize>,
    names: &'a [String],
    /// Features that are not zero everywhere, those of the largest effects first.
    features: Vec<usize>,
    /// Features left out.
    left_out: usize,
    /// `[lane][feature]`: effects, and their change by log alpha if that is among the derivatives.
    effect: Vec<Vec<f64>>,
    change: Option<Vec<Vec<f64>>>,
}

impl<'a> Effects<'a> {
    fn new(result: &'a SweepResult, problem: &'a Objective) -> Self {
        let scales = problem.feature_scales();
        let fits: Vec<(usize, Fit<'_>)> = by_alpha(result)
            .into_iter()
            .map(|i| (i, result.lane(i)))
            .filter(|(_, fit)| fit.coef().iter().all(|v| v.abs() < 1e150))
            .collect();
        let largest =
            |j: usize| fits.iter().map(|(_, f)| (f.coef()[j] * scales[j]).abs()).fold(0.0, f64::max);
        let sizes: Vec<f64> = (0..scales.len()).map(largest).collect();
        let mut features: Vec<usize> = (0..sizes.len()).filter(|j| sizes[*j] > 0.0).collect();
        features.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]));
        let left_out = features.len().saturating_sub(FEATURES);
        features.truncate(FEATURES);
        let of =
            |row: ArrayView1<'_, f64>| features.iter().map(|j| row[*j] * scales[*j]).collect::<Vec<f64>>();
        let by_alpha = result.info.derivative.iter().position(|d| d == "log_alpha");
        Effects {
            lanes: fits.iter().map(|(i, _)| *i).collect(),
            names: problem.feature_names(),
            left_out,
            effect: fits.iter().map(|(_, f)| of(f.coef())).collect(),
            change: by_alpha.map(|t| fits.iter().map(|(_, f)| of(f.dcoef().row(t))).collect()),
            features,
            result,
        }
    }

    fn alpha(&self, i: usize) -> f64 {
        self.result.lanes[self.lanes[i]].alpha
    }

    /// The line of a feature, by its rank.
    fn line(&self, rank: usize) -> Vec<(f64, f64)> {
        (0..self.lanes.len()).map(|i| (self.alpha(i), self.effect[i][rank])).collect()
    }

    /// The outline of its band.
    fn band(&self, rank: usize) -> Vec<(f64, f64)> {
        let Some(change) = &self.change else { return Vec::new() };
        let edge = |sign: f64| {
            move |i: usize| (self.alpha(i), self.effect[i][rank] + sign * BAND * change[i][rank].abs())
        };
        let lower = (0..self.lanes.len()).map(edge(-1.0));
        lower.chain((0..self.lanes.len()).rev().map(edge(1.0))).filter(|(_, v)| v.is_finite()).collect()
    }
}

/// Coefficients against alpha, times the standard deviations of their features, each with the band of its
/// first-order change when alpha moves by a quarter. With held-out rows, their loss is drawn below, with its
/// slope at some lanes. In the SVG every line says its feature when the pointer is on it. `None` for fewer
/// than two alphas with finite coefficients.
///
/// # Errors
/// A picture that cannot be drawn.
pub fn path(
    result: &SweepResult,
    problem: &Objective,
    title: &str,
    subtitle: &str,
) -> Result<Option<Picture>> {
    let effects = Effects::new(result, problem);
    if effects.lanes.len() < 2 {
        return Ok(None);
    }
    let validation = result.best().is_some();
    let height = if validation { 760 } else { 540 };
    let picture = Picture::draw::<Box<dyn std::error::Error>>((900, height), |canvas, shapes| {
        let canvas = heading(canvas, title, subtitle)?;
        let (top, bottom) = canvas.split_vertically(if validation { 460 } else { height as i32 - 60 });
        coefficients(&top, shapes, &effects)?;
        if validation {
            held_out(&bottom, shapes, result)?;
        }
        Ok(())
    })?;
    Ok(Some(picture))
}

/// Height of a picture's heading.
pub(super) const HEADING: i32 = 60;

/// Draws the heading and returns the area below it.
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
    shapes: &mut Shapes,
    effects: &Effects<'_>,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let ranks = effects.features.len();
    let all = effects.effect.iter().flatten();
    let (low, high) = all.fold((0.0f64, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let pad = 0.06 * (high - low).max(1e-12);
    let (x_low, x_high) = alpha_range(effects.result);
    let caption = match &effects.change {
        Some(_) => "coefficient x sd of feature; band: change when alpha moves by 25 %",
        None => "coefficient x sd of feature",
    };
    let range = (low - pad, high + pad);
    let (chart, axes) = over_alpha(area, (x_low, x_high), range, caption)?;
    mark_best(shapes, &axes, effects.result, range);
    let grey = RGBColor(170, 170, 170);
    let color = |rank: usize| if rank < NAMED { COLORS[rank] } else { grey };
    for rank in (0..ranks).rev() {
        shapes.area(&axes, effects.band(rank).into_iter(), (color(rank), 0.18));
    }
    for rank in (0..ranks).rev() {
        shapes.line(&axes, effects.line(rank).into_iter(), (color(rank), 2));
    }
    for rank in (0..ranks).rev() {
        let name = &effects.names[effects.features[rank]];
        shapes.title(&axes, effects.line(rank).into_iter(), name);
    }
    // Names beside the ends of the lines, moved apart if they would overlap.
    let end = |rank: usize| chart.backend_coord(&(x_low, effects.effect[0][rank])).1;
    let mut ends: Vec<(i32, usize)> = (0..ranks.min(NAMED)).map(|rank| (end(rank), rank)).collect();
    let right = chart.backend_coord(&(x_high, low)).0;
    drop(chart);
    ends.sort_unstable();
    spread(&mut ends, 17);
    let origin = area.get_base_pixel();
    for (y, rank) in &ends {
        let at = (right + 14 - origin.0, *y - 7 - origin.1);
        let name: String = effects.names[effects.features[*rank]].chars().take(20).collect();
        area.draw(&Rectangle::new([(at.0, at.1 + 5), (at.0 + 10, at.1 + 9)], color(*rank).filled()))?;
        area.draw(&Text::new(name, (at.0 + 16, at.1), (FONT, 13).into_font()))?;
    }
    if ranks > NAMED {
        let at = (right + 30 - origin.0, ends.last().map_or(0, |e| e.0) + 12 - origin.1);
        let left_out = match effects.left_out {
            0 => String::new(),
            many => format!(", {many} not drawn"),
        };
        let text = format!("{} more in grey{left_out}", ranks - NAMED);
        area.draw(&Text::new(text, at, (FONT, 12).into_font().color(&grey)))?;
    }
    Ok(())
}

fn held_out(
    area: &Canvas<'_>,
    shapes: &mut Shapes,
    result: &SweepResult,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (order, lanes) = (by_alpha(result), &result.lanes);
    let derivative = result.info.derivative.iter().position(|d| d == "log_alpha");
    let points: Vec<(f64, f64)> = order
        .iter()
        .filter_map(|&i| Some((result.lanes[i].alpha, result.lanes[i].validation_loss?)))
        .collect();
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    // Where the loss ranges over decades, its minimum shows on a logarithmic scale only.
    let logarithmic = low > 0.0 && high > DECADES * low;
    let scale = |v: f64| if logarithmic { v.log10() } else { v };
    let caption = if logarithmic { "held-out loss (log10)" } else { "held-out loss" };
    let pad = 0.08 * (scale(high) - scale(low)).max(1e-12);
    let (x_low, x_high) = alpha_range(result);
    let range = (scale(low) - pad, scale(high) + pad);
    let (chart, axes) = over_alpha(area, (x_low, x_high), range, caption)?;
    mark_best(shapes, &axes, result, range);
    shapes.line(&axes, points.iter().map(|(alpha, loss)| (*alpha, scale(*loss))), (COLORS[0], 2));
    for &i in order.iter().step_by((order.len() / 12).max(1)) {
        let lane = &result.lanes[i];
        let slope = lane.hypergradient.as_ref().and_then(|h| Some(h[derivative?]));
        let (Some(slope), Some(loss)) = (slope, lane.validation_loss) else { continue };
        let ends = [-0.12f64, 0.12].map(|t| (lane.alpha * t.exp(), scale(loss + slope * t)));
        shapes.line(&axes, ends.into_iter(), (COLORS[1], 3));
    }
    if let Some((alpha, loss)) = result.best().and_then(|i| Some((lanes[i].alpha, lanes[i].validation_loss?)))
    {
        shapes.point(&axes, (alpha, scale(loss)), (COLORS[2], 5));
    }
    let right = chart.backend_coord(&(x_high, scale(high)));
    drop(chart);
    let origin = area.get_base_pixel();
    for (row, (text, color)) in
        [("held-out loss", COLORS[0]), ("its slope", COLORS[1]), ("lowest", COLORS[2])].iter().enumerate()
    {
        let at = (right.0 + 14 - origin.0, right.1 - origin.1 + 20 * row as i32);
        area.draw(&Rectangle::new([(at.0, at.1 + 5), (at.0 + 10, at.1 + 9)], color.filled()))?;
        area.draw(&Text::new(*text, (at.0 + 16, at.1), (FONT, 13).into_font()))?;
    }
    Ok(())
}

/// Ratio of the largest to the smallest loss from which the scale is logarithmic.
const DECADES: f64 = 5.0;

/// A thin line at the alpha of the best lane.
fn mark_best(shapes: &mut Shapes, axes: &Axes, result: &SweepResult, (low, high): (f64, f64)) {
    if let Some(best) = result.best() {
        let alpha = result.lanes[best].alpha;
        shapes.line(axes, [(alpha, low), (alpha, high)].into_iter(), (COLORS[2], 1));
    }
}

/// Axes with alpha on a logarithmic scale, and room for names on the right.
fn over_alpha<'a>(
    area: &Canvas<'a>,
    x: (f64, f64),
    y: (f64, f64),
    caption: &str,
) -> std::result::Result<(Chart<'a>, Axes), Box<dyn std::error::Error>> {
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
    let corners = [(x.0, y.0), (x.1, y.1)];
    let axes = Axes::new(corners, corners.map(|corner| chart.backend_coord(&corner)), (true, false));
    Ok((chart, axes))
}

/// Lanes that did not diverge, smallest alpha first; if there are many, at even distances, and the best one.
fn by_alpha(result: &SweepResult) -> Vec<usize> {
    let lanes = &result.lanes;
    let drawn = |i: &usize| {
        let has_model =
            lanes[*i].is_fitted() && !matches!(lanes[*i].status, Status::Diverged | Status::NotFinite);
        lanes[*i].alpha > 0.0 && has_model
    };
    let mut order: Vec<usize> = (0..lanes.len()).filter(drawn).collect();
    order.sort_by(|a, b| result.lanes[*a].alpha.total_cmp(&result.lanes[*b].alpha));
    let step = order.len().div_ceil(LANES).max(1);
    let best = result.best();
    let kept = |(at, i): &(usize, usize)| at.is_multiple_of(step) || Some(*i) == best;
    order.into_iter().enumerate().filter(kept).map(|(_, i)| i).collect()
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
