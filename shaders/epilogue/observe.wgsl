// The epilogue of a prediction: the loss of a row at the new predictions, in `values`.
var<private> observe_loss: real4;

fn observe_begin(lane4: u32) {
    observe_loss = real4(0.0);
}

fn observe_row(i: u32, lane4: u32) {
    observe_loss += row_weight(i, lane4) * loss_value(values[0], rows[i * ROW_FIELDS]);
}

fn observe_store(block: u32, lane4: u32) {
    store_partial(PART_LOSS, block, lane4, observe_loss);
}
