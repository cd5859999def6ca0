// Lanes to be loaded. `arrivals` has for each its slot, whether it starts from zeros, and its part of the
// lane state; then, where not all do, the iterate, the one before and a metric, [3, WIDTH, STATE_ROWS].
struct LoadParams {
    // Lanes to be loaded.
    arrivals: u32,
    // Numbers of the columns of each, 0 where all start from zeros.
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
