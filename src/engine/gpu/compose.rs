//! Shader text: a generated prelude of constants, then whole files, one after the other.

use std::collections::HashSet;
use std::fmt::Write;

use super::layout::{Layout, Sum, gram_target};
use super::product::{Columns, Product, Side, Support, Tile, Tiles};
use crate::engine::{Job, MetricSource, RunNumbers};
use crate::plan::{FUSED_TANGENTS, Form, MetricForm, Plan, Precision, ROW_BLOCK, ResidentTile, rows_per_sum};
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
    /// Whether some of them have a penalty factor other than one.
    pub has_factors: bool,
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
    /// Whether what happens decides what comes.
    pub adapts: bool,
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
    /// The execution form.
    pub form: Form,
    /// How workgroups of the resident form are cut.
    pub resident: Option<ResidentTile>,
    /// The loss of zero coefficients, where the form leaves it out of its sums.
    pub loss_at_zero: f64,
    /// Parts into which the sums of predictions and of gradients are split.
    pub splits: [usize; 2],
    /// Whether predictions leave out coefficients that are zero in all lanes of a workgroup, and tangents of a gradient wait until
    /// it is known which they are.
    pub support: bool,
    /// How products are cut.
    pub tiles: Tiles,
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
    /// Workgroups.
    pub groups: [u32; 3],
    /// (file, first line in `source`, counted from 1).
    parts: Vec<(String, usize)>,
}

