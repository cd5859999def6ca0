// The share of a block of rows in a sum over all of them. `sum` is where the shares of the sum begin.
fn leave(sum: u32, block: u32, lane: u32, v: real) {
    partials[(sum + block) * LANES4 + lane] = v;
}
