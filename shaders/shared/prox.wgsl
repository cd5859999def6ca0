// x = prox_{step g}(w) and its partial derivatives, for a lane4.
struct Prox {
    value: real4,
    by_input: real4,
    by_l1: real4,
    by_l2: real4,
}

fn prox_identity(w: real4) -> Prox {
    return Prox(w, real4(1.0), real4(0.0), real4(0.0));
}
