// g(x) = l1 x for x >= 0
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return l1 * x;
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    let over = w - step * l1;
    if (over > real(0.0)) {
        return Prox(over, real(1.0), -step, real(0.0));
    }
    return prox_zero();
}

fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    return max(v, real(0.0)) / l1;
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    return x * (l1 - v);
}

fn penalty_is_active(x: real) -> bool {
    return x > real(0.0);
}
