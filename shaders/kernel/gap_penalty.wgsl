// The penalty term of the duality gap at the scaled dual point, summed by block of state rows.

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S || first >= STATE_ROWS) {
        return;
    }
    let scale = dual_scale(lane4);
    let l1 = lanes_l1(lane4);
    let l2 = lanes_l2(lane4);
    var gap = real4(0.0);
    for (var j = first; j < min(first + ROW_BLOCK, PENALISED); j++) {
        let at = place(j, lane4);
        gap += penalty_gap(x[at], -scale * g[at], l1 * factor_of(j), l2 * factor_of(j));
    }
    store_partial(PART_GAP_PENALTY, id.y, lane4, gap);
}
