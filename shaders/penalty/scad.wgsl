// g(x) = l1 |x| for |x| <= l1, (a l1 |x| - (x^2 + l1^2) / 2) / (a - 1) for |x| <= a l1, (a + 1) l1^2 / 2
// beyond
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    let t = min(abs(x), PENALTY_A * l1);
    let bent = (PENALTY_A * l1 * t - real(0.5) * (t * t + l1 * l1)) / (PENALTY_A - real(1.0));
    return select(bent, l1 * abs(x), abs(x) <= l1);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    let size = abs(w);
    let direction = select(real4(-1.0), real4(1.0), w > real4(0.0));
    let flat = size > PENALTY_A * l1;
    let bends = !flat & (size > (real(1.0) + step) * l1);
    let slopes = !flat & !bends & (size > step * l1);
    let room = PENALTY_A - real(1.0) - step;
    let stretch = (PENALTY_A - real(1.0)) / room;
    let slope_by_l1 = select(real4(0.0), -step * direction, slopes);
    let by_l1 = select(slope_by_l1, -step * PENALTY_A * direction / room, bends);
    let by_input = select(ones_where(flat | slopes), stretch, bends);
    return Prox(by_input * w + by_l1 * l1, by_input, by_l1, real4(0.0));
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return x != real4(0.0);
}
