//! The constants at the beginning of a run's shaders.

use std::fmt::Write;

use super::data::{STATUS_CODES, gram_target};
use crate::lanes::fields::{Table, code, constant, record, rule, state, unit};
use crate::lanes::{Job, MetricSource, RunNumbers};
use crate::objective::{Loss, Penalty, Zeros};
use crate::program::{FINALIZE_LANE4S, GROUP, MetricKind, Precision, ROW_BLOCK, Shape, Strategy, Sum};
use crate::schedule::{Code, ScheduleSeed};

/// The inputs of a run's shader text, besides its passes.
#[derive(Debug, Clone)]
pub(super) struct ShaderSpec {
    pub(super) loss: Loss,
    pub(super) penalty: Penalty,
    pub(super) precision: Precision,
    /// The constants, one per line.
    pub(super) prelude: String,
}

/// Codes of the schedule quantities that a tangent differentiates by.
const SCHEDULE_SEEDS: [(&str, u32); 4] =
    [("SEED_NOTHING", 0), ("SEED_EVERY_STEP", 1), ("SEED_STEP", 2), ("SEED_MOMENTUM", 3)];

fn seed_code(seed: ScheduleSeed) -> (u32, u32) {
    // Iteration numbers fit u32, since a device can count them.
    match seed {
        ScheduleSeed::Nothing => (0, 0),
        ScheduleSeed::EveryStep => (1, 0),
        ScheduleSeed::Step(k) => (2, k as u32),
        ScheduleSeed::Momentum(k) => (3, k as u32),
    }
}

/// Tasks of `finalize`, as bits.
pub(super) const FINALIZES: u32 = 1;
pub(super) const CONTROLS: u32 = 2;
pub(super) const CHECKED: u32 = 4;
pub(super) const RECORDS: u32 = 8;

impl ShaderSpec {
    pub(super) fn new(s: &Shape, numbers: &RunNumbers, job: &Job<'_>) -> Self {
        let mut lines = Lines { precision: s.request.precision, out: String::new() };
        lines.aliases();
        lines.sizes(s);
        lines.fields(s);
        lines.sums(s);
        lines.persistent(s);
        lines.schedule(s, job);
        lines.objective(s, numbers, job);
        lines.seeds(numbers, job);
        let (loss, penalty) = (job.problem.loss(), job.problem.penalty());
        ShaderSpec { loss, penalty, precision: s.request.precision, prelude: lines.out }
    }
}

/// Constants that are being written.
struct Lines {
    precision: Precision,
    out: String,
}

impl Lines {
    fn count(&mut self, name: &str, v: usize) {
        let _ = writeln!(self.out, "const {name}: u32 = {v}u;");
    }

    fn counts(&mut self, list: &[(&str, usize)]) {
        list.iter().for_each(|(name, v)| self.count(name, *v));
    }

    fn flag(&mut self, name: &str, on: bool) {
        let _ = writeln!(self.out, "const {name}: bool = {on};");
    }

    /// A number with all its digits: a shortened decimal may lie outside of the range of f32. The largest
    /// finite number represents infinity.
    fn real(&self, v: f64) -> String {
        match self.precision {
            Precision::F32 => {
                format!("{:e}f", f64::from(v.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32))
            }
            Precision::F64 => format!("{:e}lf", v.clamp(-f64::MAX, f64::MAX)),
        }
    }

    fn number(&mut self, name: &str, v: f64) {
        let text = self.real(v);
        let _ = writeln!(self.out, "const {name}: real = {text};");
    }

    /// A list that is indexed at run time; `none` if it is empty.
    fn list(&mut self, name: &str, kind: &str, none: &str, values: Vec<String>) {
        let values = if values.is_empty() { vec![none.to_string()] } else { values };
        let kind = format!("array<{kind}, {}>", values.len());
        let _ = writeln!(self.out, "var<private> {name}: {kind} = {kind}({});", values.join(", "));
    }

    fn aliases(&mut self) {
        let scalar = self.precision.name();
        let _ = writeln!(self.out, "alias real = {scalar};\nalias real4 = vec4<{scalar}>;");
        self.number("REAL_MAX", f64::INFINITY);
        self.number("FINITE_SCALE", if self.precision == Precision::F32 { 1.0 } else { 2f64.powi(-900) });
    }

