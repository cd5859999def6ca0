//! The product kernels: `out = X m` or `out = Xᵀ m`, and what becomes of the result while it is still in registers.
//!
//! Register tiles need literal text, so the kernels are generated. An invocation computes `rows` rows by `lane4s` vec4s of lanes, of
//! all columns of those lanes where an end follows. There are two families: one reads its operands straight from memory, the
//! other through tiles in workgroup memory, of which it loads the next while it works on the last. In both every output is one
//! sum in the order of the inner index, so that the bits of a column depend neither on its neighbours nor on the tile.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::program::Precision;

/// Which side of the design is summed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// `out = X m`.
    Plain,
    /// `out = Xᵀ m`.
    Transposed,
}

/// How a product is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// Rows of an invocation, a multiple of four.
    pub rows: usize,
    /// vec4s of lanes of an invocation.
    pub lane4s: usize,
    /// Invocations of a workgroup: along the lanes, along the rows.
    pub group: [usize; 2],
    /// Inner indices of a tile in workgroup memory, a multiple of four; 0: none is used.
    pub depth: usize,
    /// Inner indices taken at once where no workgroup memory is used, and the design is transposed.
    pub unroll: usize,
}

impl Tile {
    /// Bytes of workgroup memory for a product of `width` columns a lane.
    pub fn workgroup_bytes(&self, width: usize, precision: Precision) -> u64 {
        (2 * self.half(width) * 4) as u64 * precision.bytes()
    }

    /// The same, with less depth where it would need more workgroup memory than there is; bits do not depend on it.
    pub fn within(mut self, memory: u64, width: usize, precision: Precision) -> Tile {
        while self.workgroup_bytes(width, precision) > memory {
            self.depth = self.depth / 8 * 4;
        }
        self
    }

    /// The same, with no more invocations along the rows than a result of so many rows has use for; bits do not depend on it.
    pub(super) fn for_rows(mut self, rows: usize) -> Tile {
        if self.depth == 0 {
            self.group[1] = self.group[1].min(rows.div_ceil(self.rows).next_power_of_two());
        }
        self
    }

    /// The tile of columns `now` of a lane, made of that of more: about as many results of an invocation, in whole blocks of so many
    /// rows. One with workgroup memory stays what it is, as that is measured out.
    pub(super) fn with_columns(mut self, before: usize, now: usize, lane4s: usize, block: usize) -> Tile {
        if self.depth == 0 {
            let results = self.rows * self.lane4s * before;
            self.lane4s = lane4s;
            self.rows = (results / (lane4s * now) / block * block).max(self.rows);
        }
        self
    }

    /// Row of vec4s of the left operand's tile: one more than needed, against bank conflicts.
    fn left(&self) -> usize {
        self.rows / 4 * self.group[1] + 1
    }

    fn right(&self, width: usize) -> usize {
        self.lane4s * self.group[0] * width
    }

    /// vec4s of one of two pairs of tiles.
    fn half(&self, width: usize) -> usize {
        self.depth * (self.left() + self.right(width))
    }
}

/// How the products of a run are cut: plain, transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Of products that are stored, whose columns are taken one by one.
    pub stored: [Tile; 2],
    /// Of products with an end, whose columns are taken lane by lane.
    pub fused: [Tile; 2],
}

impl Tiles {
    /// Tiles that do well on a kind of device: for products with a design of `rows` by `state_rows`, and `width` columns for each of
    /// `lanes` lanes.
    pub fn usual(kind: DeviceKind, (rows, state_rows): (usize, usize), width: usize, lanes: usize) -> Tiles {
        // Where there is little to compute, a short text that compiles soon.
        let little = rows * state_rows * width * lanes < 1 << 22;
        let one = |width: usize, lane4s: usize| {
            let plain = Tile { rows: 8, lane4s: (2 / width).max(1), group: [8, 8], depth: 0, unroll: 1 };
            let tile = match kind {
                // Many rows and columns, as every load is dear.
                DeviceKind::Software if !little => {
                    let own = (4 / width).max(1);
                    Tile { rows: if own * width <= 4 { 16 } else { 8 }, lane4s: own, unroll: 4, ..plain }
                }
                DeviceKind::Discrete => Tile { rows: if width <= 2 { 8 } else { 4 }, depth: 16, ..plain },
                DeviceKind::Software | DeviceKind::Integrated => plain,
            };
            Tile { lane4s: tile.lane4s.min(lane4s), ..tile }
        };
        let lane4s = lanes.div_ceil(4);
        Tiles { stored: [one(1, lane4s * width); 2], fused: [one(width, lane4s); 2] }
    }
}

