// The end of a gradient whose tangents wait: the step of the iterate alone, and what its tangents will want to know.
fn iterate_begin(quad: u32) {
    step_begin(quad);
}

fn iterate_row(j: u32, quad: u32) {
    let taken = step_iterate(j, quad);
    stepped[(2u * j) * QUADS + quad] = taken.w;
    stepped[(2u * j + 1u) * QUADS + quad] = taken.move_by;
}

fn iterate_leave(block: u32, quad: u32) {
    step_leave_iterate(block, quad);
}
