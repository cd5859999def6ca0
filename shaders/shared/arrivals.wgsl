// Lanes to be loaded. For each, `arrivals` holds its slot, a flag (1 if it starts from zeros), and its part
// of the lane state; then, unless all start from zeros, the iterate, the previous one and a metric,
// [3, WIDTH, STATE_ROWS].
struct LoadParams {
    // Number of lanes to be loaded.
    arrivals: u32,
    // Length of the columns of each lane, 0 if all lanes start from zeros.
    columns: u32,
}

fn arrival_head(arrival: u32) -> u32 {
    return arrival * (2u + STATE_FIELDS);
}

fn arrival_slot(arrival: u32) -> u32 {
    return u32(arrivals[arrival_head(arrival)]);
}

fn starts_from_zeros(arrival: u32) -> bool {
    return arrivals[arrival_head(arrival) + 1u] > real(0.0);
}

// Tangent t of coefficient j in one of the three matrices.
fn arrival_value(arrival: u32, matrix: u32, j: u32, t: u32) -> real {
    let base = arrival_head(params.arrivals) + arrival * params.columns;
    return arrivals[base + (matrix * WIDTH + t) * STATE_ROWS + j];
}

fn entry(row: u32, t: u32, lane: u32) -> u32 {
    return row * COLUMNS + t * PADDED_LANES + lane;
}
