// Stores the partial sum of a block of rows. `sum` is the index of the sum's first partial sum.
fn store_partial(sum: u32, block: u32, lane4: u32, v: real4) {
    partials[(sum + block) * LANE4S + lane4] = v;
}
