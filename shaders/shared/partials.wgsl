// The share of a block of rows in a sum over all of them.
fn leave(field: u32, block: u32, lane: u32, v: real) {
    partials[(field * PARTIAL_BLOCKS + block) * LANES4 + lane] = v;
}
