// g(x) = l1 |x|
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return l1 * abs(x);
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    let over = abs(w) - step * l1;
    if (over > real(0.0)) {
        let direction = select(real(-1.0), real(1.0), w > real(0.0));
        return Prox(direction * over, real(1.0), -step * direction, real(0.0));
    }
    return prox_zero();
}

fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    return abs(v) / l1;
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    return l1 * abs(x) - x * v;
}

fn penalty_is_active(x: real) -> bool {
    return x != real(0.0);
}
