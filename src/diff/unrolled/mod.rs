//! Derivatives of iterates: sweeps over the iterations that lanes executed, forward with tangents and
//! backward with cotangents.
//!
//! With `J` and `∂_u prox` of the proximal step that iteration `k` took, its gradient's point `e` and
//! `v = α D q`, a cotangent `x̄` of the new iterate becomes one of the iterate and of the one before by
//!
//! ```text
//! q = J x̄        h = Xᵀ diag(ω φ''(X e)) X v + ridge v       ū += (∂_u prox)ᵀ x̄ − (∂_u ∇f)ᵀ v
//! (x̄, x̄₋) ← (x̄₋ + (1 + β) q − (1 + η) h, −β q + η h)
//! ```
//!
//! (Mehmood & Ochs 2025, eq. 1, transposed). All vectors are zero where the proximal step's Jacobian is, so
//! that only the rows of the state in some active set are computed with.

use std::ops::Range;
use std::sync::Mutex;

use ndarray::{Array1, Array2};
use rayon::prelude::*;

use crate::design::Threads;
use crate::lanes::{Lane, MetricSource};
use crate::objective::{Objective, Zeros};
use crate::program::Precision;

mod adjoint;
mod group;
mod linear;
mod tangent;
pub(crate) mod tape;

use group::Group;
pub(crate) use tangent::Seeds;
use tape::Tape;

/// The iterations that lanes executed, and the problem that they were executed on.
#[derive(Clone, Copy)]
pub(crate) struct Unrolled<'a> {
    pub(crate) problem: &'a Objective,
    pub(crate) lanes: &'a [Lane],
    pub(crate) metric: &'a MetricSource,
    pub(crate) tape: &'a Tape,
    /// Arithmetic of the iterations: a bound is one in it.
    pub(crate) precision: Precision,
    /// Most lanes of a group, which has the columns of their active sets in common.
    pub(crate) group_lanes: usize,
}

/// The gradient of a function of a lane's last iterate by everything that the iterations used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cotangents {
    /// `[q]`: by the strengths of each coefficient, `l1 factor_j` and `l2 factor_j`.
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
    /// `[n]`: by the target; empty if it was not asked for.
    pub(crate) target: Vec<f64>,
    /// `[iterations]`: by step and momentum; empty if the tape has only signs.
    pub(crate) step: Vec<f64>,
    pub(crate) momentum: Vec<f64>,
}

/// A sweep backward through iterations of a lane, as far as it got.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    /// `[q]`: of the iterate that iteration `next.end` begins with, and of the previous one.
    pub(crate) x: Array1<f64>,
    pub(crate) previous: Array1<f64>,
    pub(crate) found: Cotangents,
    /// The iterations to go back through, from the last to the first.
    pub(crate) next: Range<usize>,
    /// The first of all iterations that are differentiated.
    pub(crate) first: usize,
}

impl Unrolled<'_> {
    /// The sweep backward of a lane from the gradient of a function of its last iterate, `[q]`. `by_target`:
    /// also by the target; `by_schedule`: also by steps and momenta.
    pub(crate) fn begin(
        &self,
        lane: usize,
        cotangent: Array1<f64>,
        first: usize,
        (by_target, by_schedule): (bool, bool),
    ) -> Pulled {
        let (q, n) = (self.problem.state_rows(), self.problem.design.rows());
        let iterations = self.tape.lanes[lane].iterations();
        let of_schedule = || vec![0.0; if by_schedule { iterations } else { 0 }];
        let found = Cotangents {
            l1: vec![0.0; q],
            l2: vec![0.0; q],
            target: vec![0.0; if by_target { n } else { 0 }],
            step: of_schedule(),
            momentum: of_schedule(),
        };
        let first = first.min(iterations);
        Pulled { x: cotangent, previous: Array1::zeros(q), found, next: first..iterations, first }
    }

    /// Goes back through some iterations of each lane, which it may do in several parts.
    pub(crate) fn pull_back(&self, parts: Vec<Pulled>) -> Vec<Pulled> {
        let parts: Vec<Mutex<Option<Pulled>>> = parts.into_iter().map(|of| Mutex::new(Some(of))).collect();
        let take = |of: &Mutex<Option<Pulled>>| of.lock().unwrap_or_else(|e| e.into_inner()).take();
        self.on_groups(|group, lanes| group.pull_back(parts[lanes].iter().filter_map(take).collect()))
    }

    /// Derivatives of the last iterates, `[d, q]` for each lane, in the direction of its seeds, through the
    /// iterations from `first[lane]` on.
    pub(crate) fn push_forward(&self, seeds: &[Vec<Seeds>], first: &[usize]) -> Vec<Array2<f64>> {
        self.on_groups(|group, lanes| group.push_forward(&seeds[lanes.clone()], &first[lanes]))
    }

    /// Runs `work` on groups of lanes; with one group, its products use all threads.
    fn on_groups<R: Send>(&self, work: impl Fn(&mut Group<'_>, Range<usize>) -> Vec<R> + Sync) -> Vec<R> {
        let count = self.lanes.len();
        // Without zeros all lanes have the same columns.
        let size = if self.is_sparse() { self.group_lanes } else { count };
        let ranges: Vec<Range<usize>> =
            (0..count).step_by(size.max(1)).map(|from| from..count.min(from + size)).collect();
        let enough = ranges.len() >= rayon::current_num_threads();
        let threads = if enough { Threads::One } else { Threads::All };
        let on = |lanes: Range<usize>| work(&mut Group::new(self, lanes.clone(), threads), lanes);
        if enough {
            return ranges.into_par_iter().map(on).collect::<Vec<_>>().into_iter().flatten().collect();
        }
        // Within the thread pool a product need not be handed over to it.
        rayon::scope(|_| ranges.into_iter().flat_map(on).collect())
    }

    /// True if the penalty keeps coefficients at zero.
    pub(crate) fn is_sparse(&self) -> bool {
        self.problem.penalty().capabilities().zeros != Zeros::Absent
    }
}
