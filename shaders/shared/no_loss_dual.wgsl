// Stands in for the dual function of a loss that has none: the gap is not used.
fn loss_gap(z: real4, y: real, scale: real4) -> real4 {
    return real4(0.0);
}
