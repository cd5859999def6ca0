// The constants of a lane, as the host packs them: [LANE_FIELDS, LANES4], then the penalty factors.
fn lane_field(lane: u32, field: u32) -> real {
    return lanes[field * LANES4 + lane];
}

fn lane_l1(lane: u32) -> real {
    return lane_field(lane, 0u);
}

fn lane_l2(lane: u32) -> real {
    return lane_field(lane, 1u);
}

fn lane_probe_step(lane: u32) -> real {
    return lane_field(lane, 2u);
}

fn lane_objective_limit(lane: u32) -> real {
    return lane_field(lane, 3u);
}

fn lane_has_gap(lane: u32) -> bool {
    return lane_field(lane, 4u) > real(0.0);
}

fn lane_dl1(lane: u32, t: u32) -> real {
    return lane_field(lane, 5u + 2u * t);
}

fn lane_dl2(lane: u32, t: u32) -> real {
    return lane_field(lane, 6u + 2u * t);
}

// The factors of step and momentum in a phase, then the tangents of both.
fn lane_base(lane: u32, phase: u32, field: u32) -> real {
    return lane_field(lane, LANE_BASES + phase * RULE_FIELDS + field);
}

// The penalty factor of coefficient j.
fn factor_of(j: u32) -> real {
    return lanes[LANE_FIELDS * LANES4 + j];
}

// By how much tangent t moves the strengths of coefficient j, per unit of dl1 and dl2.
fn strength_tangent(j: u32, t: u32) -> real {
    let only = ONLY[t];
    if (only < 0) {
        return factor_of(j);
    }
    return select(real(0.0), real(1.0), j == u32(only));
}
