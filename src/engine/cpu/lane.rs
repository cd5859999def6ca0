//! A lane in its slot: its numbers, its iteration parameters, and the measurements of its last iteration.

use ndarray::ArrayViewMut1;

use super::super::{LaneOutcome, Status};
use crate::lanes::{Control, LaneNumbers, LaneState, StepParams};
use crate::objective::Real;
use crate::program::{Plan, RecordLayout};

/// A lane in a slot.
pub(super) struct ActiveLane<T> {
    pub(super) lane: usize,
    /// The fold whose rows it is fitted on; `None` for all rows.
    pub(super) fold: Option<usize>,
    /// Iterations done before the chunk.
    pub(super) first: usize,
    pub(super) outcome: LaneOutcome,
    /// True if the lane did the iteration that is being finalized.
    pub(super) advanced: bool,
    pub(super) numbers: LaneNumbers,
    pub(super) control: Control<T>,
    pub(super) params: StepParams<T>,
    /// The record of this iteration, and the measures of the stop rule.
    pub(super) record: Vec<f64>,
    pub(super) measures: Measures,
}

/// Measures of the stop rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) dual_scale: f64,
    pub(super) gap: Option<f64>,
    pub(super) stationarity: f64,
    pub(super) derivative_residual: f64,
}

impl<T: Real> ActiveLane<T> {
    /// A lane with `d` tangents that continues from `state`.
    pub(super) fn new(state: &LaneState, fold: Option<usize>, numbers: LaneNumbers, d: usize) -> Self {
        ActiveLane {
            lane: state.lane,
            fold,
            first: state.iteration,
            outcome: LaneOutcome::open(state.iteration),
            advanced: false,
            numbers,
            control: Control::from_memory(&state.memory),
            params: StepParams::new(d),
            record: vec![0.0; RecordLayout::new(d).fields()],
            measures: Measures { dual_scale: 1.0, gap: None, stationarity: 0.0, derivative_residual: 0.0 },
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.outcome.status == Status::Running
    }

    /// Counts the iteration, stores its record in `row`, if there is one, and decides the status.
    pub(super) fn finalize(&mut self, plan: &Plan, row: Option<ArrayViewMut1<'_, f64>>) {
        self.advanced = self.is_running();
        if !self.advanced {
            return;
        }
        let outcome = &mut self.outcome;
        outcome.iterations += 1;
        let Some(mut row) = row else { return };
        let params = &self.params;
        self.record[RecordLayout::STEP] = params.step.f64();
        self.record[RecordLayout::MOMENTUM] = if params.restore { -1.0 } else { params.momentum.f64() };
        row.iter_mut().zip(&self.record).for_each(|(to, from)| *to = *from);
        // Others of the block may be.
        if !plan.is_recorded(outcome.iterations) || !plan.is_measured(outcome.iterations) {
            return;
        }
        let checked = plan.is_check(outcome.iterations);
        if checked {
            outcome.gap = self.measures.gap;
            outcome.stationarity = self.measures.stationarity;
            outcome.derivative_residual = self.measures.derivative_residual;
        }
        self.outcome.status = self.status(checked, plan.request.iterations);
    }

    /// The status after an iteration that is recorded.
    fn status(&self, checked: bool, iterations: usize) -> Status {
        let (record, d, tol) = (&self.record, self.numbers.dl1.len(), self.numbers.tol);
        let mut changes = (0..d).map(|t| record[RecordLayout::new(d).derivative_change(t)]);
        let objective = record[RecordLayout::OBJECTIVE];
        if !(objective.is_finite() && record[RecordLayout::CHANGE].is_finite() && changes.all(f64::is_finite))
        {
            Status::NotFinite
        } else if objective > self.numbers.objective_limit {
            Status::Diverged
        } else if checked && tol > 0.0 && self.outcome.meets(tol) {
            Status::Converged
        } else if self.outcome.iterations == iterations {
            Status::MaxIterations
        } else {
            Status::Running
        }
    }
}
