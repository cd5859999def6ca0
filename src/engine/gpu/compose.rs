//! Shader text: a generated prelude of constants, then whole files, one after the other.

use std::fmt::Write;

use super::layout::{columns, stride};
use super::product::{Side, product_source};
use crate::engine::{Job, LaneNumbers, MetricSource};
use crate::plan::{MetricForm, Plan, Precision, ROW_BLOCK, RecordLayout};
use crate::problem::{Loss, Penalty};
use crate::schedule::Code;

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
    /// Lanes of the batch.
    pub lanes: usize,
    /// For each tangent, the one feature whose strength it moves, if it is one.
    pub only: Vec<Option<usize>>,
    /// For each tangent, whether the stop rule tests it.
    pub tested: Vec<bool>,
    /// Whether a tangent moves the target.
    pub moves_target: bool,
    /// Rows of the step table per iteration.
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

/// Numbers of a directive besides those of its tangents.
const DIRECTIVE_FIELDS: usize = 5;

/// What a lane remembers for the control kernel, and what the status kernel has seen; two numbers per tangent follow.
const MEMORY: [&str; 12] = [
    "MEMORY_COUNT",
    "MEMORY_QUIET",
    "MEMORY_IDENTIFIED",
    "MEMORY_SWITCHED",
    "MEMORY_SCALE",
    "MEMORY_STEP",
    "MEMORY_OBJECTIVE",
    "SEEN_OBJECTIVE",
    "SEEN_MOVED",
    "SEEN_RESTART",
    "SEEN_SQUARE",
    "SEEN_SECANT",
];

/// Numbers of a lane's memory.
pub(super) fn memory_fields(tangents: usize) -> usize {
    MEMORY.len() + 2 * tangents
}

/// Numbers of a lane's directive.
pub(super) fn directive_fields(tangents: usize) -> usize {
    DIRECTIVE_FIELDS + 3 * tangents
}

/// Offsets of the sums that blocks of rows leave for `status`.
pub(super) struct Partials {
    d: usize,
}

