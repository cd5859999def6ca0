// Slots lanes: their part of the lane state, and their columns. `arrivals` has for each of them its slot, whether it starts from
// zeros, and its part of the lane state; then, where it does not, the iterate, the one before and a metric, [3, WIDTH, STATE_ROWS].
// One invocation: a lane and a block of rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> arrivals: array<real>;
@group(1) @binding(1) var<storage, read_write> lane_state: array<real>;
@group(1) @binding(2) var<storage, read_write> x: array<real>;
@group(1) @binding(3) var<storage, read_write> x_previous: array<real>;
@group(1) @binding(4) var<storage, read_write> carried: array<real>;
@group(1) @binding(5) var<storage, read_write> carried_before: array<real>;
@group(1) @binding(6) var<storage, read_write> metric: array<real>;

fn entry(row: u32, lane: u32) -> u32 {
    return row * COLUMNS + lane;
}

fn value(base: u32, matrix: u32, t: u32, j: u32) -> real {
    return arrivals[base + (matrix * WIDTH + t) * STATE_ROWS + j];
}

@compute @workgroup_size(64)
fn load(@builtin(global_invocation_id) id: vec3<u32>) {
    // params.record_row: the number of arrivals; params.table_row: numbers of the columns of each, 0 where all start from zeros.
    if (id.x >= params.record_row) {
        return;
    }
    let head = id.x * (2u + STATE_FIELDS);
    let lane = u32(arrivals[head]);
    let blank = arrivals[head + 1u] > real(0.0);
    let base = params.record_row * (2u + STATE_FIELDS) + id.x * params.table_row;
    let first = id.y * ROW_BLOCK;
    if (first == 0u) {
        for (var field = 0u; field < STATE_FIELDS; field++) {
            lane_state[field * PADDED_LANES + lane] = arrivals[head + 2u + field];
        }
    }
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        for (var t = 0u; t < WIDTH; t++) {
            let at = entry(j, lane) + t * PADDED_LANES;
            var here = real(0.0);
            var before = real(0.0);
            if (!blank) {
                here = value(base, 0u, t, j);
                before = value(base, 1u, t, j);
                if (HAS_METRIC) {
                    metric[at] = value(base, 2u, t, j);
                }
            }
            x[at] = here;
            x_previous[at] = before;
        }
    }
    // Products with the iterates of lanes that do not start from zeros are made afterwards.
    for (var i = first; i < min(first + ROW_BLOCK, CARRIED_ROWS); i++) {
        for (var t = 0u; t < WIDTH; t++) {
            carried[entry(i, lane) + t * PADDED_LANES] = real(0.0);
            carried_before[entry(i, lane) + t * PADDED_LANES] = real(0.0);
        }
    }
}
