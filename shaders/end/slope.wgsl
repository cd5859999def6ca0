// The gradient of the squared loss at e in the Gram form, g = v + look (v - v_before) - c for v = X'X x in `values`, which it
// replaces. A step follows.
fn slope_begin(quad: u32) {
}

fn slope_row(j: u32, quad: u32) {
    let look = told_look(quad);
    let moved = values[0] - carried_before(j, 0u, quad);
    values[0] += look * moved - gram_target(j, 0u);
    for (var t = 0u; t < TANGENTS; t++) {
        let dmoved = values[1u + t] - carried_before(j, 1u + t, quad);
        values[1u + t] += look * dmoved + told_dlook(quad, t) * moved - gram_target(j, 1u + t);
    }
}

fn slope_leave(block: u32, quad: u32) {
}
