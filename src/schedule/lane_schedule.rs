//! A schedule evaluated for the lanes of a sweep.

use num_dual::Dual64;

use super::checks::{check_momentum_at, check_phase, check_seed};
use super::curvature::Number;
use super::{
    Code, LaneCurvature, Momentum, Phase, Restart, Schedule, ScheduleSeed, Step, TangentStart, Unit, Until,
};
use crate::error::{Error, Result};
use crate::objective::Derivative;

/// Steps and momenta of a run: the rules, and the lanes they apply to.
///
/// Data-dependent choices are made by the engine at run time: a step of backtracking or Barzilai–Borwein, a
/// restart, and the phase that follows identification. For the latter every row has two *stages*, before and
/// after identification.
#[derive(Debug, Clone)]
pub struct LaneSchedule {
    pub(super) schedule: Schedule,
    pub(super) phases: Vec<PhaseTable>,
    /// The phase that ends with identification.
    pub(super) split: Option<usize>,
    pub(super) lanes: Vec<LaneCurvature>,
    /// `[b][d]`: derivatives of the curvature bounds.
    tangents: Vec<Vec<LaneCurvature>>,
    /// `[d]`: the tangent seeds in the schedule itself.
    schedule_seeds: Vec<ScheduleSeed>,
}

/// A phase with its numbers.
#[derive(Debug, Clone)]
pub(super) struct PhaseTable {
    momentum: Momentum,
    /// Multiples of `1/L`, one per iteration, for the random and cyclic rules.
    units: Vec<f64>,
    counted: Option<Vec<f64>>,
    pub(super) from: usize,
    /// Index of its first number among [`LaneSchedule::constants`].
    base: usize,
}

/// Most iterations of a schedule: its tables have one number for each.
const MAX_ITERATIONS: usize = 1 << 28;

impl LaneSchedule {
    /// Evaluates `schedule` over `iterations` for lanes of the given curvature (in the metric), whose
    /// derivatives are `tangents`, `[b][d]` for the `d` `derivatives`.
    ///
    /// # Errors
    /// More than 2²⁸ iterations; phases that overlap or leave iterations without one; a table that is too
    /// short or of another number of lanes; a number of a rule that is out of its range; a step that is not
    /// positive; a momentum that the algorithm does not have, or that needs a strong convexity the problem
    /// lacks; a derivative by a setting that does not exist.
    pub fn new(
        schedule: Schedule,
        iterations: usize,
        lanes: Vec<LaneCurvature>,
        tangents: Vec<Vec<LaneCurvature>>,
        derivatives: &[Derivative],
    ) -> Result<Self> {
        if iterations > MAX_ITERATIONS {
            let expected = format!("at most {MAX_ITERATIONS}");
            return Err(Error::usage("iterations", iterations.to_string(), expected, ""));
        }
        if tangents.len() != lanes.len() || tangents.iter().any(|of| of.len() != derivatives.len()) {
            let found = format!("those of {} lanes", tangents.len());
            let expected = format!("{} of each of {} lanes", derivatives.len(), lanes.len());
            return Err(Error::usage("curvature tangents", found, expected, ""));
        }
        schedule.check_order(iterations)?;
        let adaptive = schedule.is_adaptive();
        let (mut phases, mut from, mut base, mut split) = (Vec::new(), 0, 0, None);
        for (i, phase) in schedule.phases.iter().enumerate() {
            let momentum = check_phase(&schedule, i, phase, iterations, &lanes)?;
            let counted = momentum.counted(iterations);
            let own = if adaptive { 2 + counted.as_ref().map_or(0, Vec::len) } else { 0 };
            phases.push(PhaseTable { units: phase.step.units(iterations), momentum, counted, from, base });
            base += own;
            match phase.until {
                Until::Iteration(k) => from = k,
                Until::Identified => split = Some(i),
                Until::End => {}
            }
        }
        let mut laid = LaneSchedule { schedule, phases, split, lanes, tangents, schedule_seeds: Vec::new() };
        laid.schedule_seeds = laid.seeds_of(derivatives, iterations)?;
        laid.check_steps(iterations)?;
        Ok(laid)
    }

    /// The seeds of derivatives in the schedule itself.
    ///
    /// # Errors
    /// A derivative by a setting that does not exist.
    pub(crate) fn seeds_of(
        &self,
        derivatives: &[Derivative],
        iterations: usize,
    ) -> Result<Vec<ScheduleSeed>> {
        let of = |derivative: &Derivative| {
            let seed = check_seed(&self.schedule, derivative, iterations)?;
            if let ScheduleSeed::Momentum(k) = seed {
                let possible: Vec<&Phase> =
                    (0..self.stages()).map(|stage| &self.schedule.phases[self.phase_at(stage, k)]).collect();
                check_momentum_at(k, &possible)?;
            }
            Ok(seed)
        };
        derivatives.iter().map(of).collect()
    }

