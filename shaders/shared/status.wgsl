// Writes the record of the iteration a lane has just done and decides its status, from `totals`,
// the sums over all rows.
fn record(lane: u32, field: u32, v: real) {
    if (records_now) {
        records[(record_row * RECORD_FIELDS + field) * PADDED_LANES + lane] = v;
    }
}

// Checks the bits of the exponent, since drivers may assume that there is no NaN. The scale brings the
// largest f64 into the range of f32.
fn is_finite(v: real) -> bool {
    return (bitcast<u32>(f32(v * FINITE_SCALE)) & 0x7f800000u) != 0x7f800000u;
}

// max(|a|, |b|, least) of two consecutive squared norms.
fn larger_norm(field: u32, least: real) -> real {
    return max(sqrt(max(totals[field], totals[field + 1u])), least);
}

// |a - b| / max(|a|, |b|, least) of three consecutive squared norms.
fn relative(field: u32, least: real) -> real {
    let size = larger_norm(field, least);
    if (size == real(0.0)) {
        return real(0.0);
    }
    let ratio = sqrt(totals[field + 2u]) / size;
    // max() would drop a NaN, which would then count as convergence.
    return select(REAL_MAX, ratio, is_finite(size) && is_finite(ratio));
}

fn finalize_iteration(lane: u32) {
    if (!is_running(lane)) {
        return;
    }
    let done = u32(get_state(lane, DONE)) + 1u;
    set_state(lane, DONE, real(done));
    let objective = LOSS_AT_ZERO + totals[TOTAL_LOSS] + totals[TOTAL_PENALTY_VALUE];
    let change = sqrt(totals[TOTAL_CHANGE]);
    record(lane, RECORD_OBJECTIVE, objective);
    record(lane, RECORD_CHANGE, change);
    record(lane, RECORD_SUPPORT, totals[TOTAL_SUPPORT]);
    record(lane, RECORD_VALIDATION, totals[TOTAL_VALIDATION]);
    record(lane, RECORD_ACTIVE_CHANGE, totals[TOTAL_ACTIVE_CHANGE]);
    record(lane, RECORD_STEP, get_state(lane, PARAM_STEP));
    let restored = MEASURES_CURVATURE && get_state(lane, PARAM_RESTORE) > real(0.0);
    record(lane, RECORD_MOMENTUM, select(get_state(lane, PARAM_MOMENTUM), real(-1.0), restored));
    var finite = is_finite(objective) && is_finite(change);
    for (var t = 0u; t < TANGENTS; t++) {
        let dchange = sqrt(totals[TOTAL_DCHANGE + t]);
        finite = finite && is_finite(dchange);
        record(lane, RECORD_DCHANGE + t, dchange);
        record(lane, RECORD_HYPERGRADIENT + t, totals[TOTAL_HYPERGRADIENT + t]);
    }
    // Measurements for the control of the next iteration.
    if (IDENTIFIES) {
        set_state(lane, SEEN_MOVED, totals[TOTAL_ACTIVE_CHANGE]);
    }
    if (ADAPTIVE) {
        set_state(lane, SEEN_OBJECTIVE, objective);
        set_state(lane, SEEN_RESTART, totals[TOTAL_RESTART]);
    }
    if (MEASURES_CURVATURE) {
        set_state(lane, SEEN_SQUARE, totals[TOTAL_SQUARE]);
        set_state(lane, SEEN_SECANT, totals[TOTAL_SECANT_STATE] + totals[TOTAL_SECANT_ROWS]);
        for (var t = 0u; t < TANGENTS; t++) {
            set_state(lane, SEEN_DSQUARE + t, totals[TOTAL_DSQUARE + t]);
            let dsecant = totals[TOTAL_DSECANT_STATE + t] + totals[TOTAL_DSECANT_ROWS + t];
            set_state(lane, SEEN_DSECANT + t, dsecant);
        }
    }
    let last = done == ITERATIONS;
    let tested = last || (CHECK_EVERY > 0u && done % max(CHECK_EVERY, 1u) == 0u);
    // Lanes in a chunk may be at different iterations, and each decides at its own.
    if (!tested && done % RECORD_EVERY != 0u && done % FRAME_EVERY != 0u) {
        return;
    }
    var meets = false;
    if (checked && tested) {
        var gap = REAL_MAX;
        if (HAS_DUAL) {
            gap = (totals[TOTAL_GAP_LOSS] + totals[TOTAL_GAP_PENALTY]) / GAP_UNIT;
        }
        let iterate_length = larger_norm(TOTAL_NORMS, lane_least_norm(lane));
        let stationarity = relative(TOTAL_NORMS, lane_least_norm(lane));
        var residual = real(0.0);
        for (var t = 0u; t < TANGENTS; t++) {
            if (TESTED[t]) {
                let least = lane_least_tangent(lane, t) * iterate_length;
                residual = max(residual, relative(TOTAL_NORMS + 3u * t + 3u, least));
            }
        }
        set_state(lane, MEASURED_GAP, gap);
        set_state(lane, MEASURED_STATIONARITY, stationarity);
        set_state(lane, MEASURED_RESIDUAL, residual);
        let measure = select(stationarity, gap, HAS_DUAL && lane_has_gap(lane));
        let tol = lane_tol(lane);
        meets = tol > real(0.0) && measure <= tol && residual <= tol;
    }
    if (!finite) {
        set_state(lane, STATUS, NOT_FINITE);
    } else if (objective > lane_objective_limit(lane)) {
        set_state(lane, STATUS, DIVERGED);
    } else if (meets) {
        set_state(lane, STATUS, CONVERGED);
    } else if (last) {
        set_state(lane, STATUS, MAX_ITERATIONS);
    }
}
