// phi = 1/2 r^2 for |r| <= delta, delta (|r| - delta/2) beyond, r = z - y
fn loss_value(z: real4, y: real) -> real4 {
    let r = abs(z - y);
    return select(LOSS_DELTA * (r - real(0.5) * LOSS_DELTA), real(0.5) * r * r, r <= real4(LOSS_DELTA));
}

fn loss_d1(z: real4, y: real) -> real4 {
    return max(min(z - y, real4(LOSS_DELTA)), real4(-LOSS_DELTA));
}

fn loss_d2(z: real4, y: real) -> real4 {
    return ones_where(abs(z - y) < real4(LOSS_DELTA));
}

fn loss_d3(z: real4, y: real) -> real4 {
    return real4(0.0);
}

fn loss_d1_by_target(z: real4, y: real) -> real4 {
    return -loss_d2(z, y);
}

fn loss_gap(z: real4, y: real, scale: real4) -> real4 {
    let r = abs(z - y);
    let miss = real(1.0) - scale;
    let linear = miss * LOSS_DELTA * (r - real(0.5) * LOSS_DELTA * (real(1.0) + scale));
    return select(linear, real(0.5) * miss * miss * r * r, r <= real4(LOSS_DELTA));
}
