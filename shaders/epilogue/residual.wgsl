// The residual of a row at the point e where the gradient is taken: r = w phi'(X e), dr = w (phi''(X e) X de
// + d_y phi' dy). X e is computed from the predictions in `values`.
var<private> extrapolated_row: array<real4, WIDTH>;

fn residual_begin(lane4: u32) {
}

fn residual_row(i: u32, lane4: u32) {
    extrapolate(i, lane4);
    let at = place(i, lane4);
    let target_value = rows[i * ROW_FIELDS];
    let weight = row_weight(i, lane4);
    let e = extrapolated_row[0];
    r[at] = weight * loss_d1(e, target_value);
    if (TANGENTS > 0u) {
        let d2 = weight * loss_d2(e, target_value);
        for (var t = 0u; t < TANGENTS; t++) {
            var dr = d2 * extrapolated_row[1u + t];
            if (SEEDS_TARGET) {
                dr += weight * loss_d1_by_target(e, target_value) * rows[i * ROW_FIELDS + 2u + t];
            }
            r[at + (1u + t) * LANE4S] = dr;
        }
    }
}

fn residual_store(block: u32, lane4: u32) {
}
