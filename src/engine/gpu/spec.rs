//! What the shaders of a run follow from, and the constants that they begin with.

use std::fmt::Write;

use super::layout::{Layout, Sum, gram_target};
use super::product::{Tile, Tiles};
use crate::lanes::{Job, MetricSource, RunNumbers};
use crate::objective::{Loss, Penalty};
use crate::program::{FUSED_TANGENTS, MetricKind, PersistentTile, Plan, Precision, ROW_BLOCK, Strategy};
use crate::schedule::{Code, ScheduleSeed};

/// What the constants of a run's shaders follow from.
#[derive(Debug, Clone)]
pub struct ShaderSpec {
    /// Arithmetic.
    pub precision: Precision,
    /// The loss.
    pub loss: Loss,
    /// The penalty.
    pub penalty: Penalty,
    /// Rows `n`.
    pub rows: usize,
    /// Rows of the state.
    pub state_rows: usize,
    /// State rows under the penalty.
    pub penalised: usize,
    /// Whether some of them have a penalty factor other than one.
    pub has_factors: bool,
    /// Held-out rows.
    pub validation_rows: usize,
    /// Slots.
    pub lanes: usize,
    /// For each tangent, the one feature whose strength it moves, if it is one.
    pub factor_seeds: Vec<Option<usize>>,
    /// For each tangent, whether the stop rule tests it.
    pub tested: Vec<bool>,
    /// For each tangent, what it moves in the schedule: kind and iteration.
    pub schedule_seeds: Vec<(u32, u32)>,
    /// Whether a tangent moves the target.
    pub seeds_target: bool,
    /// Phases of the schedule.
    pub phases: usize,
    /// Whether steps and momenta are products of a factor of the iteration and one of the lane, rather than tabulated.
    pub factored: bool,
    /// Stages of an iteration: two where a phase ends with identification.
    pub stages: usize,
    /// Iterations without a change of the active set that count as identification.
    pub patience: usize,
    /// First iteration that carries tangents; `u32::MAX` for identification.
    pub tangent_start: u32,
    /// Whether a step follows from the curvature along the last one.
    pub measures_curvature: bool,
    /// Whether what happens decides what comes.
    pub adaptive: bool,
    /// The metric.
    pub metric: MetricKind,
    /// Lanes of the metric's table.
    pub metric_lanes: usize,
    /// Largest multiple of the metric's lower bound.
    pub metric_gain: f64,
    /// Tolerance of the stop rule.
    pub tol: f64,
    /// Unit of the duality gap.
    pub gap_unit: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Iterations between tests of the stop rule; 0: at the end only.
    pub check_every: usize,
    /// The execution strategy.
    pub strategy: Strategy,
    /// How workgroups of the persistent strategy are cut.
    pub persistent: Option<PersistentTile>,
    /// The loss of zero coefficients, where the strategy leaves it out of its sums.
    pub loss_at_zero: f64,
    /// Parts into which the sums of predictions and of gradients are split.
    pub split_k: [usize; 2],
    /// Whether predictions leave out coefficients that are zero in all lanes of a workgroup, and tangents of a gradient wait until
    /// it is known which they are.
    pub active_set: bool,
    /// How products are cut.
    pub tiles: Tiles,
}

/// What a tangent moves in the schedule, as a number.
const SCHEDULE_SEEDS: [(&str, u32); 4] =
    [("SEED_NOTHING", 0), ("SEED_EVERY_STEP", 1), ("SEED_STEP", 2), ("SEED_MOMENTUM", 3)];

fn seed_code(seed: ScheduleSeed) -> (u32, u32) {
    // Iterations that a device can count fit.
    match seed {
        ScheduleSeed::Nothing => (0, 0),
        ScheduleSeed::EveryStep => (1, 0),
        ScheduleSeed::Step(k) => (2, k as u32),
        ScheduleSeed::Momentum(k) => (3, k as u32),
    }
}

/// Parts of a turn, as bits.
pub(super) const FINALIZES: u32 = 1;
pub(super) const CONTROLS: u32 = 2;
pub(super) const CHECKED: u32 = 4;