    fn sizes(&mut self, s: &Shape) {
        let d = s.d();
        self.counts(&[
            ("ROWS", s.rows()),
            ("STATE_ROWS", s.state_rows()),
            ("STRIDE4", s.stride() / 4),
            ("CARRIED_ROWS", s.carried_rows()),
            ("VALIDATION_ROWS", s.request.validation_rows),
            ("LANES", s.slots),
            ("PADDED_LANES", s.padded_lanes()),
            ("LANE4S", s.lane4s()),
            ("TANGENTS", d),
            ("MAX_TANGENTS", d.max(1)),
            ("MAX_NORMS", 3 * (1 + d)),
            ("WIDTH", 1 + d),
            ("COLUMNS", s.columns()),
            ("COLUMNS4", s.columns() / 4),
            ("ROW_BLOCK", ROW_BLOCK),
            ("ROW_FIELDS", 2 + d),
            ("GROUP_LANE4S", GROUP[0]),
            ("GROUP_BLOCKS", GROUP[1]),
            ("METRIC_LANES", s.metric_lanes()),
        ]);
    }

    /// Named indices of fields, and the number of fields of each kind.
    fn fields(&mut self, s: &Shape) {
        let d = s.d();
        let tables = [state::TABLE, constant::TABLE, rule::TABLE, code::TABLE, unit::TABLE, record::TABLE];
        tables.iter().flat_map(|table| table.places(d)).for_each(|(name, place)| self.count(name, place));
        let of = |table: Table| table.len(d);
        self.counts(&[
            ("STATE_FIELDS", of(state::TABLE)),
            ("LANE_FIELDS", s.lane_fields()),
            ("LANE_BASES", s.lane_bases()),
            ("RULE_FIELDS", of(rule::TABLE)),
            ("CODE_FIELDS", of(code::TABLE)),
            ("UNIT_FIELDS", of(unit::TABLE)),
            ("RECORD_FIELDS", of(record::TABLE)),
        ]);
        for (name, _, code) in STATUS_CODES {
            self.number(name, f64::from(code));
        }
    }

    fn sums(&mut self, s: &Shape) {
        let sums = s.sums();
        for sum in &sums {
            self.count(&format!("PART_{}", sum.name), sum.start);
            self.count(&format!("BLOCKS_{}", sum.name), sum.blocks);
            self.count(&format!("TOTAL_{}", sum.name), sum.index);
        }
        self.counts(&[
            ("SUMS", sums.iter().map(|sum| sum.count).sum()),
            ("SUMS_OF_EACH", sums.iter().filter(|sum| !sum.check).map(|sum| sum.count).sum()),
            ("FINALIZE_LANE4S", s.finalize_lane4s()),
            ("REDUCERS", s.reducers()),
            ("SUM_BATCH", s.sum_batch()),
            ("FINALIZE_PARTIALS", s.sum_batch() * s.reducers() * FINALIZE_LANE4S),
        ]);
        // For each sum: the index of its first partial sum, and their number.
        let each = |f: &dyn Fn(&Sum, usize) -> usize| {
            sums.iter().flat_map(|s| (0..s.count).map(move |i| format!("{}u", f(s, i)))).collect::<Vec<_>>()
        };
        self.list("SUM_STARTS", "u32", "0u", each(&|s, i| s.start + i * s.blocks));
        self.list("SUM_BLOCKS", "u32", "0u", each(&|s, _| s.blocks));
    }

    fn persistent(&mut self, s: &Shape) {
        let Some(tile) = s.persistent else { return };
        let own = tile.own_rows(s.state_rows());
        let sums = s.sums();
        let of_each: usize = sums.iter().filter(|sum| !sum.check).map(|sum| sum.count).sum();
        self.counts(&[
            ("LOCAL_LANE4S", tile.lane4s),
            ("LOCAL_LANES", 4 * tile.lane4s),
            ("ROW_GROUPS", tile.groups),
            ("OWN_ROWS", own),
            ("OWN_VALUES", own * (1 + s.d())),
            ("POOL", 2 * s.stride() * (1 + s.d()) * tile.lane4s),
            ("PAGES", s.state_fields() * 4 * tile.lane4s),
            ("LOCAL_PARTIALS", of_each * tile.groups * tile.lane4s),
        ]);
    }

