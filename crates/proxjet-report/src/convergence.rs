//! Distances of a trace to a reference.

use ndarray::{Array2, ArrayView2, Axis};

use proxjet::result::Trace;

/// `‖x_k − x*‖ / ‖x_0 − x*‖` and `‖dx_k − dx*‖ / ‖dx_0 − dx*‖`, `[f, lanes]` each, for the coefficients and
/// derivative `derivative`; lanes that start at either reference are excluded.
pub fn errors_against(
    trace: &Trace,
    derivative: usize,
    coef: ArrayView2<'_, f64>,
    dcoef: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    let (f, b, p) = trace.coef.dim();
    let x = |k: usize, lane: usize| {
        (0..p).map(|j| (trace.coef[[k, lane, j]] - coef[[lane, j]]).powi(2)).sum::<f64>().sqrt()
    };
    let dx = |k: usize, lane: usize| {
        (0..p).map(|j| (trace.dcoef[[k, lane, derivative, j]] - dcoef[[lane, j]]).powi(2)).sum::<f64>().sqrt()
    };
    let lanes: Vec<usize> = (0..b).filter(|lane| x(0, *lane) > 0.0 && dx(0, *lane) > 0.0).collect();
    let relative = |distance: &dyn Fn(usize, usize) -> f64| {
        let mut all = Array2::from_shape_fn((f, lanes.len()), |(k, i)| distance(k, lanes[i]));
        let start = all.index_axis(Axis(0), 0).to_owned();
        all /= &start;
        all
    };
    (relative(&x), relative(&dx))
}
