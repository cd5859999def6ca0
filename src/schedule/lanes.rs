//! A schedule laid out for the lanes of a sweep.

use num_dual::Dual64;

use super::checks::{check_momentum_at, check_phase, check_seed};
use super::curvature::Number;
use super::{
    Algorithm, LaneCurvature, Metric, Momentum, Phase, Restart, Schedule, Step, TangentStart, Until,
};
use crate::error::{Error, Result};
use crate::objective::Derivative;

/// Steps and momenta of a run: rules, and the lanes they apply to.
///
/// What the data decide is decided where the iterates are: a step of backtracking or Barzilai–Borwein, a restart, and the
/// phase that follows identification. For the last one every row has two *stages*, before it and after it.
#[derive(Debug, Clone)]
pub struct LaneSchedule {
    schedule: Schedule,
    phases: Vec<Laid>,
    /// The phase that ends with identification.
    split: Option<usize>,
    lanes: Vec<LaneCurvature>,
    /// `[b][d]`: derivatives of the curvature bounds.
    tangents: Vec<Vec<LaneCurvature>>,
    /// `[d]`: what the tangents move in the schedule itself.
    schedule_seeds: Vec<ScheduleSeed>,
}

/// A phase with its numbers.
#[derive(Debug, Clone)]
struct Laid {
    momentum: Momentum,
    /// Multiples of `1/L`, one per iteration, for the rules that draw or cycle.
    units: Vec<f64>,
    counted: Option<Vec<f64>>,
    from: usize,
    /// Where its numbers begin among [`LaneSchedule::constants`].
    base: usize,
}

/// What a tangent moves in the schedule itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ScheduleSeed {
    Nothing,
    EveryStep,
    Step(usize),
    Momentum(usize),
}

impl ScheduleSeed {
    /// What it adds to the tangents of step and momentum of iteration `k`.
    pub(crate) fn at(self, k: usize, step: f64) -> (f64, f64) {
        match self {
            ScheduleSeed::EveryStep => (step, 0.0),
            ScheduleSeed::Step(at) if at == k => (1.0, 0.0),
            ScheduleSeed::Momentum(at) if at == k => (0.0, 1.0),
            _ => (0.0, 0.0),
        }
    }
}

/// What an iteration does, the same for all lanes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) bits: u32,
    /// Where the phase's numbers begin among the constants: unit, shrink, then momenta by count.
    pub(crate) base: u32,
}

impl Code {
    /// Names and values of the bits, as in WGSL.
    #[cfg(feature = "gpu")]
    pub(crate) const BITS: [(&'static str, u32); 8] = [
        ("EXTRAPOLATES", 1),
        ("COUNTS", 2),
        ("RESTARTS_BY_FUNCTION", 4),
        ("RESTARTS_BY_GRADIENT", 8),
        ("BACKTRACKS", 16),
        ("USES_SECANT_STEP", 32),
        ("STARTS", 64),
        ("WAITS", 128),
    ];
    pub(crate) const EXTRAPOLATES: u32 = 1;
    pub(crate) const COUNTS: u32 = 2;
    pub(crate) const RESTARTS_BY_FUNCTION: u32 = 4;
    pub(crate) const RESTARTS_BY_GRADIENT: u32 = 8;
    pub(crate) const BACKTRACKS: u32 = 16;
    pub(crate) const USES_SECANT_STEP: u32 = 32;
    pub(crate) const STARTS: u32 = 64;
    /// The phase ends with identification.
    pub(crate) const WAITS: u32 = 128;

    pub(crate) fn has(self, bit: u32) -> bool {
        self.bits & bit != 0
    }
}

/// An iteration in a stage, the same for all lanes: what it does, and its factors of step and momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) code: Code,
    /// The phase, which a lane has its own factors for.
    pub(crate) phase: usize,
    pub(crate) step: f64,
    pub(crate) momentum: f64,
}

