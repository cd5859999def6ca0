// The end of a prediction: the loss of a row at the new predictions, in `values`.
var<private> observe_fit: real4;

fn observe_begin(quad: u32) {
    observe_fit = real4(0.0);
}

fn observe_row(i: u32, quad: u32) {
    observe_fit += rows[i * ROW_FIELDS + 1u] * loss_value(values[0], rows[i * ROW_FIELDS]);
}

fn observe_leave(block: u32, quad: u32) {
    leave(PART_LOSS, block, quad, observe_fit);
}
