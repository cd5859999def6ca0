// How far a residual that is the end of a prediction looks: as far as the iteration to come.
fn extrapolation_coefficient(lane4: u32) -> real4 {
    return params_next_extrapolation(lane4);
}

fn dextrapolation_coefficient(lane4: u32, t: u32) -> real4 {
    return params_next_dextrapolation(lane4, t);
}
