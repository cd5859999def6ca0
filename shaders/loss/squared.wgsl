// phi(z, y) = 1/2 (z - y)^2
fn loss_value(z: real4, y: real) -> real4 {
    let r = z - y;
    return real(0.5) * r * r;
}

fn loss_d1(z: real4, y: real) -> real4 {
    return z - y;
}

fn loss_d2(z: real4, y: real) -> real4 {
    return real4(1.0);
}

fn loss_d3(z: real4, y: real) -> real4 {
    return real4(0.0);
}

fn loss_d1_by_target(z: real4, y: real) -> real4 {
    return real4(-1.0);
}

fn loss_gap(z: real4, y: real, scale: real4) -> real4 {
    let miss = (real(1.0) - scale) * (z - y);
    return real(0.5) * miss * miss;
}
