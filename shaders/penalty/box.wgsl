// The indicator of PENALTY_LOWER <= x <= PENALTY_UPPER; +-REAL_MAX stands for an open side
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return real4(0.0);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let value = min(max(w, real4(PENALTY_LOWER)), real4(PENALTY_UPPER));
    return Prox(value, ones_where(penalty_is_active(w)), real4(0.0), real4(0.0));
}

fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    let above = (v > real4(0.0)) & vec4<bool>(PENALTY_UPPER == REAL_MAX);
    let below = (v < real4(0.0)) & vec4<bool>(PENALTY_LOWER == -REAL_MAX);
    return select(real4(0.0), real4(REAL_MAX), above | below);
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    return max(v, real4(0.0)) * (PENALTY_UPPER - x) + min(v, real4(0.0)) * (PENALTY_LOWER - x);
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return (x > real4(PENALTY_LOWER)) & (x < real4(PENALTY_UPPER));
}
