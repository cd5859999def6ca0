// The gradient of the squared loss at e in the Gram strategy, g = v + extrapolation (v - v_before) - c for v
// = X'X x in `values`, which it replaces. A step follows.
fn gradient_at_e_begin(lane4: u32) {
}

fn gradient_at_e_row(j: u32, lane4: u32) {
    let extrapolation = params_extrapolation(lane4);
    let moved = values[0] - carried_before(j, 0u, lane4);
    values[0] += extrapolation * moved - gram_target(j, 0u);
    for (var t = 0u; t < TANGENTS; t++) {
        let dmoved = values[1u + t] - carried_before(j, 1u + t, lane4);
        let dextrapolation = params_dextrapolation(lane4, t);
        values[1u + t] += extrapolation * dmoved + dextrapolation * moved - gram_target(j, 1u + t);
    }
}

fn gradient_at_e_store(block: u32, lane4: u32) {
}
