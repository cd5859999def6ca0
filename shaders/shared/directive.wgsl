// What a lane is told, as the control kernel wrote it.
fn told_step(lane: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS];
}

fn told_momentum(lane: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS + 1u];
}

// How far ahead of x the gradient is taken, in units of x - x_previous.
fn told_look(lane: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS + 2u];
}

// Whether tangents are carried yet.
fn told_tangents(lane: u32) -> bool {
    return directives[lane * DIRECTIVE_FIELDS + 3u] > real(0.0);
}

// Whether the last step is taken back.
fn told_restore(lane: u32) -> bool {
    return directives[lane * DIRECTIVE_FIELDS + 4u] > real(0.0);
}

fn told_dstep(lane: u32, t: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS + 5u + 3u * t];
}

fn told_dmomentum(lane: u32, t: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS + 6u + 3u * t];
}

fn told_dlook(lane: u32, t: u32) -> real {
    return directives[lane * DIRECTIVE_FIELDS + 7u + 3u * t];
}
