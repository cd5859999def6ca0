//! Shader text: the constants of a run, then whole files, one after the other.

use std::collections::HashSet;
use std::fmt::Write;

use super::product::{ActiveSet, Columns, Product, Side};
use super::spec::{GROUP, ShaderSpec};
use crate::program::{FUSED_TANGENTS, MetricKind, Precision, ROW_BLOCK, Strategy, rows_per_sum};

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
        // Rows of the data have numbers of their own; all else is of groups of four lanes.
        let element = match *name {
            "rows" | "validation_rows" => "real",
            "active_set" | "active_counts" => "u32",
            _ => "real4",
        };
        format!("@group(1) @binding({}) var<storage, {access}> {name}: array<{element}>;\n", from + i)
    };
    list.iter().enumerate().map(line).collect()
}

/// `multiply` of the persistent strategy, in registers: `carried = X'X x` of an invocation's rows, at a state, in the order of the products'
/// sums.
fn persistent_multiply(rows: usize, width: usize) -> String {
    let each = |f: &dyn Fn(usize, usize) -> String| -> String {
        (0..rows).flat_map(|r| (0..width).map(move |t| (r, t))).map(|(r, t)| f(r, t)).collect()
    };
    let mut out = String::from("fn multiply(base: u32, lane4: u32) {\n");
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
            let _ = writeln!(out, "        let m{i}_{t} = pool[pooled(base, 4u * k + {i}u, {t}u, lane4)];");
        }
        out +=
            &each(&|r, t| format!("        s{r}_{t} = fma(real4(g{r}.{component}), m{i}_{t}, s{r}_{t});\n"));
    }
    out.push_str("    }\n");
    out += &each(&|r, t| format!("    carried[{}] = s{r}_{t};\n", r * width + t));
    out + "}\n"
}

/// Ends without their product: one invocation takes four lanes and a block of rows of a matrix.
fn by_itself(
    entry: &str,
    matrix: &str,
    rows: usize,
    block: usize,
    epilogues: &[&str],
    bindings: &[(&str, &str)],
) -> String {
    let call = |what: &str, arguments: &str| -> String {
        epilogues.iter().map(|epilogue| format!("    {epilogue}_{what}({arguments});\n")).collect()
    };
    format!(
        "@group(0) @binding(0) var<uniform> params: Params;\n{}\n\
         @compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)\n\
         fn {entry}(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
         let lane4 = id.x;\n    let first = id.y * {block}u;\n    \
         if (lane4 >= LANE4S || first >= {rows}u) {{\n        return;\n    }}\n{}    \
         for (var i = first; i < min(first + {block}u, {rows}u); i++) {{\n    \
         for (var t = 0u; t < WIDTH; t++) {{\n        values[t] = {matrix}[place(i, lane4) + t * LANE4S];\n    }}\n{}    }}\n{}}}\n",
        storage(0, &[&[(matrix, "read")], bindings].concat()),
        call("begin", "lane4"),
        call("row", "i, lane4"),
        call("store", "id.y, lane4"),
    )
}

