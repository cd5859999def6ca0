// The gradient of the squared loss at the iterate itself in the Gram form, g = v - c for v = X'X x in `values`.
fn at_iterate_begin(quad: u32) {
}

fn at_iterate_row(j: u32, quad: u32) {
    for (var t = 0u; t < WIDTH; t++) {
        g[place(j, quad) + t * QUADS] = values[t] - gram_target(j, t);
    }
}

fn at_iterate_leave(block: u32, quad: u32) {
}
