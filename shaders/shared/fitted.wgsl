// The new iterates, as a matrix in memory.
fn fitted_at(j: u32, quad: u32) -> real4 {
    return x[place(j, quad)];
}