/// Kinds of devices, as far as tiles go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Computes on the processor.
    Software,
    /// Shares its memory with the processor, or is unknown.
    Integrated,
    /// Has a memory of its own.
    Discrete,
}

/// Columns of operand and result that a product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// All, one by one.
    Each,
    /// Of every lane so many, its iterate and tangents counted from 0, and those of a lane by one invocation.
    OfLane { first: usize, count: usize },
}

/// Which side of a product has zeros that a list of `active_set`, for the lanes of a workgroup and four by four, leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActiveSet {
    /// None: there is no list.
    None,
    /// Terms that are not listed are zero.
    Terms,
    /// Rows of the result that are not listed are not asked for, and stay what they are.
    Rows,
}

/// A product kernel.
#[derive(Debug, Clone)]
pub(super) struct Product<'a> {
    /// Variables of the design, of the operand and of the result, if that is stored.
    pub(super) names: (&'a str, &'a str, Option<&'a str>),
    /// Rows of the result, and rows of the operand.
    pub(super) shape: (usize, usize),
    pub(super) side: Side,
    pub(super) columns: Columns,
    /// Parts into which the inner index is split; each leaves a result of its own.
    pub(super) split_k: usize,
    pub(super) active_set: ActiveSet,
    pub(super) tile: Tile,
    /// Ends, by the prefix of their functions, and rows that they add up.
    pub(super) epilogues: &'a [&'a str],
    pub(super) rows_per_sum: usize,
}

/// Inner indices that are written out one by one.
const UNROLL: usize = 4;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

