// X e = z + extrapolation (z - z_before) and its tangents, with z in `values`. The kernel defines the
// extrapolation coefficient.
fn extrapolate(i: u32, lane4: u32) {
    let at = place(i, lane4);
    let ahead = extrapolation_coefficient(lane4);
    let moved = values[0] - z_before[at];
    extrapolated_row[0] = values[0] + ahead * moved;
    for (var t = 0u; t < TANGENTS; t++) {
        let dmoved = values[1u + t] - z_before[at + (1u + t) * LANE4S];
        let dahead = dextrapolation_coefficient(lane4, t);
        extrapolated_row[1u + t] = values[1u + t] + ahead * dmoved + dahead * moved;
    }
}