const STEP: [(&str, &str); 6] = [
    ("x", "read_write"),
    ("x_previous", "read_write"),
    ("lanes", "read"),
    ("lane_state", "read"),
    ("partials", "read_write"),
    ("metric", "read"),
];
const OBSERVE: [(&str, &str); 2] = [("rows", "read"), ("partials", "read_write")];
const SECANT: [(&str, &str); 2] = [("r", "read"), ("extrapolated", "read")];
const AHEAD: [(&str, &str); 3] = [("z_before", "read"), ("lane_state", "read"), ("r", "read_write")];
const GRAM_LOSS: [(&str, &str); 2] = [("lanes", "read"), ("partials", "read_write")];
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
    let loss = [spec.loss.shaders(), vec![transcendental, file!("shared/log1p_series.wgsl")]].concat();
    let penalty =
        [spec.penalty.shaders(), vec![file!("shared/prox.wgsl"), file!("shared/strength.wgsl")]].concat();
    let scale = file!("shared/dual_scale.wgsl");
    let (lane_state4, step_params) = (file!("shared/lane_state4.wgsl"), file!("shared/step_params.wgsl"));
    let partials = file!("shared/partials.wgsl");
    let rules =
        if spec.factored { file!("schedule/factored.wgsl") } else { file!("schedule/tabulated.wgsl") };

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
    let lane4s = layout.padded_lanes() / 4;
    let groups = |rows: usize, block: usize| {
        [lane4s.div_ceil(GROUP[0]) as u32, rows.div_ceil(block).div_ceil(GROUP[1]) as u32, 1]
    };
    let by_rows = |rows: usize| groups(rows, ROW_BLOCK);
    let own = rows_per_sum(d);
    // A product with its epilogues, if it has any: its text and its workgroups.
    type Operands<'a> = (Side, (&'a str, &'a str, Option<&'a str>));
    let cut = |cut: Cut,
               entry: &str,
               (side, names): Operands<'_>,
               epilogues: &[&str],
               bindings: &[(&str, &str)]| {
        let (rows, inner) = match (side, names.0) {
            (Side::Plain, "validation_design") => (held_out, stride),
            (Side::Plain, "gram") => (q, stride),
            (Side::Plain, _) => (n, stride),
            // The padding of a stored gradient is stored as well.
            (Side::Transposed, _) => (if epilogues.is_empty() { stride } else { q }, n),
        };
        let alone = epilogues.is_empty();
        let tiles = if alone { spec.tiles.stored } else { spec.tiles.fused };
        let tile = match side {
            Side::Plain => tiles[0],
            Side::Transposed => tiles[1],
        };
        let split_k = match (side, names.0) {
            (_, "validation_design" | "gram") => 1,
            (Side::Plain, _) => spec.split_k[0],
            (Side::Transposed, _) => spec.split_k[1],
        };
        let names = if split_k > 1 { (names.0, names.1, Some("split_partials")) } else { names };
        let (columns, active_set, tile) = match cut {
            Cut::Whole if alone => (Columns::Each, ActiveSet::None, tile),
            Cut::Whole => (Columns::OfLane { first: 0, count: 1 + d }, ActiveSet::None, tile),
            Cut::Terms => (Columns::OfLane { first: 0, count: 1 + d }, ActiveSet::Terms, tile),
            Cut::Iterate => {
                let tile = tile.with_columns(1 + d, 1, tile.lane4s.max(2.min(lane4s)), own);
                (Columns::OfLane { first: 0, count: 1 }, ActiveSet::None, tile)
            }
            Cut::Tangents => {
                // Lists are of the lanes of a prediction's workgroup.
                let tile = spec.tiles.fused[0];
                let tile = tile.with_columns(1 + d, d, tile.lane4s, 4);
                (Columns::OfLane { first: 1, count: d }, ActiveSet::Rows, tile)
            }
        };
        let (shape, tile) = ((rows, inner), tile.for_rows(rows));
        let product =
            Product { names, shape, side, columns, split_k, active_set, tile, epilogues, rows_per_sum: own };
        let bound = 2 + usize::from(names.2.is_some());
        let text = product.source(entry, &storage(bound, bindings));
        (text, product.groups(if columns == Columns::Each { layout.columns() / 4 } else { lane4s }))
    };
    let product =
        |entry: &str,
         side: Side,
         names: (&str, &str, Option<&str>),
         epilogues: &[&str],
         bindings: &[(&str, &str)]| { cut(Cut::Whole, entry, (side, names), epilogues, bindings) };

    add("load", "load", [0, n.max(q).div_ceil(ROW_BLOCK) as u32, 1], &[&[file!("kernel/load.wgsl")]]);
    let sums = match spec.adds_up_alone() {
        true => file!("shared/sums_alone.wgsl"),
        false => file!("shared/sums_together.wgsl"),
    };
    let finalize = [
        file!("kernel/finalize.wgsl"),
        sums,
        file!("shared/control.wgsl"),
        file!("shared/status.wgsl"),
        rules,
        file!("shared/lane_state.wgsl"),
    ];
    add(
        "finalize",
        "finalize",
        [lane4s.div_ceil(spec.finalize_lane4s()) as u32, 1, 1],
        &[&finalize, &[file!("shared/lane.wgsl")]],
    );

    let residual = file!("epilogue/residual.wgsl");
    let iterates = file!("shared/iterates.wgsl");
    if spec.strategy == Strategy::Direct {
        let (text, grid) = product("gradient", Side::Transposed, ("design", "r", Some("g")), &[], &[]);
        add("gradient", "gradient", grid, &[&[("generated: gradient", &text)]]);
        let (text, grid) = product("predict", Side::Plain, ("design", "x", Some("z")), &[], &[]);
        add("predict", "predict", grid, &[&[("generated: predict", &text)]]);
        let files = [
            file!("kernel/residual.wgsl"),
            file!("epilogue/extrapolate.wgsl"),
            residual,
            values,
            lane_state4,
            step_params,
        ];
        add("residual", "residual", by_rows(n), &[&files, &loss]);

        let step = [file!("epilogue/step.wgsl"), iterates, values, lane_state4, step_params, partials];
        let gradient = (Side::Transposed, ("design", "r", None));
        if spec.tangents_wait() {
            let bindings = [&STEP[..], &[("stepped", "read_write")]].concat();
            let (text, grid) = cut(Cut::Iterate, "gradient_iterate", gradient, &["iterate"], &bindings);
            let own_files = [("generated: gradient_iterate", text.as_str()), file!("epilogue/iterate.wgsl")];
            add("gradient_iterate", "gradient_iterate", grid, &[&own_files, &step, &penalty]);
            let stored = (Side::Transposed, ("design", "r", Some("g")));
            let (text, grid) =
                cut(Cut::Tangents, "gradient_tangents", stored, &[], &[("active_set", "read")]);
            add(
                "gradient_tangents",
                "gradient_tangents",
                grid,
                &[&[("generated: gradient_tangents", &text)]],
            );
            let text = by_itself("step_tangents_kernel", "g", q, own, &["tangents"], &bindings);
            let own_files = [("generated: step_tangents", text.as_str()), file!("epilogue/tangents.wgsl")];
            add("step_tangents", "step_tangents_kernel", groups(q, own), &[&own_files, &step, &penalty]);
        } else if spec.steps_in_product() {
            let (text, grid) = cut(Cut::Whole, "gradient_step", gradient, &["step"], &STEP);
            add(
                "gradient_step",
                "gradient_step",
                grid,
                &[&[("generated: gradient_step", &text)], &step, &penalty],
            );
        } else {
            let text = by_itself("step_kernel", "g", q, own, &["step"], &STEP);
            add("step", "step_kernel", groups(q, own), &[&[("generated: step", &text)], &step, &penalty]);
        }

        let mut epilogues = vec!["observe"];
        let mut bindings = OBSERVE.to_vec();
        let mut files = vec![file!("epilogue/observe.wgsl"), values, partials];
        if spec.measures_curvature {
            epilogues.push("secant");
            bindings.extend(SECANT);
            files.push(file!("epilogue/secant.wgsl"));
        }
        if spec.observes_in_product() {
            if spec.stores_next_residual() {
                epilogues.push("residual");
                bindings.extend(AHEAD);
                files.extend([
                    residual,
                    file!("epilogue/extrapolate.wgsl"),
                    file!("epilogue/next_extrapolation.wgsl"),
                    lane_state4,
                    step_params,
                ]);
            }
            if spec.active_set {
                bindings.push(("active_set", "read"));
                let text = format!("const ACTIVE_SET_LANE4S: u32 = {}u;\n", spec.active_set_lane4s());
                let files = [file!("kernel/active_set.wgsl"), ("generated: active_set", text.as_str())];
                add(
                    "active_set",
                    "active_set_kernel",
                    [lane4s.div_ceil(spec.active_set_lane4s()) as u32, 1, 1],
                    &[&files],
                );
            }
            let operands = (Side::Plain, ("design", "x", Some("z")));
            let terms = if spec.active_set { Cut::Terms } else { Cut::Whole };
            let (text, grid) = cut(terms, "predict_observe", operands, &epilogues, &bindings);
            add(
                "predict_observe",
                "predict_observe",
                grid,
                &[&[("generated: predict_observe", &text)], &files, &loss],
            );
        } else {
            let text = by_itself("observe", "z", n, own, &epilogues, &bindings);
            add("observe", "observe", groups(n, own), &[&[("generated: observe", &text)], &files, &loss]);
        }
    } else {
        // The host dispatches it piece by piece.
        add("gram", "gram_kernel", [0; 3], &[&[file!("kernel/gram.wgsl")]]);
        let bindings = [("lanes", "read"), ("g", "read_write")];
        let text = by_itself("gram_gradient", "v", q, own, &["gradient_at_x"], &bindings);
        let files = [
            ("generated: gram_gradient", text.as_str()),
            file!("epilogue/gradient_at_x.wgsl"),
            file!("shared/gram_target.wgsl"),
            file!("shared/strength.wgsl"),
            values,
        ];
        add("gram_gradient", "gram_gradient", groups(q, own), &[&files]);
        let (text, grid) = product("gram_product", Side::Plain, ("gram", "x", Some("v")), &[], &[]);
        add("gram_product", "gram_product", grid, &[&[("generated: gram_product", &text)]]);

        let fit_files = [
            file!("epilogue/gram_loss.wgsl"),
            file!("shared/gram_target.wgsl"),
            file!("shared/strength.wgsl"),
            values,
        ];
        let slope = [file!("epilogue/gradient_at_e.wgsl"), file!("epilogue/step.wgsl"), step_params];
        if let Some(tile) = spec.persistent {
            let grid = [lane4s.div_ceil(tile.lane4s) as u32, 1, 1];
            let decides =
                [file!("shared/control.wgsl"), file!("shared/status.wgsl"), rules, file!("shared/lane.wgsl")];
            let penalty = [spec.penalty.shader(), file!("shared/prox.wgsl")];
            let text = persistent_multiply(tile.own_rows(q), 1 + d);
            let files = [file!("kernel/persistent.wgsl"), ("generated: multiply", text.as_str())];
            add("persistent", "persistent", grid, &[&files, &slope, &fit_files, &decides, &penalty]);
        } else {
            let bindings = [&STEP[..], &[("v_before", "read")]].concat();
            let text = by_itself("gram_step", "v", q, own, &["gradient_at_e", "step"], &bindings);
            let files = [
                ("generated: gram_step", text.as_str()),
                file!("shared/carried.wgsl"),
                file!("shared/gram_target.wgsl"),
                iterates,
                values,
                lane_state4,
                partials,
            ];
            add("gram_step", "gram_step", groups(q, own), &[&files, &slope, &penalty]);

            let fit = [&fit_files[..], &[file!("shared/new_iterate.wgsl"), partials]].concat();
            if d <= FUSED_TANGENTS {
                let (text, grid) = product(
                    "gram_product_loss",
                    Side::Plain,
                    ("gram", "x", Some("v")),
                    &["gram_loss"],
                    &GRAM_LOSS,
                );
                add(
                    "gram_product_loss",
                    "gram_product_loss",
                    grid,
                    &[&[("generated: gram_product_loss", &text)], &fit],
                );
            } else {
                let text = by_itself(
                    "gram_loss",
                    "v",
                    q,
                    own,
                    &["gram_loss"],
                    &[&[("x", "read")], &GRAM_LOSS[..]].concat(),
                );
                add("gram_loss", "gram_loss", groups(q, own), &[&[("generated: gram_loss", &text)], &fit]);
            }
        }
    }
    if held_out > 0 {
        let files = [file!("epilogue/validate.wgsl"), values, partials];
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
            add(
                "predict_validation",
                "predict_validation",
                grid,
                &[&[("generated: predict_validation", &text)]],
            );
            let text = by_itself("validate", "validation_z", held_out, own, &["validate"], &VALIDATE);
            add(
                "validate",
                "validate",
                groups(held_out, own),
                &[&[("generated: validate", &text)], &files, &loss],
            );
        }
    }
    for (name, split_k, rows) in [("reduce_z", spec.split_k[0], n), ("reduce_g", spec.split_k[1], stride)] {
        if split_k > 1 && spec.strategy == Strategy::Direct {
            let text = format!("const SPLIT_K: u32 = {split_k}u;\nconst REDUCED_ROWS: u32 = {rows}u;\n");
            let grid = [(layout.columns() / 4).div_ceil(64) as u32, rows as u32, 1];
            add(name, "reduce", grid, &[&[file!("kernel/reduce.wgsl"), ("generated: reduce", &text)]]);
        }
    }

    match spec.metric {
        MetricKind::Hessian { .. } => {
            add("curvatures", "curvatures", by_rows(n), &[&[file!("kernel/curvatures.wgsl")], &loss]);
            let names = ("design_squares", "r", Some("g"));
            let (text, grid) = product("gradient_squares", Side::Transposed, names, &[], &[]);
            add("gradient_squares", "gradient_squares", grid, &[&[("generated: gradient_squares", &text)]]);
            add(
                "metric_hessian",
                "metric_hessian",
                by_rows(q),
                &[&[file!("kernel/metric_hessian.wgsl"), lane_state4, step_params]],
            );
        }
        MetricKind::Table { .. } => {
            add("metric_table", "metric_table_kernel", by_rows(q), &[&[file!("kernel/metric_table.wgsl")]]);
        }
        MetricKind::None | MetricKind::Fixed => {}
    }

    add("criterion", "criterion", by_rows(q), &[&[file!("kernel/criterion.wgsl"), partials], &penalty]);
    if spec.strategy == Strategy::Direct {
        add("gap_loss", "gap_loss", by_rows(n), &[&[file!("kernel/gap_loss.wgsl"), partials, scale], &loss]);
    } else {
        add(
            "gap_gram_loss",
            "gap_gram_loss",
            [lane4s.div_ceil(64) as u32, 1, 1],
            &[&[file!("kernel/gap_gram_loss.wgsl"), partials, scale]],
        );
    }
    add(
        "gap_penalty",
        "gap_penalty",
        by_rows(q),
        &[&[file!("kernel/gap_penalty.wgsl"), partials, scale], &penalty],
    );
    all
}
