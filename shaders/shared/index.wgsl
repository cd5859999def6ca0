// Matrices are row-major, [rows, COLUMNS]: first the iterates of all lanes, then their first tangents, and so on.
fn column(lane: u32, t: u32) -> u32 {
    return t * LANES4 + lane;
}

fn entry(row: u32, lane: u32) -> u32 {
    return row * COLUMNS + lane;
}
