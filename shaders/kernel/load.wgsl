// Loads the lane state and the iterates of lanes, zeros in the rows after the last coefficient, where a lane
// before may have left sums that are not finite. One invocation per lane and block of rows.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.arrivals) {
        return;
    }
    let lane = arrival_slot(id.x);
    let blank = starts_from_zeros(id.x);
    let first = (id.z * BLOCKS_ALONG_Y + id.y) * ROW_BLOCK;
    if (first == 0u) {
        for (var field = 0u; field < STATE_FIELDS; field++) {
            lane_state[field * PADDED_LANES + lane] = arrivals[arrival_head(id.x) + 2u + field];
        }
    }
    for (var j = first; j < min(first + ROW_BLOCK, 4u * STRIDE4); j++) {
        for (var t = 0u; t < WIDTH; t++) {
            var here = real(0.0);
            var before = real(0.0);
            if (!blank && j < STATE_ROWS) {
                here = arrival_value(id.x, 0u, j, t);
                before = arrival_value(id.x, 1u, j, t);
            }
            x[entry(j, t, lane)] = here;
            x_previous[entry(j, t, lane)] = before;
        }
    }
}
