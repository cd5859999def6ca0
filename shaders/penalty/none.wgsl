// g(x) = 0
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return real4(0.0);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    return prox_identity(w);
}

// g* is finite at 0 alone, which no scaling reaches.
fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return real4(REAL_MAX);
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    return real4(0.0);
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return vec4<bool>(true);
}
