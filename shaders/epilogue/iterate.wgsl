// The epilogue of a gradient whose tangents follow in a later pass: the step of the iterate alone. Stores w
// and x - x_previous for the tangents.
fn iterate_begin(lane4: u32) {
    step_begin(lane4);
}

fn iterate_row(j: u32, lane4: u32) {
    let taken = step_iterate(j, lane4);
    stepped[(2u * j) * LANE4S + lane4] = taken.w;
    stepped[(2u * j + 1u) * LANE4S + lane4] = taken.move_by;
}

fn iterate_store(block: u32, lane4: u32) {
    step_store_iterate(block, lane4);
}
