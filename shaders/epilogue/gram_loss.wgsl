// The squared loss of new iterates in the Gram strategy, 1/2 x'(v - 2 c) and a constant, for v = X'X x in
// `values`.
var<private> gram_loss_sum: real4;

fn gram_loss_begin(lane4: u32) {
    gram_loss_sum = real4(0.0);
}

fn gram_loss_row(j: u32, lane4: u32) {
    gram_loss_sum += real(0.5) * new_iterate_at(j, lane4) * (values[0] - real(2.0) * gram_target(j, 0u));
}

fn gram_loss_store(block: u32, lane4: u32) {
    store_partial(PART_LOSS, block, lane4, gram_loss_sum);
}
