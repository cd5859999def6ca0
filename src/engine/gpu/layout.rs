//! How numbers lie on the device: the one place that both the shaders' constants and the host's packing follow from.

use ndarray::Array2;

use crate::lanes::{Job, LaneNumbers, MEMORY, RunNumbers, memory_fields};
use crate::program::{ROW_BLOCK, RecordLayout, rows_per_sum};

/// A count in whole vec4s.
pub(super) fn pad4(count: usize) -> usize {
    count.next_multiple_of(4)
}

/// Sizes of a run on the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) state_rows: usize,
    pub(super) validation_rows: usize,
    /// Slots.
    pub(super) lanes: usize,
    /// Tangents.
    pub(super) d: usize,
    /// Phases of a schedule whose factors lanes have; 0 where the schedule is tabulated.
    pub(super) phases: usize,
    pub(super) stages: usize,
    /// Whether a step follows from the curvature along the last one.
    pub(super) measures_curvature: bool,
    /// Whether what happens decides what comes.
    pub(super) adaptive: bool,
    /// Whether the strategy has `XᵀX`.
    pub(super) gram: bool,
    /// Invocations of the persistent strategy that share a lane's coefficients, and add up what they have of each sum.
    pub(super) groups: Option<usize>,
}

/// Sums of a kind, one or several of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) name: &'static str,
    /// Place among all sums.
    pub(super) index: usize,
    pub(super) count: usize,
    /// First row of its blocks' shares, and how many blocks each has.
    pub(super) start: usize,
    pub(super) blocks: usize,
    /// Whether it is of the stop rule.
    pub(super) check: bool,
}

impl Layout {
    /// Lanes in whole vec4s.
    pub(super) fn padded_lanes(&self) -> usize {
        pad4(self.lanes)
    }
    /// Columns of the matrices: `t · padded_lanes + lane`.
    pub(super) fn columns(&self) -> usize {
        (1 + self.d) * self.padded_lanes()
    }
    /// Rows of the state, and row stride of the design.
    pub(super) fn stride(&self) -> usize {
        pad4(self.state_rows)
    }
    /// Rows of the product with the iterate that is carried from one dispatch to the next.
    pub(super) fn carried_rows(&self) -> usize {
        match (self.groups, self.gram) {
            (Some(_), _) => 0,
            (None, true) => self.state_rows,
            (None, false) => self.rows,
        }
    }
    /// Numbers of a rule: step, momentum, and both of each tangent.
    pub(super) fn rule_fields(&self) -> usize {
        2 + 2 * self.d
    }
    /// Numbers of an iteration's factors: step, momentum, code, where its constants begin, phase.
    pub(super) const UNIT_FIELDS: usize = 5;
    /// Where a lane's factors begin among its fields.
    pub(super) fn lane_bases(&self) -> usize {
        5 + 2 * self.d
    }
    pub(super) fn lane_fields(&self) -> usize {
        self.lane_bases() + self.phases * self.rule_fields()
    }
    pub(super) fn record_fields(&self) -> usize {
        RecordLayout::new(self.d).fields()
    }

    /// Fields of the lane state, in their order: name and place.
    pub(super) fn lane_state(&self) -> Vec<(&'static str, usize)> {
        let mut list = vec![("STATUS", STATE_STATUS), ("DONE", STATE_DONE)];
        list.extend(MEASURED.iter().enumerate().map(|(i, name)| (*name, STATE_MEASURED + i)));
        list.extend(MEMORY.iter().enumerate().map(|(i, name)| (*name, STATE_MEMORY + i)));
        list.push(("SEEN_TANGENTS", STATE_MEMORY + MEMORY.len()));
        let params = STATE_MEMORY + memory_fields(self.d);
        list.extend(STEP_PARAMS.iter().enumerate().map(|(i, name)| (*name, params + i)));
        list.push(("PARAM_TANGENT_FIELDS", params + STEP_PARAMS.len()));
        list.push(("PARAM_NEXT_DEXTRAPOLATIONS", params + STEP_PARAMS.len() + 3 * self.d));
        list
    }
    pub(super) fn lane_state_fields(&self) -> usize {
        STATE_MEMORY + memory_fields(self.d) + STEP_PARAMS.len() + 4 * self.d
    }

