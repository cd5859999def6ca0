// x = prox_{step g}(w) with its partial derivatives, for four lanes.
struct Prox {
    value: real4,
    by_input: real4,
    by_l1: real4,
    by_l2: real4,
}

fn prox_identity(w: real4) -> Prox {
    return Prox(w, real4(1.0), real4(0.0), real4(0.0));
}
