// The totals of a workgroup's lanes if sums are short: one invocation per lane, without barriers.
fn add_up(count: u32, first_lane4: u32, own: vec2<u32>, serves: bool) {
    let index = own.y * FINALIZE_LANE4S + own.x;
    let lane4 = min(first_lane4 + index / 4u, LANE4S - 1u);
    for (var i = 0u; i < count; i++) {
        var sum = real(0.0);
        for (var part = 0u; part < REDUCERS; part++) {
            var share = real(0.0);
            for (var block = part; block < SUM_BLOCKS[i]; block += REDUCERS) {
                share += partials[(SUM_STARTS[i] + block) * LANE4S + lane4][index % 4u];
            }
            sum += share;
        }
        totals[i] = sum;
    }
}
