//! Products through workgroup memory: while a pair of tiles is used, the next one is loaded into registers.
//!
//! A step stores the loaded pair, starts the loads of the next one, waits for the workgroup and multiplies.
//! Two pairs alternate, so a step needs one barrier. What lies beyond the end is set to zero when it is
//! stored, so that no load waits for a condition; the last step is separate, because it loads nothing.

use std::fmt::Write;

use super::product::COMPONENTS;
use crate::program::{ActiveSet, Product, Side, Tile};

/// Sizes of a pair of tiles in workgroup memory.
#[derive(Clone, Copy)]
struct Pair {
    /// Invocations of a workgroup.
    threads: usize,
    /// vec4s in a row of the right tile.
    right: usize,
    /// vec4s of rows of the left tile.
    row_vec4s: usize,
    /// Blocks of the left tile: a vec4 of each of four rows if the design is plain, one
    /// vec4 if it is transposed.
    blocks: usize,
    /// Blocks of the left tile, and vec4s of the right tile, that an invocation loads.
    of_left: usize,
    of_right: usize,
}

impl Pair {
    fn new(product: &Product) -> Self {
        let Tile { rows, group: [gx, gy], depth, .. } = product.tile;
        let right = product.tile.right(product.width());
        let threads = gx * gy;
        let row_vec4s = rows / 4 * gy;
        let blocks = match product.side {
            Side::Plain => depth / 4 * row_vec4s,
            Side::Transposed => depth * row_vec4s,
        };
        let (of_left, of_right) = (blocks.div_ceil(threads), (depth * right).div_ceil(threads));
        Pair { threads, right, row_vec4s, blocks, of_left, of_right }
    }
}

impl Product {
    pub(super) fn tiled(&self, out: &mut String) {
        let Tile { rows, lane4s, group: [gx, gy], depth, .. } = self.tile;
        let pair = Pair::new(self);
        let per_block = if self.side == Side::Plain { 4 } else { 1 };
        let _ = writeln!(out, "    let index = own.y * {gx}u + own.x;");
        let _ = writeln!(out, "    let first_row = group.y * {}u;", gy * rows);
        let _ = writeln!(out, "    let first_lane4 = group.x * {}u;", gx * lane4s);
        // Here the inner index counts single rows of the operand.
        self.span(out, 1);
        for i in 0..pair.of_left * per_block {
            let _ = writeln!(out, "    var next_left{i} = real4();");
        }
        for i in 0..pair.of_right {
            let _ = writeln!(out, "    var next_right{i} = real4();");
        }
        self.load(out, pair, "begin");
        out.push_str("    var here = 0u;\n");
        let _ = writeln!(out, "    for (var first = begin; first + {depth}u < end; first += {depth}u) {{");
        self.keep(out, pair, "first");
        self.load(out, pair, &format!("first + {depth}u"));
        out.push_str("        workgroupBarrier();\n");
        self.multiply(out);
        out.push_str("        here = 1u - here;\n    }\n");
        let _ = writeln!(
            out,
            "    let last = begin + (max(end, begin + 1u) - begin - 1u) / {depth}u * {depth}u;"
        );
        self.keep(out, pair, "last");
        out.push_str("    workgroupBarrier();\n");
        self.multiply(out);
    }

    /// Loads a pair of tiles into registers.
    fn load(&self, out: &mut String, pair: Pair, from: &str) {
        for i in 0..pair.of_left {
            let _ = writeln!(out, "        {{\n            let block = index + {}u;", i * pair.threads);
            match self.side {
                Side::Plain => self.load_plain(out, from, i),
                Side::Transposed => self.load_transposed(out, pair, from, i),
            }
            out.push_str("        }\n");
        }
        (0..pair.of_right).for_each(|i| self.load_right(out, pair, from, i));
    }

    fn load_plain(&self, out: &mut String, from: &str, i: usize) {
        let _ = writeln!(
            out,
            "            let at = {from} + 4u * (block % {0}u);\n            \
             let place = first_row + 4u * (block / {0}u);\n            \
             let four = {1};",
            self.tile.depth / 4,
            self.four()
        );
        for r in 0..4 {
            let _ = writeln!(
                out,
                "            next_left{} = {}[min(place + {r}u, {}u) * STRIDE4 + four];",
                4 * i + r,
                self.names.0,
                self.shape.0 - 1
            );
        }
    }

