//! The iteration of all lanes, each with its tangents: one step of the algorithm.

use ndarray::{ArrayViewMut2, Axis};

use super::CpuRun;
use super::residual::At;
use crate::lanes::Numbers;
use crate::objective::Real;
use crate::schedule::Unit;

impl<T: Real> CpuRun<'_, T> {
    /// One iteration of every running lane; `records` has a row for each.
    ///
    /// The step starts at `y = x + β (x − x₋)`; the gradient is taken at `e = x + β_e (x − x₋)`: with FISTA
    /// `e = y`, with heavy ball and without momentum `e = x`. Predictions are linear, so `X e = z + β_e (z −
    /// z₋)` needs no product.
    pub(super) fn iterate(&mut self, records: ArrayViewMut2<'_, f64>) {
        let metric = self.job.metric;
        self.control(); //                       α, β, β_e and their tangents
        self.state.for_each_block(|block| {
            block.restore(); //                  x = x₋ where backtracking refuses the last step
            block.refresh_metric(metric); //     D
            block.store_extrapolated(); //       X e, if a rule measures the curvature along the step
            block.residual(At::Extrapolated); // r = ω φ'(X e)         dr = ω (φ''(X e) X de + ∂_y φ' dy)
            block.screen(); //                   columns of the block: those that can leave zero
            block.gradient(); //                 g = Xᵀ r              dg = Xᵀ dr
            block.step(); //                     x⁺ = prox(y − α D g)  dx⁺ = J dw + ∂_u prox
            block.predict(); //                  z⁺ = X x⁺             dz⁺ = X dx⁺
        });
        self.state.swap(); //                    x₋, x = x, x⁺         z₋, z = z, z⁺
        self.state.predict_held_out(); //        z of held-out rows
        self.state.for_each_block(|block| {
            block.observe(); //                  objective, changes, support, validation loss
        });
        self.state.adapt_working_sets();
        if self.is_check_due() {
            self.state.for_each_block(|block| {
                block.residual(At::Iterate); //  r = ω φ'(X x)         dr = ω (φ''(X x) X dx + ∂_y φ' dy)
                block.screen();
                block.gradient(); //             g = Xᵀ r              dg = Xᵀ dr
                block.measure(); //              duality gap, stationarity, residual of the derivatives
            });
        }
        self.finalize(records); //               counts, records, status
    }

    /// Computes the iteration parameters of every lane: α, β and their tangents, from the schedule and the
    /// last iteration's measurements.
    fn control(&mut self) {
        let schedule = self.job.schedule;
        let fields = schedule.fields();
        // Caches the last lookup, since most lanes are at the same iteration.
        let mut known: Option<(usize, [Unit; 2])> = None;
        for lane in self.state.lanes.iter_mut().filter(|lane| lane.is_running()) {
            let k = lane.outcome.iterations;
            let units = match known {
                Some((at, units)) if at == k => units,
                _ => [0, schedule.stages() - 1].map(|stage| schedule.unit(stage, k)),
            };
            known = Some((k, units));
            let (stage, switches) = lane.control.stage(&self.rules, k, &units[0]);
            let unit = units[stage];
            let numbers = if schedule.is_factored() {
                Numbers::Factored { unit, base: &lane.numbers.bases[unit.phase * fields..][..fields] }
            } else {
                schedule.entry(stage, k, lane.lane, &mut self.row);
                Numbers::Tabulated(&self.row)
            };
            lane.control.decide(&self.rules, (k, switches), unit.code, &numbers, &mut lane.params);
        }
    }

    /// True if the stop rule is tested for some lane after this iteration.
    fn is_check_due(&self) -> bool {
        let mut running = self.state.lanes.iter().filter(|lane| lane.is_running());
        running.any(|lane| self.plan.is_check(lane.outcome.iterations + 1))
    }

    /// Counts the iteration, stores the records, and decides the status of every lane.
    fn finalize(&mut self, mut records: ArrayViewMut2<'_, f64>) {
        for (lane, row) in self.state.lanes.iter_mut().zip(records.axis_iter_mut(Axis(0))) {
            lane.finalize(self.plan, row);
        }
    }
}
