//! The product kernels. Register tiles need literal text, so the kernels are generated: eight rows by eight columns per
//! invocation, in vec4s, without workgroup memory. Every output is one sum in the order of the inner index, so a column's
//! bits do not depend on its neighbours.

use std::fmt::Write;

/// Which side of the design is summed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `out = X m`.
    Plain,
    /// `out = Xᵀ m`.
    Transposed,
}

/// Rows and columns of an invocation's tile, and of a workgroup of 8 x 8 of them.
pub(super) const TILE: usize = 8;
pub(super) const GROUP: usize = 8 * TILE;

/// The text of a product with a design of `rows` rows.
pub(super) fn product_source(entry: &str, rows: usize, side: Side) -> String {
    let mut out = format!(
        "@group(0) @binding(0) var<uniform> params: Params;\n\
         @group(1) @binding(0) var<storage, read> design: array<real4>;\n\
         @group(1) @binding(1) var<storage, read> m: array<real4>;\n\
         @group(1) @binding(2) var<storage, read_write> product: array<real4>;\n\n\
         @compute @workgroup_size(8, 8)\nfn {entry}(@builtin(global_invocation_id) id: vec3<u32>) {{\n"
    );
    let _ = writeln!(out, "    let c0 = 2u * id.x;");
    match side {
        Side::Plain => {
            let _ =
                writeln!(out, "    let row = {TILE}u * id.y;\n    if (c0 >= COLUMNS4 || row >= {rows}u) {{ return; }}");
        }
        Side::Transposed => {
            let _ = writeln!(out, "    let row = 2u * id.y;\n    if (c0 >= COLUMNS4 || row >= STRIDE4) {{ return; }}");
        }
    }
    let _ = writeln!(out, "    let c1 = min(c0 + 1u, COLUMNS4 - 1u);");
    for r in 0..TILE {
        let _ = writeln!(out, "    var s{r}0 = real4();\n    var s{r}1 = real4();");
    }
    match side {
        Side::Plain => plain_loop(&mut out, rows),
        Side::Transposed => transposed_loop(&mut out, rows),
    }
    let _ = writeln!(out, "    let two = c0 + 1u < COLUMNS4;");
    for r in 0..TILE {
        let (condition, index) = match side {
            Side::Plain => (format!("row + {r}u < {rows}u"), format!("row + {r}u")),
            Side::Transposed => (format!("row + {}u < STRIDE4", r / 4), format!("4u * row + {r}u")),
        };
        let _ = writeln!(out, "    if ({condition}) {{");
        let _ = writeln!(out, "        product[({index}) * COLUMNS4 + c0] = s{r}0;");
        let _ = writeln!(out, "        if (two) {{ product[({index}) * COLUMNS4 + c1] = s{r}1; }}\n    }}");
    }
    out.push_str("}\n");
    out
}

fn plain_loop(out: &mut String, rows: usize) {
    for r in 0..TILE {
        let _ = writeln!(out, "    let a{r} = min(row + {r}u, {}u) * STRIDE4;", rows - 1);
    }
    let _ = writeln!(out, "    for (var k = 0u; k < STRIDE4; k++) {{");
    for i in 0..4 {
        let _ = writeln!(out, "        let m{i}0 = m[(4u * k + {i}u) * COLUMNS4 + c0];");
        let _ = writeln!(out, "        let m{i}1 = m[(4u * k + {i}u) * COLUMNS4 + c1];");
    }
    for r in 0..TILE {
        let _ = writeln!(out, "        let v{r} = design[a{r} + k];");
        for (i, c) in ["x", "y", "z", "w"].iter().enumerate() {
            let _ = writeln!(out, "        s{r}0 += v{r}.{c} * m{i}0;\n        s{r}1 += v{r}.{c} * m{i}1;");
        }
    }
    out.push_str("    }\n");
}

fn transposed_loop(out: &mut String, rows: usize) {
    let _ = writeln!(out, "    let next = min(row + 1u, STRIDE4 - 1u);");
    let _ = writeln!(out, "    for (var i = 0u; i < {rows}u; i++) {{");
    let _ = writeln!(out, "        let v0 = design[i * STRIDE4 + row];\n        let v1 = design[i * STRIDE4 + next];");
    let _ = writeln!(out, "        let m0 = m[i * COLUMNS4 + c0];\n        let m1 = m[i * COLUMNS4 + c1];");
    for r in 0..TILE {
        let c = ["x", "y", "z", "w"][r % 4];
        let _ = writeln!(out, "        s{r}0 += v{}.{c} * m0;\n        s{r}1 += v{}.{c} * m1;", r / 4, r / 4);
    }
    out.push_str("    }\n");
}
