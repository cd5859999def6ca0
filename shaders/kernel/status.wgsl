// Adds the blocks' sums of a lane in order, writes its record and decides its status.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> partials: array<real>;
@group(1) @binding(1) var<storage, read> lanes: array<real>;
@group(1) @binding(2) var<storage, read_write> records: array<real>;
@group(1) @binding(3) var<storage, read_write> outcomes: array<u32>;
@group(1) @binding(4) var<storage, read_write> measures: array<real>;
@group(1) @binding(5) var<storage, read> directives: array<real>;
@group(1) @binding(6) var<storage, read_write> memory: array<real>;

fn total(field: u32, blocks: u32, lane: u32) -> real {
    var sum = real(0.0);
    for (var block = 0u; block < blocks; block++) {
        sum += partials[(block * PARTIAL_FIELDS + field) * LANES + lane];
    }
    return sum;
}

// Drivers may assume that there is no NaN: look at the exponent's bits. The scale brings the largest f64 into f32.
fn is_finite(v: real) -> bool {
    return (bitcast<u32>(f32(v * FINITE_SCALE)) & 0x7f800000u) != 0x7f800000u;
}

// |a - b| / max(|a|, |b|) of three consecutive squared norms.
fn relative(field: u32, lane: u32) -> real {
    let size = max(total(field, STATE_BLOCKS, lane), total(field + 1u, STATE_BLOCKS, lane));
    if (size == real(0.0)) {
        return real(0.0);
    }
    let ratio = sqrt(total(field + 2u, STATE_BLOCKS, lane) / size);
    // A NaN would get lost in max() and pass for convergence.
    return select(REAL_MAX, ratio, is_finite(size) && is_finite(ratio));
}

// What the control kernel of the next iteration wants to know.
fn remember(lane: u32, objective: real, active_change: real) {
    let m = lane * MEMORY_FIELDS;
    memory[m + SEEN_OBJECTIVE] = objective;
    memory[m + SEEN_MOVED] = active_change;
    memory[m + SEEN_RESTART] = total(PART_RESTART, STATE_BLOCKS, lane);
    if (MEASURES_CURVATURE) {
        memory[m + SEEN_SQUARE] = total(PART_SQUARE, STATE_BLOCKS, lane);
        memory[m + SEEN_SECANT] = total(PART_SECANT_STATE, STATE_BLOCKS, lane) + total(PART_SECANT_ROWS, ROW_BLOCKS, lane);
        for (var t = 0u; t < TANGENTS; t++) {
            memory[m + SEEN_TANGENTS + 2u * t] = total(PART_DSQUARE + t, STATE_BLOCKS, lane);
            memory[m + SEEN_TANGENTS + 2u * t + 1u] =
                total(PART_DSECANT_STATE + t, STATE_BLOCKS, lane) + total(PART_DSECANT_ROWS + t, ROW_BLOCKS, lane);
        }
    }
}

@compute @workgroup_size(64)
fn status(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let record = params.row * RECORD_FIELDS * LANES + lane;
    let objective = total(PART_LOSS, ROW_BLOCKS, lane) + total(PART_PRICE, STATE_BLOCKS, lane);
    let change = sqrt(total(PART_CHANGE, STATE_BLOCKS, lane));
    records[record] = objective;
    records[record + LANES] = change;
    records[record + 2u * LANES] = total(PART_SUPPORT, STATE_BLOCKS, lane);
    records[record + 3u * LANES] = total(PART_VALIDATION, VALIDATION_BLOCKS, lane);
    let active_change = total(PART_ACTIVE_CHANGE, STATE_BLOCKS, lane);
    records[record + 4u * LANES] = active_change;
    records[record + 5u * LANES] = told_step(lane);
    records[record + 6u * LANES] = select(told_momentum(lane), real(-1.0), told_restore(lane));
    remember(lane, objective, active_change);
    var finite = is_finite(objective) && is_finite(change);
    for (var t = 0u; t < TANGENTS; t++) {
        let dchange = sqrt(total(PART_DCHANGE + t, STATE_BLOCKS, lane));
        finite = finite && is_finite(dchange);
        records[record + (7u + t) * LANES] = dchange;
        records[record + (7u + TANGENTS + t) * LANES] = total(PART_HYPERGRADIENT + t, VALIDATION_BLOCKS, lane);
    }
    if (outcomes[2u * lane] != RUNNING) {
        return;
    }
    outcomes[2u * lane + 1u] = params.iteration;
    var meets = false;
    if (params.check == 1u) {
        let gap = (total(PART_GAP_LOSS, ROW_BLOCKS, lane) + total(PART_GAP_PENALTY, STATE_BLOCKS, lane)) / GAP_UNIT;
        let stationarity = relative(PART_NORMS, lane);
        var residual = real(0.0);
        for (var t = 0u; t < TANGENTS; t++) {
            if (TESTED[t]) {
                residual = max(residual, relative(PART_NORMS + 3u * t + 3u, lane));
            }
        }
        measures[3u * lane] = gap;
        measures[3u * lane + 1u] = stationarity;
        measures[3u * lane + 2u] = residual;
        let has_gap = lanes[lane * LANE_FIELDS + 4u] == real(1.0);
        meets = TOL > real(0.0) && select(stationarity, gap, has_gap) <= TOL && residual <= TOL;
    }
    if (!finite) {
        outcomes[2u * lane] = NOT_FINITE;
    } else if (objective > lanes[lane * LANE_FIELDS + 3u]) {
        outcomes[2u * lane] = DIVERGED;
    } else if (meets) {
        outcomes[2u * lane] = CONVERGED;
    } else if (params.iteration == ITERATIONS) {
        outcomes[2u * lane] = MAX_ITERATIONS;
    }
}
