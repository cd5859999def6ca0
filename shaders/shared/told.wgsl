// What the iteration is told of a quad of lanes, from the book.
fn are_running(quad: u32) -> vec4<bool> {
    return told(quad, STATUS) == real4(RUNNING);
}

// How far ahead of x the gradient is taken, in units of x - x_previous.
fn told_look(quad: u32) -> real4 {
    return told(quad, TOLD_LOOK);
}

// Whether tangents are carried yet.
fn told_tangents(quad: u32) -> vec4<bool> {
    return told(quad, TOLD_TANGENTS) > real4(0.0);
}

// Whether the last step is taken back.
fn told_restore(quad: u32) -> vec4<bool> {
    return told(quad, TOLD_RESTORE) > real4(0.0);
}

fn told_dstep(quad: u32, t: u32) -> real4 {
    return told(quad, TOLD_TANGENT_FIELDS + 3u * t);
}

fn told_dmomentum(quad: u32, t: u32) -> real4 {
    return told(quad, TOLD_TANGENT_FIELDS + 3u * t + 1u);
}

fn told_dlook(quad: u32, t: u32) -> real4 {
    return told(quad, TOLD_TANGENT_FIELDS + 3u * t + 2u);
}

// How far the iteration after this one looks, where nothing that happens decides it.
fn told_next_look(quad: u32) -> real4 {
    return told(quad, TOLD_NEXT_LOOK);
}

fn told_next_dlook(quad: u32, t: u32) -> real4 {
    return told(quad, TOLD_NEXT_DLOOKS + t);
}
