// The weights of a row in the folds of a lane4: those with which it is fitted, and those with which it is
// held out. After the fields of all rows, `rows` has both for every fold: [folds, 2, ROWS].
fn fold_weight(i: u32, lane4: u32, held_out: u32) -> real4 {
    let at = vec4<u32>(lane_state4(lane4, FOLD)) * (2u * ROWS) + ROWS * (ROW_FIELDS + held_out) + i;
    return real4(rows[at.x], rows[at.y], rows[at.z], rows[at.w]);
}

fn row_weight(i: u32, lane4: u32) -> real4 {
    return fold_weight(i, lane4, 0u);
}

fn held_out_weight(i: u32, lane4: u32) -> real4 {
    return fold_weight(i, lane4, 1u);
}

fn held_out_target(i: u32) -> real {
    return rows[i * ROW_FIELDS];
}
