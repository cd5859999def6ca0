// A residual at the iterate itself: X e = z, in `values`.
fn extrapolate(i: u32, quad: u32) {
    extrapolation = values;
}
