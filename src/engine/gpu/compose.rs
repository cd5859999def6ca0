//! Shader text: a generated prelude of constants, then whole files, one after the other.

use std::fmt::Write;

use super::layout::Layout;
use super::product::{Side, product_source};
use crate::engine::{Job, MetricSource, RunNumbers};
use crate::plan::{MetricForm, Plan, Precision, ROW_BLOCK};
use crate::problem::{Loss, Penalty};
use crate::schedule::{Code, Move};

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
    /// Held-out rows.
    pub validation_rows: usize,
    /// Seats.
    pub lanes: usize,
    /// For each tangent, the one feature whose strength it moves, if it is one.
    pub only: Vec<Option<usize>>,
    /// For each tangent, whether the stop rule tests it.
    pub tested: Vec<bool>,
    /// For each tangent, what it moves in the schedule: kind and iteration.
    pub moves: Vec<(u32, u32)>,
    /// Whether a tangent moves the target.
    pub moves_target: bool,
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
    /// The metric.
    pub metric: MetricForm,
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
}

/// A finished shader and where its lines come from.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Kernel: its file's and entry point's name.
    pub name: &'static str,
    /// Entry point.
    pub entry: &'static str,
    /// WGSL.
    pub source: String,
    /// (file, first line in `source`, counted from 1).
    parts: Vec<(String, usize)>,
}

impl Composed {
    /// `file:line` of a line of the source, counted from 1.
    pub fn locate(&self, line: usize) -> String {
        let part = self.parts.iter().rev().find(|(_, first)| *first <= line);
        part.map_or_else(|| format!("line {line}"), |(file, first)| format!("{file}:{}", line - first + 1))
    }
}

/// What a tangent moves in the schedule, as a number.
const MOVES: [(&str, u32); 4] =
    [("MOVES_NOTHING", 0), ("MOVES_EVERY_STEP", 1), ("MOVES_STEP", 2), ("MOVES_MOMENTUM", 3)];

fn move_code(moves: Move) -> (u32, u32) {
    // Iterations that a device can count fit.
    match moves {
        Move::Nothing => (0, 0),
        Move::EveryStep => (1, 0),
        Move::Step(k) => (2, k as u32),
        Move::Momentum(k) => (3, k as u32),
    }
}

/// Parts of a turn, as bits.
pub(super) const CLOSES: u32 = 1;
pub(super) const CONTROLS: u32 = 2;
pub(super) const CHECKED: u32 = 4;

/// Lanes that a workgroup of `turn` serves.
pub(super) const TURN_LANES: usize = 16;

impl ShaderSpec {
    pub(super) fn new(plan: &Plan, numbers: &RunNumbers, job: &Job<'_>) -> Self {
        let (loss, penalty, schedule) = (job.problem.loss(), job.problem.penalty(), job.schedule);
        let r = &plan.request;
        ShaderSpec {
            precision: r.precision,
            loss,
            penalty,
            rows: r.rows,
            state_rows: r.state_rows,
            penalised: numbers.penalised,
            validation_rows: r.validation_rows,
            lanes: plan.seats,
            only: numbers.only.clone(),
            tested: numbers.tested.clone(),
            moves: schedule.moves().iter().copied().map(move_code).collect(),
            moves_target: numbers.target_tangent.is_some(),
            phases: schedule.schedule().phases().len(),
            factored: schedule.is_factored(),
            stages: schedule.stages(),
            patience: schedule.schedule().patience,
            tangent_start: u32::try_from(schedule.tangent_start()).unwrap_or(u32::MAX),
            measures_curvature: schedule.uses_secant(),
            metric: r.metric,
            metric_lanes: match job.metric {
                MetricSource::Table(table) if table.ndim() == 3 => plan.seats,
                _ => 1,
            },
            metric_gain: if let MetricSource::Hessian { gain, .. } = job.metric { *gain } else { 1.0 },
            tol: job.tol,
            gap_unit: numbers.gap_unit,
            iterations: r.iterations,
            check_every: r.check_every,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            rows: self.rows,
            state_rows: self.state_rows,
            validation_rows: self.validation_rows,
            lanes: self.lanes,
            d: self.only.len(),
            phases: if self.factored { self.phases } else { 0 },
            stages: self.stages,
        }
    }

