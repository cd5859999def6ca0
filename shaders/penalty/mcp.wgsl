// g(x) = l1 |x| - x^2 / (2 gamma) for |x| <= gamma l1, gamma l1^2 / 2 beyond
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    let t = min(abs(x), PENALTY_GAMMA * l1);
    return t * (l1 - real(0.5) * t / PENALTY_GAMMA);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let over = abs(w) - step * l1;
    let flat = abs(w) > PENALTY_GAMMA * l1;
    let bends = !flat & (over > real4(0.0));
    let direction = select(real4(-1.0), real4(1.0), w > real4(0.0));
    let stretch = real(1.0) / (real(1.0) - step / PENALTY_GAMMA);
    let by_input = select(ones_where(flat), stretch, bends);
    let value = select(select(real4(0.0), w, flat), direction * over * stretch, bends);
    return Prox(value, by_input, select(real4(0.0), -step * direction * stretch, bends), real4(0.0));
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return x != real4(0.0);
}
