//! The iterations of a block: some lanes, each with its tangents.

use std::ops::Range;

use ndarray::{ArrayViewMut2, ArrayViewMut3, Axis};

use super::super::Frame;
use super::block::Block;
use super::lane::ActiveLane;
use super::residual::At;
use crate::lanes::{ControlRules, Job, Numbers};
use crate::objective::Real;
use crate::program::Plan;
use crate::schedule::Unit;

/// The inputs of a run that its iterations read.
pub(super) struct Inputs<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) job: &'a Job<'a>,
    pub(super) rules: ControlRules<'a, T>,
}

impl<T: Real> Block<'_, T> {
    /// Does some iterations of a chunk as long as a lane is running; `records`, `[recorded, lanes, fields]`,
    /// has a row for each of the `recorded` ones. Returns the frames among the iterates.
    pub(super) fn advance(
        &mut self,
        inputs: &Inputs<'_, T>,
        iterations: Range<usize>,
        (recorded, mut records): (&[usize], ArrayViewMut3<'_, f64>),
    ) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut rows = recorded.iter().zip(records.axis_iter_mut(Axis(0))).peekable();
        for i in iterations {
            if !self.lanes.iter().any(ActiveLane::is_running) {
                break;
            }
            let row = rows.next_if(|(at, _)| **at == i).map(|(_, row)| row);
            let recorded = row.is_some();
            self.iterate(inputs, row);
            if recorded {
                frames.extend(self.frame(inputs.plan));
            }
        }
        frames
    }

    /// One iteration of every running lane: a step of the algorithm. `records` has a row for each, if it is
    /// recorded.
    ///
    /// The step starts at `y = x + β (x − x₋)`; the gradient is taken at `e = x + β_e (x − x₋)`: with FISTA
    /// `e = y`, with heavy ball and without momentum `e = x`. Predictions are linear, so `X e = z + β_e (z −
    /// z₋)` needs no product.
    fn iterate(&mut self, inputs: &Inputs<'_, T>, records: Option<ArrayViewMut2<'_, f64>>) {
        self.control(inputs); //                 α, β, β_e and their tangents
        self.restore(); //                       x = x₋ where backtracking refuses the last step
        self.refresh_metric(inputs.job.metric); // D
        self.store_extrapolated(); //            X e, if a rule measures the curvature along the step
        self.residual(At::Extrapolated); //      r = ω φ'(X e)         dr = ω (φ''(X e) X de + ∂_y φ' dy)
        self.screen(At::Extrapolated); //        columns of the block: those that can leave zero
        self.gradient(At::Extrapolated); //      g = Xᵀ r              dg = Xᵀ dr
        self.step(); //                          x⁺ = prox(y − α D g)  dx⁺ = J dw + ∂_u prox
        let measured = records.is_some() && self.is_measured(inputs.plan);
        self.predict(measured); //               z⁺ = X x⁺             dz⁺ = X dx⁺
        self.observe(measured); //               objective, changes, support, validation loss
        self.renew_working_set();
        // What is tested is measured.
        if measured && self.is_check_due(inputs.plan) {
            self.residual(At::Iterate); //       r = ω φ'(X x)         dr = ω (φ''(X x) X dx + ∂_y φ' dy)
            self.screen(At::Iterate);
            self.gradient(At::Iterate); //       g = Xᵀ r              dg = Xᵀ dr
            self.measure(); //                   duality gap, stationarity, residual of the derivatives
        }
        self.finalize(inputs.plan, records); //  counts, records, status
    }

    /// Computes the iteration parameters of every lane: α, β and their tangents, from the schedule and the
    /// last iteration's measurements.
    fn control(&mut self, inputs: &Inputs<'_, T>) {
        let schedule = inputs.job.schedule;
        let (fields, factored) = (schedule.fields(), schedule.is_factored());
        // A row of the schedule's table.
        let mut row = vec![0.0; if factored { 0 } else { fields }];
        // Caches the last lookup, since most lanes are at the same iteration.
        let mut known: Option<(usize, [Unit; 2])> = None;
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_running()) {
            let k = lane.outcome.iterations;
            let units = match known {
                Some((at, units)) if at == k => units,
                _ => [0, schedule.stages() - 1].map(|stage| schedule.unit(stage, k)),
            };
            known = Some((k, units));
            let (stage, switches) = lane.control.stage(&inputs.rules, k, &units[0]);
            let unit = units[stage];
            let numbers = if factored {
                Numbers::Factored { unit, base: &lane.numbers.bases[unit.phase * fields..][..fields] }
            } else {
                schedule.entry(stage, k, lane.lane, &mut row);
                Numbers::Tabulated(&row)
            };
            lane.control.decide(&inputs.rules, (k, switches), unit.code, &numbers, &mut lane.params);
        }
    }

    /// True if some lane's record of this iteration is measured.
    fn is_measured(&self, plan: &Plan) -> bool {
        let mut running = self.lanes.iter().filter(|lane| lane.is_running());
        running.any(|lane| plan.is_measured(lane.outcome.iterations + 1))
    }

    /// True if the stop rule is tested for some lane after this iteration.
    fn is_check_due(&self, plan: &Plan) -> bool {
        let mut running = self.lanes.iter().filter(|lane| lane.is_running());
        running.any(|lane| plan.is_check(lane.outcome.iterations + 1))
    }

    /// Counts the iteration, stores the records, and decides the status of every lane.
    fn finalize(&mut self, plan: &Plan, records: Option<ArrayViewMut2<'_, f64>>) {
        let Some(mut records) = records else {
            self.lanes.iter_mut().for_each(|lane| lane.finalize(plan, None));
            return;
        };
        for (lane, row) in self.lanes.iter_mut().zip(records.axis_iter_mut(Axis(0))) {
            lane.finalize(plan, Some(row));
        }
    }
}
