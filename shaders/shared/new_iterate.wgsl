// The new iterates, as a matrix in memory.
fn new_iterate_at(j: u32, lane4: u32) -> real4 {
    return x[place(j, lane4)];
}
