// Loads the metric of this iteration from the uploaded table: one diagonal for all lanes, or one for each.

struct MetricParams {
    // Row in the chunk's table.
    table_row: u32,
}

fn own(row: u32, lane: u32) -> real {
    return metric_table[row * METRIC_LANES + min(lane, METRIC_LANES - 1u)];
}

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let row = params.table_row * STATE_ROWS + j;
        let lane = 4u * lane4;
        metric[place(j, lane4)] =
            real4(own(row, lane), own(row, lane + 1u), own(row, lane + 2u), own(row, lane + 3u));
    }
}
