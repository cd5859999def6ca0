// The metric of this iteration, as uploaded: one diagonal for all lanes, or one for each.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> metric_table: array<real>;
@group(1) @binding(1) var<storage, read_write> metric: array<real>;

@compute @workgroup_size(64)
fn metric_table_kernel(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let first = id.y * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let own = min(lane, METRIC_LANES - 1u);
        metric[entry(j, lane)] = metric_table[(params.table_row * STATE_ROWS + j) * METRIC_LANES + own];
    }
}
