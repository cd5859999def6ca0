// X e = z + look (z - z_before) and its tangents, z in `values`. The kernel says how far it looks.
fn extrapolate(i: u32, quad: u32) {
    let at = place(i, quad);
    let ahead = look_ahead(quad);
    let moved = values[0] - z_before[at];
    extrapolation[0] = values[0] + ahead * moved;
    for (var t = 0u; t < TANGENTS; t++) {
        let dmoved = values[1u + t] - z_before[at + (1u + t) * QUADS];
        extrapolation[1u + t] = values[1u + t] + ahead * dmoved + dlook_ahead(quad, t) * moved;
    }
}
