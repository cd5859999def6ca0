//! A sweep laid out into lanes.

use ndarray::Array2;

use super::LaneResult;
use crate::certificate::Certificate;
use crate::engine::LaneOutcome;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::lanes::OwnedJob;
use crate::lanes::{Job, Lane, MetricSource};
use crate::objective::{Derivative, Objective};
use crate::program::RecordLayout;
use crate::result::{LastRecords, Trace};
use crate::schedule::LaneSchedule;

/// A sweep laid out into lanes.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// Their schedule.
    pub schedule: LaneSchedule,
    /// Where their metric comes from.
    pub metric: MetricSource,
    /// The derivatives carried.
    pub derivatives: Vec<Derivative>,
    /// `[rows, q]`: the starts that lanes refer to.
    pub start: Option<Array2<f64>>,
}

/// More warnings about iterations that were not reached become one.
const MOST_UNREACHED: usize = 3;

impl Prepared {
    /// The job of these lanes.
    pub fn job<'a>(&'a self, problem: &'a Objective, tol: f64) -> Job<'a> {
        Job {
            problem,
            lanes: &self.lanes,
            schedule: &self.schedule,
            metric: &self.metric,
            derivatives: &self.derivatives,
            start: self.start.as_ref(),
            null_loss: problem.null_loss(),
            tol,
        }
    }

    /// The job of these lanes, owning its data.
    #[cfg(feature = "gpu")]
    pub(crate) fn into_job(self, problem: Objective, tol: f64) -> OwnedJob {
        let Prepared { lanes, schedule, metric, derivatives, start } = self;
        let null_loss = problem.null_loss();
        OwnedJob { problem, lanes, schedule, metric, derivatives, start, null_loss, tol }
    }

    /// The columns that the CPU engine has, if it leaves some out.
    pub(super) fn moving_columns(&self, problem: &Objective) -> Option<Vec<usize>> {
        self.job(problem, 0.0).moving_columns()
    }

    /// Warnings about derivatives by a setting of an iteration that lanes did not reach.
    pub(super) fn unreached(&self, outcomes: &[LaneOutcome]) -> Vec<String> {
        let of = |derivative: &Derivative| {
            let (Derivative::Step(k) | Derivative::Momentum(k)) = *derivative else { return None };
            let early = outcomes.iter().filter(|o| o.iterations <= k).count();
            (early > 0).then(|| {
                format!(
                    "derivative '{}' is zero in {early} lane(s) that ended before iteration {k}. Use `tol 0` \
                        to run every iteration.",
                    derivative.name()
                )
            })
        };
        let mut all: Vec<String> = self.derivatives.iter().filter_map(of).collect();
        if all.len() > MOST_UNREACHED {
            let first = all.swap_remove(0);
            all = vec![format!(
                "{} derivatives by steps and momenta are zero in some lanes; the first: {first}",
                all.len() + 1
            )];
        }
        all
    }

    pub(super) fn results(
        &self,
        problem: &Objective,
        outcomes: &[LaneOutcome],
        certificates: Vec<Option<Certificate>>,
        (trace, last): (&Trace, &LastRecords),
    ) -> Vec<LaneResult> {
        let finite = |v: f64| v.is_finite().then_some(v);
        let rows = self.lanes.iter().zip(outcomes).zip(certificates).enumerate();
        rows.map(|(i, ((lane, outcome), certificate))| {
            let l2 = if problem.penalty().uses_alpha() { lane.alpha * (1.0 - lane.l1_ratio) } else { 0.0 };
            let (lipschitz, strong_convexity) = problem.lipschitz(l2);
            let iterates = outcome.iterations > 0 && problem.holds_out();
            LaneResult {
                alpha: lane.alpha,
                l1_ratio: lane.l1_ratio,
                fold: lane.fold,
                status: outcome.status,
                iterations: outcome.iterations,
                objective: last.number(RecordLayout::OBJECTIVE, i),
                gap: outcome.gap.and_then(finite),
                stationarity: finite(outcome.stationarity),
                derivative_residual: finite(outcome.derivative_residual),
                support: last.number(RecordLayout::SUPPORT, i).unwrap_or(0.0) as usize,
                validation_loss: last.number(RecordLayout::VALIDATION, i).filter(|_| iterates),
                hypergradient: iterates.then(|| last.hypergradient(i, self.derivatives.len())),
                score: None,
                identified: trace.identified(i, outcome.iterations),
                certificate,
                lipschitz,
                strong_convexity,
            }
        })
        .collect()
    }
}

/// The start in state rows, with the intercept of the null model.
pub(super) fn expand_start(start: &Array2<f64>, problem: &Objective, lanes: usize) -> Result<Array2<f64>> {
    let (rows, p) = start.dim();
    if p != problem.features() || (rows != 1 && rows != lanes) {
        return Err(Error::usage(
            "start",
            format!("an array of shape [{rows}, {p}]"),
            format!("[{}] or [{lanes}, {}]", problem.features(), problem.features()),
            "Give one row of coefficients for all lanes, or one per lane.",
        ));
    }
    if let Some(((lane, j), v)) = start.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::usage("start", format!("{v} in row {lane}, column {j}"), "finite numbers", ""));
    }
    let mut wide = Array2::zeros((rows, problem.state_rows()));
    for (mut to, from) in wide.rows_mut().into_iter().zip(start.rows()) {
        to.assign(&problem.start_of(Some(from)));
    }
    Ok(wide)
}