impl Composed {
    /// A shader of one generated text.
    pub(super) fn alone(name: &'static str, source: String, groups: [u32; 3]) -> Self {
        let parts = vec![(format!("generated: {name}"), 1)];
        Composed { name, entry: name, source, groups, parts }
    }

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

/// Quads of lanes that a workgroup of `turn` serves, where its invocations share sums.
const TURN_QUADS: usize = 4;
/// Shares of a sum that are not worth being shared out.
const SHORT_SUM: usize = 16;
/// Bytes of workgroup memory that it may use: less than every device has.
const TURN_BYTES: usize = 8 << 10;
/// Invocations of a workgroup of an element-wise kernel: along the quads of lanes, along blocks of rows.
const GROUP: [usize; 2] = [8, 8];

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
            adapts: schedule.schedule().adapts(),
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
            form: plan.form,
            resident: plan.resident,
            loss_at_zero: if plan.form == Form::Direct { 0.0 } else { gram_target(job, numbers).1 },
            splits: r.splits(),
            support: plan.support,
            tiles,
        }
    }

    /// Whether the step, and what is seen of new predictions, are ends of products.
    pub(super) fn steps_in_product(&self) -> bool {
        self.only.len() <= FUSED_TANGENTS && self.splits[1] == 1
    }
    pub(super) fn observes_in_product(&self) -> bool {
        self.only.len() <= FUSED_TANGENTS && self.splits[0] == 1
    }
    /// Whether a prediction's end leaves the residual of the iteration to come.
    pub(super) fn looks_ahead(&self) -> bool {
        self.form == Form::Direct && self.observes_in_product() && !self.adapts
    }
    /// Whether tangents take a step of their own, after the iterate has, and only where a coefficient moves. Two products in place of one
    /// cost a little more where all do; which it is must not depend on how a run goes, as compilers may round them differently.
    pub(super) fn tangents_wait(&self) -> bool {
        self.support && !self.only.is_empty()
    }
    pub(super) fn validates_in_product(&self) -> bool {
        self.only.len() <= FUSED_TANGENTS
    }

    /// Quads of lanes of a workgroup of products that share a list of coefficients.
    pub(super) fn support_quads(&self) -> usize {
        let Tile { quads, group, .. } = self.tiles.ended[0];
        quads * group[0]
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
            measures_curvature: self.measures_curvature,
            adapts: self.adapts,
            gram: self.form != Form::Direct,
            groups: self.resident.map(|tile| tile.groups),
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

    /// Invocations that add up the shares of a lane: the more the longer the sums are, at least one for each lane of a quad.
    fn reducers(&self) -> usize {
        (self.longest_sum() / 16).next_power_of_two().clamp(4, 32)
    }

    fn longest_sum(&self) -> usize {
        self.layout().sums().iter().map(|s| s.blocks).max().unwrap_or(0)
    }

    /// Whether a lane's shares are added up by the invocation that decides for it.
    fn adds_up_alone(&self) -> bool {
        self.longest_sum() <= SHORT_SUM
    }

    /// Quads of lanes that a workgroup of `turn` serves.
    fn turn_quads(&self) -> usize {
        if self.adds_up_alone() { 4 * TURN_QUADS } else { TURN_QUADS }
    }

    /// Sums that a workgroup adds up at a time.
    fn sum_batch(&self) -> usize {
        (TURN_BYTES / (self.reducers() * TURN_QUADS * 4 * self.precision.bytes() as usize)).max(1)
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
        count("CARRIED_ROWS", layout.carried_rows());
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
        count("QUADS", layout.lanes4() / 4);
        count("ROW_BLOCK", ROW_BLOCK);
        count("GROUP_QUADS", GROUP[0]);
        count("GROUP_BLOCKS", GROUP[1]);
        count("TURN_QUADS", self.turn_quads());
        count("REDUCERS", self.reducers());
        count("SUM_BATCH", self.sum_batch());
        count("TURN_SHARES", self.sum_batch() * self.reducers() * TURN_QUADS);
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
        let sums = layout.sums();
        for s in &sums {
            count(&format!("PART_{}", s.name), s.start);
            count(&format!("BLOCKS_{}", s.name), s.blocks);
            count(&format!("TOTAL_{}", s.name), s.index);
        }
        if let Some(tile) = self.resident {
            let own = tile.own_rows(self.state_rows);
            count("LOCAL_QUADS", tile.quads);
            count("LOCAL_LANES", 4 * tile.quads);
            count("ROW_GROUPS", tile.groups);
            count("OWN_ROWS", own);
            count("OWN_VALUES", own * (1 + d));
            count("POOL", 2 * layout.stride() * (1 + d) * tile.quads);
            count("PAGES", layout.book_fields() * 4 * tile.quads);
            count(
                "LOCAL_SHARES",
                sums.iter().filter(|s| !s.check).map(|s| s.count).sum::<usize>() * tile.groups * tile.quads,
            );
        }
        count("SUMS", sums.iter().map(|s| s.count).sum());
        count("SUMS_OF_EACH", sums.iter().filter(|s| !s.check).map(|s| s.count).sum());
        count("BOOK_FIELDS", layout.book_fields());
        Code::BITS.iter().chain(&MOVES).for_each(|(name, bit)| count(name, *bit as usize));
        for (name, bit) in [("CLOSES", CLOSES), ("CONTROLS", CONTROLS), ("CHECKED", CHECKED)] {
            count(name, bit as usize);
        }
        let _ = writeln!(out, "const MEASURES_CURVATURE: bool = {};", self.measures_curvature);
        let _ = writeln!(out, "const DECIDES: bool = {};", self.adapts);
        let identifies = self.stages > 1 || self.tangent_start == u32::MAX;
        let _ = writeln!(out, "const IDENTIFIES: bool = {identifies};");
        let _ = writeln!(out, "const PREDICTS_AHEAD: bool = {};", self.looks_ahead());
        let _ = writeln!(out, "const HAS_FACTORS: bool = {};", self.has_factors);
        let _ = writeln!(out, "const HAS_METRIC: bool = {};", self.metric != MetricForm::None);
        let _ = writeln!(out, "const RIDGE_IN_LOSS: bool = {};", self.penalty.ridge_in_loss());
        let _ = writeln!(out, "const MOVES_TARGET: bool = {};", self.moves_target);
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
        // Of each sum by itself: where its shares begin, and how many there are.
        let each = |f: &dyn Fn(&Sum, usize) -> usize| {
            sums.iter().flat_map(|s| (0..s.count).map(move |i| format!("{}u", f(s, i)))).collect::<Vec<_>>()
        };
        list("SUM_STARTS", "u32", "0u", each(&|s, i| s.start + i * s.blocks));
        list("SUM_BLOCKS", "u32", "0u", each(&|s, _| s.blocks));
        out
    }
}

