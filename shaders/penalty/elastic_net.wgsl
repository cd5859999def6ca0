// g(x) = l1 |x| + 1/2 l2 x^2
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return l1 * abs(x) + real(0.5) * l2 * x * x;
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let over = abs(w) - step * l1;
    let survives = over > real4(0.0);
    let shrink = select(real4(0.0), real(1.0) / (real(1.0) + step * l2), survives);
    let direction = select(real4(-1.0), real4(1.0), w > real4(0.0));
    let value = select(real4(0.0), direction * over * shrink, survives);
    return Prox(value, shrink, -step * direction * shrink, -step * value * shrink);
}

// With a ridge part, every v is feasible.
fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return select(abs(v) / l1, real4(0.0), l2 > real4(0.0));
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    let clipped = max(min(v, l1), -l1);
    let lasso = l1 * abs(x) - x * clipped;
    let miss = l2 * x - (v - clipped);
    return select(lasso, lasso + real(0.5) * miss * miss / l2, l2 > real4(0.0));
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return x != real4(0.0);
}
