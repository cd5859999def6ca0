// The tangents of a step whose iterate is already computed. If a penalised coefficient is zero, its
// tangents are zero, and their gradient was not computed. The branch of the proximal map is determined
// again from the same w: a compiler that contracts differently here may take the other branch if w is
// within rounding of the threshold.
fn tangents_begin(lane4: u32) {
    step_begin(lane4);
}

fn tangents_row(j: u32, lane4: u32) {
    // The new iterate has replaced the previous one.
    let next = before_at(j, 0u, lane4);
    let w = stepped[(2u * j) * LANE4S + lane4];
    let rests = (next == real4(0.0)) & vec4<bool>(j < PENALISED);
    var prox = step_prox(j, w, step_inputs.alpha * step_scale(j, lane4));
    prox.by_input = select(prox.by_input, real4(0.0), rests);
    prox.by_l1 = select(prox.by_l1, real4(0.0), rests);
    prox.by_l2 = select(prox.by_l2, real4(0.0), rests);
    for (var t = 1u; t < WIDTH; t++) {
        // Values left over from another iteration may not be finite.
        values[t] = select(values[t], real4(0.0), rests);
    }
    let move_by = stepped[(2u * j + 1u) * LANE4S + lane4];
    step_tangents(j, lane4, Stepped(here_at(j, 0u, lane4), move_by, w, next, prox));
}

fn tangents_store(block: u32, lane4: u32) {
    step_store_tangents(block, lane4);
}
