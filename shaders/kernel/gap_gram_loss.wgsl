// The loss term of the duality gap of the squared loss at the scaled dual point: (1 - s)^2 times the loss of
// the iterate, whose partial sums are stored already.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    if (lane4 >= LANE4S) {
        return;
    }
    var fit = real4(LOSS_AT_ZERO);
    for (var block = 0u; block < BLOCKS_LOSS; block++) {
        fit += partials[(PART_LOSS + block) * LANE4S + lane4];
    }
    let miss = real(1.0) - dual_scale(lane4);
    store_partial(PART_GAP_LOSS, 0u, lane4, miss * miss * max(fit, real4(0.0)));
}