impl LaneSchedule {
    /// Lays `schedule` out over `iterations` for lanes of the given curvature (in the metric), whose derivatives are
    /// `tangents`, `[b][d]` for the `d` `derivatives`.
    ///
    /// # Errors
    /// Phases that overlap or leave iterations without one; a table that is too short or of another number of lanes; a step
    /// that is not positive; a momentum that the algorithm does not have, or that needs a strong convexity
    /// the problem lacks; a derivative by a setting that does not exist.
    pub fn new(
        schedule: Schedule,
        iterations: usize,
        lanes: Vec<LaneCurvature>,
        tangents: Vec<Vec<LaneCurvature>>,
        derivatives: &[Derivative],
    ) -> Result<Self> {
        schedule.check_order(iterations)?;
        let adaptive = schedule.is_adaptive();
        let (mut phases, mut from, mut base, mut split) = (Vec::new(), 0, 0, None);
        for (i, phase) in schedule.phases.iter().enumerate() {
            let momentum = check_phase(&schedule, i, phase, iterations, &lanes)?;
            let counted = momentum.counted(iterations);
            let own = if adaptive { 2 + counted.as_ref().map_or(0, Vec::len) } else { 0 };
            phases.push(Laid { units: phase.step.units(iterations), momentum, counted, from, base });
            base += own;
            match phase.until {
                Until::Iteration(k) => from = k,
                Until::Identified => split = Some(i),
                Until::End => {}
            }
        }
        let schedule_seeds =
            derivatives.iter().map(|d| check_seed(&schedule, d, iterations)).collect::<Result<_>>()?;
        let laid = LaneSchedule { schedule, phases, split, lanes, tangents, schedule_seeds };
        for moved in &laid.schedule_seeds {
            if let ScheduleSeed::Momentum(k) = moved {
                let possible: Vec<&Phase> =
                    (0..laid.stages()).map(|stage| &laid.schedule.phases[laid.phase_at(stage, *k)]).collect();
                check_momentum_at(*k, &possible)?;
            }
        }
        laid.check_steps(iterations)?;
        Ok(laid)
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
    pub fn curvature_tangents(&self, lane: usize) -> &[LaneCurvature] {
        &self.tangents[lane]
    }
    /// Stages of a row: two where a phase ends with identification.
    pub(crate) fn stages(&self) -> usize {
        if self.split.is_some() { 2 } else { 1 }
    }
    /// Whether a step is decided by the curvature along the last one.
    pub(crate) fn uses_secant(&self) -> bool {
        let of = |p: &Phase| matches!(p.step, Step::Backtracking { .. } | Step::BarzilaiBorwein { .. });
        self.schedule.phases.iter().any(of)
    }
    /// Whether a restart follows from the direction of the step.
    pub(crate) fn watches_restarts(&self) -> bool {
        self.schedule.phases.iter().any(|p| p.restart == Restart::Gradient)
    }
    /// Where tangents start, as a number: past every iteration for 'identified'.
    pub(crate) fn tangent_start(&self) -> usize {
        match self.schedule.tangent_start {
            TangentStart::Iteration(k) => k,
            TangentStart::Identified => usize::MAX,
        }
    }

    /// The phase of iteration `k` in a stage.
    fn phase_at(&self, stage: usize, k: usize) -> usize {
        let (first, last) = match self.split {
            Some(split) if stage == 0 => (0, split),
            Some(split) => (split + 1, self.phases.len() - 1),
            None => (0, self.phases.len() - 1),
        };
        let goes_on =
            |i: &usize| !matches!(self.schedule.phases[*i].until, Until::Iteration(end) if end <= k);
        (first..last).find(goes_on).unwrap_or(last)
    }

    /// Step size of iteration `k` (from 0) in a lane that is not identified; for rules that the data decide, the largest.
    pub fn step_at(&self, k: usize, lane: usize) -> f64 {
        self.step_of(self.phase_at(0, k), k, lane, &self.lanes[lane])
    }

    /// Momentum of iteration `k` (from 0) in a lane that is neither identified nor restarted.
    pub fn momentum_at(&self, k: usize, lane: usize) -> f64 {
        let phase = self.phase_at(0, k);
        self.momentum_of(phase, k, lane, &self.lanes[lane])
    }

    fn step_of<D: Number>(&self, phase: usize, k: usize, lane: usize, of: &LaneCurvature<D>) -> D {
        let rule = &self.schedule.phases[phase].step;
        rule.base(k, lane, of) * rule.unit(k, &self.phases[phase].units)
    }

    fn momentum_of<D: Number>(&self, phase: usize, k: usize, lane: usize, of: &LaneCurvature<D>) -> D {
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

    /// Whether step and momentum are the products of a factor of the iteration and one of the lane. Where they are not, engines
    /// read [`entry`](Self::entry) instead.
    pub(crate) fn is_factored(&self) -> bool {
        let rules = self.schedule.phases.iter().zip(&self.phases);
        rules.into_iter().all(|(p, laid)| p.step.is_factored() && laid.momentum.is_factored(&p.step))
    }

    /// What the tangents move in the schedule itself.
    pub(crate) fn schedule_seeds(&self) -> &[ScheduleSeed] {
        &self.schedule_seeds
    }

    /// Iteration `k` in a stage; with factors 1 where the rules have none.
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
            // Factored rules do not ask for the iteration.
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

    /// Numbers of an entry or of a phase's bases: step, momentum, and for each tangent both of theirs.
    pub(crate) fn fields(&self) -> usize {
        2 + 2 * self.schedule_seeds.len()
    }

    /// Writes iteration `k` of a lane in a stage: step, momentum, and the tangents of both, moves included.
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

    /// Numbers of the phases that adapt: for each its unit and shrink factor, and its momenta by count.
    pub(crate) fn constants(&self) -> Vec<f64> {
        if !self.schedule.is_adaptive() {
            return Vec::new();
        }
        let of = |(rules, laid): (&Phase, &Laid)| {
            let (unit, shrink) = match rules.step {
                Step::Backtracking { start, shrink } => (start, shrink),
                Step::BarzilaiBorwein { high } => (high, 1.0),
                _ => (1.0, 1.0),
            };
            [unit, shrink].into_iter().chain(laid.counted.clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        self.schedule.phases.iter().zip(&self.phases).flat_map(of).collect()
    }

    /// Steps must be positive: anything else is no proximal step.
    fn check_steps(&self, iterations: usize) -> Result<()> {
        match self.find_step(iterations, |_, _, _, step| !(step > 0.0 && step.is_finite())) {
            None => Ok(()),
            Some((phase, k, lane, step)) => Err(Error::usage(
                format!("{}--step", self.schedule.place(phase)),
                format!("{step} at iteration {k}, lane {lane}"),
                "a positive step",
                "Steps lie between 0 and 2/L.",
            )),
        }
    }

    /// The first step outside the range in which the update is stable on every quadratic between `m` and `L`, in words: phase,
    /// iteration, lane, value. Below `2/L` without momentum, `2(1+β)/L` for heavy ball (Polyak 1964), and
    /// `(1 + 1/(1+2β))/L` for FISTA, which falls from `2/L` to `4/(3L)` as `β` grows to 1.
    pub fn unsafe_step(&self, iterations: usize) -> Option<String> {
        let gain = if let Metric::Hessian { gain, .. } = self.schedule.metric { gain } else { 1.0 };
        let limit = |phase: usize, k: usize, lane: usize| {
            let beta = self.momentum_of(phase, k, lane, &self.lanes[lane]).max(0.0);
            match self.schedule.phases[phase].algorithm {
                Algorithm::Pgd => 2.0,
                Algorithm::HeavyBall => 2.0 * (1.0 + beta),
                Algorithm::Fista => 1.0 + 1.0 / (1.0 + 2.0 * beta),
            }
        };
        let beyond = |phase: usize, k: usize, lane: usize, step: f64| {
            // Backtracking tests its steps itself, and those of the manifold are safe on it.
            let safe = match self.schedule.phases[phase].step {
                Step::Backtracking { .. } => true,
                Step::Manifold(_) => self.split.is_some_and(|split| phase > split),
                _ => false,
            };
            !safe && step * gain * self.lanes[lane].lipschitz >= limit(phase, k, lane)
        };
        self.find_step(iterations, beyond).map(|(phase, k, lane, step)| {
            let after = self.split.is_some_and(|split| phase > split);
            let when = if after { "after identification".into() } else { format!("at iteration {k}") };
            let by_metric =
                if gain > 1.0 { format!(" with the gain {gain} of --metric") } else { String::new() };
            format!(
                "{}step size {step:.6e} {when} in lane {lane} is {:.6}/L{by_metric}, outside (0, {:.6}/L)",
                self.schedule.place(phase),
                step * gain * self.lanes[lane].lipschitz,
                limit(phase, k, lane)
            )
        })
    }

    /// What the theory of [`crate::schedule`] does not cover, and phases that never run, in words.
    pub fn warnings(&self, iterations: usize) -> Vec<String> {
        let mut list = Vec::new();
        if let Some(step) = self.unsafe_step(iterations) {
            list.push(format!(
                "{step}: the run may diverge, and its status will say so. Use smaller steps to be sure."
            ));
        }
        if let Some(momentum) = self.schedule.unsafe_momentum() {
            list.push(format!(
                "{momentum}: iterates and derivatives may grow although every single update contracts (momentum under steps \
                 that rise). Keep the step fixed or falling, or use algorithm pgd."
            ));
        }
        if let Some(late) = self.phases.iter().position(|p| p.from >= iterations) {
            list.push(format!(
                "{}it begins at iteration {} and never runs: the run has {iterations} iterations.",
                self.schedule.place(late),
                self.phases[late].from
            ));
        }
        list
    }

    /// The first (phase, iteration, lane, step) that is `bad`; of rules that the data decide, the largest step counts.
    pub(crate) fn find_step(
        &self,
        iterations: usize,
        bad: impl Fn(usize, usize, usize, f64) -> bool,
    ) -> Option<(usize, usize, usize, f64)> {
        (0..self.stages()).flat_map(|stage| (0..iterations).map(move |k| (stage, k))).find_map(
            |(stage, k)| {
                let phase = self.phase_at(stage, k);
                self.lanes.iter().enumerate().find_map(|(lane, of)| {
                    let step = self.step_of(phase, k, lane, of);
                    bad(phase, k, lane, step).then_some((phase, k, lane, step))
                })
            },
        )
    }
}

const STILL: LaneCurvature =
    LaneCurvature { lipschitz: 0.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };

impl Schedule {
    /// Whether anything is decided by the iterates.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.phases.iter().any(|p| {
            p.until == Until::Identified
                || p.restart != Restart::None
                || matches!(p.step, Step::Backtracking { .. } | Step::BarzilaiBorwein { .. })
        })
    }

    /// Phases whose momentum meets steps that rise, where products of the update's Jacobians can grow, in words.
    pub fn unsafe_momentum(&self) -> Option<String> {
        self.phases.iter().enumerate().find_map(|(i, p)| {
            let momentum = p.momentum_rule();
            if p.algorithm == Algorithm::Pgd || momentum.is_none() {
                None
            } else if p.step.rises() {
                Some(format!("{}momentum '{momentum}' with the varying step '{}'", self.place(i), p.step))
            } else if self.metric.varies() {
                Some(format!(
                    "{}momentum '{momentum}' with the varying metric '{}'",
                    self.place(i),
                    self.metric
                ))
            } else {
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    fn lane(l: f64, m: f64) -> LaneCurvature {
        LaneCurvature { lipschitz: l, strong_convexity: m, prox_strong_convexity: 0.0 }
    }

    fn lay(schedule: impl Into<Schedule>) -> Result<LaneSchedule> {
        let lanes = vec![lane(4.0, 1.0), lane(8.0, 2.0)];
        LaneSchedule::new(schedule.into(), 10, lanes, vec![vec![]; 2], &[])
    }

    fn rules(algorithm: Algorithm, step: &str, momentum: &str) -> LaneSchedule {
        lay(Phase::new(algorithm).step(step.parse().unwrap()).momentum(momentum.parse().unwrap())).unwrap()
    }

    #[test]
    fn steps_are_in_units_of_one_over_l() {
        let s = |rule: &str| rules(Algorithm::Pgd, rule, "none");
        assert_eq!(s("1/L").step_at(3, 1), 0.125);
        assert_eq!(s("2/(L+m)").step_at(0, 0), 0.4);
        assert_eq!(s("constant:0.5").step_at(0, 0), 0.125);
        assert_eq!(s("decreasing:2:0.5").step_at(3, 0), 0.25);
        let cyclic = s("cyclic:1:1.8:5");
        let steps: Vec<f64> = (0..6).map(|k| cyclic.step_at(k, 0) * 4.0).collect();
        for (step, expected) in steps.iter().zip([1.0, 1.2, 1.4, 1.6, 1.8, 1.0]) {
            assert!((step - expected).abs() < 1e-15);
        }
        let uniform = s("uniform:0.5:1.5:7");
        let draws: Vec<f64> = (0..10).map(|k| uniform.step_at(k, 0) * 4.0).collect();
        assert!(draws.iter().all(|u| (0.5..1.5).contains(u)) && draws[0] != draws[1]);
        assert_eq!(draws[4], uniform.step_at(4, 1) * 8.0, "all lanes see the same draw");
        assert_eq!(draws, (0..10).map(|k| s("uniform:0.5:1.5:7").step_at(k, 0) * 4.0).collect::<Vec<_>>());
    }

    #[test]
    fn momenta_follow_their_definitions() {
        let s = |rule: &str| rules(Algorithm::Fista, "1/L", rule);
        // t = 1, (1+√5)/2, …: β_0 = 0, β_1 = (t_2 − 1)/t_3.
        let t2 = (1.0 + 5f64.sqrt()) / 2.0;
        let t3 = (1.0 + (1.0 + 4.0 * t2 * t2).sqrt()) / 2.0;
        assert_eq!(s("fista").momentum_at(0, 0), 0.0);
        assert!((s("fista").momentum_at(1, 0) - (t2 - 1.0) / t3).abs() < 1e-15);
        assert_eq!(s("nesterov:3").momentum_at(0, 0), 0.0);
        assert_eq!(s("nesterov:3").momentum_at(4, 0), 4.0 / 8.0); // k = 5: (k−1)/(k+3)
        assert!((s("strongly_convex").momentum_at(0, 0) - 0.5 / 1.5).abs() < 1e-15); // √(m/L) = 1/2
        let ball = rules(Algorithm::HeavyBall, "1/L", "strongly_convex");
        assert!((ball.momentum_at(0, 0) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn tangents_of_rules_are_their_derivatives() {
        let (of, by) = (lane(4.0, 1.0), LaneCurvature { prox_strong_convexity: 0.3, ..lane(0.7, 0.2) });
        let at = |h: f64| LaneCurvature {
            lipschitz: of.lipschitz + h * by.lipschitz,
            strong_convexity: of.strong_convexity + h * by.strong_convexity,
            prox_strong_convexity: 0.1 + h * by.prox_strong_convexity,
        };
        let h = 1e-6;
        for step in ["1/L", "2/(L+m)", "constant:1.3", "uniform:0.2:1.8:3", "decreasing:1:0.5"] {
            let phase =
                Phase::new(Algorithm::Fista).step(step.parse().unwrap()).momentum(Momentum::StronglyConvex);
            let lay = |h: f64| {
                let tangents = vec![vec![by]];
                LaneSchedule::new(phase.clone().into(), 10, vec![at(h)], tangents, &[Derivative::LogAlpha])
                    .unwrap()
            };
            let laid = lay(0.0);
            let mut row = [0.0; 4];
            laid.entry(0, 4, 0, &mut row);
            if laid.is_factored() {
                let (unit, bases) = (laid.unit(0, 4), laid.bases(0));
                let factors = [unit.step, unit.momentum, unit.step, unit.momentum];
                assert_eq!(
                    row.to_vec(),
                    bases.iter().zip(factors).map(|(b, u)| b * u).collect::<Vec<_>>(),
                    "{step}"
                );
            }
            let difference = |f: &dyn Fn(LaneSchedule) -> f64| (f(lay(h)) - f(lay(-h))) / (2.0 * h);
            assert!((row[2] - difference(&|s| s.step_at(4, 0))).abs() < 1e-9, "{step}: {row:?}");
            assert!((row[3] - difference(&|s| s.momentum_at(4, 0))).abs() < 1e-9, "{step}: {row:?}");
        }
    }

    #[test]
    fn phases_follow_each_other_and_count_from_their_start() {
        let pgd = Phase::new(Algorithm::Pgd).until(Until::Iteration(3));
        let s = lay(Schedule::from(pgd).then(Phase::new(Algorithm::Fista).momentum(Momentum::Nesterov(2.0))))
            .unwrap();
        let units: Vec<Unit> = (0..6).map(|k| s.unit(0, k)).collect();
        assert_eq!(units.iter().map(|u| u.momentum).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 0.25, 0.4]);
        let starts: Vec<bool> = units.iter().map(|u| u.code.has(Code::STARTS)).collect();
        assert_eq!(starts, [true, false, false, true, false, false]);
        assert!(!units[2].code.has(Code::EXTRAPOLATES) && units[3].code.has(Code::EXTRAPOLATES));
    }

    #[test]
    fn wrong_schedules_are_refused_with_their_place() {
        let phase = |until| Phase::new(Algorithm::Pgd).until(until);
        let refused = |s: Schedule, words: &str| {
            let e = lay(s).unwrap_err().to_string();
            assert!(e.contains(words), "{e}");
        };
        let end = || Phase::new(Algorithm::Fista);
        let overlap = Schedule::from(phase(Until::Iteration(5))).then(phase(Until::Iteration(5))).then(end());
        refused(overlap, "phase 2 of 3: until: found 5: the phases overlap");
        let gap = Schedule::from(phase(Until::Iteration(5))).then(phase(Until::Iteration(8)));
        refused(gap, "phase 2 of 2: until: found 8: no phase for the iterations 8 to 9");
        refused(
            Schedule::from(phase(Until::End)).then(end()),
            "phase 1 of 2: until: found the end of the run",
        );
        let twice = Schedule::from(phase(Until::Identified)).then(phase(Until::Identified)).then(end());
        refused(twice, "'identified' a second time");
        let table = |v: Vec<usize>| ArrayD::ones(v);
        let two = |p: Phase| Schedule::from(phase(Until::Iteration(2))).then(p);
        let short = end().step(Step::Table(table(vec![3])));
        refused(
            two(short),
            "phase 2 of 2: --step table: found a table of 3 iterations, expected at least 10",
        );
        refused(end().step(Step::Table(table(vec![10, 3]))).into(), "found a table of shape [10, 3]");
        let mut negative = table(vec![10, 2]);
        negative[[7, 1]] = -0.5;
        refused(
            two(end().step(Step::Table(negative))),
            "phase 2 of 2: --step: found -0.5 at iteration 7, lane 1",
        );
        refused(
            two(phase(Until::End).momentum(Momentum::Fista)),
            "phase 2 of 2: --momentum: found 'fista' with",
        );
        let flat = vec![lane(4.0, 0.0)];
        let strong = Phase::new(Algorithm::Fista).momentum(Momentum::StronglyConvex);
        let e = LaneSchedule::new(strong.into(), 10, flat, vec![vec![]], &[]).unwrap_err();
        assert!(e.to_string().contains("strong convexity 0"), "{e}");
        let bb = Step::BarzilaiBorwein { high: 1.9 };
        refused(end().step(bb).into(), "'barzilai_borwein:1.9' with algorithm 'fista'");
    }

    #[test]
    fn what_the_theory_does_not_cover_is_named() {
        let two = |p: Phase| Schedule::from(Phase::new(Algorithm::Pgd).until(Until::Iteration(4))).then(p);
        let far = lay(two(Phase::new(Algorithm::Pgd).step(Step::Constant(2.5)))).unwrap();
        let words = far.unsafe_step(10).unwrap();
        assert!(
            words.contains("phase 2 of 2: step size 6.250000e-1 at iteration 4 in lane 0 is 2.500000/L"),
            "{words}"
        );
        let random = Step::Uniform { low: 0.5, high: 1.0, seed: 1 };
        let words = two(Phase::new(Algorithm::Fista).step(random)).unsafe_momentum().unwrap();
        assert!(
            words.contains("phase 2 of 2: momentum 'fista' with the varying step 'uniform:0.5:1:1'"),
            "{words}"
        );
        assert!(
            two(Phase::new(Algorithm::Fista).step(Step::Decreasing { scale: 1.0, power: 0.5 }))
                .unsafe_momentum()
                .is_none()
        );
    }
}