    /// The rules.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
    /// Curvature bounds of the lanes, in the metric.
    pub fn lanes(&self) -> &[LaneCurvature] {
        &self.lanes
    }
    /// Derivatives of a lane's curvature bounds, one per derivative carried.
    pub(crate) fn curvature_tangents(&self, lane: usize) -> &[LaneCurvature] {
        &self.tangents[lane]
    }
    /// Stages of a row: two if a phase ends with identification, else one.
    pub(crate) fn stages(&self) -> usize {
        if self.split.is_some() { 2 } else { 1 }
    }
    /// True if a step depends on the curvature along the last one.
    pub(crate) fn uses_secant(&self) -> bool {
        let of = |p: &Phase| matches!(p.step, Step::Backtracking { .. } | Step::BarzilaiBorwein { .. });
        self.schedule.phases.iter().any(of)
    }
    /// True if a restart depends on the direction of the step.
    pub(crate) fn watches_restarts(&self) -> bool {
        self.schedule.phases.iter().any(|p| p.restart == Restart::Gradient)
    }
    /// True if an iteration depends on the objective or the active set of the last iterate.
    pub(crate) fn needs_records(&self) -> bool {
        let by_objective = self.schedule.phases.iter().any(|p| p.restart == Restart::Function);
        by_objective || self.stages() > 1 || self.tangent_start() == usize::MAX
    }
    /// First iteration with tangents; `usize::MAX` for 'identified'.
    pub(crate) fn tangent_start(&self) -> usize {
        match self.schedule.tangent_start {
            TangentStart::Iteration(k) => k,
            TangentStart::Identified => usize::MAX,
        }
    }

    /// The phase of iteration `k` in a stage.
    pub(super) fn phase_at(&self, stage: usize, k: usize) -> usize {
        let (first, last) = match self.split {
            Some(split) if stage == 0 => (0, split),
            Some(split) => (split + 1, self.phases.len() - 1),
            None => (0, self.phases.len() - 1),
        };
        let goes_on =
            |i: &usize| !matches!(self.schedule.phases[*i].until, Until::Iteration(end) if end <= k);
        (first..last).find(goes_on).unwrap_or(last)
    }

    /// Step size of iteration `k` (from 0) in a lane that is not identified; for adaptive rules, the largest.
    pub fn step_at(&self, k: usize, lane: usize) -> f64 {
        self.step_of(self.phase_at(0, k), k, lane, &self.lanes[lane])
    }

    /// Momentum of iteration `k` (from 0) in a lane that is neither identified nor restarted.
    pub fn momentum_at(&self, k: usize, lane: usize) -> f64 {
        let phase = self.phase_at(0, k);
        self.momentum_of(phase, k, lane, &self.lanes[lane])
    }

    pub(super) fn step_of<D: Number>(&self, phase: usize, k: usize, lane: usize, of: &LaneCurvature<D>) -> D {
        let rule = &self.schedule.phases[phase].step;
        rule.base(k, lane, of) * rule.unit(k, &self.phases[phase].units)
    }

    pub(super) fn momentum_of<D: Number>(
        &self,
        phase: usize,
        k: usize,
        lane: usize,
        of: &LaneCurvature<D>,
    ) -> D {
        self.momentum_base(phase, k, lane, of) * self.momentum_unit(phase, k)
    }

    fn momentum_unit(&self, phase: usize, k: usize) -> f64 {
        let laid = &self.phases[phase];
        match &laid.counted {
            Some(momenta) => momenta[k.saturating_sub(laid.from)],
            None => laid.momentum.unit(k),
        }
    }

    fn momentum_base<D: Number>(&self, phase: usize, k: usize, lane: usize, of: &LaneCurvature<D>) -> D {
        let (laid, rules) = (&self.phases[phase], &self.schedule.phases[phase]);
        laid.momentum.base(rules.algorithm, k, lane, self.step_of(phase, k, lane, of), of)
    }

    /// True if step and momentum are the products of a factor of the iteration and one of the lane. Otherwise
    /// engines read [`entry`](Self::entry).
    pub(crate) fn is_factored(&self) -> bool {
        let rules = self.schedule.phases.iter().zip(&self.phases);
        rules.into_iter().all(|(p, laid)| p.step.is_factored() && laid.momentum.is_factored(&p.step))
    }

    /// The tangent seeds in the schedule itself.
    pub(crate) fn schedule_seeds(&self) -> &[ScheduleSeed] {
        &self.schedule_seeds
    }