    /// Whether a run dispatches a kernel at all.
    pub(super) fn uses(&self, kernel: &str) -> bool {
        match kernel {
            "curvatures" | "metric_hessian" => matches!(self.metric, MetricForm::Hessian { .. }),
            "metric_table" => matches!(self.metric, MetricForm::Table { .. }),
            "predict_validation" | "validate" => self.validation_rows > 0,
            _ => true,
        }
    }

    fn real(&self, v: f64) -> String {
        match self.precision {
            // The largest finite number stands for infinity.
            // All digits of it: a shortened decimal may lie outside of f32.
            Precision::F32 => format!("{:e}f", f64::from(v.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32)),
            Precision::F64 => format!("{:e}lf", v.clamp(-f64::MAX, f64::MAX)),
        }
    }

    /// Invocations that add up the blocks of a lane: few blocks need no help.
    fn reducers(&self) -> usize {
        if self.layout().partial_blocks() <= 8 { 1 } else { 8 }
    }

    fn prelude(&self) -> String {
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
        count("PENALISED", self.penalised);
        count("VALIDATION_ROWS", self.validation_rows);
        count("LANES", self.lanes);
        count("LANES4", layout.lanes4());
        count("TANGENTS", d);
        count("MAX_TANGENTS", d.max(1));
        count("MAX_NORMS", 3 * (1 + d));
        count("WIDTH", 1 + d);
        count("COLUMNS", layout.columns());
        count("COLUMNS4", layout.columns() / 4);
        count("ROW_BLOCK", ROW_BLOCK);
        count("ROW_BLOCKS", layout.blocks(self.rows));
        count("STATE_BLOCKS", layout.blocks(self.state_rows));
        count("VALIDATION_BLOCKS", layout.blocks(self.validation_rows));
        count("PARTIAL_BLOCKS", layout.partial_blocks());
        count("TURN_LANES", TURN_LANES);
        count("REDUCERS", self.reducers());
        count("TURN_SHARES", TURN_LANES * self.reducers());
        count("ROW_FIELDS", 2 + d);
        count("LANE_FIELDS", layout.lane_fields());
        count("LANE_BASES", layout.lane_bases());
        count("RULE_FIELDS", layout.rule_fields());
        count("UNIT_FIELDS", Layout::UNIT_FIELDS);
        count("RECORD_FIELDS", layout.record_fields());
        count("ITERATIONS", self.iterations);
        count("CHECK_EVERY", self.check_every);
        count("STAGES", self.stages);
        count("TANGENT_START", self.tangent_start as usize);
        count("METRIC_LANES", self.metric_lanes);
        count("METRIC_EVERY", if let MetricForm::Hessian { every } = self.metric { every } else { 1 });
        layout.book().iter().for_each(|(name, v)| count(name, *v));
        layout.partials().iter().for_each(|(name, v)| count(&format!("PART_{name}"), *v));
        count("PARTIAL_FIELDS", layout.partial_fields());
        count("BOOK_FIELDS", layout.book_fields());
        Code::BITS.iter().chain(&MOVES).for_each(|(name, bit)| count(name, *bit as usize));
        for (name, bit) in [("CLOSES", CLOSES), ("CONTROLS", CONTROLS), ("CHECKED", CHECKED)] {
            count(name, bit as usize);
        }
        let _ = writeln!(out, "const MEASURES_CURVATURE: bool = {};", self.measures_curvature);
        let _ = writeln!(out, "const HAS_METRIC: bool = {};", self.metric != MetricForm::None);
        let _ = writeln!(out, "const RIDGE_IN_LOSS: bool = {};", self.penalty.ridge_in_loss());
        let _ = writeln!(out, "const MOVES_TARGET: bool = {};", self.moves_target);
        let mut number = |name: String, v: f64| {
            let _ = writeln!(out, "const {name}: real = {};", self.real(v));
        };
        number("REAL_MAX".into(), f64::INFINITY);
        number("FINITE_SCALE".into(), if self.precision == Precision::F32 { 1.0 } else { 2f64.powi(-900) });
        number("TOL".into(), self.tol);
        number("GAP_UNIT".into(), self.gap_unit);
        number("PATIENCE".into(), self.patience as f64);
        number("METRIC_GAIN".into(), self.metric_gain);
        super::kernels::STATUS_CODES.iter().for_each(|(name, _, code)| number((*name).into(), f64::from(*code)));
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
        list("ONLY", "i32", "-1", self.only.iter().map(|f| f.map_or("-1".into(), |j| j.to_string())).collect());
        list("TESTED", "bool", "false", self.tested.iter().map(bool::to_string).collect());
        list("MOVES", "u32", "0u", self.moves.iter().map(|m| format!("{}u", m.0)).collect());
        list("MOVES_AT", "u32", "0u", self.moves.iter().map(|m| format!("{}u", m.1)).collect());
        out
    }
}

