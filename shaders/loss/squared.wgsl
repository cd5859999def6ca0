// phi(z, y) = 1/2 (z - y)^2
fn loss_value(z: real, y: real) -> real {
    let r = z - y;
    return real(0.5) * r * r;
}

fn loss_slope(z: real, y: real) -> real {
    return z - y;
}

fn loss_curve(z: real, y: real) -> real {
    return real(1.0);
}

fn loss_curve_slope(z: real, y: real) -> real {
    return real(0.0);
}

fn loss_slope_by_target(z: real, y: real) -> real {
    return real(-1.0);
}

fn loss_gap(z: real, y: real, scale: real) -> real {
    let miss = (real(1.0) - scale) * (z - y);
    return real(0.5) * miss * miss;
}
