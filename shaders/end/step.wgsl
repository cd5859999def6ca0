// The end of a gradient: w = x + beta (x - x_previous) - alpha D g, x+ = prox(w), dx+ = J dw + d_u prox, for one coefficient of a
// quad of lanes, whose gradient and its tangents are in `values`. The new iterate replaces the previous one. A lane that ended
// keeps its state; one that takes its last step back starts from the iterate before. Iterate and tangents are steps of their own,
// as tangents may wait until it is known which of them move.
struct StepTold {
    running: vec4<bool>,
    restore: vec4<bool>,
    tangents: vec4<bool>,
    alpha: real4,
    beta: real4,
    look: real4,
    l1: real4,
    l2: real4,
    ridge: real4,
}

struct StepSums {
    price: real4,
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

// What the tangents of a coefficient want to know of its step.
struct Stepped {
    here: real4,
    // x - x_previous
    move_by: real4,
    w: real4,
    next: real4,
    prox: Prox,
}

var<private> step_told: StepTold;
var<private> step_sums: StepSums;

fn step_begin(quad: u32) {
    let running = are_running(quad);
    let l2 = lanes_l2(quad);
    step_told = StepTold(
        running, running & told_restore(quad), running & told_tangents(quad), told(quad, TOLD_STEP),
        told(quad, TOLD_MOMENTUM), told_look(quad), lanes_l1(quad), l2, select(real4(0.0), l2, RIDGE_IN_LOSS));
    step_sums = StepSums();
}

fn step_row(j: u32, quad: u32) {
    let taken = step_iterate(j, quad);
    if (TANGENTS > 0u) {
        step_tangents(j, quad, taken);
    }
}

fn step_scale(j: u32, quad: u32) -> real4 {
    if (HAS_METRIC) {
        return metric_at(j, 0u, quad);
    }
    return real4(1.0);
}

fn step_prox(j: u32, w: real4, a: real4) -> Prox {
    if (j < PENALISED) {
        let factor = factor_of(j);
        return penalty_prox(w, a, step_told.l1 * factor, step_told.l2 * factor);
    }
    return prox_identity(w);
}

fn step_iterate(j: u32, quad: u32) -> Stepped {
    if (MEASURES_CURVATURE) {
        // Only steps that are measured can be taken back.
        restore_where(step_told.restore, j, 0u, quad);
    }
    let here = here_at(j, 0u, quad);
    let factor = factor_of(j);
    let ridge = step_told.ridge * factor;
    let move_by = here - before_at(j, 0u, quad);
    let e = here + step_told.look * move_by;
    let a = step_told.alpha * step_scale(j, quad);
    let y = here + step_told.beta * move_by;
    let w = y - a * (values[0] + ridge * e);
    let prox = step_prox(j, w, a);
    let next = select(here, prox.value, step_told.running);
    leave_next(j, 0u, quad, next);
    let change = next - here;
    step_sums.change += change * change;
    if (DECIDES) {
        step_sums.restart += (y - next) * change;
    }
    if (MEASURES_CURVATURE) {
        let s = next - e;
        step_sums.square += s * s;
        step_sums.secant += ridge * s * s;
    }
    if (j < PENALISED) {
        step_sums.active_change += ones_where(penalty_is_active(next) != penalty_is_active(here));
        step_sums.price += penalty_value(next, step_told.l1 * factor, step_told.l2 * factor);
        step_sums.support += ones_where(next != real4(0.0));
    }
    return Stepped(here, move_by, w, next, prox);
}

fn step_tangents(j: u32, quad: u32, taken: Stepped) {
    let ridge = step_told.ridge * factor_of(j);
    let e = taken.here + step_told.look * taken.move_by;
    let s = taken.next - e;
    let d = step_scale(j, quad);
    let a = step_told.alpha * d;
    let prox = taken.prox;
    // The step enters w, and the proximal map by -J (w - next)/a.
    let by_step = prox.by_input * (taken.next - taken.here - step_told.beta * taken.move_by) / a;
    for (var t = 0u; t < TANGENTS; t++) {
        if (MEASURES_CURVATURE) {
            restore_where(step_told.restore, j, 1u + t, quad);
        }
        let dhere = here_at(j, 1u + t, quad);
        let dmove = dhere - before_at(j, 1u + t, quad);
        let de = dhere + step_told.look * dmove + told_dlook(quad, t) * taken.move_by;
        let dg = values[1u + t] + ridge * de;
        let dw = dhere + step_told.beta * dmove + told_dmomentum(quad, t) * taken.move_by - a * dg;
        var da = told_dstep(quad, t) * d;
        if (HAS_METRIC) {
            da += step_told.alpha * metric_at(j, 1u + t, quad);
        }
        let dl1 = lanes_dl1(quad, t);
        let dl2 = lanes_dl2(quad, t);
        let dridge = select(real4(0.0), dl2, RIDGE_IN_LOSS);
        let by_strength = prox.by_l1 * dl1 + prox.by_l2 * dl2 - prox.by_input * a * dridge * e;
        let moves = strength_tangent(j, t);
        let moved = prox.by_input * dw + moves * by_strength + by_step * da;
        let dnext = select(select(dhere, real4(0.0), step_told.running), moved, step_told.tangents);
        let dchange = dnext - dhere;
        step_sums.dchange[t] += dchange * dchange;
        leave_next(j, 1u + t, quad, dnext);
        if (MEASURES_CURVATURE) {
            let ds = dnext - de;
            step_sums.dsquare[t] += real(2.0) * s * ds;
            step_sums.dsecant[t] += s * (dridge * moves * s + ridge * real(2.0) * ds);
        }
    }
}

fn step_leave(block: u32, quad: u32) {
    step_leave_iterate(block, quad);
    step_leave_tangents(block, quad);
}

fn step_leave_iterate(block: u32, quad: u32) {
    leave(PART_PRICE, block, quad, step_sums.price);
    leave(PART_CHANGE, block, quad, step_sums.change);
    leave(PART_SUPPORT, block, quad, step_sums.support);
    leave(PART_ACTIVE_CHANGE, block, quad, step_sums.active_change);
    if (DECIDES) {
        leave(PART_RESTART, block, quad, step_sums.restart);
    }
    if (MEASURES_CURVATURE) {
        leave(PART_SQUARE, block, quad, step_sums.square);
        leave(PART_SECANT_STATE, block, quad, step_sums.secant);
    }
}

fn step_leave_tangents(block: u32, quad: u32) {
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_DCHANGE + t * BLOCKS_DCHANGE, block, quad, step_sums.dchange[t]);
        if (MEASURES_CURVATURE) {
            leave(PART_DSQUARE + t * BLOCKS_DSQUARE, block, quad, step_sums.dsquare[t]);
            leave(PART_DSECANT_STATE + t * BLOCKS_DSECANT_STATE, block, quad, step_sums.dsecant[t]);
        }
    }
}