macro_rules! file {
    ($path:literal) => {
        (concat!("shaders/", $path), include_str!(concat!("../../../shaders/", $path)))
    };
}

/// The lines of the prelude that some texts use: a kernel is compiled anew only where a constant of its own changes.
fn used(prelude: &str, texts: &[(&str, &str)]) -> String {
    let words: HashSet<&str> =
        texts.iter().flat_map(|(_, text)| text.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let is_used = |line: &&str| {
        line.starts_with("alias") || line.split([' ', ':']).nth(1).is_some_and(|name| words.contains(name))
    };
    prelude.lines().filter(is_used).map(|line| format!("{line}\n")).collect()
}

/// A storage binding that a generated kernel has besides its operands.
fn storage(from: usize, list: &[(&str, &str)]) -> String {
    let line = |(i, (name, access)): (usize, &(&str, &str))| {
        // Rows of the data have numbers of their own; all else is of quads of lanes.
        let element = match *name {
            "rows" | "validation_rows" => "real",
            "support" | "listed" => "u32",
            _ => "real4",
        };
        format!("@group(1) @binding({}) var<storage, {access}> {name}: array<{element}>;\n", from + i)
    };
    list.iter().enumerate().map(line).collect()
}

/// `multiply` of the resident form, in registers: `carried = X'X x` of an invocation's rows, at a state, in the order of the products'
/// sums.
fn resident_multiply(rows: usize, width: usize) -> String {
    let each = |f: &dyn Fn(usize, usize) -> String| -> String {
        (0..rows).flat_map(|r| (0..width).map(move |t| (r, t))).map(|(r, t)| f(r, t)).collect()
    };
    let mut out = String::from("fn multiply(base: u32, quad: u32) {\n");
    out += &each(&|r, t| format!("    var s{r}_{t} = real4();\n"));
    for r in 0..rows {
        let _ = writeln!(out, "    let a{r} = min(first_row + {r}u, STATE_ROWS - 1u) * STRIDE4;");
    }
    out.push_str("    for (var k = 0u; k < STRIDE4; k++) {\n");
    for r in 0..rows {
        let _ = writeln!(out, "        let g{r} = gram[a{r} + k];");
    }
    for (i, component) in ["x", "y", "z", "w"].into_iter().enumerate() {
        for t in 0..width {
            let _ = writeln!(out, "        let m{i}_{t} = pool[pooled(base, 4u * k + {i}u, {t}u, quad)];");
        }
        out += &each(&|r, t| format!("        s{r}_{t} = fma(real4(g{r}.{component}), m{i}_{t}, s{r}_{t});\n"));
    }
    out.push_str("    }\n");
    out += &each(&|r, t| format!("    carried[{}] = s{r}_{t};\n", r * width + t));
    out + "}\n"
}

/// Ends without their product: one invocation takes a quad of lanes and a block of rows of a matrix.
fn by_itself(entry: &str, matrix: &str, rows: usize, block: usize, ends: &[&str], bindings: &[(&str, &str)]) -> String {
    let call = |what: &str, arguments: &str| -> String {
        ends.iter().map(|end| format!("    {end}_{what}({arguments});\n")).collect()
    };
    format!(
        "@group(0) @binding(0) var<uniform> params: Params;\n{}\n\
         @compute @workgroup_size(GROUP_QUADS, GROUP_BLOCKS)\n\
         fn {entry}(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
         let quad = id.x;\n    let first = id.y * {block}u;\n    \
         if (quad >= QUADS || first >= {rows}u) {{\n        return;\n    }}\n{}    \
         for (var i = first; i < min(first + {block}u, {rows}u); i++) {{\n    \
         for (var t = 0u; t < WIDTH; t++) {{\n        values[t] = {matrix}[place(i, quad) + t * QUADS];\n    }}\n{}    }}\n{}}}\n",
        storage(0, &[&[(matrix, "read")], bindings].concat()),
        call("begin", "quad"),
        call("row", "i, quad"),
        call("leave", "id.y, quad"),
    )
}

