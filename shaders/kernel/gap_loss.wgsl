// The loss term of the duality gap at the scaled dual point, summed by block of rows.

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S || first >= ROWS) {
        return;
    }
    let scale = dual_scale(lane4);
    var gap = real4(0.0);
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        gap += row_weight(i, lane4) * loss_gap(z[place(i, lane4)], rows[i * ROW_FIELDS], scale);
    }
    store_partial(PART_GAP_LOSS, id.y, lane4, gap);
}
