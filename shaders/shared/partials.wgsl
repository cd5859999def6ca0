// The share of a block of rows in a sum over all of them. `sum` is where the shares of the sum begin.
fn leave(sum: u32, block: u32, quad: u32, v: real4) {
    partials[(sum + block) * QUADS + quad] = v;
}
