// The predictions that a residual is taken of, where steps are measured: they can be taken back, and the next
// step is compared with the predictions at the extrapolated point.
fn prediction_at(c: u32, restore: vec4<bool>) -> real4 {
    z[c] = select(z[c], z_before[c], restore);
    return z[c];
}

fn store_extrapolated(c: u32, v: real4) {
    extrapolated[c] = v;
}
