// Stands in for the dual functions of a penalty that has none: no dual point is feasible, and the gap is not used.
fn penalty_dual_ratio(v: real4, l1: real4, l2: real4) -> real4 {
    return real4(REAL_MAX);
}

fn penalty_gap(x: real4, v: real4, l1: real4, l2: real4) -> real4 {
    return real4(0.0);
}
