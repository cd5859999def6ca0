//! Computes the parameters of each lane's next iteration from the schedule and the measurements of the last
//! iteration. WGSL twin: `shaders/shared/control.wgsl`.

use super::fields::state::*;
use super::fields::{Field, in_memory, memory_fields};
use crate::objective::Real;
use crate::schedule::{Code, LaneSchedule, ScheduleSeed, Unit};

/// The parameters of one iteration of a lane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepParams<T> {
    pub(crate) step: T,
    pub(crate) momentum: T,
    /// Extrapolation coefficient: the gradient is taken at `x + extrapolation (x − x₋)`.
    pub(crate) extrapolation: T,
    /// True if the last step is taken back: the iteration starts from `x₋` with zero momentum.
    pub(crate) restore: bool,
    /// `[d]`: tangents of step, momentum and extrapolation.
    pub(crate) dstep: Vec<T>,
    pub(crate) dmomentum: Vec<T>,
    pub(crate) dextrapolation: Vec<T>,
    /// True if this iteration updates the tangents.
    pub(crate) tangents: bool,
}

impl<T: Real> StepParams<T> {
    pub(crate) fn new(d: usize) -> Self {
        let zeros = || vec![T::zero(); d];
        StepParams {
            step: T::one(),
            momentum: T::zero(),
            extrapolation: T::zero(),
            restore: false,
            dstep: zeros(),
            dmomentum: zeros(),
            dextrapolation: zeros(),
            tangents: false,
        }
    }
}

/// Measurements of one iteration of a lane, computed if the schedule needs them.
#[derive(Debug, Clone)]
pub(crate) struct Seen<T> {
    pub(crate) objective: T,
    /// `⟨y − x⁺, x⁺ − x⟩`, `y = x + β(x − x₋)`.
    pub(crate) restart: T,
    /// `‖s‖²` and `⟨s, ∇f(x⁺) − ∇f(e)⟩` of `s = x⁺ − e`, with their tangents.
    pub(crate) square: T,
    pub(crate) secant: T,
    pub(crate) dsquare: Vec<T>,
    pub(crate) dsecant: Vec<T>,
    /// True if the active set changed.
    pub(crate) moved: bool,
}

/// The state of a lane's schedule, kept from one iteration to the next.
#[derive(Debug, Clone)]
pub(crate) struct Control<T> {
    /// Iterations since the momentum started or restarted.
    count: usize,
    /// Iterations since the active set changed, or since the phase that waits for that began.
    quiet: usize,
    identified: bool,
    /// True if the phase that waits for identification has ended.
    switched: bool,
    /// The fraction of backtracking's first step that is still in use.
    scale: T,
    /// Step of the last iteration.
    step: T,
    /// Objective of the iterate that the last iteration started from.
    objective: T,
    pub(crate) seen: Seen<T>,
}

/// Settings of [`Control`] that hold for a whole run.
#[derive(Debug, Clone)]
pub(crate) struct ControlRules<'a, T> {
    pub(crate) schedule: &'a LaneSchedule,
    pub(crate) constants: Vec<T>,
}

impl<'a, T: Real> ControlRules<'a, T> {
    pub(crate) fn new(schedule: &'a LaneSchedule) -> Self {
        ControlRules { schedule, constants: schedule.constants().into_iter().map(T::of).collect() }
    }
}

