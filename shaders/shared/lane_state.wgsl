// The lane state, which is stored from one iteration to the next: [STATE_FIELDS, PADDED_LANES]. The prelude
// defines the names of the fields.
fn get_state(lane: u32, field: u32) -> real {
    return lane_state[field * PADDED_LANES + lane];
}

fn set_state(lane: u32, field: u32, v: real) {
    lane_state[field * PADDED_LANES + lane] = v;
}

fn is_running(lane: u32) -> bool {
    return get_state(lane, STATUS) == RUNNING;
}
