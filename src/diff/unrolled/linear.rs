//! An iteration of a lane, linearised where it was executed.

use super::group::Group;
use crate::objective::{PenaltyFunction, with_penalty};
use crate::program::Precision;

/// One iteration of a lane on the rows of its group, linearised.
#[derive(Debug, Clone, Default)]
pub(super) struct Linear {
    pub(super) step: f64,
    pub(super) momentum: f64,
    pub(super) extrapolation: f64,
    /// True if the extrapolation coefficient is the momentum, else it is zero.
    pub(super) extrapolates: bool,
    /// True if the previous iterate is the iterate itself.
    pub(super) rests: bool,
    pub(super) takes_back: bool,
    /// `[m]` each: `J`, and the proximal map's derivatives by the strengths of a coefficient.
    pub(super) by_input: Vec<f64>,
    pub(super) by_l1: Vec<f64>,
    pub(super) by_l2: Vec<f64>,
    /// `[m]`: the step in the metric.
    pub(super) scaled_step: Vec<f64>,
    /// `[m]`: the strength of a ridge in the loss; zeros without.
    pub(super) ridge: Vec<f64>,
    /// True if there is a ridge in the loss.
    pub(super) has_ridge: bool,
    /// `[m]`: the iterate, the previous and the next one; signs if the tape has only those.
    pub(super) here: Vec<f64>,
    pub(super) before: Vec<f64>,
    pub(super) next: Vec<f64>,
}

impl Linear {
    /// Makes it that of a lane that rests, on `m` rows.
    pub(super) fn clear(&mut self, m: usize) {
        let columns = [
            &mut self.by_input,
            &mut self.by_l1,
            &mut self.by_l2,
            &mut self.scaled_step,
            &mut self.ridge,
            &mut self.here,
            &mut self.before,
            &mut self.next,
        ];
        for column in columns {
            column.clear();
            column.resize(m, 0.0);
        }
    }

    /// `x − x₋`.
    pub(super) fn difference(&self, u: usize) -> f64 {
        self.here[u] - self.before[u]
    }

    /// `e = x + η (x − x₋)`.
    pub(super) fn e(&self, u: usize) -> f64 {
        self.here[u] + self.extrapolation * self.difference(u)
    }

    /// `∂x⁺/∂α = J (x⁺ − y) / α`.
    pub(super) fn by_step(&self, u: usize) -> f64 {
        let y = self.here[u] + self.momentum * self.difference(u);
        self.by_input[u] * (self.next[u] - y) / self.step
    }
}

impl Group<'_> {
    /// Linearises iteration `k` of a lane of the group.
    pub(super) fn linearise(&self, lane: usize, k: usize, out: &mut Linear) {
        with_penalty!(self.of.problem.penalty(), f => self.linearise_of(f, lane, k, out));
    }

    fn linearise_of<P: PenaltyFunction>(&self, penalty: P, lane: usize, k: usize, out: &mut Linear) {
        let (of, m) = (self.of, self.rows.len());
        let tape = &of.tape.lanes[lane];
        let executed = tape.executed[k];
        out.step = executed.step;
        out.momentum = executed.momentum;
        out.extrapolates = executed.extrapolates;
        out.extrapolation = if out.extrapolates { executed.momentum } else { 0.0 };
        (out.rests, out.takes_back) = (executed.rests, executed.takes_back);
        out.clear(m);
        self.scatter(lane, k + 1, &mut out.next);
        if of.tape.has_values() {
            self.scatter(lane, tape.start_of(k), &mut out.here);
            self.scatter(lane, tape.previous_of(k), &mut out.before);
        }
        let (l1, l2) = of.lanes[lane].strengths(of.problem);
        let factors = of.problem.penalty_factors();
        out.has_ridge = P::RIDGE_IN_LOSS;
        for (u, &j) in self.rows.iter().enumerate() {
            let a = executed.step * of.metric.entry(k, lane, j);
            out.scaled_step[u] = a;
            let Some(factor) = factors.get(j) else {
                out.by_input[u] = 1.0;
                continue;
            };
            let x = out.next[u];
            if P::RIDGE_IN_LOSS {
                (out.by_input[u], out.ridge[u]) = (1.0, l2 * factor);
            } else if is_active(penalty, x, of.precision) {
                // The proximal map solves `x + a g'(x) = w`.
                let g = penalty.derivatives(x, l1 * factor, l2 * factor);
                let by_input = 1.0 / (1.0 + a * g.d2);
                out.by_input[u] = by_input;
                out.by_l1[u] = -a * by_input * g.d1_by_l1;
                out.by_l2[u] = -a * by_input * g.d1_by_l2;
            }
        }
    }
}

/// True if `x` is in the active set, in the arithmetic that computed it.
fn is_active<P: PenaltyFunction>(penalty: P, x: f64, precision: Precision) -> bool {
    match precision {
        Precision::F32 => penalty.is_active(x as f32),
        Precision::F64 => penalty.is_active(x),
    }
}