/// The schedule's values for an iteration: step and momentum, and their derivative for each tangent.
pub(crate) enum Numbers<'a> {
    /// Factors of the iteration and of the lane.
    Factored { unit: Unit, base: &'a [f64] },
    /// One row of the schedule's table.
    Tabulated(&'a [f64]),
}

impl<T: Real> Control<T> {
    pub(crate) fn new(d: usize) -> Self {
        let mut start = vec![0.0; memory_fields(d)];
        // Backtracking has not shrunk anything yet.
        start[in_memory(MEMORY_SCALE, d)] = 1.0;
        start[in_memory(MEMORY_STEP, d)] = 1.0;
        Control::from_memory(&start)
    }

    /// Restores the state from its numbers.
    pub(crate) fn from_memory(numbers: &[f64]) -> Self {
        let d = (numbers.len() - memory_fields(0)) / (memory_fields(1) - memory_fields(0));
        let number = |field: Field| numbers[in_memory(field, d)];
        let of_tangents = |field: Field| {
            let first = in_memory(field, d);
            numbers[first..first + d].iter().map(|v| T::of(*v)).collect()
        };
        let seen = Seen {
            objective: T::of(number(SEEN_OBJECTIVE)),
            moved: number(SEEN_MOVED) != 0.0,
            restart: T::of(number(SEEN_RESTART)),
            square: T::of(number(SEEN_SQUARE)),
            secant: T::of(number(SEEN_SECANT)),
            dsquare: of_tangents(SEEN_DSQUARE),
            dsecant: of_tangents(SEEN_DSECANT),
        };
        Control {
            count: number(MEMORY_COUNT) as usize,
            quiet: number(MEMORY_QUIET) as usize,
            identified: number(MEMORY_IDENTIFIED) != 0.0,
            switched: number(MEMORY_SWITCHED) != 0.0,
            scale: T::of(number(MEMORY_SCALE)),
            step: T::of(number(MEMORY_STEP)),
            objective: T::of(number(MEMORY_OBJECTIVE)),
            seen,
        }
    }

    /// The state as numbers.
    pub(crate) fn memory(&self) -> Vec<f64> {
        let flag = |on: bool| f64::from(u8::from(on));
        let seen = &self.seen;
        let d = seen.dsquare.len();
        let mut numbers = vec![0.0; memory_fields(d)];
        for (field, v) in [
            (MEMORY_COUNT, self.count as f64),
            (MEMORY_QUIET, self.quiet as f64),
            (MEMORY_IDENTIFIED, flag(self.identified)),
            (MEMORY_SWITCHED, flag(self.switched)),
            (MEMORY_SCALE, self.scale.f64()),
            (MEMORY_STEP, self.step.f64()),
            (MEMORY_OBJECTIVE, self.objective.f64()),
            (SEEN_OBJECTIVE, seen.objective.f64()),
            (SEEN_MOVED, flag(seen.moved)),
            (SEEN_RESTART, seen.restart.f64()),
            (SEEN_SQUARE, seen.square.f64()),
            (SEEN_SECANT, seen.secant.f64()),
        ] {
            numbers[in_memory(field, d)] = v;
        }
        for (field, list) in [(SEEN_DSQUARE, &seen.dsquare), (SEEN_DSECANT, &seen.dsecant)] {
            let first = in_memory(field, d);
            numbers[first..first + d].iter_mut().zip(list).for_each(|(to, v)| *to = v.f64());
        }
        numbers
    }

    /// Updates the identification of the active set at iteration `k`. Returns the stage, and true if
    /// identification starts a new phase at this iteration.
    pub(crate) fn stage(&mut self, rules: &ControlRules<'_, T>, k: usize, first: &Unit) -> (usize, bool) {
        let patience = rules.schedule.schedule().patience;
        if k > 0 {
            self.quiet = if self.seen.moved { 0 } else { self.quiet + 1 };
            self.identified |= self.quiet >= patience;
        }
        let waits = first.code.has(Code::WAITS) && !self.switched;
        if waits && first.code.has(Code::STARTS) {
            self.quiet = 0;
        }
        let switches = waits && self.quiet >= patience;
        self.switched |= switches;
        (if self.switched { rules.schedule.stages() - 1 } else { 0 }, switches)
    }

    /// Computes the parameters of iteration `k`, of a known stage, from its code and values.
    pub(crate) fn decide(
        &mut self,
        rules: &ControlRules<'_, T>,
        (k, switches): (usize, bool),
        code: Code,
        numbers: &Numbers<'_>,
        params: &mut StepParams<T>,
    ) {
        let zero = T::zero();
        let constant = |at: usize| rules.constants[code.base as usize + at];
        let begins = code.has(Code::STARTS) || switches;
        let mut taken_back = false;
        if begins {
            self.count = 0;
            self.scale = T::one();
        } else {
            let rose = code.has(Code::RESTARTS_BY_FUNCTION) && self.seen.objective > self.objective;
            let turned = code.has(Code::RESTARTS_BY_GRADIENT) && self.seen.restart > zero;
            if rose || turned {
                self.count = 0;
            }
            if code.has(Code::BACKTRACKS) {
                let floor = T::one() / constant(0);
                taken_back = self.step * self.seen.secant > self.seen.square && self.scale > floor;
                if taken_back {
                    self.scale = (self.scale * constant(1)).max(floor);
                    self.count = 0;
                }
            }
        }
        // The objective of the start is unknown, so the first iterate never counts as an increase. A step
        // that is taken back keeps the objective of its start.
        if k == 0 {
            self.objective = T::infinity();
        } else if !taken_back {
            self.objective = self.seen.objective;
        }

        self.read(rules.schedule.schedule_seeds(), k, numbers, params);
        if code.has(Code::USES_SECANT_STEP) {
            self.use_secant(begins, constant(0), params);
        }
        self.step = params.step;

        let resets = Code::RESTARTS_BY_FUNCTION | Code::RESTARTS_BY_GRADIENT | Code::BACKTRACKS;
        if code.has(Code::COUNTS) {
            params.momentum = constant(2 + self.count);
        } else if self.count == 0 && code.has(resets) {
            params.momentum = zero;
            params.dmomentum.fill(zero);
        }
        self.count += 1;
        params.restore = taken_back;
        if code.has(Code::EXTRAPOLATES) {
            params.extrapolation = params.momentum;
            params.dextrapolation.copy_from_slice(&params.dmomentum);
        } else {
            params.extrapolation = zero;
            params.dextrapolation.fill(zero);
        }
        let start = rules.schedule.tangent_start();
        params.tangents = if start == usize::MAX { self.identified } else { k >= start };
    }

    /// Reads the schedule's step and momentum with their tangents; the step includes backtracking's
    /// shrinking.
    fn read(&self, moves: &[ScheduleSeed], k: usize, numbers: &Numbers<'_>, params: &mut StepParams<T>) {
        match numbers {
            Numbers::Tabulated(row) => {
                params.step = self.scale * T::of(row[0]);
                params.momentum = T::of(row[1]);
                for (t, pair) in row[2..].chunks_exact(2).enumerate() {
                    params.dstep[t] = self.scale * T::of(pair[0]);
                    params.dmomentum[t] = T::of(pair[1]);
                }
            }
            Numbers::Factored { unit, base } => {
                let step = unit.step * base[0];
                params.step = self.scale * T::of(step);
                params.momentum = T::of(unit.momentum * base[1]);
                for (t, pair) in base[2..].chunks_exact(2).enumerate() {
                    let (by_step, by_momentum) = moves[t].at(k, step);
                    params.dstep[t] = self.scale * T::of(unit.step * pair[0] + by_step);
                    params.dmomentum[t] = T::of(unit.momentum * pair[1] + by_momentum);
                }
            }
        }
    }

    /// The Barzilai–Borwein step, clamped to between the rule's step divided by `high` and the rule's step.
    fn use_secant(&self, begins: bool, high: T, params: &mut StepParams<T>) {
        let seen = &self.seen;
        let (most, least) = (params.step, params.step / high);
        // Without positive curvature (or with NaN), the smallest step.
        let found = if seen.secant > T::zero() { seen.square / seen.secant } else { T::zero() };
        if begins || found <= least {
            params.step = least;
            params.dstep.iter_mut().for_each(|v| *v /= high);
        } else if found < most {
            params.step = found;
            for (t, v) in params.dstep.iter_mut().enumerate() {
                *v = (seen.dsquare[t] - found * seen.dsecant[t]) / seen.secant;
            }
        }
    }
}
