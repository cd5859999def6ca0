// r = w phi''(z), dr = w phi'''(z) dz: their product with the squares of the design is the
// diagonal of the Hessian.

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = place(i, lane4);
        let target_value = rows[i * ROW_FIELDS];
        let weight = row_weight(i, lane4);
        r[at] = weight * loss_d2(z[at], target_value);
        let by_prediction = weight * loss_d3(z[at], target_value);
        for (var t = 0u; t < TANGENTS; t++) {
            r[at + (1u + t) * LANE4S] = by_prediction * z[at + (1u + t) * LANE4S];
        }
    }
}
