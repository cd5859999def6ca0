// The iterates of a lane4 and their tangents (t > 0), as matrices in memory. The next iterate
// replaces the previous one.
fn here_at(j: u32, t: u32, lane4: u32) -> real4 {
    return x[place(j, lane4) + t * LANE4S];
}

fn before_at(j: u32, t: u32, lane4: u32) -> real4 {
    return x_previous[place(j, lane4) + t * LANE4S];
}

fn store_next(j: u32, t: u32, lane4: u32, v: real4) {
    x_previous[place(j, lane4) + t * LANE4S] = v;
}