impl Product<'_> {
    /// vec4s of lanes, as WGSL.
    fn lane_vec4s(&self) -> &'static str {
        if self.columns == Columns::Each { "COLUMNS4" } else { "LANE4S" }
    }

    /// Rows of the result, as WGSL: those listed, where there is a list of them.
    fn rows(&self) -> String {
        if self.active_set == ActiveSet::Rows {
            "4u * active_set[list]".into()
        } else {
            format!("{}u", self.shape.0)
        }
    }

    /// Which four rows of the result are at a place, as WGSL.
    fn four_rows(&self, place: &str) -> String {
        if self.active_set == ActiveSet::Rows {
            format!("min(active_set[list + 1u + min({place}, STRIDE4 - 1u)], STRIDE4 - 1u)")
        } else {
            format!("min({place}, STRIDE4 - 1u)")
        }
    }

    /// Columns of a lane that one invocation computes.
    fn width(&self) -> usize {
        if let Columns::OfLane { count, .. } = self.columns { count } else { 1 }
    }

    /// The first of them.
    fn first(&self) -> usize {
        if let Columns::OfLane { first, .. } = self.columns { first } else { 0 }
    }

    /// Workgroups for so many vec4s of lanes.
    pub(super) fn groups(&self, lane4s: usize) -> [u32; 3] {
        let Tile { rows, lane4s: own, group, .. } = self.tile;
        let count = |all: usize, of: usize| all.div_ceil(of) as u32;
        [count(lane4s, own * group[0]), count(self.shape.0, rows * group[1]), self.split_k as u32]
    }

    /// Accumulators of a row: columns `t · lane4s + q`.
    fn accumulators(&self) -> usize {
        self.width() * self.tile.lane4s
    }

    fn each(&self, mut f: impl FnMut(usize, usize)) {
        (0..self.tile.rows).for_each(|r| (0..self.accumulators()).for_each(|c| f(r, c)));
    }

    /// The text of the kernel, with the bindings that its epilogues need besides the product's own.
    pub(super) fn source(&self, entry: &str, bindings: &str) -> String {
        let mut out = String::new();
        let (design, operand, result) = self.names;
        let Tile { rows, lane4s, group: [gx, gy], depth, .. } = self.tile;
        let storage =
            [(design, "read"), (operand, "read")].into_iter().chain(result.map(|name| (name, "read_write")));
        out.push_str("@group(0) @binding(0) var<uniform> params: Params;\n");
        for (i, (name, access)) in storage.enumerate() {
            let _ = writeln!(out, "@group(1) @binding({i}) var<storage, {access}> {name}: array<real4>;");
        }
        out.push_str(bindings);
        if depth > 0 {
            let _ =
                writeln!(out, "\nvar<workgroup> pool: array<real4, {}>;", 2 * self.tile.half(self.width()));
        }
        let _ = writeln!(
            out,
            "\n@compute @workgroup_size({gx}, {gy})\n\
             fn {entry}(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {{\n    \
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
            _ => self.shared(&mut out),
        }
        if let Some(result) = result {
            self.store(&mut out, result);
        }
        if !self.epilogues.is_empty() {
            self.finish(&mut out);
        }
        out.push_str("}\n");
        out
    }

    /// `name`: the vec4 column that holds tangent t and vec4 q of the invocation's lanes, held within the matrix.
    fn column(&self, c: usize) -> String {
        let (t, q) = (self.first() + c / self.tile.lane4s, c % self.tile.lane4s);
        let lane4s = self.lane_vec4s();
        let lane4 = if q == 0 { "lane4".to_string() } else { format!("lane4 + {}u", q * self.tile.group[0]) };
        let inside = format!("min({lane4}, {lane4s} - 1u)");
        if t == 0 { inside } else { format!("{t}u * {lane4s} + {inside}") }
    }

    fn add(&self, out: &mut String, r: usize, scalar: &str) {
        for c in 0..self.accumulators() {
            let _ = writeln!(out, "        s{r}_{c} = fma(real4({scalar}), m{c}, s{r}_{c});");
        }
    }

    /// Inner indices of this part of a split product, in units of so many: the same parts whatever the unit is, as they decide
    /// the order of the sums.
    fn span(&self, out: &mut String, unit: usize) {
        let count = self.shape.1.div_ceil(unit);
        if self.active_set == ActiveSet::Terms {
            let _ = writeln!(out, "    let begin = 0u;\n    let end = {}u * active_set[list];", 4 / unit);
        } else if self.active_set == ActiveSet::Rows {
            // Nothing for a workgroup beyond the list.
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
                "    let begin = min(group.z * {part}u, {count}u);\n    let end = min(begin + {part}u, {count}u);"
            );
        }
    }

    /// The vec4 of a row of the design that holds inner index `at`.
    fn four(&self) -> &'static str {
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

    /// Four inner indices at a time: a vec4 of each row of the design.
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

    /// One inner index after the other: vec4s of rows of the result in a row of the design.
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

    /// Through workgroup memory: while a pair of tiles is used, the next is on its way into registers.
    fn shared(&self, out: &mut String) {
        let Tile { rows, lane4s, group: [gx, gy], depth, .. } = self.tile;
        let (threads, half) = (gx * gy, self.tile.half(self.width()));
        let (left, right) = (self.tile.left(), self.tile.right(self.width()));
        let (design, operand, _) = self.names;
        // vec4s of rows of the whole tile, and of those that a step of loading takes.
        let row_vec4s = rows / 4 * gy;
        let blocks = match self.side {
            Side::Plain => depth / 4 * row_vec4s,
            Side::Transposed => depth * row_vec4s,
        };
        let (of_left, of_right) = (blocks.div_ceil(threads), (depth * right).div_ceil(threads));
        let per_block = if self.side == Side::Plain { 4 } else { 1 };
        let _ = writeln!(out, "    let index = own.y * {gx}u + own.x;");
        let _ = writeln!(
            out,
            "    let first_row = group.y * {}u;\n    let first_lane4 = group.x * {}u;",
            gy * rows,
            gx * lane4s
        );
        // The inner index counts single rows of the operand here.
        self.span(out, 1);
        for i in 0..of_left * per_block {
            let _ = writeln!(out, "    var next_left{i} = real4();");
        }
        for i in 0..of_right {
            let _ = writeln!(out, "    var next_right{i} = real4();");
        }
        let load = |out: &mut String, from: &str| {
            for i in 0..of_left {
                let _ = writeln!(out, "        {{\n            let block = index + {}u;", i * threads);
                match self.side {
                    Side::Plain => {
                        let _ = writeln!(
                            out,
                            "            let at = {from} + 4u * (block % {0}u);\n            let inside = at < end;\n            \
                             let place = first_row + 4u * (block / {0}u);\n            \
                             let four = {1};",
                            depth / 4,
                            self.four()
                        );
                        for r in 0..4 {
                            let _ = writeln!(
                                out,
                                "            next_left{} = select(real4(), {design}[min(place + {r}u, {}u) * STRIDE4 + \
                                 four], inside);",
                                4 * i + r,
                                self.shape.0 - 1
                            );
                        }
                    }
                    Side::Transposed => {
                        let _ = writeln!(
                            out,
                            "            let at = {from} + block / {row_vec4s}u;\n            \
                             let place = first_row / 4u + block % {row_vec4s}u;\n            \
                             next_left{i} = select(real4(), {design}[min(at, {}u) * STRIDE4 + {}], at < end);",
                            self.shape.1 - 1,
                            self.four_rows("place")
                        );
                    }
                }
                out.push_str("        }\n");
            }
            for i in 0..of_right {
                let _ = writeln!(
                    out,
                    "        {{\n            let block = index + {}u;\n            let at = {from} + block / {right}u;\n            \
                     let c = block % {right}u;\n            \
                     let column = ({first}u + c / {per}u) * {lanes} + min(first_lane4 + c % {per}u, {lanes} - 1u);\n            \
                     let k = {k};\n            \
                     next_right{i} = select(real4(), {operand}[min(k, {last}u) * COLUMNS4 + min(column, COLUMNS4 - 1u)], at < end);\n        }}",
                    i * threads,
                    k = if self.active_set == ActiveSet::Terms {
                        format!("4u * {} + at % 4u", self.four())
                    } else {
                        "at".into()
                    },
                    per = gx * lane4s,
                    first = self.first(),
                    lanes = self.lane_vec4s(),
                    last = self.shape.1.next_multiple_of(if self.side == Side::Plain { 4 } else { 1 }) - 1,
                );
            }
        };
        let keep = |out: &mut String, base: &str| {
            for i in 0..of_left {
                let _ = writeln!(out, "        {{\n            let block = index + {}u;", i * threads);
                let guard = if blocks % threads == 0 { "true".into() } else { format!("block < {blocks}u") };
                let _ = writeln!(out, "            if ({guard}) {{");
                match self.side {
                    Side::Plain => {
                        let _ = writeln!(
                            out,
                            "                let to = {base} + 4u * (block % {0}u) * {left}u + block / {0}u;",
                            depth / 4
                        );
                        for (k, c) in COMPONENTS.iter().enumerate() {
                            let of: Vec<String> =
                                (0..4).map(|r| format!("next_left{}.{c}", 4 * i + r)).collect();
                            let _ = writeln!(
                                out,
                                "                pool[to + {}u] = real4({});",
                                k * left,
                                of.join(", ")
                            );
                        }
                    }
                    Side::Transposed => {
                        let _ = writeln!(
                            out,
                            "                pool[{base} + block / {row_vec4s}u * {left}u + block % {row_vec4s}u] = next_left{i};"
                        );
                    }
                }
                out.push_str("            }\n        }\n");
            }
            for i in 0..of_right {
                let guard = if (depth * right).is_multiple_of(threads) {
                    "true".into()
                } else {
                    format!("block < {}u", depth * right)
                };
                let _ = writeln!(
                    out,
                    "        {{\n            let block = index + {}u;\n            if ({guard}) {{\n                \
                     pool[{base} + {}u + block] = next_right{i};\n            }}\n        }}",
                    i * threads,
                    depth * left
                );
            }
        };
        load(out, "begin");
        keep(out, "0u");
        out.push_str("    workgroupBarrier();\n    var here = 0u;\n");
        let _ = writeln!(out, "    for (var first = begin; first < end; first += {depth}u) {{");
        load(out, &format!("first + {depth}u"));
        let _ = writeln!(out, "        for (var k = 0u; k < {depth}u; k += {UNROLL}u) {{");
        for i in 0..UNROLL {
            out.push_str("        {\n");
            let _ = writeln!(
                out,
                "        let a = here + (k + {i}u) * {left}u + own.y * {}u;\n        let b = here + {}u + (k + {i}u) * {right}u + own.x;",
                rows / 4,
                depth * left
            );
            for j in 0..rows / 4 {
                let _ = writeln!(out, "        let v{j} = pool[a + {j}u];");
            }
            for c in 0..self.accumulators() {
                let _ = writeln!(out, "        let m{c} = pool[b + {}u];", c * gx);
            }
            for r in 0..rows {
                self.add(out, r, &format!("v{}.{}", r / 4, COMPONENTS[r % 4]));
            }
            out.push_str("        }\n");
        }
        let _ = writeln!(out, "        }}\n        here = {half}u - here;");
        keep(out, "here");
        out.push_str("        workgroupBarrier();\n    }\n");
    }

    /// Stores what lies within the matrix.
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
                    "        if (row + {r}u < {rows}) {{\n            {result}[({}) * COLUMNS4 + {t}u * {lanes} + {lane4}] = \
                     s{r}_{c};\n        }}",
                    at(r)
                );
            }
            out.push_str("    }\n");
        }
    }

    /// What follows, lane4 of lanes by lane4, for every block of rows. Loops of constant length, which compilers unroll.
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
