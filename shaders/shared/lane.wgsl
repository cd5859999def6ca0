// The constants of a lane that determine its iteration parameters, as the host packs them:
// [LANE_FIELDS, LANE4S].
fn lane_field(lane: u32, field: u32) -> real {
    return lanes[field * LANE4S + lane / 4u][lane % 4u];
}

fn lane_objective_limit(lane: u32) -> real {
    return lane_field(lane, LANE_OBJECTIVE_LIMIT);
}

fn lane_tol(lane: u32) -> real {
    return lane_field(lane, LANE_TOL);
}

fn lane_least_norm(lane: u32) -> real {
    return lane_field(lane, LANE_LEAST_NORM);
}

fn lane_least_tangent(lane: u32, t: u32) -> real {
    return lane_field(lane, LANE_LEAST_TANGENT + t);
}

fn lane_has_gap(lane: u32) -> bool {
    return lane_field(lane, LANE_HAS_GAP) > real(0.0);
}

// The factors of step and momentum in a phase, then the tangents of both.
fn lane_base(lane: u32, phase: u32, field: u32) -> real {
    return lane_field(lane, LANE_BASES + phase * RULE_FIELDS + field);
}
