// How far a residual that is the end of a prediction looks: as far as the iteration to come.
fn look_ahead(lane: u32) -> real {
    return told_next_look(lane);
}

fn dlook_ahead(lane: u32, t: u32) -> real {
    return told_next_dlook(lane, t);
}
