// g(x) = 1/2 l2 x^2, smooth: its gradient enters with the loss
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return real(0.5) * l2 * x * x;
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    return prox_identity(w);
}

fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return select(real4(REAL_MAX), real4(0.0), l2 > real4(0.0));
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    let miss = l2 * x - v;
    return real(0.5) * miss * miss / l2;
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return vec4<bool>(true);
}