    fn load_transposed(&self, out: &mut String, pair: Pair, from: &str, i: usize) {
        let row_vec4s = pair.row_vec4s;
        let _ = writeln!(
            out,
            "            let at = {from} + block / {row_vec4s}u;\n            \
             let place = first_row / 4u + block % {row_vec4s}u;\n            \
             next_left{i} = {}[min(at, {}u) * STRIDE4 + {}];",
            self.names.0,
            self.shape.1 - 1,
            self.four_rows("place")
        );
    }

    fn load_right(&self, out: &mut String, pair: Pair, from: &str, i: usize) {
        let Pair { threads, right, .. } = pair;
        let per = self.tile.group[0] * self.tile.lane4s;
        let lanes = self.lane_vec4s();
        let k = match self.active_set {
            ActiveSet::Terms => format!("4u * {} + at % 4u", self.four()),
            ActiveSet::None | ActiveSet::Rows => "at".into(),
        };
        let unit = if self.side == Side::Plain { 4 } else { 1 };
        let _ = writeln!(
            out,
            "        {{\n            let block = index + {}u;\n            \
             let at = {from} + block / {right}u;\n            let c = block % {right}u;\n            \
             let column = ({}u + c / {per}u) * {lanes} + \
             min(first_lane4 + c % {per}u, {lanes} - 1u);\n            \
             let k = {k};",
            i * threads,
            self.first(),
        );
        let _ = writeln!(
            out,
            "            next_right{i} = \
             {}[min(k, {}u) * COLUMNS4 + min(column, COLUMNS4 - 1u)];\n        }}",
            self.names.1,
            self.shape.1.next_multiple_of(unit) - 1,
        );
    }

    /// Stores the pair of tiles that starts at an inner index from registers into workgroup memory.
    fn keep(&self, out: &mut String, pair: Pair, from: &str) {
        let Pair { threads, right, row_vec4s, .. } = pair;
        let guard = |count: usize| {
            if count.is_multiple_of(threads) { "true".into() } else { format!("block < {count}u") }
        };
        for i in 0..pair.of_left {
            let _ = writeln!(out, "        {{\n            let block = index + {}u;", i * threads);
            let _ = writeln!(out, "            if ({}) {{", guard(pair.blocks));
            match self.side {
                Side::Plain => self.keep_plain(out, from, i),
                Side::Transposed => {
                    let _ = writeln!(
                        out,
                        "                let k = block / {row_vec4s}u;\n                \
                         left_tiles[here][k][block % {row_vec4s}u] = \
                         select(real4(), next_left{i}, {from} + k < end);"
                    );
                }
            }
            out.push_str("            }\n        }\n");
        }
        for i in 0..pair.of_right {
            let _ = writeln!(
                out,
                "        {{\n            let block = index + {}u;\n            if ({}) {{\n                \
                 let k = block / {right}u;\n                \
                 right_tiles[here][k][block % {right}u] = \
                 select(real4(), next_right{i}, {from} + k < end);\n            }}\n        }}",
                i * threads,
                guard(self.tile.depth * right),
            );
        }
    }

    fn keep_plain(&self, out: &mut String, from: &str, i: usize) {
        let _ = writeln!(
            out,
            "                let k = 4u * (block % {0}u);\n                \
             let four = block / {0}u;\n                \
             let inside = {from} + k < end;",
            self.tile.depth / 4
        );
        for (k, c) in COMPONENTS.iter().enumerate() {
            let of: Vec<String> = (0..4).map(|r| format!("next_left{}.{c}", 4 * i + r)).collect();
            let _ = writeln!(
                out,
                "                left_tiles[here][k + {k}u][four] = select(real4(), real4({}), inside);",
                of.join(", ")
            );
        }
    }

    /// Adds the terms of a pair of tiles to the sums. All inner indices are written out: then the places in
    /// workgroup memory are constants, which need no check.
    fn multiply(&self, out: &mut String) {
        let Tile { rows, group: [gx, _], depth, .. } = self.tile;
        for k in 0..depth {
            out.push_str("        {\n");
            for j in 0..rows / 4 {
                let _ =
                    writeln!(out, "        let v{j} = left_tiles[here][{k}][own.y * {}u + {j}u];", rows / 4);
            }
            for c in 0..self.accumulators() {
                let _ = writeln!(out, "        let m{c} = right_tiles[here][{k}][own.x + {}u];", c * gx);
            }
            for r in 0..rows {
                self.add(out, r, &format!("v{}.{}", r / 4, COMPONENTS[r % 4]));
            }
            out.push_str("        }\n");
        }
    }
}