macro_rules! file {
    ($path:literal) => {
        (concat!("shaders/", $path), include_str!(concat!("../../../shaders/", $path)))
    };
}

/// Every kernel of a run, by name.
pub fn compose_all(spec: &ShaderSpec) -> Vec<Composed> {
    let params = file!("shared/params.wgsl");
    let index = file!("shared/index.wgsl");
    let transcendental = match spec.precision {
        Precision::F32 => file!("shared/transcendental_f32.wgsl"),
        Precision::F64 => file!("shared/transcendental_f64.wgsl"),
    };
    let series = file!("shared/log1p_series.wgsl");
    let loss = [spec.loss.shader(), transcendental, series];
    let prox = file!("shared/prox.wgsl");
    let lane = file!("shared/lane.wgsl");
    let penalty = [spec.penalty.shader(), prox, lane];
    let scale = file!("shared/dual_scale.wgsl");
    let book = file!("shared/book.wgsl");
    let partials = file!("shared/partials.wgsl");
    let rules = if spec.factored { file!("schedule/factored.wgsl") } else { file!("schedule/tabulated.wgsl") };
    let (control, status) = (file!("shared/control.wgsl"), file!("shared/status.wgsl"));
    let build = |name: &'static str, entry: &'static str, files: &[(&str, &str)]| {
        let mut source = spec.prelude();
        let mut parts = vec![("prelude".to_string(), 1)];
        for (file, text) in [&[params, index], files].concat() {
            parts.push((file.to_string(), source.lines().count() + 1));
            source.push_str(text);
            source.push('\n');
        }
        Composed { name, entry, source, parts }
    };
    let [l0, l1, l2] = loss;
    let [p0, p1, p2] = penalty;
    let predict = product_source("predict", spec.rows, Side::Plain);
    let gradient = product_source("gradient", spec.rows, Side::Transposed);
    let held_out = product_source("predict", spec.validation_rows.max(1), Side::Plain);
    vec![
        build("predict", "predict", &[("generated: predict", &predict)]),
        build("predict_validation", "predict", &[("generated: predict", &held_out)]),
        build("gradient", "gradient", &[("generated: gradient", &gradient)]),
        build("admit", "admit", &[file!("kernel/admit.wgsl")]),
        build("turn", "turn", &[file!("kernel/turn.wgsl"), control, status, rules, book, lane]),
        build("curvatures", "curvatures", &[file!("kernel/curvatures.wgsl"), l0, l1, l2]),
        build("metric_hessian", "metric_hessian", &[file!("kernel/metric_hessian.wgsl"), book]),
        build("metric_table", "metric_table_kernel", &[file!("kernel/metric_table.wgsl")]),
        build("residual", "residual", &[file!("kernel/residual.wgsl"), book, l0, l1, l2]),
        build("step", "step_kernel", &[file!("kernel/step.wgsl"), book, partials, p0, p1, p2]),
        build("observe", "observe", &[file!("kernel/observe.wgsl"), partials, l0, l1, l2]),
        build("validate", "validate", &[file!("kernel/validate.wgsl"), partials, l0, l1, l2]),
        build("criterion", "criterion", &[file!("kernel/criterion.wgsl"), partials, p0, p1, p2]),
        build("gap_loss", "gap_loss", &[file!("kernel/gap_loss.wgsl"), partials, l0, l1, l2, scale]),
        build("gap_penalty", "gap_penalty", &[file!("kernel/gap_penalty.wgsl"), partials, p0, p1, p2, scale]),
    ]
}
