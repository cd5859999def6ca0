// The epilogue of a gradient: w = x + beta (x - x_previous) - alpha D g, x+ = prox(w), dx+ = J dw + d_u prox,
// for one coefficient of a lane4, whose gradient and its tangents are in `values`. The new iterate replaces
// the previous one. A lane that ended keeps its state; one that takes its last step back starts from the
// previous iterate. Iterate and tangents are separate steps, since tangents may be computed only after the
// active set is known.
struct StepInputs {
    running: vec4<bool>,
    restore: vec4<bool>,
    tangents: vec4<bool>,
    alpha: real4,
    beta: real4,
    extrapolation: real4,
    l1: real4,
    l2: real4,
    ridge: real4,
}

struct StepSums {
    penalty_value: real4,
    support: real4,
    change: real4,
    active_change: real4,
    restart: real4,
    square: real4,
    secant: real4,
    dchange: array<real4, MAX_TANGENTS>,
    dsquare: array<real4, MAX_TANGENTS>,
    dsecant: array<real4, MAX_TANGENTS>,
}

// Values of a coefficient's step that its tangents need.
struct Stepped {
    here: real4,
    // x - x_previous
    move_by: real4,
    w: real4,
    next: real4,
    prox: Prox,
}

var<private> step_inputs: StepInputs;
var<private> step_sums: StepSums;

fn step_begin(lane4: u32) {
    let running = are_running(lane4);
    let l2 = lanes_l2(lane4);
    step_inputs = StepInputs(
        running,
        running & params_restore(lane4),
        running & params_tangents(lane4),
        lane_state4(lane4, PARAM_STEP),
        lane_state4(lane4, PARAM_MOMENTUM),
        params_extrapolation(lane4),
        lanes_l1(lane4),
        l2,
        select(real4(0.0), l2, RIDGE_IN_LOSS),
    );
    step_sums = StepSums();
}

fn step_row(j: u32, lane4: u32) {
    let taken = step_iterate(j, lane4);
    if (TANGENTS > 0u) {
        step_tangents(j, lane4, taken);
    }
}

fn step_scale(j: u32, lane4: u32) -> real4 {
    if (HAS_METRIC) {
        return metric_at(j, 0u, lane4);
    }
    return real4(1.0);
}

fn step_prox(j: u32, w: real4, a: real4) -> Prox {
    if (j < PENALISED) {
        let factor = factor_of(j);
        return penalty_prox(w, a, step_inputs.l1 * factor, step_inputs.l2 * factor);
    }
    return prox_identity(w);
}

fn step_iterate(j: u32, lane4: u32) -> Stepped {
    if (MEASURES_CURVATURE) {
        // Only measured steps can be taken back.
        restore_where(step_inputs.restore, j, 0u, lane4);
    }
    let here = here_at(j, 0u, lane4);
    let factor = factor_of(j);
    let ridge = step_inputs.ridge * factor;
    let move_by = here - before_at(j, 0u, lane4);
    let e = here + step_inputs.extrapolation * move_by;
    let a = step_inputs.alpha * step_scale(j, lane4);
    let y = here + step_inputs.beta * move_by;
    let w = y - a * (values[0] + ridge * e);
    let prox = step_prox(j, w, a);
    let next = select(here, prox.value, step_inputs.running);
    store_next(j, 0u, lane4, next);
    let change = next - here;
    step_sums.change += change * change;
    if (ADAPTIVE) {
        step_sums.restart += (y - next) * change;
    }
    if (MEASURES_CURVATURE) {
        let s = next - e;
        step_sums.square += s * s;
        step_sums.secant += ridge * s * s;
    }
    if (j < PENALISED) {
        // A coefficient that crosses zero in one step leaves the manifold, too.
        let crosses = vec4<bool>(CHANGES_BY_SIGN) & (sign(next) * sign(here) < real4(0.0));
        step_sums.active_change += ones_where(crosses | (penalty_is_active(next) != penalty_is_active(here)));
        step_sums.penalty_value += penalty_value(next, step_inputs.l1 * factor, step_inputs.l2 * factor);
        step_sums.support += ones_where(next != real4(0.0));
    }
    return Stepped(here, move_by, w, next, prox);
}

