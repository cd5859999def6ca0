// g(x) = 0
fn penalty_value(x: real4, l1: real4, l2: real4) -> real4 {
    return real4(0.0);
}

fn penalty_prox(w: real4, step: real4, l1: real4, l2: real4) -> Prox {
    return prox_identity(w);
}

fn penalty_is_active(x: real4) -> vec4<bool> {
    return vec4<bool>(true);
}
