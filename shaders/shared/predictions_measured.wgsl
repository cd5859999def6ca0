// The predictions from which the residual is computed, if steps are measured: steps can be taken back, and
// the next step is compared with the predictions at the extrapolated point, which are stored.
fn prediction_at(c: u32, restore: vec4<bool>) -> real4 {
    z[c] = select(z[c], z_before[c], restore);
    return z[c];
}

fn store_extrapolated(c: u32, v: real4) {
    extrapolated[c] = v;
}
