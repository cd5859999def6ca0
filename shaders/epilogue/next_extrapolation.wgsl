// The extrapolation coefficient of a residual in a prediction's epilogue: that of the next iteration.
fn extrapolation_coefficient(lane4: u32) -> real4 {
    return params_next_extrapolation(lane4);
}

fn dextrapolation_coefficient(lane4: u32, t: u32) -> real4 {
    return params_next_dextrapolation(lane4, t);
}