    /// Iteration `k` in a stage; its factors are 1 if the rules have none.
    pub(crate) fn unit(&self, stage: usize, k: usize) -> Unit {
        let phase = self.phase_at(stage, k);
        let code = self.code(stage, phase, k);
        let step = self.schedule.phases[phase].step.unit(k, &self.phases[phase].units);
        Unit { code, phase, step, momentum: self.momentum_unit(phase, k) }
    }

    /// `[phases][2 + 2d]`: a lane's factors of step and momentum, and the tangents of both.
    pub(crate) fn bases(&self, lane: usize) -> Vec<f64> {
        let of = &self.lanes[lane];
        let mut all = Vec::with_capacity(self.phases.len() * self.fields());
        for phase in 0..self.phases.len() {
            let rule = &self.schedule.phases[phase].step;
            // Factored rules ignore the iteration.
            all.push(rule.base(0, lane, of));
            all.push(self.momentum_base(phase, 0, lane, of));
            for tangent in &self.tangents[lane] {
                let dual: LaneCurvature<Dual64> = of.with_tangent(tangent);
                all.push(rule.base(0, lane, &dual).eps);
                all.push(self.momentum_base(phase, 0, lane, &dual).eps);
            }
        }
        all
    }

    /// Count of the numbers of an entry or of a phase's bases: step, momentum, and the tangents of both.
    pub(crate) fn fields(&self) -> usize {
        2 + 2 * self.schedule_seeds.len()
    }

    /// Writes iteration `k` of a lane in a stage: step, momentum, and the tangents of both, including tangent
    /// seeds.
    pub(crate) fn entry(&self, stage: usize, k: usize, lane: usize, out: &mut [f64]) {
        let (of, phase) = (&self.lanes[lane], self.phase_at(stage, k));
        out[0] = self.step_of(phase, k, lane, of);
        out[1] = self.momentum_of(phase, k, lane, of);
        for (t, seed) in self.schedule_seeds.iter().enumerate() {
            let (mut dstep, mut dmomentum) = (0.0, 0.0);
            let tangent = &self.tangents[lane][t];
            if *tangent != STILL {
                let dual: LaneCurvature<Dual64> = of.with_tangent(tangent);
                dstep = self.step_of(phase, k, lane, &dual).eps;
                dmomentum = self.momentum_of(phase, k, lane, &dual).eps;
            }
            let (by_step, by_momentum) = seed.at(k, out[0]);
            out[2 + 2 * t] = dstep + by_step;
            out[3 + 2 * t] = dmomentum + by_momentum;
        }
    }

    fn code(&self, stage: usize, phase: usize, k: usize) -> Code {
        let rules = &self.schedule.phases[phase];
        let flags = [
            (Code::EXTRAPOLATES, rules.algorithm.extrapolates()),
            (Code::COUNTS, self.phases[phase].counted.is_some() && self.schedule.is_adaptive()),
            (Code::RESTARTS_BY_FUNCTION, rules.restart == Restart::Function),
            (Code::RESTARTS_BY_GRADIENT, rules.restart == Restart::Gradient),
            (Code::BACKTRACKS, matches!(rules.step, Step::Backtracking { .. })),
            (Code::USES_SECANT_STEP, matches!(rules.step, Step::BarzilaiBorwein { .. })),
            (Code::STARTS, k == 0 || self.phase_at(stage, k - 1) != phase),
            (Code::WAITS, rules.until == Until::Identified),
        ];
        let bits = flags.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum();
        Code { bits, base: self.phases[phase].base as u32 }
    }

    /// Constants of the adaptive phases: for each its unit and shrink factor, and its momenta by count.
    pub(crate) fn constants(&self) -> Vec<f64> {
        if !self.schedule.is_adaptive() {
            return Vec::new();
        }
        let of = |(rules, laid): (&Phase, &PhaseTable)| {
            let (unit, shrink) = match rules.step {
                Step::Backtracking { start, shrink } => (start, shrink),
                Step::BarzilaiBorwein { high } => (high, 1.0),
                _ => (1.0, 1.0),
            };
            [unit, shrink].into_iter().chain(laid.counted.clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        self.schedule.phases.iter().zip(&self.phases).flat_map(of).collect()
    }
}

const STILL: LaneCurvature =
    LaneCurvature { lipschitz: 0.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };

impl Schedule {
    /// True if the schedule is adaptive: some choice depends on the iterates.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.phases.iter().any(|p| {
            p.until == Until::Identified
                || p.restart != Restart::None
                || matches!(p.step, Step::Backtracking { .. } | Step::BarzilaiBorwein { .. })
        })
    }
}

#[cfg(test)]
mod tests;
