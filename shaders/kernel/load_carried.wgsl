// Clears the products with the iterates of loaded lanes; later passes compute those of lanes that do not
// start from zeros. One invocation per lane and block of rows.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.arrivals) {
        return;
    }
    let lane = arrival_slot(id.x);
    let first = (id.z * BLOCKS_ALONG_Y + id.y) * ROW_BLOCK;
    for (var i = first; i < min(first + ROW_BLOCK, CARRIED_ROWS); i++) {
        for (var t = 0u; t < WIDTH; t++) {
            carried[entry(i, t, lane)] = real(0.0);
            carried_before[entry(i, t, lane)] = real(0.0);
        }
    }
}
