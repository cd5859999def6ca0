// The iterates of four lanes, their tangents (t > 0) and their metric, as matrices in memory. The iterate to come takes the
// place of the one before.
fn here_at(j: u32, t: u32, lane4: u32) -> real4 {
    return x[place(j, lane4) + t * LANE4S];
}

fn before_at(j: u32, t: u32, lane4: u32) -> real4 {
    return x_previous[place(j, lane4) + t * LANE4S];
}

fn metric_at(j: u32, t: u32, lane4: u32) -> real4 {
    return metric[place(j, lane4) + t * LANE4S];
}

fn store_next(j: u32, t: u32, lane4: u32, v: real4) {
    x_previous[place(j, lane4) + t * LANE4S] = v;
}

// Takes the last step back.
fn restore_where(on: vec4<bool>, j: u32, t: u32, lane4: u32) {
    let c = place(j, lane4) + t * LANE4S;
    x[c] = select(x[c], x_previous[c], on);
}