fn step_tangents(j: u32, lane4: u32, taken: Stepped) {
    let ridge = step_inputs.ridge * factor_of(j);
    let e = taken.here + step_inputs.extrapolation * taken.move_by;
    let s = taken.next - e;
    let d = step_scale(j, lane4);
    let a = step_inputs.alpha * d;
    let prox = taken.prox;
    // The step enters w, and the proximal map by -J (w - next)/a.
    let by_step = prox.by_input * (taken.next - taken.here - step_inputs.beta * taken.move_by) / a;
    for (var t = 0u; t < TANGENTS; t++) {
        if (MEASURES_CURVATURE) {
            restore_where(step_inputs.restore, j, 1u + t, lane4);
        }
        let dhere = here_at(j, 1u + t, lane4);
        let dmove = dhere - before_at(j, 1u + t, lane4);
        let de = dhere + step_inputs.extrapolation * dmove + params_dextrapolation(lane4, t) * taken.move_by;
        let dg = values[1u + t] + ridge * de;
        let dw = dhere + step_inputs.beta * dmove + params_dmomentum(lane4, t) * taken.move_by - a * dg;
        var da = params_dstep(lane4, t) * d;
        if (HAS_METRIC) {
            da += step_inputs.alpha * metric_at(j, 1u + t, lane4);
        }
        let dl1 = lanes_dl1(lane4, t);
        let dl2 = lanes_dl2(lane4, t);
        let dridge = select(real4(0.0), dl2, RIDGE_IN_LOSS);
        let by_strength = prox.by_l1 * dl1 + prox.by_l2 * dl2 - prox.by_input * a * dridge * e;
        let moves = strength_tangent(j, t);
        let moved = prox.by_input * dw + moves * by_strength + by_step * da;
        let dnext = select(select(dhere, real4(0.0), step_inputs.running), moved, step_inputs.tangents);
        let dchange = dnext - dhere;
        step_sums.dchange[t] += dchange * dchange;
        store_next(j, 1u + t, lane4, dnext);
        if (MEASURES_CURVATURE) {
            let ds = dnext - de;
            step_sums.dsquare[t] += real(2.0) * s * ds;
            step_sums.dsecant[t] += s * (dridge * moves * s + ridge * real(2.0) * ds);
        }
    }
}

fn step_store(block: u32, lane4: u32) {
    step_store_iterate(block, lane4);
    step_store_tangents(block, lane4);
}

fn step_store_iterate(block: u32, lane4: u32) {
    store_partial(PART_PENALTY_VALUE, block, lane4, step_sums.penalty_value);
    store_partial(PART_CHANGE, block, lane4, step_sums.change);
    store_partial(PART_SUPPORT, block, lane4, step_sums.support);
    store_partial(PART_ACTIVE_CHANGE, block, lane4, step_sums.active_change);
    if (ADAPTIVE) {
        store_partial(PART_RESTART, block, lane4, step_sums.restart);
    }
    if (MEASURES_CURVATURE) {
        store_partial(PART_SQUARE, block, lane4, step_sums.square);
        store_partial(PART_SECANT_STATE, block, lane4, step_sums.secant);
    }
}

fn step_store_tangents(block: u32, lane4: u32) {
    for (var t = 0u; t < TANGENTS; t++) {
        store_partial(PART_DCHANGE + t * BLOCKS_DCHANGE, block, lane4, step_sums.dchange[t]);
        if (MEASURES_CURVATURE) {
            store_partial(PART_DSQUARE + t * BLOCKS_DSQUARE, block, lane4, step_sums.dsquare[t]);
            store_partial(PART_DSECANT_STATE + t * BLOCKS_DSECANT_STATE, block, lane4, step_sums.dsecant[t]);
        }
    }
}
