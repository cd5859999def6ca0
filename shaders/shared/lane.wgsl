// The constants of a lane, as the host packs them.
fn lane_l1(lane: u32) -> real {
    return lanes[lane * LANE_FIELDS];
}

fn lane_l2(lane: u32) -> real {
    return lanes[lane * LANE_FIELDS + 1u];
}

fn lane_probe_step(lane: u32) -> real {
    return lanes[lane * LANE_FIELDS + 2u];
}

fn lane_dl1(lane: u32, t: u32) -> real {
    return lanes[lane * LANE_FIELDS + 5u + 2u * t];
}

fn lane_dl2(lane: u32, t: u32) -> real {
    return lanes[lane * LANE_FIELDS + 6u + 2u * t];
}

// The penalty factor of coefficient j; factors follow the lanes.
fn factor_of(j: u32) -> real {
    return lanes[LANES * LANE_FIELDS + j];
}

// By how much tangent t moves the strengths of coefficient j, per unit of dl1 and dl2.
fn strength_tangent(j: u32, t: u32) -> real {
    let only = ONLY[t];
    if (only < 0) {
        return factor_of(j);
    }
    return select(real(0.0), real(1.0), j == u32(only));
}
