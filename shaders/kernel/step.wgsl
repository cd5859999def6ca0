// w = x + beta (x - x_previous) - alpha g, x+ = prox(w), dx+ = J dw + d_u prox. The new iterate replaces the previous one.
// One invocation: a lane and a block of state rows. A lane that ended keeps its state.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> x: array<real>;
@group(1) @binding(1) var<storage, read_write> x_previous: array<real>;
@group(1) @binding(2) var<storage, read> g: array<real>;
@group(1) @binding(3) var<storage, read> lanes: array<real>;
@group(1) @binding(4) var<storage, read> factors: array<real>;
@group(1) @binding(5) var<storage, read> table: array<real>;
@group(1) @binding(6) var<storage, read> outcomes: array<u32>;
@group(1) @binding(7) var<storage, read_write> partials: array<real>;

@compute @workgroup_size(64)
fn step_kernel(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let running = outcomes[2u * lane] == RUNNING;
    let alpha = table[2u * params.row * LANES + lane];
    let beta = table[(2u * params.row + 1u) * LANES + lane];
    let look = select(real(0.0), beta, LOOKS_AHEAD);
    let l1 = lane_l1(lane);
    let l2 = lane_l2(lane);
    let ridge = select(real(0.0), l2, RIDGE_IN_LOSS);
    var price = real(0.0);
    var support = real(0.0);
    var change = real(0.0);
    var dchange: array<real, MAX_TANGENTS>;
    let first = id.y * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = j * COLUMNS + lane * WIDTH;
        let here = x[at];
        let factor = factors[j];
        var next = here;
        if (running) {
            let move_by = here - x_previous[at];
            let e = here + look * move_by;
            let w = here + beta * move_by - alpha * (g[at] + ridge * factor * e);
            var prox = prox_identity(w);
            if (j < PENALISED) {
                prox = penalty_prox(w, alpha, l1 * factor, l2 * factor);
            }
            next = prox.value;
            change += (next - here) * (next - here);
            for (var t = 0u; t < TANGENTS; t++) {
                let c = at + 1u + t;
                let dhere = x[c];
                let dmove = dhere - x_previous[c];
                let de = dhere + look * dmove;
                let dw = dhere + beta * dmove - alpha * (g[c] + ridge * factor * de);
                let dl1 = lane_dl1(lane, t);
                let dl2 = lane_dl2(lane, t);
                let dridge = select(real(0.0), dl2, RIDGE_IN_LOSS);
                let by_strength = prox.by_l1 * dl1 + prox.by_l2 * dl2 - prox.by_input * alpha * dridge * e;
                let dnext = prox.by_input * dw + strength_tangent(j, t) * by_strength;
                dchange[t] += (dnext - dhere) * (dnext - dhere);
                x_previous[c] = dnext;
            }
        } else {
            for (var t = 0u; t < TANGENTS; t++) {
                x_previous[at + 1u + t] = x[at + 1u + t];
            }
        }
        x_previous[at] = next;
        if (j < PENALISED) {
            price += penalty_value(next, l1 * factor, l2 * factor);
            support += select(real(0.0), real(1.0), next != real(0.0));
        }
    }
    let slot = id.y * PARTIAL_FIELDS * LANES + lane;
    partials[slot + PART_PRICE * LANES] = price;
    partials[slot + PART_CHANGE * LANES] = change;
    partials[slot + PART_SUPPORT * LANES] = support;
    for (var t = 0u; t < TANGENTS; t++) {
        partials[slot + (PART_DCHANGE + t) * LANES] = dchange[t];
    }
}