    fn schedule(&mut self, s: &Shape, job: &Job<'_>) {
        let (r, schedule) = (&s.request, job.schedule);
        let tangent_start = u32::try_from(schedule.tangent_start()).unwrap_or(u32::MAX);
        self.counts(&[
            ("ITERATIONS", r.iterations),
            // Periods beyond a u32 never come.
            ("CHECK_EVERY", r.check_every.min(u32::MAX as usize)),
            ("RECORD_EVERY", r.record_period()),
            ("FRAME_EVERY", r.every.min(u32::MAX as usize)),
            ("STAGES", r.stages),
            ("TANGENT_START", tangent_start as usize),
            ("METRIC_EVERY", if let MetricKind::Hessian { every } = r.metric { every } else { 1 }),
        ]);
        let tasks = [FINALIZES, CONTROLS, CHECKED, RECORDS];
        let names = ["FINALIZES", "CONTROLS", "CHECKED", "RECORDS"];
        let bits: Vec<(&str, u32)> = names.into_iter().zip(tasks).collect();
        for (name, bit) in Code::BITS.iter().chain(&SCHEDULE_SEEDS).chain(&bits) {
            self.count(name, *bit as usize);
        }
        self.flag("MEASURES_CURVATURE", r.measures_curvature);
        self.flag("ADAPTIVE", r.adaptive);
        self.flag("IDENTIFIES", r.stages > 1 || tangent_start == u32::MAX);
        self.flag("PREDICTS_AHEAD", s.stores_next_residual());
        self.number("PATIENCE", schedule.schedule().patience as f64);
    }

    fn objective(&mut self, s: &Shape, numbers: &RunNumbers, job: &Job<'_>) {
        let (loss, penalty) = (job.problem.loss(), job.problem.penalty());
        self.count("PENALISED", numbers.penalised);
        self.flag("HAS_FACTORS", numbers.factors[..numbers.penalised].iter().any(|f| *f != 1.0));
        self.flag("HAS_METRIC", s.has_metric());
        self.flag("HAS_DUAL", s.request.has_dual);
        self.flag("RIDGE_IN_LOSS", penalty.ridge_in_loss());
        self.flag("CHANGES_BY_SIGN", penalty.capabilities().zeros != Zeros::Absent);
        self.flag("SEEDS_TARGET", numbers.target_tangent.is_some());
        let at_zero = if s.strategy == Strategy::Direct { 0.0 } else { gram_target(job, numbers).1 };
        self.number("LOSS_AT_ZERO", at_zero);
        self.number("GAP_UNIT", numbers.gap_unit);
        let gain = if let MetricSource::Hessian { gain, .. } = job.metric { *gain } else { 1.0 };
        self.number("METRIC_GAIN", gain);
        for (kind, parameters) in [("LOSS", loss.parameters()), ("PENALTY", penalty.parameters())] {
            for (name, v) in parameters {
                self.number(&format!("{kind}_{}", name.to_uppercase()), v);
            }
        }
    }

    /// The seed of each tangent.
    fn seeds(&mut self, numbers: &RunNumbers, job: &Job<'_>) {
        let seeds: Vec<_> = job.schedule.schedule_seeds().iter().copied().map(seed_code).collect();
        let features = numbers.factor_seeds.iter().map(|f| f.map_or("-1".into(), |j| j.to_string()));
        self.list("FACTOR_SEEDS", "i32", "-1", features.collect());
        self.list("TESTED", "bool", "false", numbers.tested.iter().map(bool::to_string).collect());
        self.list("SCHEDULE_SEEDS", "u32", "0u", seeds.iter().map(|m| format!("{}u", m.0)).collect());
        self.list("SEED_ITERATIONS", "u32", "0u", seeds.iter().map(|m| format!("{}u", m.1)).collect());
        let intercepts = numbers.intercept_tangents.iter().map(|v| self.real(*v)).collect();
        self.list("INTERCEPT_TANGENTS", "real", "0.0", intercepts);
    }
}
