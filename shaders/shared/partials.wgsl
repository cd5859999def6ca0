// The share of a block of rows in a sum over all of them. `sum` is where the shares of the sum begin.
fn store_partial(sum: u32, block: u32, lane4: u32, v: real4) {
    partials[(sum + block) * LANE4S + lane4] = v;
}
