//! How matrices and lanes lie on the device.

use ndarray::Array2;

use crate::engine::{Job, LaneNumbers};

/// Columns of the device's matrices: whole vec4s.
pub(super) fn columns(lanes: usize, tangents: usize) -> usize {
    (lanes * (1 + tangents)).div_ceil(4) * 4
}

/// Row stride of the design on the device: whole vec4s.
pub(super) fn stride(state_rows: usize) -> usize {
    state_rows.div_ceil(4) * 4
}

/// Rows padded with zeros to whole vec4s.
pub(super) fn padded<'r>(rows: impl IntoIterator<Item = ndarray::ArrayView1<'r, f64>>, width: usize) -> Vec<f64> {
    let pad = stride(width) - width;
    rows.into_iter().flat_map(|row| row.to_vec().into_iter().chain(std::iter::repeat_n(0.0, pad))).collect()
}

/// Target, weight and the target's tangents of every row.
pub(super) fn row_fields(job: &Job<'_>, numbers: &LaneNumbers, n: usize, d: usize) -> Vec<f64> {
    let tangent = numbers.target_tangent.clone().unwrap_or_else(|| Array2::zeros((n, d)));
    let (target, weight) = (job.problem.target(), job.problem.weight());
    (0..n).flat_map(|i| [target[i], weight[i]].into_iter().chain(tangent.row(i).to_vec())).collect()
}

/// The fields that `shaders/shared/lane.wgsl` reads: lanes, then penalty factors.
pub(super) fn lane_fields(numbers: &LaneNumbers) -> Vec<f64> {
    let d = numbers.only.len();
    (0..numbers.l1.len())
        .flat_map(|i| {
            let fixed = [
                numbers.l1[i],
                numbers.l2[i],
                numbers.probe_step[i],
                numbers.objective_limit[i],
                f64::from(u8::from(numbers.has_gap[i])),
            ];
            let tangents = (0..d).flat_map(move |t| [numbers.dl1[[i, t]], numbers.dl2[[i, t]]]);
            fixed.into_iter().chain(tangents)
        })
        .chain(numbers.factors.iter().copied())
        .collect()
}

/// The start in the device's layout, tangents zero.
pub(super) fn initial_state(numbers: &LaneNumbers, columns: usize, state_rows: usize, width: usize) -> Vec<f64> {
    let mut state = vec![0.0; columns * state_rows];
    for ((i, j), v) in numbers.start.indexed_iter() {
        state[j * columns + i * width] = *v;
    }
    state
}
