// The indicator of PENALTY_LOWER <= x <= PENALTY_UPPER; +-REAL_MAX stands for an open side
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return real(0.0);
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    let inside = w > PENALTY_LOWER && w < PENALTY_UPPER;
    let value = min(max(w, PENALTY_LOWER), PENALTY_UPPER);
    return Prox(value, select(real(0.0), real(1.0), inside), real(0.0), real(0.0));
}

fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    let open = (v > real(0.0) && PENALTY_UPPER == REAL_MAX) || (v < real(0.0) && PENALTY_LOWER == -REAL_MAX);
    return select(real(0.0), REAL_MAX, open);
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    return max(v, real(0.0)) * (PENALTY_UPPER - x) + min(v, real(0.0)) * (PENALTY_LOWER - x);
}

fn penalty_is_active(x: real) -> bool {
    return x > PENALTY_LOWER && x < PENALTY_UPPER;
}
