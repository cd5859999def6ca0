// The penalty of a quad of lanes: its strengths, their tangents, and the factors of the coefficients, from `lanes`,
// [LANE_FIELDS, QUADS], then the numbers that all lanes share.
fn lanes_l1(quad: u32) -> real4 {
    return lanes[quad];
}

fn lanes_l2(quad: u32) -> real4 {
    return lanes[QUADS + quad];
}

fn lanes_probe_step(quad: u32) -> real4 {
    return lanes[2u * QUADS + quad];
}

fn lanes_dl1(quad: u32, t: u32) -> real4 {
    return lanes[(5u + 2u * t) * QUADS + quad];
}

fn lanes_dl2(quad: u32, t: u32) -> real4 {
    return lanes[(6u + 2u * t) * QUADS + quad];
}

// Number `at` of those that all lanes share, which follow the lanes' fields, one for each lane of a quad.
fn shared_at(at: u32) -> real4 {
    return lanes[LANE_FIELDS * QUADS + at];
}

// The penalty factor of coefficient j.
fn factor_of(j: u32) -> real4 {
    if (!HAS_FACTORS) {
        return select(real4(0.0), real4(1.0), j < PENALISED);
    }
    return shared_at(j);
}

// By how much tangent t moves the strengths of coefficient j, per unit of dl1 and dl2.
fn strength_tangent(j: u32, t: u32) -> real4 {
    let only = ONLY[t];
    if (only < 0) {
        return factor_of(j);
    }
    return select(real4(0.0), real4(1.0), j == u32(only));
}
