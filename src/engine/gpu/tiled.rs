//! Products through workgroup memory: while a pair of tiles is used, the next one is loaded into registers.

use std::fmt::Write;

use super::product::{COMPONENTS, UNROLL};
use crate::program::{ActiveSet, Product, Side, Tile};

/// Sizes of a pair of tiles in workgroup memory.
#[derive(Clone, Copy)]
struct Pair {
    /// Invocations of a workgroup.
    threads: usize,
    /// Row strides of the left and of the right tile, in vec4s.
    left: usize,
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
        let (left, right) = (product.tile.left(), product.tile.right(product.width()));
        let threads = gx * gy;
        let row_vec4s = rows / 4 * gy;
        let blocks = match product.side {
            Side::Plain => depth / 4 * row_vec4s,
            Side::Transposed => depth * row_vec4s,
        };
        let (of_left, of_right) = (blocks.div_ceil(threads), (depth * right).div_ceil(threads));
        Pair { threads, left, right, row_vec4s, blocks, of_left, of_right }
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
        self.keep(out, pair, "0u");
        out.push_str("    workgroupBarrier();\n    var here = 0u;\n");
        let _ = writeln!(out, "    for (var first = begin; first < end; first += {depth}u) {{");
        self.load(out, pair, &format!("first + {depth}u"));
        self.multiply(out, pair);
        let _ = writeln!(out, "        here = {}u - here;", self.tile.half(self.width()));
        self.keep(out, pair, "here");
        out.push_str("        workgroupBarrier();\n    }\n");
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
             let inside = at < end;\n            let place = first_row + 4u * (block / {0}u);\n            \
             let four = {1};",
            self.tile.depth / 4,
            self.four()
        );
        for r in 0..4 {
            let _ = writeln!(
                out,
                "            next_left{} = \
                 select(real4(), {}[min(place + {r}u, {}u) * STRIDE4 + four], inside);",
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
             next_left{i} = select(real4(), {}[min(at, {}u) * STRIDE4 + {}], at < end);",
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
             select(real4(), {}[min(k, {}u) * COLUMNS4 + min(column, COLUMNS4 - 1u)], at < end);\n        }}",
            self.names.1,
            self.shape.1.next_multiple_of(unit) - 1,
        );
    }

    /// Stores a pair of tiles from registers into workgroup memory.
    fn keep(&self, out: &mut String, pair: Pair, base: &str) {
        let (threads, depth) = (pair.threads, self.tile.depth);
        let guard = |count: usize| {
            if count.is_multiple_of(threads) { "true".into() } else { format!("block < {count}u") }
        };
        for i in 0..pair.of_left {
            let _ = writeln!(out, "        {{\n            let block = index + {}u;", i * threads);
            let _ = writeln!(out, "            if ({}) {{", guard(pair.blocks));
            match self.side {
                Side::Plain => self.keep_plain(out, pair, base, i),
                Side::Transposed => {
                    let Pair { left, row_vec4s, .. } = pair;
                    let _ = writeln!(
                        out,
                        "                pool[{base} + block / {row_vec4s}u * {left}u + \
                         block % {row_vec4s}u] = next_left{i};"
                    );
                }
            }
            out.push_str("            }\n        }\n");
        }
        for i in 0..pair.of_right {
            let _ = writeln!(
                out,
                "        {{\n            let block = index + {}u;\n            if ({}) {{\n                \
                 pool[{base} + {}u + block] = next_right{i};\n            }}\n        }}",
                i * threads,
                guard(depth * pair.right),
                depth * pair.left
            );
        }
    }

    fn keep_plain(&self, out: &mut String, pair: Pair, base: &str, i: usize) {
        let left = pair.left;
        let _ = writeln!(
            out,
            "                let to = {base} + 4u * (block % {0}u) * {left}u + block / {0}u;",
            self.tile.depth / 4
        );
        for (k, c) in COMPONENTS.iter().enumerate() {
            let of: Vec<String> = (0..4).map(|r| format!("next_left{}.{c}", 4 * i + r)).collect();
            let _ = writeln!(out, "                pool[to + {}u] = real4({});", k * left, of.join(", "));
        }
    }

    /// Adds the terms of a pair of tiles to the sums.
    fn multiply(&self, out: &mut String, pair: Pair) {
        let Tile { rows, group: [gx, _], depth, .. } = self.tile;
        let Pair { left, right, .. } = pair;
        let _ = writeln!(out, "        for (var k = 0u; k < {depth}u; k += {UNROLL}u) {{");
        for i in 0..UNROLL {
            let _ = writeln!(
                out,
                "        {{\n        let a = here + (k + {i}u) * {left}u + own.y * {}u;\n        \
                 let b = here + {}u + (k + {i}u) * {right}u + own.x;",
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
        out.push_str("        }\n");
    }
}
