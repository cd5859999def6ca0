// v = X'X x of the previous iterate, as a matrix in memory.
fn carried_before(j: u32, t: u32, lane4: u32) -> real4 {
    return v_before[place(j, lane4) + t * LANE4S];
}
