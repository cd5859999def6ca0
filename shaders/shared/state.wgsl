// The iterates of a quad of lanes, their tangents (t > 0) and their metric, as matrices in memory. The iterate to come takes the
// place of the one before.
fn here_at(j: u32, t: u32, quad: u32) -> real4 {
    return x[place(j, quad) + t * QUADS];
}

fn before_at(j: u32, t: u32, quad: u32) -> real4 {
    return x_previous[place(j, quad) + t * QUADS];
}

fn metric_at(j: u32, t: u32, quad: u32) -> real4 {
    return metric[place(j, quad) + t * QUADS];
}

fn leave_next(j: u32, t: u32, quad: u32, v: real4) {
    x_previous[place(j, quad) + t * QUADS] = v;
}

// Takes the last step back.
fn restore_where(on: vec4<bool>, j: u32, t: u32, quad: u32) {
    let c = place(j, quad) + t * QUADS;
    x[c] = select(x[c], x_previous[c], on);
}
