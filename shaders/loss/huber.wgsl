// phi = 1/2 r^2 for |r| <= delta, delta (|r| - delta/2) beyond, r = z - y
fn loss_value(z: real, y: real) -> real {
    let r = abs(z - y);
    return select(LOSS_DELTA * (r - real(0.5) * LOSS_DELTA), real(0.5) * r * r, r <= LOSS_DELTA);
}

fn loss_slope(z: real, y: real) -> real {
    return max(min(z - y, LOSS_DELTA), -LOSS_DELTA);
}

fn loss_curve(z: real, y: real) -> real {
    return select(real(0.0), real(1.0), abs(z - y) < LOSS_DELTA);
}

fn loss_curve_slope(z: real, y: real) -> real {
    return real(0.0);
}

fn loss_slope_by_target(z: real, y: real) -> real {
    return -loss_curve(z, y);
}

fn loss_gap(z: real, y: real, scale: real) -> real {
    let r = abs(z - y);
    let miss = real(1.0) - scale;
    let linear = miss * LOSS_DELTA * (r - real(0.5) * LOSS_DELTA * (real(1.0) + scale));
    return select(linear, real(0.5) * miss * miss * r * r, r <= LOSS_DELTA);
}
