// The squared loss of new iterates in the Gram form, 1/2 x'(v - 2 c) and a constant, for v = X'X x in `values`.
var<private> fit_sum: real4;

fn fit_begin(quad: u32) {
    fit_sum = real4(0.0);
}

fn fit_row(j: u32, quad: u32) {
    fit_sum += real(0.5) * fitted_at(j, quad) * (values[0] - real(2.0) * gram_target(j, 0u));
}

fn fit_leave(block: u32, quad: u32) {
    leave(PART_LOSS, block, quad, fit_sum);
}
