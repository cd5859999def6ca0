// The scale s <= 1 that makes the dual point of a lane feasible: the ratios of the blocks, combined in order.
fn dual_scale(lane4: u32) -> real4 {
    var ratio = real4(1.0);
    for (var block = 0u; block < BLOCKS_RATIO; block++) {
        ratio = max(ratio, partials[(PART_RATIO + block) * LANE4S + lane4]);
    }
    return real(1.0) / ratio;
}
