// Matrices are row-major, [rows, COLUMNS]: first the iterates of all lanes, then their first tangents, and so on. Kernels take
// four lanes at a time, a quad: tangent t of a quad lies (1 + t) QUADS after its iterates.
fn place(row: u32, quad: u32) -> u32 {
    return row * COLUMNS4 + quad;
}

fn ones_where(on: vec4<bool>) -> real4 {
    return select(real4(0.0), real4(1.0), on);
}
