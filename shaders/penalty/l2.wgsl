// g(x) = 1/2 l2 x^2, smooth: its gradient enters with the loss
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return real(0.5) * l2 * x * x;
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    return prox_identity(w);
}

fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    return select(REAL_MAX, real(0.0), l2 > real(0.0));
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    let miss = l2 * x - v;
    return real(0.5) * miss * miss / l2;
}

fn penalty_is_active(x: real) -> bool {
    return true;
}
