// A field of the lane state of a lane4: [STATE_FIELDS, LANE4S].
fn lane_state4(lane4: u32, field: u32) -> real4 {
    return lane_state[field * LANE4S + lane4];
}
