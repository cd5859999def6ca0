// How far a residual that is the end of a prediction looks: as far as the iteration to come.
fn look_ahead(quad: u32) -> real4 {
    return told_next_look(quad);
}

fn dlook_ahead(quad: u32, t: u32) -> real4 {
    return told_next_dlook(quad, t);
}
