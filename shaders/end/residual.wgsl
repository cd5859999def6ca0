// The residual of a row at the point e where the gradient is taken: r = w phi'(X e), dr = w (phi''(X e) X de + d_y phi' dy).
// Where that is follows from the predictions in `values`.
var<private> extrapolation: array<real4, WIDTH>;

fn residual_begin(quad: u32) {
}

fn residual_row(i: u32, quad: u32) {
    extrapolate(i, quad);
    let at = place(i, quad);
    let target_value = rows[i * ROW_FIELDS];
    let weight = rows[i * ROW_FIELDS + 1u];
    let e = extrapolation[0];
    r[at] = weight * loss_slope(e, target_value);
    if (TANGENTS > 0u) {
        let curve = weight * loss_curve(e, target_value);
        for (var t = 0u; t < TANGENTS; t++) {
            var dr = curve * extrapolation[1u + t];
            if (MOVES_TARGET) {
                dr += weight * loss_slope_by_target(e, target_value) * rows[i * ROW_FIELDS + 2u + t];
            }
            r[at + (1u + t) * QUADS] = dr;
        }
    }
}

fn residual_leave(block: u32, quad: u32) {
}
