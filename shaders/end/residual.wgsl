// The residual of a row at the point where the gradient is taken: r = w phi'(X e), dr = w (phi''(X e) X de + d_y phi' dy), with
// X e = z + look (z - z_before), z and its tangents in `values`. The kernel says how far it looks.
var<private> residual_ahead: real4;
// X e and its tangents.
var<private> extrapolation: array<real4, WIDTH>;

fn residual_begin(quad: u32) {
    residual_ahead = look_ahead(quad);
}

fn residual_row(i: u32, quad: u32) {
    let at = place(i, quad);
    let target_value = rows[i * ROW_FIELDS];
    let weight = rows[i * ROW_FIELDS + 1u];
    let moved = values[0] - z_before[at];
    let e = values[0] + residual_ahead * moved;
    extrapolation[0] = e;
    r[at] = weight * loss_slope(e, target_value);
    if (TANGENTS > 0u) {
        let curve = weight * loss_curve(e, target_value);
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * QUADS;
            let de = values[1u + t] + residual_ahead * (values[1u + t] - z_before[c]) + dlook_ahead(quad, t) * moved;
            extrapolation[1u + t] = de;
            var dr = curve * de;
            if (MOVES_TARGET) {
                dr += weight * loss_slope_by_target(e, target_value) * rows[i * ROW_FIELDS + 2u + t];
            }
            r[c] = dr;
        }
    }
}

fn residual_leave(block: u32, quad: u32) {
}
