// g(x) = 0
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return real(0.0);
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    return prox_identity(w);
}

// g* is finite at 0 alone, which no scaling reaches.
fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    return REAL_MAX;
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    return real(0.0);
}

fn penalty_is_active(x: real) -> bool {
    return true;
}
