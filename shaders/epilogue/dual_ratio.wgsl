// The factor by which the dual point of a lane must shrink to be feasible, from g = X' r at the
// iterate, in `values`.
var<private> dual_ratio: real4;

fn dual_ratio_begin(lane4: u32) {
    dual_ratio = real4(1.0);
}

fn dual_ratio_row(j: u32, lane4: u32) {
    if (j < PENALISED) {
        let factor = factor_of(j);
        let ratio = penalty_dual_ratio(-values[0], lanes_l1(lane4) * factor, lanes_l2(lane4) * factor);
        dual_ratio = max(dual_ratio, ratio);
    }
}

fn dual_ratio_store(block: u32, lane4: u32) {
    store_partial(PART_RATIO, block, lane4, dual_ratio);
}