/// Quads of lanes that a workgroup of `finalize` serves, where its invocations share sums.
const FINALIZE_LANE4S: usize = 4;
/// Shares of a sum that are not worth being shared out.
const SHORT_SUM: usize = 16;
/// Bytes of workgroup memory that it may use: less than every device has.
const FINALIZE_BYTES: usize = 8 << 10;
/// Invocations of a workgroup of an element-wise kernel: along the groups of four lanes, along blocks of rows.
pub(super) const GROUP: [usize; 2] = [8, 8];

impl ShaderSpec {
    pub(super) fn new(plan: &Plan, numbers: &RunNumbers, job: &Job<'_>, tiles: Tiles) -> Self {
        let (loss, penalty, schedule) = (job.problem.loss(), job.problem.penalty(), job.schedule);
        let r = &plan.request;
        ShaderSpec {
            precision: r.precision,
            loss,
            penalty,
            rows: r.rows,
            state_rows: r.state_rows,
            penalised: numbers.penalised,
            has_factors: numbers.factors[..numbers.penalised].iter().any(|f| *f != 1.0),
            validation_rows: r.validation_rows,
            lanes: plan.slots,
            factor_seeds: numbers.factor_seeds.clone(),
            tested: numbers.tested.clone(),
            schedule_seeds: schedule.schedule_seeds().iter().copied().map(seed_code).collect(),
            seeds_target: numbers.target_tangent.is_some(),
            phases: schedule.schedule().phases().len(),
            factored: schedule.is_factored(),
            stages: schedule.stages(),
            patience: schedule.schedule().patience,
            tangent_start: u32::try_from(schedule.tangent_start()).unwrap_or(u32::MAX),
            measures_curvature: schedule.uses_secant(),
            adaptive: schedule.schedule().is_adaptive(),
            metric: r.metric,
            metric_lanes: match job.metric {
                MetricSource::Table(table) if table.ndim() == 3 => plan.slots,
                _ => 1,
            },
            metric_gain: if let MetricSource::Hessian { gain, .. } = job.metric { *gain } else { 1.0 },
            tol: job.tol,
            gap_unit: numbers.gap_unit,
            iterations: r.iterations,
            check_every: r.check_every,
            strategy: plan.strategy,
            persistent: plan.persistent,
            loss_at_zero: if plan.strategy == Strategy::Direct { 0.0 } else { gram_target(job, numbers).1 },
            split_k: r.split_k(),
            active_set: plan.active_sets,
            tiles,
        }
    }

    /// Whether the step, and what is seen of new predictions, are epilogues of products.
    pub(super) fn steps_in_product(&self) -> bool {
        self.factor_seeds.len() <= FUSED_TANGENTS && self.split_k[1] == 1
    }
    pub(super) fn observes_in_product(&self) -> bool {
        self.factor_seeds.len() <= FUSED_TANGENTS && self.split_k[0] == 1
    }
    /// Whether a prediction's end leaves the residual of the iteration to come.
    pub(super) fn stores_next_residual(&self) -> bool {
        self.strategy == Strategy::Direct && self.observes_in_product() && !self.adaptive
    }
    /// Whether tangents take a step of their own, after the iterate has, and only where a coefficient moves. Two products in place of one
    /// cost a little more where all do; which it is must not depend on how a run goes, as compilers may round them differently.
    pub(super) fn tangents_wait(&self) -> bool {
        self.active_set && !self.factor_seeds.is_empty()
    }
    pub(super) fn validates_in_product(&self) -> bool {
        self.factor_seeds.len() <= FUSED_TANGENTS
    }

