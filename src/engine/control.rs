//! What each lane does next: the table's row, and what the last iteration showed. WGSL twin: `shaders/kernel/control.wgsl`.

use crate::problem::Real;
use crate::schedule::{Code, Row};

/// What an iteration of a lane is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directive<T> {
    pub(crate) step: T,
    pub(crate) momentum: T,
    /// How far ahead of `x` the gradient is taken, in units of `x − x₋`.
    pub(crate) look: T,
    /// Whether the last step is taken back: the iteration starts from `x₋`, at rest.
    pub(crate) restore: bool,
    /// `[d]`: tangents of the three.
    pub(crate) dstep: Vec<T>,
    pub(crate) dmomentum: Vec<T>,
    pub(crate) dlook: Vec<T>,
    /// Whether tangents are carried yet.
    pub(crate) tangents: bool,
}

/// What an iteration showed of a lane, where a schedule asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Seen<T> {
    pub(crate) objective: T,
    /// `⟨e − x⁺, x⁺ − x⟩`.
    pub(crate) restart: T,
    /// `‖s‖²` and `⟨s, ∇f(x⁺) − ∇f(e)⟩` of `s = x⁺ − e`, with their tangents.
    pub(crate) square: T,
    pub(crate) secant: T,
    pub(crate) dsquare: Vec<T>,
    pub(crate) dsecant: Vec<T>,
    /// Whether the active set changed.
    pub(crate) moved: bool,
}

impl<T: Real> Seen<T> {
    pub(crate) fn nothing(d: usize) -> Self {
        let zero = T::zero();
        Seen {
            objective: zero,
            restart: zero,
            square: zero,
            secant: zero,
            dsquare: vec![zero; d],
            dsecant: vec![zero; d],
            moved: false,
        }
    }
}

/// What a lane remembers from one iteration to the next.
#[derive(Debug, Clone)]
pub(crate) struct Control<T> {
    /// Iterations of the momentum since it began.
    count: usize,
    /// Iterations since the active set changed, or since the phase that waits for that began.
    quiet: usize,
    identified: bool,
    /// Whether the phase that waits for identification has ended.
    switched: bool,
    /// What is left of backtracking's first step.
    scale: T,
    /// Step of the last iteration.
    step: T,
    objective: T,
}

/// Settings of [`Control`] that hold for a whole run.
#[derive(Debug, Clone)]
pub(crate) struct ControlRules<T> {
    pub(crate) patience: usize,
    /// `usize::MAX`: with identification.
    pub(crate) tangent_start: usize,
    pub(crate) constants: Vec<T>,
}

impl<T: Real> Control<T> {
    pub(crate) fn new() -> Self {
        let one = T::one();
        Control { count: 0, quiet: 0, identified: false, switched: false, scale: one, step: one, objective: T::zero() }
    }

    /// Decides iteration `k` of lane `i` of the `b` lanes of `row`.
    pub(crate) fn direct(
        &mut self,
        rules: &ControlRules<T>,
        k: usize,
        row: &Row,
        (i, b): (usize, usize),
        seen: &Seen<T>,
    ) -> Directive<T> {
        let (zero, one) = (T::zero(), T::one());
        let d = seen.dsquare.len();
        if k > 0 {
            self.quiet = if seen.moved { 0 } else { self.quiet + 1 };
            self.identified |= self.quiet >= rules.patience;
        }
        let waits = row.codes[0].has(Code::WAITS) && !self.switched;
        if waits && row.codes[0].has(Code::STARTS) {
            self.quiet = 0;
        }
        let switches = waits && self.quiet >= rules.patience;
        self.switched |= switches;
        let stage = if self.switched { row.codes.len() - 1 } else { 0 };
        let code = row.codes[stage];
        let number = |field: usize| T::of(row.numbers[(stage * (2 + 2 * d) + field) * b + i]);
        let dnumbers = |field: usize| (0..d).map(|t| number(field + 2 * t)).collect::<Vec<T>>();
        let constant = |at: usize| rules.constants[code.base as usize + at];

        let begins = code.has(Code::STARTS) || switches;
        let mut taken_back = false;
        if begins {
            self.count = 0;
            self.scale = one;
        } else {
            let rose = code.has(Code::RESTARTS_BY_FUNCTION) && seen.objective > self.objective;
            let turned = code.has(Code::RESTARTS_BY_GRADIENT) && seen.restart > zero;
            if rose || turned {
                self.count = 0;
            }
            if code.has(Code::BACKTRACKS) {
                let floor = one / constant(0);
                taken_back = self.step * seen.secant > seen.square && self.scale > floor;
                if taken_back {
                    self.scale = (self.scale * constant(1)).max(floor);
                    self.count = 0;
                }
            }
        }
        // Nothing is known of the start's objective: the first iterate cannot have risen. A step that is taken back leaves the
        // objective of its start.
        if k == 0 {
            self.objective = T::infinity();
        } else if !taken_back {
            self.objective = seen.objective;
        }

        let (mut step, mut dstep) = (self.scale * number(0), dnumbers(2));
        dstep.iter_mut().for_each(|v| *v *= self.scale);
        if code.has(Code::USES_SECANT_STEP) {
            let (high, low) = (step, step / constant(0));
            // No curvature, or NaN: the lowest step.
            let found = if seen.secant > zero { seen.square / seen.secant } else { zero };
            if begins || found <= low {
                step = low;
                dstep.iter_mut().for_each(|v| *v /= constant(0));
            } else if found < high {
                step = found;
                for (t, v) in dstep.iter_mut().enumerate() {
                    *v = (seen.dsquare[t] - found * seen.dsecant[t]) / seen.secant;
                }
            }
        }
        self.step = step;

        let resets = Code::RESTARTS_BY_FUNCTION | Code::RESTARTS_BY_GRADIENT | Code::BACKTRACKS;
        let (mut momentum, mut dmomentum) = (number(1), dnumbers(3));
        if code.has(Code::COUNTS) {
            momentum = constant(2 + self.count);
        } else if self.count == 0 && code.has(resets) {
            momentum = zero;
            dmomentum.fill(zero);
        }
        self.count += 1;
        let (look, dlook) =
            if code.has(Code::LOOKS_AHEAD) { (momentum, dmomentum.clone()) } else { (zero, vec![zero; d]) };
        let tangents = if rules.tangent_start == usize::MAX { self.identified } else { k >= rules.tangent_start };
        Directive { step, momentum, look, restore: taken_back, dstep, dmomentum, dlook, tangents }
    }
}
