//! Certificates of states that an application has read.

use ndarray::{Array2, ArrayView3, Axis};
use rayon::prelude::*;

use super::{Certificate, Certifier, Limits, MAX_OPERATIONS, most_active};
use crate::error::{Error, Result};
use crate::lanes::Job;
use crate::objective::Derivative;

/// Certifies lanes at their states, `[lanes, 1 + d, q]` as [`Session::read`] gives them, in parallel: for
/// each its certificate, and the polished state `[1 + d, q]` if Newton's method found a solution and every
/// derivative is by a hyperparameter. [`Certificate::iterate`] bounds the given state; the verdict, by
/// the tolerance of the job, is on the polished one, where there is one. It blocks, and takes up to a
/// gibibyte for all threads: larger active sets have the obstacle
/// [`Obstacle::TooLarge`](super::Obstacle::TooLarge).
///
#[cfg_attr(feature = "gpu", doc = "[`Session::read`]: crate::engine::gpu::Session::read")]
#[cfg_attr(not(feature = "gpu"), doc = "[`Session::read`]: crate")]
///
/// # Errors
/// States of another shape, or a job whose tolerance is 0.
pub fn certify(
    job: &Job<'_>,
    states: ArrayView3<'_, f64>,
) -> Result<Vec<(Certificate, Option<Array2<f64>>)>> {
    let shape = (job.lanes.len(), 1 + job.derivatives.len(), job.problem.state_rows());
    if states.dim() != shape {
        let [found, expected] = [states.dim(), shape].map(|(b, m, q)| format!("{b} x {m} x {q}"));
        let expected = format!("{expected}: lanes, 1 + derivatives, rows of the state");
        return Err(Error::usage("certificate", found, expected, "Give all lanes of the job."));
    }
    if job.tol == 0.0 {
        let remedy = "Set the tolerance of the sweep.";
        return Err(Error::usage("certificate", "a tolerance of 0", "a positive one", remedy));
    }
    let certifier = Certifier::new(job.problem, job.derivatives, job.lanes);
    let active = most_active(1 << 30, 1);
    let limits = Limits { active, operations: MAX_OPERATIONS, stopped: &|| false };
    let has_derivatives = job.derivatives.iter().any(|d| !d.is_of_process());
    let polishes = !job.derivatives.iter().any(Derivative::is_of_process);
    let of = |lane: usize| {
        let mut certified = certifier.certify(lane, states.index_axis(Axis(0), lane), limits);
        certified.judge(job.tol, has_derivatives, polishes);
        let polished = certified.polished.filter(|_| polishes);
        (certified.certificate, polished.map(|polished| polished.state))
    };
    Ok((0..shape.0).into_par_iter().map(of).collect())
}