impl Partials {
    pub(super) fn new(d: usize) -> Self {
        Partials { d }
    }
    fn named(&self) -> [(&'static str, usize); 18] {
        let d = self.d;
        [
            ("PART_PRICE", 0),
            ("PART_CHANGE", 1),
            ("PART_SUPPORT", 2),
            ("PART_LOSS", 3),
            ("PART_VALIDATION", 4),
            ("PART_RATIO", 5),
            ("PART_GAP_LOSS", 6),
            ("PART_GAP_PENALTY", 7),
            ("PART_ACTIVE_CHANGE", 8),
            ("PART_RESTART", 9),
            ("PART_SQUARE", 10),
            ("PART_SECANT_STATE", 11),
            ("PART_SECANT_ROWS", 12),
            ("PART_DCHANGE", 13),
            ("PART_HYPERGRADIENT", 13 + d),
            ("PART_DSQUARE", 13 + 2 * d),
            ("PART_DSECANT_STATE", 13 + 3 * d),
            ("PART_DSECANT_ROWS", 13 + 4 * d),
        ]
    }
    fn norms(&self) -> usize {
        13 + 5 * self.d
    }
    pub(super) fn fields(&self) -> usize {
        self.norms() + 3 * (1 + self.d)
    }
}

impl ShaderSpec {
    pub(super) fn new(plan: &Plan, numbers: &LaneNumbers, job: &Job<'_>) -> Self {
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
            lanes: numbers.l1.len(),
            only: numbers.only.clone(),
            tested: numbers.tested.clone(),
            moves_target: numbers.target_tangent.is_some(),
            stages: schedule.stages(),
            patience: schedule.schedule().patience,
            tangent_start: u32::try_from(schedule.tangent_start()).unwrap_or(u32::MAX),
            measures_curvature: schedule.uses_secant(),
            metric: r.metric,
            metric_lanes: match job.metric {
                MetricSource::Table(table) if table.ndim() == 3 => numbers.l1.len(),
                _ => 1,
            },
            metric_gain: if let MetricSource::Hessian { gain, .. } = job.metric { *gain } else { 1.0 },
            tol: job.tol,
            gap_unit: numbers.gap_unit,
            iterations: r.iterations,
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

    fn prelude(&self) -> String {
        let d = self.only.len();
        let scalar = if self.precision == Precision::F32 { "f32" } else { "f64" };
        let mut out = format!("alias real = {scalar};\nalias real4 = vec4<{scalar}>;\n");
        let columns = columns(self.lanes, d);
        let mut count = |name: &str, v: usize| {
            let _ = writeln!(out, "const {name}: u32 = {v}u;");
        };
        let blocks = |rows: usize| rows.div_ceil(ROW_BLOCK);
        count("ROWS", self.rows);
        count("STATE_ROWS", self.state_rows);
        count("STRIDE4", stride(self.state_rows) / 4);
        count("PENALISED", self.penalised);
        count("VALIDATION_ROWS", self.validation_rows);
        count("LANES", self.lanes);
        count("TANGENTS", d);
        count("MAX_TANGENTS", d.max(1));
        count("MAX_NORMS", 3 * (1 + d));
        count("WIDTH", 1 + d);
        count("COLUMNS", columns);
        count("COLUMNS4", columns / 4);
        count("ROW_BLOCK", ROW_BLOCK);
        count("ROW_BLOCKS", blocks(self.rows));
        count("STATE_BLOCKS", blocks(self.state_rows));
        count("VALIDATION_BLOCKS", blocks(self.validation_rows));
        count("ROW_FIELDS", 2 + d);
        count("LANE_FIELDS", 5 + 2 * d);
        count("RECORD_FIELDS", RecordLayout::new(d).fields());
        count("ITERATIONS", self.iterations);
        count("STAGES", self.stages);
        count("TABLE_FIELDS", 2 + 2 * d);
        count("DIRECTIVE_FIELDS", directive_fields(d));
        count("TANGENT_START", self.tangent_start as usize);
        count("METRIC_LANES", self.metric_lanes);
        MEMORY.iter().enumerate().for_each(|(i, name)| count(name, i));
        count("SEEN_TANGENTS", MEMORY.len());
        count("MEMORY_FIELDS", memory_fields(d));
        Code::BITS.iter().for_each(|(name, bit)| count(name, *bit as usize));
        let partials = Partials::new(d);
        partials.named().iter().for_each(|(name, v)| count(name, *v));
        count("PART_NORMS", partials.norms());
        count("PARTIAL_FIELDS", partials.fields());
        super::kernels::STATUS_CODES.iter().for_each(|(name, _, code)| count(name, *code as usize));
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
        for (kind, parameters) in [("LOSS", self.loss.parameters()), ("PENALTY", self.penalty.parameters())] {
            for (name, v) in parameters {
                number(format!("{kind}_{}", name.to_uppercase()), v);
            }
        }
        let only: Vec<String> = self.only.iter().map(|f| f.map_or("-1".into(), |j| j.to_string())).collect();
        let list = if d == 0 { "-1".into() } else { only.join(", ") };
        let tested: Vec<String> = self.tested.iter().map(bool::to_string).collect();
        let tested = if d == 0 { "false".into() } else { tested.join(", ") };
        let _ = writeln!(out, "var<private> TESTED: array<bool, {}> = array<bool, {}>({tested});", d.max(1), d.max(1));
        let _ = writeln!(out, "var<private> ONLY: array<i32, {}> = array<i32, {}>({list});", d.max(1), d.max(1));
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
    let directive = file!("shared/directive.wgsl");
    let build = |name: &'static str, entry: &'static str, files: &[(&str, &str)]| {
        let mut source = spec.prelude();
        let mut parts = vec![("prelude".to_string(), 1)];
        for (file, text) in [&[params], files].concat() {
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
        build("control", "control", &[file!("kernel/control.wgsl")]),
        build("curvatures", "curvatures", &[file!("kernel/curvatures.wgsl"), l0, l1, l2]),
        build("metric_hessian", "metric_hessian", &[file!("kernel/metric_hessian.wgsl")]),
        build("metric_table", "metric_table_kernel", &[file!("kernel/metric_table.wgsl")]),
        build("residual", "residual", &[file!("kernel/residual.wgsl"), directive, l0, l1, l2]),
        build("step", "step_kernel", &[file!("kernel/step.wgsl"), directive, p0, p1, p2]),
        build("observe", "observe", &[file!("kernel/observe.wgsl"), l0, l1, l2]),
        build("validate", "validate", &[file!("kernel/validate.wgsl"), l0, l1, l2]),
        build("criterion", "criterion", &[file!("kernel/criterion.wgsl"), p0, p1, p2]),
        build("gap_loss", "gap_loss", &[file!("kernel/gap_loss.wgsl"), l0, l1, l2, scale]),
        build("gap_penalty", "gap_penalty", &[file!("kernel/gap_penalty.wgsl"), p0, p1, p2, scale]),
        build("status", "status", &[file!("kernel/status.wgsl"), directive]),
    ]
}
