// The gradient of the squared loss at the iterate itself in the Gram strategy, g = v - c for v = X'X x in
// `values`.
fn gradient_at_x_begin(lane4: u32) {
}

fn gradient_at_x_row(j: u32, lane4: u32) {
    for (var t = 0u; t < WIDTH; t++) {
        g[place(j, lane4) + t * LANE4S] = values[t] - gram_target(j, t);
    }
}

fn gradient_at_x_store(block: u32, lane4: u32) {
}
