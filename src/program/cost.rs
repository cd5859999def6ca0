//! The cost of a run, computed from its passes: estimates before the run, and counts for rates.

use super::passes::When;
use super::{Limits, Pass, Plan, Program, Request, Shape, Strategy, cpu};
use crate::program::DeviceKind;

/// Time of deciding the next iterations of lanes in the persistent strategy, relative to `finalize`: a
/// smaller share of the concurrent invocations decides.
fn deciding(strategy: Strategy, device: DeviceKind) -> f64 {
    match (strategy, device) {
        (Strategy::Persistent, DeviceKind::Integrated | DeviceKind::Discrete) => 2.5,
        _ => 1.0,
    }
}

/// Entries of a sparse design times columns per second, for the `XᵀX` that the host computes for a GPU.
const SPARSE_GRAM: f64 = 1e9;

/// True for the passes of an iteration.
fn in_iteration(pass: &Pass) -> bool {
    matches!(pass.when, When::Iteration | When::Stale | When::Refresh | When::Check)
}

impl Strategy {
    /// Estimated seconds of an iteration of some lanes together: products, element-wise work, launches, and
    /// decisions lane by lane.
    pub(super) fn iteration(self, r: &Request, limits: &Limits, lanes: usize) -> f64 {
        if limits.engine == "cpu" {
            return cpu::iteration_seconds(&Request { strategy: Some(self), ..*r }, limits, lanes);
        }
        let request = Request { strategy: Some(self), ..*r };
        let shape = Shape::new(&request, limits, lanes, (1, 1));
        let speed = if self == Strategy::Persistent { limits.flops_persistent } else { limits.flops };
        let seconds = |pass: &Pass| {
            let period = shape.period(pass.when) as f64;
            let cost = pass.cost;
            // Of passes that are not run every iteration, only the operations count; they are the
            // same in every strategy.
            if pass.when != When::Iteration && period > 1.0 {
                return cost.flops / period / limits.flops;
            }
            (cost.flops / speed + cost.entries * limits.element + limits.dispatch) / period
        };
        let passes = super::passes_of(&shape);
        passes.iter().filter(|pass| in_iteration(pass)).map(seconds).sum::<f64>()
            + deciding(self, limits.device) * lanes as f64 * limits.lane
    }

    /// Estimated seconds of the work that is done once per run.
    pub(super) fn once(self, r: &Request, limits: &Limits) -> f64 {
        let (n, q) = (r.rows as f64, r.state_rows as f64);
        match (self, r.stored) {
            (Strategy::Direct, _) => 0.0,
            (_, Some([design, _])) if limits.engine == "gpu" => design.entries as f64 * q / SPARSE_GRAM,
            _ => n * q * q / limits.flops_wide,
        }
    }
}

impl Program {
    /// A quantity of each pass, summed over an iteration.
    fn of_iteration(&self, number: impl Fn(&Pass) -> f64) -> f64 {
        let of = |pass: &Pass| number(pass) / self.shape.period(pass.when) as f64;
        self.passes.iter().filter(|pass| in_iteration(pass)).map(of).sum()
    }

    /// Floating-point operations of an iteration of all slots, with its share of tests and refreshes.
    pub(super) fn flops(&self) -> f64 {
        self.of_iteration(|pass| pass.cost.flops)
    }
}

impl Plan {
    /// Floating-point operations that the products of an iteration of all slots need at least: `4·n·q·b(1+d)`
    /// in the direct strategy, `2·q²·b(1+d)` in those with `XᵀX`,
    /// `4·q(q+1)·b(1+d)` with its triangular factor on the CPU engine. Element-wise epilogues, the stop rule
    /// and refreshes are not counted.
    pub fn counted_operations(&self) -> f64 {
        if self.engine == "cpu" {
            return cpu::counted_operations(&self.request, self.slots);
        }
        let always = |pass: &Pass| pass.when == When::Iteration;
        self.program.of_iteration(|pass| if always(pass) { pass.cost.product_flops } else { 0.0 })
    }

    /// Bytes that an iteration of all slots moves if nothing stays in a cache between two passes: each buffer
    /// that a pass of every iteration binds, once if it is read or written, twice if both.
    pub fn counted_bytes(&self) -> f64 {
        if self.engine == "cpu" {
            return cpu::counted_bytes(&self.program.buffers);
        }
        let always = |pass: &Pass| pass.when == When::Iteration;
        self.program.of_iteration(|pass| if always(pass) { pass.cost.bytes } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests;

    #[test]
    fn counts_of_the_diabetes_lasso() {
        let direct = Request { strategy: Some(Strategy::Direct), ..tests::request() };
        let plan = Plan::new(direct, &tests::limits()).unwrap();
        // 442 x 10, 100 lanes with a tangent each: 200 columns.
        assert_eq!(plan.counted_operations(), 2.0 * (2.0 * 442.0 * 10.0 * 200.0));
        let (design, state, rows) = (442.0 * 10.0, 10.0 * 200.0, 442.0 * 200.0);
        let read = 2.0 * design + (2.0 + 1.0) * state + (2.0 + 1.0) * rows;
        let written = (1.0 + 1.0) * state + (1.0 + 1.0) * rows;
        assert_eq!(plan.counted_bytes(), 8.0 * (read + written));
    }

    #[test]
    fn counts_of_a_device_are_those_of_its_passes() {
        let gpu = Limits { engine: "gpu", ..tests::limits() };
        let plan =
            |strategy| Plan::new(Request { strategy: Some(strategy), ..tests::request() }, &gpu).unwrap();
        let direct = plan(Strategy::Direct);
        assert_eq!(direct.counted_operations(), 2.0 * (2.0 * 442.0 * 10.0 * 200.0));
        // Mostly the matrices, 10 rows padded to 12: the step reads the design, the residual and both
        // iterates, and writes one; the prediction reads the design, the iterate and the previous prediction,
        // and writes prediction and residual.
        let (design, state, rows) = (442.0 * 12.0, 12.0 * 200.0, 442.0 * 200.0);
        let matrices = 8.0 * (2.0 * design + 4.0 * state + 4.0 * rows);
        let bytes = direct.counted_bytes();
        assert!(bytes > matrices && bytes < 1.3 * matrices, "{bytes} for {matrices}");
        for strategy in [Strategy::Gram, Strategy::Persistent] {
            assert_eq!(plan(strategy).counted_operations(), 2.0 * 10.0 * 10.0 * 200.0, "{strategy}");
        }
    }
}
