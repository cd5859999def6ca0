//! Shader text: a generated prelude of constants, then whole files, one after the other.

use std::fmt::Write;

use super::layout::{columns, stride};
use super::product::{Side, product_source};
use crate::engine::LaneNumbers;
use crate::plan::{Plan, Precision, ROW_BLOCK, RecordLayout};
use crate::problem::{Loss, Penalty};

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
    /// Whether a tangent moves the target.
    pub moves_target: bool,
    /// Whether the gradient is taken at the extrapolated point.
    pub looks_ahead: bool,
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

/// Offsets of the sums that blocks of rows leave for `status`.
pub(super) struct Partials {
    d: usize,
}

impl Partials {
    pub(super) fn new(d: usize) -> Self {
        Partials { d }
    }
    fn named(&self) -> [(&'static str, usize); 10] {
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
            ("PART_DCHANGE", 8),
            ("PART_HYPERGRADIENT", 8 + d),
        ]
    }
    fn norms(&self) -> usize {
        8 + 2 * self.d
    }
    pub(super) fn fields(&self) -> usize {
        self.norms() + 3 * (1 + self.d)
    }
}

impl ShaderSpec {
    pub(super) fn new(
        plan: &Plan,
        numbers: &LaneNumbers,
        loss: Loss,
        penalty: Penalty,
        looks_ahead: bool,
        tol: f64,
    ) -> Self {
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
            moves_target: numbers.target_tangent.is_some(),
            looks_ahead,
            tol,
            gap_unit: numbers.gap_unit,
            iterations: r.iterations,
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
        let partials = Partials::new(d);
        partials.named().iter().for_each(|(name, v)| count(name, *v));
        count("PART_NORMS", partials.norms());
        count("PARTIAL_FIELDS", partials.fields());
        super::kernels::STATUS_CODES.iter().for_each(|(name, _, code)| count(name, *code as usize));
        let _ = writeln!(out, "const LOOKS_AHEAD: bool = {};", self.looks_ahead);
        let _ = writeln!(out, "const RIDGE_IN_LOSS: bool = {};", self.penalty.ridge_in_loss());
        let _ = writeln!(out, "const MOVES_TARGET: bool = {};", self.moves_target);
        let mut number = |name: String, v: f64| {
            let _ = writeln!(out, "const {name}: real = {};", self.real(v));
        };
        number("REAL_MAX".into(), f64::INFINITY);
        number("FINITE_SCALE".into(), if self.precision == Precision::F32 { 1.0 } else { 2f64.powi(-900) });
        number("TOL".into(), self.tol);
        number("GAP_UNIT".into(), self.gap_unit);
        for (kind, parameters) in [("LOSS", self.loss.parameters()), ("PENALTY", self.penalty.parameters())] {
            for (name, v) in parameters {
                number(format!("{kind}_{}", name.to_uppercase()), v);
            }
        }
        let only: Vec<String> = self.only.iter().map(|f| f.map_or("-1".into(), |j| j.to_string())).collect();
        let list = if d == 0 { "-1".into() } else { only.join(", ") };
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
        build("residual", "residual", &[file!("kernel/residual.wgsl"), l0, l1, l2]),
        build("step", "step_kernel", &[file!("kernel/step.wgsl"), p0, p1, p2]),
        build("observe", "observe", &[file!("kernel/observe.wgsl"), l0, l1, l2]),
        build("validate", "validate", &[file!("kernel/validate.wgsl"), l0, l1, l2]),
        build("criterion", "criterion", &[file!("kernel/criterion.wgsl"), p0, p1, p2]),
        build("gap_loss", "gap_loss", &[file!("kernel/gap_loss.wgsl"), l0, l1, l2, scale]),
        build("gap_penalty", "gap_penalty", &[file!("kernel/gap_penalty.wgsl"), p0, p1, p2, scale]),
        build("status", "status", &[file!("kernel/status.wgsl")]),
    ]
}