const STEP: [(&str, &str); 6] = [
    ("x", "read_write"),
    ("x_previous", "read_write"),
    ("lanes", "read"),
    ("book", "read"),
    ("partials", "read_write"),
    ("metric", "read"),
];
const OBSERVE: [(&str, &str); 2] = [("rows", "read"), ("partials", "read_write")];
const SECANT: [(&str, &str); 2] = [("r", "read"), ("extrapolated", "read")];
const AHEAD: [(&str, &str); 3] = [("z_before", "read"), ("book", "read"), ("r", "read_write")];
const FIT: [(&str, &str); 2] = [("lanes", "read"), ("partials", "read_write")];
const VALIDATE: [(&str, &str); 2] = [("validation_rows", "read"), ("partials", "read_write")];

/// What is taken of a product.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// All of it.
    Whole,
    /// The listed terms of its sums.
    Terms,
    /// The iterates' columns.
    Iterate,
    /// The tangents' columns, in the listed rows.
    Tangents,
}

/// Every kernel that a run dispatches, by name.
pub fn compose_all(spec: &ShaderSpec) -> Vec<Composed> {
    let (params, index, values) =
        (file!("shared/params.wgsl"), file!("shared/index.wgsl"), file!("shared/values.wgsl"));
    let transcendental = match spec.precision {
        Precision::F32 => file!("shared/transcendental_f32.wgsl"),
        Precision::F64 => file!("shared/transcendental_f64.wgsl"),
    };
    let loss = [spec.loss.shader(), transcendental, file!("shared/log1p_series.wgsl")];
    let penalty = [spec.penalty.shader(), file!("shared/prox.wgsl"), file!("shared/strength.wgsl")];
    let scale = file!("shared/dual_scale.wgsl");
    let (told, told_quads) = (file!("shared/book_quads.wgsl"), file!("shared/told.wgsl"));
    let partials = file!("shared/partials.wgsl");
    let rules = if spec.factored { file!("schedule/factored.wgsl") } else { file!("schedule/tabulated.wgsl") };

    let layout = spec.layout();
    let prelude = spec.prelude();
    let mut all = Vec::new();
    let mut add = |name: &'static str, entry: &'static str, groups: [u32; 3], files: &[&[(&str, &str)]]| {
        let texts = [&[params, index], files.concat().as_slice()].concat();
        let mut source = used(&prelude, &texts);
        let mut parts = vec![("prelude".to_string(), 1)];
        for (file, text) in texts {
            parts.push((file.to_string(), source.lines().count() + 1));
            source.push_str(text);
            source.push('\n');
        }
        all.push(Composed { name, entry, source, groups, parts });
    };
    let (n, q, stride, held_out) = (spec.rows, spec.state_rows, layout.stride(), spec.validation_rows);
    let d = layout.d;
    let quads = layout.lanes4() / 4;
    let groups = |rows: usize, block: usize| {
        [quads.div_ceil(GROUP[0]) as u32, rows.div_ceil(block).div_ceil(GROUP[1]) as u32, 1]
    };
    let by_rows = |rows: usize| groups(rows, ROW_BLOCK);
    let own = rows_per_sum(d);
    // A product with its ends, if it has any: its text and its workgroups.
    type Operands<'a> = (Side, (&'a str, &'a str, Option<&'a str>));
    let cut = |cut: Cut, entry: &str, (side, names): Operands<'_>, ends: &[&str], bindings: &[(&str, &str)]| {
        let (rows, inner) = match (side, names.0) {
            (Side::Plain, "validation_design") => (held_out, stride),
            (Side::Plain, "gram") => (q, stride),
            (Side::Plain, _) => (n, stride),
            // The padding of a stored gradient is stored as well.
            (Side::Transposed, _) => (if ends.is_empty() { stride } else { q }, n),
        };
        let alone = ends.is_empty();
        let tiles = if alone { spec.tiles.stored } else { spec.tiles.ended };
        let tile = match side {
            Side::Plain => tiles[0],
            Side::Transposed => tiles[1],
        };
        let splits = match (side, names.0) {
            (_, "validation_design" | "gram") => 1,
            (Side::Plain, _) => spec.splits[0],
            (Side::Transposed, _) => spec.splits[1],
        };
        let names = if splits > 1 { (names.0, names.1, Some("shares")) } else { names };
        let (columns, support, tile) = match cut {
            Cut::Whole if alone => (Columns::Each, Support::None, tile),
            Cut::Whole => (Columns::OfLane { first: 0, count: 1 + d }, Support::None, tile),
            Cut::Terms => (Columns::OfLane { first: 0, count: 1 + d }, Support::Terms, tile),
            Cut::Iterate => {
                let tile = tile.with_columns(1 + d, 1, tile.quads.max(2.min(quads)), own);
                (Columns::OfLane { first: 0, count: 1 }, Support::None, tile)
            }
            Cut::Tangents => {
                // Lists are of the lanes of a prediction's workgroup.
                let tile = spec.tiles.ended[0];
                let tile = tile.with_columns(1 + d, d, tile.quads, 4);
                (Columns::OfLane { first: 1, count: d }, Support::Rows, tile)
            }
        };
        let (shape, tile) = ((rows, inner), tile.for_rows(rows));
        let product = Product { names, shape, side, columns, splits, support, tile, ends, rows_per_sum: own };
        let bound = 2 + usize::from(names.2.is_some());
        let text = product.source(entry, &storage(bound, bindings));
        (text, product.groups(if columns == Columns::Each { layout.columns() / 4 } else { quads }))
    };
    let product =
        |entry: &str, side: Side, names: (&str, &str, Option<&str>), ends: &[&str], bindings: &[(&str, &str)]| {
            cut(Cut::Whole, entry, (side, names), ends, bindings)
        };

    add("admit", "admit", [0, n.max(q).div_ceil(ROW_BLOCK) as u32, 1], &[&[file!("kernel/admit.wgsl")]]);
    let sums = match spec.adds_up_alone() {
        true => file!("shared/sums_alone.wgsl"),
        false => file!("shared/sums_together.wgsl"),
    };
    let turn = [
        file!("kernel/turn.wgsl"),
        sums,
        file!("shared/control.wgsl"),
        file!("shared/status.wgsl"),
        rules,
        file!("shared/book.wgsl"),
    ];
    add("turn", "turn", [quads.div_ceil(spec.turn_quads()) as u32, 1, 1], &[&turn, &[file!("shared/lane.wgsl")]]);

    let residual = file!("end/residual.wgsl");
    let state = file!("shared/state.wgsl");
    if spec.form == Form::Direct {
        let (text, grid) = product("gradient", Side::Transposed, ("design", "r", Some("g")), &[], &[]);
        add("gradient", "gradient", grid, &[&[("generated: gradient", &text)]]);
        let (text, grid) = product("predict", Side::Plain, ("design", "x", Some("z")), &[], &[]);
        add("predict", "predict", grid, &[&[("generated: predict", &text)]]);
        let files = [file!("kernel/residual.wgsl"), file!("end/extrapolate.wgsl"), residual, values, told, told_quads];
        add("residual", "residual", by_rows(n), &[&files, &loss]);

        let step = [file!("end/step.wgsl"), state, values, told, told_quads, partials];
        let gradient = (Side::Transposed, ("design", "r", None));
        if spec.tangents_wait() {
            let bindings = [&STEP[..], &[("stepped", "read_write")]].concat();
            let (text, grid) = cut(Cut::Iterate, "gradient_iterate", gradient, &["iterate"], &bindings);
            let own_files = [("generated: gradient_iterate", text.as_str()), file!("end/iterate.wgsl")];
            add("gradient_iterate", "gradient_iterate", grid, &[&own_files, &step, &penalty]);
            let stored = (Side::Transposed, ("design", "r", Some("g")));
            let (text, grid) = cut(Cut::Tangents, "gradient_tangents", stored, &[], &[("support", "read")]);
            add("gradient_tangents", "gradient_tangents", grid, &[&[("generated: gradient_tangents", &text)]]);
            let text = by_itself("step_tangents_kernel", "g", q, own, &["tangents"], &bindings);
            let own_files = [("generated: step_tangents", text.as_str()), file!("end/tangents.wgsl")];
            add("step_tangents", "step_tangents_kernel", groups(q, own), &[&own_files, &step, &penalty]);
        } else if spec.steps_in_product() {
            let (text, grid) = cut(Cut::Whole, "gradient_step", gradient, &["step"], &STEP);
            add("gradient_step", "gradient_step", grid, &[&[("generated: gradient_step", &text)], &step, &penalty]);
        } else {
            let text = by_itself("step_kernel", "g", q, own, &["step"], &STEP);
            add("step", "step_kernel", groups(q, own), &[&[("generated: step", &text)], &step, &penalty]);
        }

        let mut ends = vec!["observe"];
        let mut bindings = OBSERVE.to_vec();
        let mut files = vec![file!("end/observe.wgsl"), values, partials];
        if spec.measures_curvature {
            ends.push("secant");
            bindings.extend(SECANT);
            files.push(file!("end/secant.wgsl"));
        }
        if spec.observes_in_product() {
            if spec.looks_ahead() {
                ends.push("residual");
                bindings.extend(AHEAD);
                files.extend([residual, file!("end/extrapolate.wgsl"), file!("end/next.wgsl"), told, told_quads]);
            }
            if spec.support {
                bindings.push(("support", "read"));
                let text = format!("const SUPPORT_QUADS: u32 = {}u;\n", spec.support_quads());
                let files = [file!("kernel/support.wgsl"), ("generated: support", text.as_str())];
                add("support", "support_kernel", [quads.div_ceil(spec.support_quads()) as u32, 1, 1], &[&files]);
            }
            let operands = (Side::Plain, ("design", "x", Some("z")));
            let terms = if spec.support { Cut::Terms } else { Cut::Whole };
            let (text, grid) = cut(terms, "predict_observe", operands, &ends, &bindings);
            add("predict_observe", "predict_observe", grid, &[&[("generated: predict_observe", &text)], &files, &loss]);
        } else {
            let text = by_itself("observe", "z", n, own, &ends, &bindings);
            add("observe", "observe", groups(n, own), &[&[("generated: observe", &text)], &files, &loss]);
        }
    } else {
        // The host dispatches it piece by piece.
        add("gram", "gram_kernel", [0; 3], &[&[file!("kernel/gram.wgsl")]]);
        let bindings = [("lanes", "read"), ("g", "read_write")];
        let text = by_itself("gram_gradient", "v", q, own, &["at_iterate"], &bindings);
        let files = [
            ("generated: gram_gradient", text.as_str()),
            file!("end/at_iterate.wgsl"),
            file!("shared/gram_target.wgsl"),
            file!("shared/strength.wgsl"),
            values,
        ];
        add("gram_gradient", "gram_gradient", groups(q, own), &[&files]);
        let (text, grid) = product("gram_product", Side::Plain, ("gram", "x", Some("v")), &[], &[]);
        add("gram_product", "gram_product", grid, &[&[("generated: gram_product", &text)]]);

        let fit_files =
            [file!("end/fit.wgsl"), file!("shared/gram_target.wgsl"), file!("shared/strength.wgsl"), values];
        let slope = [file!("end/slope.wgsl"), file!("end/step.wgsl"), told_quads];
        if let Some(tile) = spec.resident {
            let grid = [quads.div_ceil(tile.quads) as u32, 1, 1];
            let decides = [file!("shared/control.wgsl"), file!("shared/status.wgsl"), rules, file!("shared/lane.wgsl")];
            let penalty = [spec.penalty.shader(), file!("shared/prox.wgsl")];
            let text = resident_multiply(tile.own_rows(q), 1 + d);
            let files = [file!("kernel/resident.wgsl"), ("generated: multiply", text.as_str())];
            add("resident", "resident", grid, &[&files, &slope, &fit_files, &decides, &penalty]);
        } else {
            let bindings = [&STEP[..], &[("v_before", "read")]].concat();
            let text = by_itself("gram_step", "v", q, own, &["slope", "step"], &bindings);
            let files = [
                ("generated: gram_step", text.as_str()),
                file!("shared/carried.wgsl"),
                file!("shared/gram_target.wgsl"),
                state,
                values,
                told,
                partials,
            ];
            add("gram_step", "gram_step", groups(q, own), &[&files, &slope, &penalty]);

            let fit = [&fit_files[..], &[file!("shared/fitted.wgsl"), partials]].concat();
            if d <= FUSED_TANGENTS {
                let (text, grid) = product("gram_fit", Side::Plain, ("gram", "x", Some("v")), &["fit"], &FIT);
                add("gram_fit", "gram_fit", grid, &[&[("generated: gram_fit", &text)], &fit]);
            } else {
                let text = by_itself("fit", "v", q, own, &["fit"], &[&[("x", "read")], &FIT[..]].concat());
                add("fit", "fit", groups(q, own), &[&[("generated: fit", &text)], &fit]);
            }
        }
    }
    if held_out > 0 {
        let files = [file!("end/validate.wgsl"), values, partials];
        let names = ("validation_design", "x", (!spec.validates_in_product()).then_some("validation_z"));
        if spec.validates_in_product() {
            let (text, grid) = product("predict_validate", Side::Plain, names, &["validate"], &VALIDATE);
            add(
                "predict_validate",
                "predict_validate",
                grid,
                &[&[("generated: predict_validate", &text)], &files, &loss],
            );
        } else {
            let (text, grid) = product("predict_validation", Side::Plain, names, &[], &[]);
            add("predict_validation", "predict_validation", grid, &[&[("generated: predict_validation", &text)]]);
            let text = by_itself("validate", "validation_z", held_out, own, &["validate"], &VALIDATE);
            add("validate", "validate", groups(held_out, own), &[&[("generated: validate", &text)], &files, &loss]);
        }
    }
    for (name, splits, rows) in [("gather_z", spec.splits[0], n), ("gather_g", spec.splits[1], stride)] {
        if splits > 1 && spec.form == Form::Direct {
            let text = format!("const SPLITS: u32 = {splits}u;\nconst GATHERED: u32 = {rows}u;\n");
            let grid = [(layout.columns() / 4).div_ceil(64) as u32, rows as u32, 1];
            add(name, "gather", grid, &[&[file!("kernel/gather.wgsl"), ("generated: gather", &text)]]);
        }
    }

    match spec.metric {
        MetricForm::Hessian { .. } => {
            add("curvatures", "curvatures", by_rows(n), &[&[file!("kernel/curvatures.wgsl")], &loss]);
            let names = ("design_squares", "r", Some("g"));
            let (text, grid) = product("gradient_squares", Side::Transposed, names, &[], &[]);
            add("gradient_squares", "gradient_squares", grid, &[&[("generated: gradient_squares", &text)]]);
            add(
                "metric_hessian",
                "metric_hessian",
                by_rows(q),
                &[&[file!("kernel/metric_hessian.wgsl"), told, told_quads]],
            );
        }
        MetricForm::Table { .. } => {
            add("metric_table", "metric_table_kernel", by_rows(q), &[&[file!("kernel/metric_table.wgsl")]]);
        }
        MetricForm::None | MetricForm::Fixed => {}
    }

    add("criterion", "criterion", by_rows(q), &[&[file!("kernel/criterion.wgsl"), partials], &penalty]);
    if spec.form == Form::Direct {
        add("gap_loss", "gap_loss", by_rows(n), &[&[file!("kernel/gap_loss.wgsl"), partials, scale], &loss]);
    } else {
        add(
            "gap_fit",
            "gap_fit",
            [quads.div_ceil(64) as u32, 1, 1],
            &[&[file!("kernel/gap_fit.wgsl"), partials, scale]],
        );
    }
    add("gap_penalty", "gap_penalty", by_rows(q), &[&[file!("kernel/gap_penalty.wgsl"), partials, scale], &penalty]);
    all
}
