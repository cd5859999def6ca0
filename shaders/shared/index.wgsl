// Matrices are row-major, [rows, COLUMNS]: first the iterates of all lanes, then their first tangents, and
// so on. Kernels process four lanes at a time, a lane4: tangent t (from 0) of a lane4 is stored (1 + t)
// LANE4S after its iterates.
fn place(row: u32, lane4: u32) -> u32 {
    return row * COLUMNS4 + lane4;
}

fn ones_where(on: vec4<bool>) -> real4 {
    return select(real4(0.0), real4(1.0), on);
}