    /// Quads of lanes of a workgroup of products that share a list of coefficients.
    pub(super) fn active_set_lane4s(&self) -> usize {
        let Tile { lane4s, group, .. } = self.tiles.fused[0];
        lane4s * group[0]
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            rows: self.rows,
            state_rows: self.state_rows,
            validation_rows: self.validation_rows,
            lanes: self.lanes,
            d: self.factor_seeds.len(),
            phases: if self.factored { self.phases } else { 0 },
            stages: self.stages,
            measures_curvature: self.measures_curvature,
            adaptive: self.adaptive,
            gram: self.strategy != Strategy::Direct,
            groups: self.persistent.map(|tile| tile.groups),
        }
    }

    fn real(&self, v: f64) -> String {
        match self.precision {
            // The largest finite number stands for infinity.
            // All digits of it: a shortened decimal may lie outside of f32.
            Precision::F32 => {
                format!("{:e}f", f64::from(v.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32))
            }
            Precision::F64 => format!("{:e}lf", v.clamp(-f64::MAX, f64::MAX)),
        }
    }

    /// Invocations that add up the shares of a lane: the more the longer the sums are, at least one for each lane of a lane4.
    fn reducers(&self) -> usize {
        (self.longest_sum() / 16).next_power_of_two().clamp(4, 32)
    }

    fn longest_sum(&self) -> usize {
        self.layout().sums().iter().map(|s| s.blocks).max().unwrap_or(0)
    }

    /// Whether a lane's shares are added up by the invocation that decides for it.
    pub(super) fn adds_up_alone(&self) -> bool {
        self.longest_sum() <= SHORT_SUM
    }

    /// Quads of lanes that a workgroup of `finalize` serves.
    pub(super) fn finalize_lane4s(&self) -> usize {
        if self.adds_up_alone() { 4 * FINALIZE_LANE4S } else { FINALIZE_LANE4S }
    }

    /// Sums that a workgroup adds up at a time.
    fn sum_batch(&self) -> usize {
        (FINALIZE_BYTES / (self.reducers() * FINALIZE_LANE4S * 4 * self.precision.bytes() as usize)).max(1)
    }

    pub(super) fn prelude(&self) -> String {
        let layout = self.layout();
        let d = layout.d;
        let scalar = if self.precision == Precision::F32 { "f32" } else { "f64" };
        let mut out = format!("alias real = {scalar};\nalias real4 = vec4<{scalar}>;\n");
        let mut count = |name: &str, v: usize| {
            let _ = writeln!(out, "const {name}: u32 = {v}u;");
        };
        count("ROWS", self.rows);
        count("STATE_ROWS", self.state_rows);
        count("STRIDE4", layout.stride() / 4);
        count("CARRIED_ROWS", layout.carried_rows());
        count("PENALISED", self.penalised);
        count("VALIDATION_ROWS", self.validation_rows);
        count("LANES", self.lanes);
        count("PADDED_LANES", layout.padded_lanes());
        count("TANGENTS", d);
        count("MAX_TANGENTS", d.max(1));
        count("MAX_NORMS", 3 * (1 + d));
        count("WIDTH", 1 + d);
        count("COLUMNS", layout.columns());
        count("COLUMNS4", layout.columns() / 4);
        count("LANE4S", layout.padded_lanes() / 4);
        count("ROW_BLOCK", ROW_BLOCK);
        count("GROUP_LANE4S", GROUP[0]);
        count("GROUP_BLOCKS", GROUP[1]);
        count("FINALIZE_LANE4S", self.finalize_lane4s());
        count("REDUCERS", self.reducers());
        count("SUM_BATCH", self.sum_batch());
        count("FINALIZE_PARTIALS", self.sum_batch() * self.reducers() * FINALIZE_LANE4S);
        count("ROW_FIELDS", 2 + d);
        count("ITERATIONS", self.iterations);
        count("CHECK_EVERY", self.check_every);
        count("STAGES", self.stages);
        count("TANGENT_START", self.tangent_start as usize);
        count("METRIC_LANES", self.metric_lanes);
        count("METRIC_EVERY", if let MetricKind::Hessian { every } = self.metric { every } else { 1 });
        layout.fields().iter().for_each(|(name, v)| count(name, *v));
        let sums = layout.sums();
        for s in &sums {
            count(&format!("PART_{}", s.name), s.start);
            count(&format!("BLOCKS_{}", s.name), s.blocks);
            count(&format!("TOTAL_{}", s.name), s.index);
        }
        if let Some(tile) = self.persistent {
            let own = tile.own_rows(self.state_rows);
            count("LOCAL_LANE4S", tile.lane4s);
            count("LOCAL_LANES", 4 * tile.lane4s);
            count("ROW_GROUPS", tile.groups);
            count("OWN_ROWS", own);
            count("OWN_VALUES", own * (1 + d));
            count("POOL", 2 * layout.stride() * (1 + d) * tile.lane4s);
            count("PAGES", layout.lane_state_fields() * 4 * tile.lane4s);
            count(
                "LOCAL_PARTIALS",
                sums.iter().filter(|s| !s.check).map(|s| s.count).sum::<usize>() * tile.groups * tile.lane4s,
            );
        }
        count("SUMS", sums.iter().map(|s| s.count).sum());
        count("SUMS_OF_EACH", sums.iter().filter(|s| !s.check).map(|s| s.count).sum());
        Code::BITS.iter().chain(&SCHEDULE_SEEDS).for_each(|(name, bit)| count(name, *bit as usize));
        for (name, bit) in [("FINALIZES", FINALIZES), ("CONTROLS", CONTROLS), ("CHECKED", CHECKED)] {
            count(name, bit as usize);
        }
        let _ = writeln!(out, "const MEASURES_CURVATURE: bool = {};", self.measures_curvature);
        let _ = writeln!(out, "const ADAPTIVE: bool = {};", self.adaptive);
        let identifies = self.stages > 1 || self.tangent_start == u32::MAX;
        let _ = writeln!(out, "const IDENTIFIES: bool = {identifies};");
        let _ = writeln!(out, "const PREDICTS_AHEAD: bool = {};", self.stores_next_residual());
        let _ = writeln!(out, "const HAS_FACTORS: bool = {};", self.has_factors);
        let _ = writeln!(out, "const HAS_METRIC: bool = {};", self.metric != MetricKind::None);
        let _ = writeln!(out, "const RIDGE_IN_LOSS: bool = {};", self.penalty.ridge_in_loss());
        let _ = writeln!(out, "const SEEDS_TARGET: bool = {};", self.seeds_target);
        let mut number = |name: String, v: f64| {
            let _ = writeln!(out, "const {name}: real = {};", self.real(v));
        };
        number("REAL_MAX".into(), f64::INFINITY);
        number("FINITE_SCALE".into(), if self.precision == Precision::F32 { 1.0 } else { 2f64.powi(-900) });
        number("TOL".into(), self.tol);
        number("LOSS_AT_ZERO".into(), self.loss_at_zero);
        number("GAP_UNIT".into(), self.gap_unit);
        number("PATIENCE".into(), self.patience as f64);
        number("METRIC_GAIN".into(), self.metric_gain);
        super::kernels::STATUS_CODES
            .iter()
            .for_each(|(name, _, code)| number((*name).into(), f64::from(*code)));
        for (kind, parameters) in [("LOSS", self.loss.parameters()), ("PENALTY", self.penalty.parameters())] {
            for (name, v) in parameters {
                number(format!("{kind}_{}", name.to_uppercase()), v);
            }
        }
        let mut list = |name: &str, kind: &str, none: &str, values: Vec<String>| {
            let values = if values.is_empty() { vec![none.to_string()] } else { values };
            let kind = format!("array<{kind}, {}>", values.len());
            let _ = writeln!(out, "var<private> {name}: {kind} = {kind}({});", values.join(", "));
        };
        list(
            "FACTOR_SEEDS",
            "i32",
            "-1",
            self.factor_seeds.iter().map(|f| f.map_or("-1".into(), |j| j.to_string())).collect(),
        );
        list("TESTED", "bool", "false", self.tested.iter().map(bool::to_string).collect());
        list(
            "SCHEDULE_SEEDS",
            "u32",
            "0u",
            self.schedule_seeds.iter().map(|m| format!("{}u", m.0)).collect(),
        );
        list(
            "SEED_ITERATIONS",
            "u32",
            "0u",
            self.schedule_seeds.iter().map(|m| format!("{}u", m.1)).collect(),
        );
        // Of each sum by itself: where its shares begin, and how many there are.
        let each = |f: &dyn Fn(&Sum, usize) -> usize| {
            sums.iter().flat_map(|s| (0..s.count).map(move |i| format!("{}u", f(s, i)))).collect::<Vec<_>>()
        };
        list("SUM_STARTS", "u32", "0u", each(&|s, i| s.start + i * s.blocks));
        list("SUM_BLOCKS", "u32", "0u", each(&|s, _| s.blocks));
        out
    }
}
