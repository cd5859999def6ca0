//! Decides about lanes that the engine stopped, by their certificates.

use rayon::prelude::*;

use crate::certificate::{Certified, Certifier, Limits, MAX_OPERATIONS, Obstacle};
use crate::engine::{LaneOutcome, Status};
use crate::lanes::LaneState;
use crate::program::Precision;

/// Certifies lanes that ended; those whose certificate fails resume.
pub(super) struct Judge<'a> {
    pub(super) certifier: Certifier<'a>,
    /// Tolerance of the sweep; 0 for exactly the planned iterations, which are not certified.
    pub(super) tol: f64,
    pub(super) iterations: usize,
    /// True if a lane ends with the active set of the solution, however far its values are.
    pub(super) until_identified: bool,
    pub(super) precision: Precision,
    /// True if the delivered result is the polished one.
    pub(super) polishes: bool,
    /// True if some derivative is by a hyperparameter.
    pub(super) has_derivatives: bool,
    /// Most active coefficients of a certificate, by the memory that the plan leaves.
    pub(super) most_active: usize,
}

/// What becomes of a lane.
pub(super) enum Decided {
    Finish(LaneState, LaneOutcome, Option<Box<Certified>>),
    /// It goes on, with a finer tolerance in the engine.
    Resume(LaneState),
}

impl Decided {
    pub(super) fn lane(&self) -> usize {
        match self {
            Decided::Finish(state, ..) | Decided::Resume(state) => state.lane,
        }
    }
}

/// Factor of the engine's tolerance when a certificate fails.
const FINER: f64 = 0.1;
/// The engine's first tolerance where lanes end with the active set of the solution.
pub(super) const COARSE: f64 = 1e-2;
/// The engine's tolerance is not refined below this many roundings: its measures are rounding there.
const FINEST: f64 = 0.25;

/// The finest relative tolerance that a precision resolves.
pub(crate) fn resolution(precision: Precision) -> f64 {
    4.0 * match precision {
        Precision::F32 => f64::from(f32::EPSILON),
        Precision::F64 => f64::EPSILON,
    }
}

impl Judge<'_> {
    /// Decides about lanes, each given with an index; in parallel. `stop` gives the reason to stop the run,
    /// if there is one.
    pub(super) fn all(
        &self,
        ended: Vec<(usize, LaneState, LaneOutcome)>,
        stop: &(dyn Fn() -> Option<Status> + Sync),
    ) -> Vec<(usize, Decided)> {
        ended.into_par_iter().map(|(i, state, outcome)| (i, self.decide(state, outcome, stop))).collect()
    }

    fn decide(
        &self,
        mut state: LaneState,
        mut outcome: LaneOutcome,
        stop: &(dyn Fn() -> Option<Status> + Sync),
    ) -> Decided {
        if self.tol == 0.0 || !matches!(outcome.status, Status::Converged | Status::MaxIterations) {
            return Decided::Finish(state, outcome, None);
        }
        let limits =
            Limits { active: self.most_active, operations: MAX_OPERATIONS, stopped: &|| stop().is_some() };
        let mut certified = self.certifier.certify(state.lane, state.state.view(), limits);
        let obstacle = certified.certificate.obstacle;
        if let Some(status) = stop().filter(|_| obstacle == Some(Obstacle::Stopped)) {
            return Decided::Finish(state, LaneOutcome { status, ..outcome }, None);
        }
        let meets = if self.until_identified {
            certified.certificate.identified
        } else {
            certified.meets(self.tol, self.has_derivatives, outcome.derivative_residual)
        };
        if obstacle == Some(Obstacle::Unbounded) {
            outcome.status = Status::Unbounded;
        } else if meets {
            outcome.status = Status::Converged;
        } else {
            let finest = FINEST * resolution(self.precision);
            let ends = outcome.iterations >= self.iterations;
            let resolved = self.tol >= resolution(self.precision);
            if !ends && (state.tol > finest || resolved) {
                // Below the finest tolerance the engine's measures are rounding, and the lane runs to its
                // end.
                state.tol = if state.tol > finest { (FINER * state.tol).max(finest) } else { 0.0 };
                // While a lane rests in a chunk its previous iterate is lost: whether it was must not
                // depend on the length of the chunk.
                state.previous.assign(&state.state);
                return Decided::Resume(state);
            }
            let limited =
                !ends || (certified.polished.is_some() && outcome.meets(resolution(self.precision)));
            outcome.status = if limited { Status::PrecisionLimit } else { Status::MaxIterations };
        }
        certified.judge(self.tol, self.has_derivatives, self.polishes);
        Decided::Finish(state, outcome, Some(Box::new(certified)))
    }
}
