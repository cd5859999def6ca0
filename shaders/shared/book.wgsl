// What is kept of each lane from one iteration to the next: [BOOK_FIELDS, LANES4]. Fields are named in the prelude.
fn book_at(lane: u32, field: u32) -> real {
    return book[field * LANES4 + lane];
}

fn is_running(lane: u32) -> bool {
    return book_at(lane, STATUS) == RUNNING;
}

// What the iteration is told: the step, the momentum, and how far ahead of x the gradient is taken, in units of
// x - x_previous.
fn told_step(lane: u32) -> real {
    return book_at(lane, TOLD_STEP);
}

fn told_momentum(lane: u32) -> real {
    return book_at(lane, TOLD_MOMENTUM);
}

fn told_look(lane: u32) -> real {
    return book_at(lane, TOLD_LOOK);
}

// Whether tangents are carried yet.
fn told_tangents(lane: u32) -> bool {
    return book_at(lane, TOLD_TANGENTS) > real(0.0);
}

// Whether the last step is taken back.
fn told_restore(lane: u32) -> bool {
    return book_at(lane, TOLD_RESTORE) > real(0.0);
}

fn told_dstep(lane: u32, t: u32) -> real {
    return book_at(lane, TOLD_TANGENT_FIELDS + 3u * t);
}

fn told_dmomentum(lane: u32, t: u32) -> real {
    return book_at(lane, TOLD_TANGENT_FIELDS + 3u * t + 1u);
}

fn told_dlook(lane: u32, t: u32) -> real {
    return book_at(lane, TOLD_TANGENT_FIELDS + 3u * t + 2u);
}

// How far the iteration after this one looks, where nothing that happens decides it.
fn told_next_look(lane: u32) -> real {
    return book_at(lane, TOLD_NEXT_LOOK);
}

fn told_next_dlook(lane: u32, t: u32) -> real {
    return book_at(lane, TOLD_NEXT_DLOOKS + t);
}
