//! Generated text of kernels: bindings, epilogues without a product, and the product of
//! the persistent strategy.

use std::fmt::Write;

use crate::program::{Access, Pass, Rowwise};

/// The declarations of a pass's bindings: storage buffers in group 0, numbered in order, and
/// parameters in group 1.
pub(super) fn bindings(pass: &Pass) -> String {
    let mut out = String::new();
    for (i, b) in pass.bindings.iter().enumerate() {
        let access = if b.access == Access::Read { "read" } else { "read_write" };
        let (name, element) = (b.variable, b.view.wgsl());
        let _ = writeln!(out, "@group(0) @binding({i}) var<storage, {access}> {name}: array<{element}>;");
    }
    if let Some(params) = &pass.params {
        let _ = writeln!(out, "@group(1) @binding(0) var<uniform> params: {};", params.structure);
    }
    out
}

/// Constants of a kernel.
pub(super) fn constants(list: &[(&'static str, usize)]) -> String {
    list.iter().map(|(name, v)| format!("const {name}: u32 = {v}u;\n")).collect()
}

impl Rowwise {
    /// The text of the kernel.
    pub(super) fn source(&self) -> String {
        let Rowwise { matrix, rows, block, .. } = self;
        let call = |what: &str, arguments: &str| -> String {
            let line = |epilogue: &&str| format!("    {epilogue}_{what}({arguments});\n");
            self.epilogues.iter().map(line).collect()
        };
        format!(
            "@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)\n\
             fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
             let lane4 = id.x;\n    let first = id.y * {block}u;\n    \
             if (lane4 >= LANE4S || first >= {rows}u) {{\n        return;\n    }}\n{}    \
             for (var i = first; i < min(first + {block}u, {rows}u); i++) {{\n    \
             for (var t = 0u; t < WIDTH; t++) {{\n        \
             values[t] = {matrix}[place(i, lane4) + t * LANE4S];\n    }}\n{}    }}\n{}}}\n",
            call("begin", "lane4"),
            call("row", "i, lane4"),
            call("store", "id.y, lane4"),
        )
    }
}

/// `multiply` of the persistent strategy, in registers: `carried = XᵀX x` of an invocation's rows, from one
/// of the two states, summed in the same order as the products.
pub(super) fn multiply(rows: usize, width: usize) -> String {
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
    for (i, component) in super::product::COMPONENTS.into_iter().enumerate() {
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
