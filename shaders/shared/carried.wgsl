// v = X'X x of the iterate before, as a matrix in memory.
fn carried_before(j: u32, t: u32, quad: u32) -> real4 {
    return v_before[place(j, quad) + t * QUADS];
}
