// phi(z, y) = log(1 + exp(-y z)), y = +-1
fn sigmoid(t: real4) -> real4 {
    let e = real_exp(-abs(t));
    let big = real(1.0) / (real(1.0) + e);
    return select(e * big, big, t >= real4(0.0));
}

fn loss_value(z: real4, y: real) -> real4 {
    let m = y * z;
    return real_log1p(real_exp(-abs(m))) + max(-m, real4(0.0));
}

fn loss_d1(z: real4, y: real) -> real4 {
    return -y * sigmoid(-y * z);
}

fn loss_d2(z: real4, y: real) -> real4 {
    let e = real_exp(-abs(z));
    return e / ((real(1.0) + e) * (real(1.0) + e));
}

fn loss_d3(z: real4, y: real) -> real4 {
    let e = real_exp(-abs(z));
    return -loss_d2(z, y) * sign(z) * (real(1.0) - e) / (real(1.0) + e);
}

// A class label has no derivative; the host rejects this direction.
fn loss_d1_by_target(z: real4, y: real) -> real4 {
    return real4(0.0);
}

// Kullback-Leibler divergence between Bernoulli(scale q) and Bernoulli(q), q = sigmoid(-y z).
fn loss_gap(z: real4, y: real, scale: real4) -> real4 {
    let m = min(-y * z, real4(80.0)); // exp(80) is finite in f32
    let t = scale * sigmoid(m);
    let rest = real_log1p((real(1.0) - scale) * real_exp(m));
    return t * real_log1p(scale - real(1.0)) + (real(1.0) - t) * rest;
}
