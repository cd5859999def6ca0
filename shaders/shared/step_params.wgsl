// The iteration parameters of a lane4, from the lane state.
fn are_running(lane4: u32) -> vec4<bool> {
    return lane_state4(lane4, STATUS) == real4(RUNNING);
}

// The extrapolation coefficient: the gradient is taken at x + coefficient (x - x_previous).
fn params_extrapolation(lane4: u32) -> real4 {
    return lane_state4(lane4, PARAM_EXTRAPOLATION);
}

// True if tangents are carried already.
fn params_tangents(lane4: u32) -> vec4<bool> {
    return lane_state4(lane4, PARAM_TANGENTS) > real4(0.0);
}

// True if the last step is taken back.
fn params_restore(lane4: u32) -> vec4<bool> {
    return lane_state4(lane4, PARAM_RESTORE) > real4(0.0);
}

fn params_dstep(lane4: u32, t: u32) -> real4 {
    return lane_state4(lane4, PARAM_DSTEP + t);
}

fn params_dmomentum(lane4: u32, t: u32) -> real4 {
    return lane_state4(lane4, PARAM_DMOMENTUM + t);
}

fn params_dextrapolation(lane4: u32, t: u32) -> real4 {
    return lane_state4(lane4, PARAM_DEXTRAPOLATION + t);
}

// The extrapolation coefficient of the iteration after this one, if the schedule is not adaptive.
fn params_next_extrapolation(lane4: u32) -> real4 {
    return lane_state4(lane4, PARAM_NEXT_EXTRAPOLATION);
}

fn params_next_dextrapolation(lane4: u32, t: u32) -> real4 {
    return lane_state4(lane4, PARAM_NEXT_DEXTRAPOLATION + t);
}
