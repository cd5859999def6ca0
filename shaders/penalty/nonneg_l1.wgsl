// g(x) = l1 x for x >= 0
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return l1 * x;
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let over = w - step * l1;
    let survives = over > real4(0.0);
    let value = select(real4(0.0), over, survives);
    let by_l1 = select(real4(0.0), -step, survives);
    return Prox(value, ones_where(survives), by_l1, real4(0.0));
}

fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return max(v, real4(0.0)) / l1;
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    return x * (l1 - v);
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return x > real4(0.0);
}
