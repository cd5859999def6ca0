// Loads the metric of lanes, which is uploaded with their columns. One invocation per lane and block of rows.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.arrivals || starts_from_zeros(id.x)) {
        return;
    }
    let lane = arrival_slot(id.x);
    let first = (id.z * BLOCKS_ALONG_Y + id.y) * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        for (var t = 0u; t < WIDTH; t++) {
            metric[entry(j, t, lane)] = arrival_value(id.x, 2u, j, t);
        }
    }
}
