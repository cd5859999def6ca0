// x = prox_{step g}(w) with its partial derivatives.
struct Prox {
    value: real,
    by_input: real,
    by_l1: real,
    by_l2: real,
}

fn prox_identity(w: real) -> Prox {
    return Prox(w, real(1.0), real(0.0), real(0.0));
}

fn prox_zero() -> Prox {
    return Prox(real(0.0), real(0.0), real(0.0), real(0.0));
}
