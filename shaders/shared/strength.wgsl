// The penalty of a lane4: its strengths, their tangents, and the penalty factors of the coefficients, from
// `lanes`: [LANE_FIELDS, LANE4S], then the numbers that all lanes share.
fn lanes_l1(lane4: u32) -> real4 {
    return lanes[LANE_L1 * LANE4S + lane4];
}

fn lanes_l2(lane4: u32) -> real4 {
    return lanes[LANE_L2 * LANE4S + lane4];
}

fn lanes_probe_step(lane4: u32) -> real4 {
    return lanes[LANE_PROBE_STEP * LANE4S + lane4];
}

fn lanes_dl1(lane4: u32, t: u32) -> real4 {
    return lanes[(LANE_DL1 + t) * LANE4S + lane4];
}

fn lanes_dl2(lane4: u32, t: u32) -> real4 {
    return lanes[(LANE_DL2 + t) * LANE4S + lane4];
}

// Number `at` of those that all lanes share. They follow the fields of the lanes and are repeated for
// each lane of a lane4.
fn shared_at(at: u32) -> real4 {
    return lanes[LANE_FIELDS * LANE4S + at];
}

// The penalty factor of coefficient j.
fn factor_of(j: u32) -> real4 {
    if (!HAS_FACTORS) {
        return select(real4(0.0), real4(1.0), j < PENALISED);
    }
    return shared_at(j);
}

// The tangent t of the strengths of coefficient j, per unit of dl1 and dl2.
fn strength_tangent(j: u32, t: u32) -> real4 {
    let only = FACTOR_SEEDS[t];
    if (only < 0) {
        return factor_of(j);
    }
    return select(real4(0.0), real4(1.0), j == u32(only));
}
