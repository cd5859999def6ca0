//! How numbers lie on the device: the one place that both the shaders' constants and the host's packing follow from.

use ndarray::Array2;

use crate::engine::{Job, LaneNumbers, MEMORY, RunNumbers, memory_fields};
use crate::plan::{ROW_BLOCK, RecordLayout};

/// A count in whole vec4s.
pub(super) fn whole(count: usize) -> usize {
    count.next_multiple_of(4)
}

/// Sizes of a run on the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) state_rows: usize,
    pub(super) validation_rows: usize,
    /// Seats.
    pub(super) lanes: usize,
    /// Tangents.
    pub(super) d: usize,
    /// Phases of a schedule whose factors lanes have; 0 where the schedule is tabulated.
    pub(super) phases: usize,
    pub(super) stages: usize,
}

impl Layout {
    /// Lanes in whole vec4s.
    pub(super) fn lanes4(&self) -> usize {
        whole(self.lanes)
    }
    /// Columns of the matrices: `t · lanes4 + lane`.
    pub(super) fn columns(&self) -> usize {
        (1 + self.d) * self.lanes4()
    }
    /// Rows of the state, and row stride of the design.
    pub(super) fn stride(&self) -> usize {
        whole(self.state_rows)
    }
    pub(super) fn blocks(&self, rows: usize) -> usize {
        rows.div_ceil(ROW_BLOCK)
    }
    /// Blocks that the longest of all sums has.
    pub(super) fn partial_blocks(&self) -> usize {
        self.blocks(self.rows.max(self.state_rows).max(self.validation_rows))
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

    /// Fields of the book, in their order: name and place.
    pub(super) fn book(&self) -> Vec<(&'static str, usize)> {
        let mut list = vec![("STATUS", BOOK_STATUS), ("DONE", BOOK_DONE)];
        list.extend(MEASURED.iter().enumerate().map(|(i, name)| (*name, BOOK_MEASURED + i)));
        list.extend(MEMORY.iter().enumerate().map(|(i, name)| (*name, BOOK_MEMORY + i)));
        list.push(("SEEN_TANGENTS", BOOK_MEMORY + MEMORY.len()));
        let told = BOOK_MEMORY + memory_fields(self.d);
        list.extend(TOLD.iter().enumerate().map(|(i, name)| (*name, told + i)));
        list.push(("TOLD_TANGENT_FIELDS", told + TOLD.len()));
        list
    }
    pub(super) fn book_fields(&self) -> usize {
        BOOK_MEMORY + memory_fields(self.d) + TOLD.len() + 3 * self.d
    }

    /// Fields of the sums that blocks of rows leave, in their order: name and place. First those of every iteration, over blocks of
    /// state rows, of rows, and of held-out rows; then those of the stop rule, over blocks of state rows and of rows.
    pub(super) fn partials(&self) -> Vec<(&'static str, usize)> {
        let d = self.d;
        let mut list = Vec::new();
        let mut next = 0;
        let mut add = |name: &'static str, count: usize| {
            list.push((name, next));
            next += count;
        };
        for name in ["PRICE", "CHANGE", "SUPPORT", "ACTIVE_CHANGE", "RESTART", "SQUARE", "SECANT_STATE"] {
            add(name, 1);
        }
        for name in ["DCHANGE", "DSQUARE", "DSECANT_STATE"] {
            add(name, d);
        }
        add("STATE_END", 0);
        add("LOSS", 1);
        add("SECANT_ROWS", 1);
        add("DSECANT_ROWS", d);
        add("ROWS_END", 0);
        add("VALIDATION", 1);
        add("HYPERGRADIENT", d);
        add("CHECK", 0);
        add("GAP_PENALTY", 1);
        add("RATIO", 1);
        add("NORMS", 3 * (1 + d));
        add("CHECK_STATE_END", 0);
        add("GAP_LOSS", 1);
        add("END", 0);
        list
    }
    pub(super) fn partial_fields(&self) -> usize {
        self.partials().last().expect("the end").1
    }

    /// What the lanes' buffer holds: `[lane_fields, lanes4]`, then the penalty factors. Seats without a lane are zeros.
    pub(super) fn lane_buffer(&self) -> usize {
        self.lane_fields() * self.lanes4() + self.state_rows
    }

    /// Writes a lane's numbers into the image of that buffer.
    pub(super) fn put_lane(&self, image: &mut [f64], seat: usize, numbers: &LaneNumbers) {
        let fixed =
            [numbers.l1, numbers.l2, numbers.probe_step, numbers.objective_limit, f64::from(u8::from(numbers.has_gap))];
        let tangents = numbers.dl1.iter().zip(&numbers.dl2).flat_map(|(a, b)| [*a, *b]);
        let bases = numbers.bases.iter().copied().take(self.phases * self.rule_fields());
        for (field, v) in fixed.into_iter().chain(tangents).chain(bases).enumerate() {
            image[field * self.lanes4() + seat] = v;
        }
    }
}

/// Fields of the book.
pub(super) const BOOK_STATUS: usize = 0;
pub(super) const BOOK_DONE: usize = 1;
pub(super) const BOOK_MEASURED: usize = 2;
pub(super) const BOOK_MEMORY: usize = BOOK_MEASURED + MEASURED.len();
const MEASURED: [&str; 3] = ["MEASURED_GAP", "MEASURED_STATIONARITY", "MEASURED_RESIDUAL"];
const TOLD: [&str; 5] = ["TOLD_STEP", "TOLD_MOMENTUM", "TOLD_LOOK", "TOLD_TANGENTS", "TOLD_RESTORE"];

/// Rows padded with zeros to whole vec4s.
pub(super) fn padded<'r>(rows: impl IntoIterator<Item = ndarray::ArrayView1<'r, f64>>, width: usize) -> Vec<f64> {
    let pad = whole(width) - width;
    rows.into_iter().flat_map(|row| row.to_vec().into_iter().chain(std::iter::repeat_n(0.0, pad))).collect()
}

/// Target, weight and the target's tangents of every row.
pub(super) fn row_fields(job: &Job<'_>, numbers: &RunNumbers) -> Vec<f64> {
    let (target, weight) = (job.problem.target(), job.problem.weight());
    let none = Array2::zeros((target.len(), job.derivatives.len()));
    let tangent = numbers.target_tangent.as_ref().unwrap_or(&none);
    (0..target.len()).flat_map(|i| [target[i], weight[i]].into_iter().chain(tangent.row(i).to_vec())).collect()
}
