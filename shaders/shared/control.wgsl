// Computes the iteration parameters of a lane from the schedule and the measurements of the last iteration.
struct Code {
    bits: u32,
    // Index in `constants` of the phase's first number.
    base: u32,
}

fn has(code: Code, bit: u32) -> bool {
    return (code.bits & bit) != 0u;
}

fn flag(on: bool) -> real {
    return select(real(0.0), real(1.0), on);
}

fn control(lane: u32) {
    let k = u32(get_state(lane, DONE));
    let first = rule_code(0u, lane, k, 0u);
    var identified = false;
    var switched = false;
    var switches = false;
    if (IDENTIFIES) {
        var quiet = get_state(lane, MEMORY_QUIET);
        identified = get_state(lane, MEMORY_IDENTIFIED) > real(0.0);
        if (k > 0u) {
            quiet = select(quiet + real(1.0), real(0.0), get_state(lane, SEEN_MOVED) > real(0.0));
            identified = identified || quiet >= PATIENCE;
        }
        set_state(lane, MEMORY_IDENTIFIED, flag(identified));
        switched = get_state(lane, MEMORY_SWITCHED) > real(0.0);
        let waits = has(first, WAITS) && !switched;
        if (waits && has(first, STARTS)) {
            quiet = real(0.0);
        }
        set_state(lane, MEMORY_QUIET, quiet);
        switches = waits && quiet >= PATIENCE;
        switched = switched || switches;
        set_state(lane, MEMORY_SWITCHED, flag(switched));
    }
    let stage = select(0u, STAGES - 1u, switched);
    let code = rule_code(stage, lane, k, 0u);
    let square = get_state(lane, SEEN_SQUARE);
    let secant = get_state(lane, SEEN_SECANT);

    let begins = has(code, STARTS) || switches;
    var count = u32(get_state(lane, MEMORY_COUNT));
    // The scale changes only in adaptive schedules.
    var scale = select(real(1.0), get_state(lane, MEMORY_SCALE), ADAPTIVE);
    var taken_back = false;
    if (begins) {
        count = 0u;
        scale = real(1.0);
    } else if (ADAPTIVE) {
        let higher = get_state(lane, SEEN_OBJECTIVE) > get_state(lane, MEMORY_OBJECTIVE);
        let rose = has(code, RESTARTS_BY_FUNCTION) && higher;
        let turned = has(code, RESTARTS_BY_GRADIENT) && get_state(lane, SEEN_RESTART) > real(0.0);
        if (rose || turned) {
            count = 0u;
        }
        if (has(code, BACKTRACKS)) {
            let least = real(1.0) / constants[code.base];
            taken_back = get_state(lane, MEMORY_STEP) * secant > square && scale > least;
            if (taken_back) {
                scale = max(scale * constants[code.base + 1u], least);
                count = 0u;
            }
        }
    }
    // The objective of the start is unknown: the first iterate cannot have risen. If a step is taken back,
    // the objective of its start is kept.
    if (ADAPTIVE) {
        if (k == 0u) {
            set_state(lane, MEMORY_OBJECTIVE, REAL_MAX);
        } else if (!taken_back) {
            set_state(lane, MEMORY_OBJECTIVE, get_state(lane, SEEN_OBJECTIVE));
        }
        set_state(lane, MEMORY_SCALE, scale);
    }

    let high = scale * rule_step(stage, lane, k, 0u);
    var step = high;
    // The tangent of the step: 0 that of the rule, 1 that of the lowest step, 2 that of
    // the measured curvature.
    var kind = 0u;
    if (ADAPTIVE && has(code, USES_SECANT_STEP)) {
        let low = high / constants[code.base];
        // No curvature, or NaN: the lowest step.
        let found = select(real(0.0), square / secant, secant > real(0.0));
        if (begins || found <= low) {
            step = low;
            kind = 1u;
        } else if (found < high) {
            step = found;
            kind = 2u;
        }
    }
    if (ADAPTIVE) {
        set_state(lane, MEMORY_STEP, step);
    }

    let resets = ADAPTIVE && has(code, RESTARTS_BY_FUNCTION | RESTARTS_BY_GRADIENT | BACKTRACKS);
    let begun = !has(code, COUNTS) && count == 0u && resets;
    var momentum = rule_momentum(stage, lane, k, 0u);
    if (ADAPTIVE && has(code, COUNTS)) {
        momentum = constants[code.base + 2u + count];
    } else if (begun) {
        momentum = real(0.0);
    }
    if (ADAPTIVE) {
        set_state(lane, MEMORY_COUNT, real(count + 1u));
    }

    let extrapolates = has(code, EXTRAPOLATES);
    set_state(lane, PARAM_STEP, step);
    set_state(lane, PARAM_MOMENTUM, momentum);
    set_state(lane, PARAM_EXTRAPOLATION, select(real(0.0), momentum, extrapolates));
    if (TANGENTS > 0u) {
        let by_iteration = TANGENT_START != 0xffffffffu;
        let carries = select(identified, k >= TANGENT_START, by_iteration);
        set_state(lane, PARAM_TANGENTS, flag(carries));
    }
    if (MEASURES_CURVATURE) {
        set_state(lane, PARAM_RESTORE, flag(taken_back));
    }
    for (var t = 0u; t < TANGENTS; t++) {
        var dstep = scale * rule_dstep(stage, lane, k, t, 0u);
        if (kind == 1u) {
            dstep = dstep / constants[code.base];
        } else if (kind == 2u) {
            dstep = (get_state(lane, SEEN_DSQUARE + t) - step * get_state(lane, SEEN_DSECANT + t)) / secant;
        }
        var dmomentum = rule_dmomentum(stage, lane, k, t, 0u);
        if (begun) {
            dmomentum = real(0.0);
        }
        set_state(lane, PARAM_DSTEP + t, dstep);
        set_state(lane, PARAM_DMOMENTUM + t, dmomentum);
        set_state(lane, PARAM_DEXTRAPOLATION + t, select(real(0.0), dmomentum, extrapolates));
    }
    if (PREDICTS_AHEAD) {
        // The schedule is not adaptive: the extrapolation coefficient of the next iteration is known.
        let comes = k + 1u < ITERATIONS;
        let next = select(k, k + 1u, comes);
        let next_code = rule_code(0u, lane, next, 1u);
        let next_extrapolates = comes && has(next_code, EXTRAPOLATES);
        let next_momentum = rule_momentum(0u, lane, next, 1u);
        set_state(lane, PARAM_NEXT_EXTRAPOLATION, select(real(0.0), next_momentum, next_extrapolates));
        for (var t = 0u; t < TANGENTS; t++) {
            let dmomentum = rule_dmomentum(0u, lane, next, t, 1u);
            set_state(lane, PARAM_NEXT_DEXTRAPOLATION + t, select(real(0.0), dmomentum, next_extrapolates));
        }
    }
}
