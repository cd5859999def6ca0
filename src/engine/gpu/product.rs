//! The text of product kernels: `out = X m` or `out = Xᵀ m`, and epilogues that process
//! the result in registers.
//!
//! Register tiles need literal text, so the kernels are generated. An invocation computes `rows` rows by
//! `lane4s` vec4s of lanes, for all columns of those lanes if an epilogue follows. There are two families:
//! one reads its operands directly from memory, the other through tiles in workgroup memory and loads the
//! next pair of tiles while it computes with the current one. In both, every output is one sum in the order
//! of the inner index, so that the bits of a column depend neither on its neighbours nor on the tile.

use std::fmt::Write;

use crate::program::{ActiveSet, Columns, Product, Side, Tile};

/// Inner indices that a split product is divided into are multiples of this.
const UNROLL: usize = 4;
pub(super) const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

impl Product {
    /// Number of vec4s of lanes, as WGSL.
    pub(super) fn lane_vec4s(&self) -> &'static str {
        if self.columns == Columns::Each { "COLUMNS4" } else { "LANE4S" }
    }

    /// Rows of the result, as WGSL: only the listed ones, if there is a list.
    pub(super) fn rows(&self) -> String {
        if self.active_set == ActiveSet::Rows {
            "4u * active_set[list]".into()
        } else {
            format!("{}u", self.shape.0)
        }
    }

    /// The block of four rows of the result at an index, as WGSL.
    pub(super) fn four_rows(&self, place: &str) -> String {
        if self.active_set == ActiveSet::Rows {
            format!("min(active_set[list + 1u + min({place}, STRIDE4 - 1u)], STRIDE4 - 1u)")
        } else {
            format!("min({place}, STRIDE4 - 1u)")
        }
    }

    /// Accumulators of a row: columns `t · lane4s + q`.
    pub(super) fn accumulators(&self) -> usize {
        self.width() * self.tile.lane4s
    }

    fn each(&self, mut f: impl FnMut(usize, usize)) {
        (0..self.tile.rows).for_each(|r| (0..self.accumulators()).for_each(|c| f(r, c)));
    }

    /// The text of the kernel.
    pub(super) fn source(&self) -> String {
        let mut out = String::new();
        let Tile { rows, lane4s, group: [gx, gy], depth, .. } = self.tile;
        if depth > 0 {
            let (left, right) = (self.tile.left(), self.tile.right(self.width()));
            for (name, row) in [("left_tiles", left), ("right_tiles", right)] {
                let _ =
                    writeln!(out, "var<workgroup> {name}: array<array<array<real4, {row}>, {depth}>, 2>;");
            }
        }
        let _ = writeln!(
            out,
            "\n@compute @workgroup_size({gx}, {gy})\n\
             fn main(@builtin(workgroup_id) group: vec3<u32>, \
             @builtin(local_invocation_id) own: vec3<u32>) {{\n    \
             let lane4 = group.x * {}u + own.x;\n    let row = (group.y * {gy}u + own.y) * {rows}u;",
            gx * lane4s
        );
        if self.active_set != ActiveSet::None {
            out.push_str("    let list = group.x * (STRIDE4 + 1u);\n");
        }
        if depth == 0 {
            let _ = writeln!(
                out,
                "    if (lane4 >= {} || row >= {}) {{\n        return;\n    }}",
                self.lane_vec4s(),
                self.rows()
            );
        }
        self.each(|r, c| {
            let _ = writeln!(out, "    var s{r}_{c} = real4();");
        });
        match (depth, self.side) {
            (0, Side::Plain) => self.plain(&mut out),
            (0, Side::Transposed) => self.transposed(&mut out),
            _ => self.tiled(&mut out),
        }
        if let Some(result) = self.names.2 {
            self.store(&mut out, result);
        }
        if !self.epilogues.is_empty() {
            self.finish(&mut out);
        }
        out.push_str("}\n");
        out
    }

    /// The vec4 column that holds tangent t and vec4 q of the invocation's lanes, clamped to the matrix.
    fn column(&self, c: usize) -> String {
        let (t, q) = (self.first() + c / self.tile.lane4s, c % self.tile.lane4s);
        let lane4s = self.lane_vec4s();
        let lane4 = if q == 0 { "lane4".to_string() } else { format!("lane4 + {}u", q * self.tile.group[0]) };
        let inside = format!("min({lane4}, {lane4s} - 1u)");
        if t == 0 { inside } else { format!("{t}u * {lane4s} + {inside}") }
    }

    pub(super) fn add(&self, out: &mut String, r: usize, scalar: &str) {
        for c in 0..self.accumulators() {
            let _ = writeln!(out, "        s{r}_{c} = fma(real4({scalar}), m{c}, s{r}_{c});");
        }
    }

    /// The range of inner indices of this part of a split product, in multiples of `unit`: the same parts for
    /// every unit, since they determine the order of the sums.
    pub(super) fn span(&self, out: &mut String, unit: usize) {
        let count = self.shape.1.div_ceil(unit);
        if self.active_set == ActiveSet::Terms {
            let _ = writeln!(out, "    let begin = 0u;\n    let end = {}u * active_set[list];", 4 / unit);
        } else if self.active_set == ActiveSet::Rows {
            // Empty for a workgroup beyond the list.
            let rows = self.tile.group[1] * self.tile.rows;
            let _ = writeln!(
                out,
                "    let begin = 0u;\n    let end = select(0u, {count}u, group.y * {rows}u < {});",
                self.rows()
            );
        } else if self.split_k == 1 {
            let _ = writeln!(out, "    let begin = 0u;\n    let end = {count}u;");
        } else {
            let part = self.shape.1.div_ceil(self.split_k).next_multiple_of(UNROLL) / unit;
            let _ = writeln!(
                out,
                "    let begin = min(group.z * {part}u, {count}u);\n    \
                 let end = min(begin + {part}u, {count}u);"
            );
        }
    }

    /// The vec4 of a row of the design that holds inner index `at`.
    pub(super) fn four(&self) -> &'static str {
        if self.active_set == ActiveSet::Terms {
            "min(active_set[list + 1u + min(at / 4u, STRIDE4 - 1u)], STRIDE4 - 1u)"
        } else {
            "min(at / 4u, STRIDE4 - 1u)"
        }
    }

    fn operand(&self, out: &mut String, k: &str) {
        for c in 0..self.accumulators() {
            let _ = writeln!(out, "        let m{c} = {}[({k}) * COLUMNS4 + c{c}];", self.names.1);
        }
    }

    fn columns_text(&self, out: &mut String) {
        for c in 0..self.accumulators() {
            let _ = writeln!(out, "    let c{c} = {};", self.column(c));
        }
    }

    /// Processes four inner indices at a time: a vec4 of each row of the design.
    fn plain(&self, out: &mut String) {
        self.columns_text(out);
        for r in 0..self.tile.rows {
            let _ = writeln!(out, "    let a{r} = min(row + {r}u, {}u) * STRIDE4;", self.shape.0 - 1);
        }
        self.span(out, 4);
        let (index, k) = if self.active_set == ActiveSet::Terms {
            ("i", "        let k = active_set[list + 1u + i];\n")
        } else {
            ("k", "")
        };
        let _ = writeln!(out, "    for (var {index} = begin; {index} < end; {index}++) {{\n{k}");
        for r in 0..self.tile.rows {
            let _ = writeln!(out, "        let v{r} = {}[a{r} + k];", self.names.0);
        }
        for (i, component) in COMPONENTS.iter().enumerate() {
            out.push_str("        {\n");
            self.operand(out, &format!("4u * k + {i}u"));
            (0..self.tile.rows).for_each(|r| self.add(out, r, &format!("v{r}.{component}")));
            out.push_str("        }\n");
        }
        out.push_str("    }\n");
    }

    /// Processes one inner index at a time: vec4s of rows of the result in a row of the design.
    fn transposed(&self, out: &mut String) {
        self.columns_text(out);
        for j in 0..self.tile.rows / 4 {
            let _ = writeln!(out, "    let a{j} = {};", self.four_rows(&format!("row / 4u + {j}u")));
        }
        self.span(out, 1);
        let term = |out: &mut String, k: &str| {
            out.push_str("        {\n");
            for j in 0..self.tile.rows / 4 {
                let _ = writeln!(out, "        let v{j} = {}[({k}) * STRIDE4 + a{j}];", self.names.0);
            }
            self.operand(out, k);
            for r in 0..self.tile.rows {
                self.add(out, r, &format!("v{}.{}", r / 4, COMPONENTS[r % 4]));
            }
            out.push_str("        }\n");
        };
        let unroll = self.tile.unroll;
        out.push_str("    var k = begin;\n");
        if unroll > 1 {
            let _ = writeln!(out, "    for (; k + {unroll}u <= end; k += {unroll}u) {{");
            (0..unroll).for_each(|i| term(out, &format!("k + {i}u")));
            out.push_str("    }\n");
        }
        out.push_str("    for (; k < end; k++) {\n");
        term(out, "k");
        out.push_str("    }\n");
    }

    /// Stores the entries that lie within the matrix.
    fn store(&self, out: &mut String, result: &str) {
        let (rows, lanes) = (self.rows(), self.lane_vec4s());
        let at = |r: usize| match self.active_set {
            ActiveSet::Rows => format!("4u * at{} + {}u", r / 4, r % 4),
            _ if self.split_k > 1 => format!("group.z * {rows} + row + {r}u"),
            _ => format!("row + {r}u"),
        };
        if self.active_set == ActiveSet::Rows {
            for j in 0..self.tile.rows / 4 {
                let _ = writeln!(out, "    let at{j} = {};", self.four_rows(&format!("row / 4u + {j}u")));
            }
        }
        for c in 0..self.accumulators() {
            let (t, q) = (self.first() + c / self.tile.lane4s, c % self.tile.lane4s);
            let lane4 = format!("lane4 + {}u", q * self.tile.group[0]);
            let _ = writeln!(out, "    if ({lane4} < {lanes}) {{");
            for r in 0..self.tile.rows {
                let _ = writeln!(
                    out,
                    "        if (row + {r}u < {rows}) {{\n            \
                     {result}[({}) * COLUMNS4 + {t}u * {lanes} + {lane4}] = s{r}_{c};\n        }}",
                    at(r)
                );
            }
            out.push_str("    }\n");
        }
    }

    /// Runs the epilogues, lane4 by lane4, for every block of rows, in loops of constant length,
    /// which compilers unroll.
    fn finish(&self, out: &mut String) {
        let Tile { rows, lane4s, group, .. } = self.tile;
        let (columns, block, end) = (self.accumulators(), self.rows_per_sum, self.shape.0);
        let width = self.width();
        let mut list = Vec::new();
        self.each(|r, c| list.push(format!("s{r}_{c}")));
        let call = |what: &str, arguments: &str| -> String {
            self.epilogues
                .iter()
                .map(|epilogue| format!("                {epilogue}_{what}({arguments});\n"))
                .collect()
        };
        let _ = writeln!(
            out,
            "    var tile = array<real4, {}>({});\n    \
             for (var q = 0u; q < {lane4s}u; q++) {{\n        \
             let own_lane4 = lane4 + q * {}u;\n        \
             if (own_lane4 >= LANE4S) {{\n            continue;\n        }}\n        \
             for (var first = 0u; first < {rows}u; first += {block}u) {{\n            \
             if (row + first < {end}u) {{\n{}                \
             for (var i = first; i < first + {block}u; i++) {{\n                \
             if (row + i < {end}u) {{\n                \
             for (var t = 0u; t < {width}u; t++) {{\n                    \
             values[t] = tile[(i * {width}u + t) * {lane4s}u + q];\n                }}\n{}                \
             }}\n                }}\n{}            }}\n        }}\n    }}",
            rows * columns,
            list.join(", "),
            group[0],
            call("begin", "own_lane4"),
            call("row", "row + i, own_lane4"),
            call("store", &format!("(row + first) / {block}u, own_lane4")),
        );
    }
}
