// Adds up the partial results of a split-K product, in order.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= COLUMNS4) {
        return;
    }
    let at = id.y * COLUMNS4 + id.x;
    var sum = split_partials[at];
    for (var part = 1u; part < SPLIT_K; part++) {
        sum += split_partials[part * REDUCED_ROWS * COLUMNS4 + at];
    }
    whole[at] = sum;
}
