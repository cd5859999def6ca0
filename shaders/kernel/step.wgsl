// w = x + beta (x - x_previous) - alpha D g, x+ = prox(w), dx+ = J dw + d_u prox. The new iterate replaces the previous one.
// One invocation: a lane and a block of state rows. A lane that ended keeps its state; one that takes its last step back starts
// from the iterate before.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read_write> x: array<real>;
@group(1) @binding(1) var<storage, read_write> x_previous: array<real>;
@group(1) @binding(2) var<storage, read> g: array<real>;
@group(1) @binding(3) var<storage, read> lanes: array<real>;
@group(1) @binding(4) var<storage, read> book: array<real>;
@group(1) @binding(5) var<storage, read_write> partials: array<real>;
@group(1) @binding(6) var<storage, read> metric: array<real>;

@compute @workgroup_size(64)
fn step_kernel(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let running = is_running(lane);
    let alpha = told_step(lane);
    let beta = told_momentum(lane);
    let look = told_look(lane);
    let tangents = told_tangents(lane);
    let restore = running && told_restore(lane);
    let l1 = lane_l1(lane);
    let l2 = lane_l2(lane);
    let ridge = select(real(0.0), l2, RIDGE_IN_LOSS);
    var price = real(0.0);
    var support = real(0.0);
    var change = real(0.0);
    var active_change = real(0.0);
    var restart = real(0.0);
    var square = real(0.0);
    var secant = real(0.0);
    var dchange: array<real, MAX_TANGENTS>;
    var dsquare: array<real, MAX_TANGENTS>;
    var dsecant: array<real, MAX_TANGENTS>;
    let first = id.y * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = entry(j, lane);
        if (restore) {
            for (var t = 0u; t < WIDTH; t++) {
                x[at + t * LANES4] = x_previous[at + t * LANES4];
            }
        }
        let here = x[at];
        let factor = factor_of(j);
        var next = here;
        if (running) {
            let move_by = here - x_previous[at];
            let e = here + look * move_by;
            var d = real(1.0);
            if (HAS_METRIC) {
                d = metric[at];
            }
            let a = alpha * d;
            let y = here + beta * move_by;
            let w = y - a * (g[at] + ridge * factor * e);
            var prox = prox_identity(w);
            if (j < PENALISED) {
                prox = penalty_prox(w, a, l1 * factor, l2 * factor);
                active_change += select(real(0.0), real(1.0), penalty_is_active(prox.value) != penalty_is_active(here));
            }
            next = prox.value;
            change += (next - here) * (next - here);
            let s = next - e;
            restart += (y - next) * (next - here);
            if (MEASURES_CURVATURE) {
                square += s * s;
                secant += ridge * factor * s * s;
            }
            // The step enters w, and the proximal map by -J (w - next)/a.
            let by_step = prox.by_input * (next - here - beta * move_by) / a;
            for (var t = 0u; t < TANGENTS; t++) {
                let c = at + (1u + t) * LANES4;
                let dhere = x[c];
                let dmove = dhere - x_previous[c];
                let de = dhere + look * dmove + told_dlook(lane, t) * move_by;
                let dw = dhere + beta * dmove + told_dmomentum(lane, t) * move_by - a * (g[c] + ridge * factor * de);
                var da = told_dstep(lane, t) * d;
                if (HAS_METRIC) {
                    da += alpha * metric[c];
                }
                let dl1 = lane_dl1(lane, t);
                let dl2 = lane_dl2(lane, t);
                let dridge = select(real(0.0), dl2, RIDGE_IN_LOSS);
                let by_strength = prox.by_l1 * dl1 + prox.by_l2 * dl2 - prox.by_input * a * dridge * e;
                let moves = strength_tangent(j, t);
                var dnext = prox.by_input * dw + moves * by_strength + by_step * da;
                if (!tangents) {
                    dnext = real(0.0);
                }
                dchange[t] += (dnext - dhere) * (dnext - dhere);
                x_previous[c] = dnext;
                if (MEASURES_CURVATURE) {
                    let ds = dnext - de;
                    dsquare[t] += real(2.0) * s * ds;
                    dsecant[t] += s * (dridge * moves * s + ridge * factor * real(2.0) * ds);
                }
            }
        } else {
            for (var t = 0u; t < TANGENTS; t++) {
                x_previous[at + (1u + t) * LANES4] = x[at + (1u + t) * LANES4];
            }
        }
        x_previous[at] = next;
        if (j < PENALISED) {
            price += penalty_value(next, l1 * factor, l2 * factor);
            support += select(real(0.0), real(1.0), next != real(0.0));
        }
    }
    leave(PART_PRICE, id.y, lane, price);
    leave(PART_CHANGE, id.y, lane, change);
    leave(PART_SUPPORT, id.y, lane, support);
    leave(PART_ACTIVE_CHANGE, id.y, lane, active_change);
    leave(PART_RESTART, id.y, lane, restart);
    leave(PART_SQUARE, id.y, lane, square);
    leave(PART_SECANT_STATE, id.y, lane, secant);
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_DCHANGE + t, id.y, lane, dchange[t]);
        leave(PART_DSQUARE + t, id.y, lane, dsquare[t]);
        leave(PART_DSECANT_STATE + t, id.y, lane, dsecant[t]);
    }
}
