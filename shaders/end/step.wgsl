// The end of a gradient: w = x + beta (x - x_previous) - alpha D g, x+ = prox(w), dx+ = J dw + d_u prox, for one coefficient of a
// lane, whose gradient and its tangents are in `values`. The new iterate replaces the previous one. A lane that ended keeps its
// state; one that takes its last step back starts from the iterate before.
struct StepTold {
    running: bool,
    restore: bool,
    tangents: bool,
    alpha: real,
    beta: real,
    look: real,
    l1: real,
    l2: real,
    ridge: real,
}

struct StepSums {
    price: real,
    support: real,
    change: real,
    active_change: real,
    restart: real,
    square: real,
    secant: real,
    dchange: array<real, MAX_TANGENTS>,
    dsquare: array<real, MAX_TANGENTS>,
    dsecant: array<real, MAX_TANGENTS>,
}

var<private> step_told: StepTold;
var<private> step_sums: StepSums;

fn step_begin(lane: u32) {
    let running = is_running(lane);
    let l2 = lane_l2(lane);
    step_told = StepTold(
        running, running && told_restore(lane), told_tangents(lane), told_step(lane), told_momentum(lane), told_look(lane),
        lane_l1(lane), l2, select(real(0.0), l2, RIDGE_IN_LOSS));
    step_sums = StepSums();
}

fn step_row(j: u32, lane: u32) {
    let at = entry(j, lane);
    if (step_told.restore) {
        for (var t = 0u; t < WIDTH; t++) {
            x[at + t * LANES4] = x_previous[at + t * LANES4];
        }
    }
    let here = x[at];
    let factor = factor_of(j);
    let l1 = step_told.l1 * factor;
    let l2 = step_told.l2 * factor;
    let ridge = step_told.ridge * factor;
    var next = here;
    if (step_told.running) {
        let move_by = here - x_previous[at];
        let e = here + step_told.look * move_by;
        var d = real(1.0);
        if (HAS_METRIC) {
            d = metric[at];
        }
        let a = step_told.alpha * d;
        let y = here + step_told.beta * move_by;
        let w = y - a * (values[0] + ridge * e);
        var prox = prox_identity(w);
        if (j < PENALISED) {
            prox = penalty_prox(w, a, l1, l2);
            let turned = penalty_is_active(prox.value) != penalty_is_active(here);
            step_sums.active_change += select(real(0.0), real(1.0), turned);
        }
        next = prox.value;
        step_sums.change += (next - here) * (next - here);
        let s = next - e;
        step_sums.restart += (y - next) * (next - here);
        if (MEASURES_CURVATURE) {
            step_sums.square += s * s;
            step_sums.secant += ridge * s * s;
        }
        // The step enters w, and the proximal map by -J (w - next)/a.
        let by_step = prox.by_input * (next - here - step_told.beta * move_by) / a;
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * LANES4;
            let dhere = x[c];
            let dmove = dhere - x_previous[c];
            let de = dhere + step_told.look * dmove + told_dlook(lane, t) * move_by;
            let dg = values[1u + t] + ridge * de;
            let dw = dhere + step_told.beta * dmove + told_dmomentum(lane, t) * move_by - a * dg;
            var da = told_dstep(lane, t) * d;
            if (HAS_METRIC) {
                da += step_told.alpha * metric[c];
            }
            let dl1 = lane_dl1(lane, t);
            let dl2 = lane_dl2(lane, t);
            let dridge = select(real(0.0), dl2, RIDGE_IN_LOSS);
            let by_strength = prox.by_l1 * dl1 + prox.by_l2 * dl2 - prox.by_input * a * dridge * e;
            let moves = strength_tangent(j, t);
            var dnext = prox.by_input * dw + moves * by_strength + by_step * da;
            if (!step_told.tangents) {
                dnext = real(0.0);
            }
            step_sums.dchange[t] += (dnext - dhere) * (dnext - dhere);
            x_previous[c] = dnext;
            if (MEASURES_CURVATURE) {
                let ds = dnext - de;
                step_sums.dsquare[t] += real(2.0) * s * ds;
                step_sums.dsecant[t] += s * (dridge * moves * s + ridge * real(2.0) * ds);
            }
        }
    } else {
        for (var t = 0u; t < TANGENTS; t++) {
            x_previous[at + (1u + t) * LANES4] = x[at + (1u + t) * LANES4];
        }
    }
    x_previous[at] = next;
    if (j < PENALISED) {
        step_sums.price += penalty_value(next, l1, l2);
        step_sums.support += select(real(0.0), real(1.0), next != real(0.0));
    }
}

fn step_leave(block: u32, lane: u32) {
    leave(PART_PRICE, block, lane, step_sums.price);
    leave(PART_CHANGE, block, lane, step_sums.change);
    leave(PART_SUPPORT, block, lane, step_sums.support);
    leave(PART_ACTIVE_CHANGE, block, lane, step_sums.active_change);
    leave(PART_RESTART, block, lane, step_sums.restart);
    if (MEASURES_CURVATURE) {
        leave(PART_SQUARE, block, lane, step_sums.square);
        leave(PART_SECANT_STATE, block, lane, step_sums.secant);
    }
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_DCHANGE + t * BLOCKS_DCHANGE, block, lane, step_sums.dchange[t]);
        if (MEASURES_CURVATURE) {
            leave(PART_DSQUARE + t * BLOCKS_DSQUARE, block, lane, step_sums.dsquare[t]);
            leave(PART_DSECANT_STATE + t * BLOCKS_DSECANT_STATE, block, lane, step_sums.dsecant[t]);
        }
    }
}
