// g(x) = l1 |x|
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return l1 * abs(x);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let over = abs(w) - step * l1;
    let survives = over > real4(0.0);
    let direction = select(real4(-1.0), real4(1.0), w > real4(0.0));
    let moved = select(real4(0.0), direction, survives);
    let value = select(real4(0.0), direction * over, survives);
    return Prox(value, ones_where(survives), -step * moved, real4(0.0));
}

fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return abs(v) / l1;
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    return l1 * abs(x) - x * v;
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return x != real4(0.0);
}
