// c = X'y and its tangents, with the rows' weights: [STATE_ROWS, WIDTH] after the penalty factors.
fn gram_target(j: u32, t: u32) -> real4 {
    return shared_at(STATE_ROWS + j * WIDTH + t);
}
