// g(x) = l1 |x| + 1/2 l2 x^2
fn penalty_value(x: real, l1: real, l2: real) -> real {
    return l1 * abs(x) + real(0.5) * l2 * x * x;
}

fn penalty_prox(w: real, step: real, l1: real, l2: real) -> Prox {
    let over = abs(w) - step * l1;
    if (over > real(0.0)) {
        let shrink = real(1.0) / (real(1.0) + step * l2);
        let direction = select(real(-1.0), real(1.0), w > real(0.0));
        let value = direction * over * shrink;
        return Prox(value, shrink, -step * direction * shrink, -step * value * shrink);
    }
    return prox_zero();
}

// With a ridge part every v is feasible.
fn penalty_dual_ratio(v: real, l1: real, l2: real) -> real {
    if (l2 > real(0.0)) {
        return real(0.0);
    }
    return abs(v) / l1;
}

fn penalty_gap(x: real, v: real, l1: real, l2: real) -> real {
    let clipped = max(min(v, l1), -l1);
    let lasso = l1 * abs(x) - x * clipped;
    if (l2 > real(0.0)) {
        let miss = l2 * x - (v - clipped);
        return lasso + real(0.5) * miss * miss / l2;
    }
    return lasso;
}

fn penalty_is_active(x: real) -> bool {
    return x != real(0.0);
}