    /// Sums that blocks of rows leave of each lane, in their order: those of every iteration, then those of the stop rule.
    pub(super) fn sums(&self) -> Vec<Sum> {
        let d = self.d;
        let mut list: Vec<Sum> = Vec::new();
        let mut add = |name: &'static str, count: usize, (rows, block): (usize, usize), check: bool| {
            let blocks = self.groups.filter(|_| !check).unwrap_or(rows.div_ceil(block));
            let (start, index) =
                list.last().map_or((0, 0), |s| (s.start + s.count * s.blocks, s.index + s.count));
            list.push(Sum { name, index, count, start, blocks, check });
        };
        // Where products end in a step or an observation, a block is the rows of an invocation.
        let own = rows_per_sum(d);
        let (state, rows, held_out) =
            ((self.state_rows, own), (self.carried_rows(), own), (self.validation_rows, own));
        for name in ["PENALTY_VALUE", "CHANGE", "SUPPORT", "ACTIVE_CHANGE"] {
            add(name, 1, state, false);
        }
        add("RESTART", usize::from(self.adaptive), state, false);
        add("DCHANGE", d, state, false);
        add("LOSS", 1, rows, false);
        let curvature = usize::from(self.measures_curvature);
        add("SQUARE", curvature, state, false);
        add("SECANT_STATE", curvature, state, false);
        add("DSQUARE", curvature * d, state, false);
        add("DSECANT_STATE", curvature * d, state, false);
        add("SECANT_ROWS", curvature, rows, false);
        add("DSECANT_ROWS", curvature * d, rows, false);
        add("VALIDATION", 1, held_out, false);
        add("HYPERGRADIENT", d, held_out, false);
        let (state, rows) = ((self.state_rows, ROW_BLOCK), (self.rows, ROW_BLOCK));
        add("GAP_PENALTY", 1, state, true);
        add("RATIO", 1, state, true);
        add("NORMS", 3 * (1 + d), state, true);
        // In strategies with `XᵀX` it follows from the loss.
        add("GAP_LOSS", 1, if self.gram { (1, 1) } else { rows }, true);
        list
    }
    /// Rows of `padded_lanes` numbers that all of them take.
    pub(super) fn sum_rows(&self) -> usize {
        self.sums().last().map_or(0, |s| s.start + s.count * s.blocks)
    }

    /// What the lanes' buffer holds: `[lane_fields, padded_lanes]`, then the penalty factors, then, in the Gram strategy, `[q, 1 + d]` numbers of
    /// the target; these once for each lane of a lane4. Slots without a lane are zeros.
    pub(super) fn lane_buffer(&self) -> usize {
        self.lane_fields() * self.padded_lanes() + 4 * self.shared_fields()
    }
    /// Numbers that all lanes share.
    fn shared_fields(&self) -> usize {
        self.state_rows * if self.gram { 2 + self.d } else { 1 }
    }

    /// Writes numbers that all lanes share into the image of that buffer, beginning at the `at`th of them.
    pub(super) fn put_shared<'v>(
        &self,
        image: &mut [f64],
        at: usize,
        numbers: impl IntoIterator<Item = &'v f64>,
    ) {
        let from = self.lane_fields() * self.padded_lanes() + 4 * at;
        image[from..].chunks_exact_mut(4).zip(numbers).for_each(|(lane4, v)| lane4.fill(*v));
    }

    /// Writes a lane's numbers into the image of that buffer.
    pub(super) fn put_lane(&self, image: &mut [f64], slot: usize, numbers: &LaneNumbers) {
        let fixed = [
            numbers.l1,
            numbers.l2,
            numbers.probe_step,
            numbers.objective_limit,
            f64::from(u8::from(numbers.has_gap)),
        ];
        let tangents = numbers.dl1.iter().zip(&numbers.dl2).flat_map(|(a, b)| [*a, *b]);
        let bases = numbers.bases.iter().copied().take(self.phases * self.rule_fields());
        for (field, v) in fixed.into_iter().chain(tangents).chain(bases).enumerate() {
            image[field * self.padded_lanes() + slot] = v;
        }
    }
}

/// Where a lane's objective limit is among its constants.
pub(super) const OBJECTIVE_LIMIT: usize = 3;

/// Fields of the lane state.
pub(super) const STATE_STATUS: usize = 0;
pub(super) const STATE_DONE: usize = 1;
pub(super) const STATE_MEASURED: usize = 2;
pub(super) const STATE_MEMORY: usize = STATE_MEASURED + MEASURED.len();
const MEASURED: [&str; 3] = ["MEASURED_GAP", "MEASURED_STATIONARITY", "MEASURED_RESIDUAL"];
const STEP_PARAMS: [&str; 6] = [
    "PARAM_STEP",
    "PARAM_MOMENTUM",
    "PARAM_EXTRAPOLATION",
    "PARAM_TANGENTS",
    "PARAM_RESTORE",
    "PARAM_NEXT_EXTRAPOLATION",
];

/// `Xᵀ W y` and its tangents, `[q, 1 + d]`, and the squared loss of zero coefficients.
pub(super) fn gram_target(job: &Job<'_>, numbers: &RunNumbers) -> (Array2<f64>, f64) {
    let (design, target, weight) = (job.problem.design(), job.problem.target(), job.problem.weight());
    let mut products = Array2::zeros((design.columns(), 1 + job.derivatives.len()));
    products.column_mut(0).assign(&design.apply_t_vector((&target * &weight).view()));
    if let Some(tangent) = &numbers.target_tangent {
        for (t, column) in tangent.columns().into_iter().enumerate() {
            products.column_mut(1 + t).assign(&design.apply_t_vector((&column * &weight).view()));
        }
    }
    let at_zero = 0.5 * target.iter().zip(weight.iter()).map(|(y, w)| w * y * y).sum::<f64>();
    (products, at_zero)
}

/// Target, weight and the target's tangents of every row.
pub(super) fn row_fields(job: &Job<'_>, numbers: &RunNumbers) -> Vec<f64> {
    let (target, weight) = (job.problem.target(), job.problem.weight());
    let none = Array2::zeros((target.len(), job.derivatives.len()));
    let tangent = numbers.target_tangent.as_ref().unwrap_or(&none);
    (0..target.len())
        .flat_map(|i| [target[i], weight[i]].into_iter().chain(tangent.row(i).to_vec()))
        .collect()
}
