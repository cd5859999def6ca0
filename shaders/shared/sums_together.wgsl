// The totals of a workgroup's lanes if sums are long: the invocations of a lane4 share its blocks.
// [sums of a batch, REDUCERS, FINALIZE_LANE4S]
var<workgroup> partial_sums: array<real4, FINALIZE_PARTIALS>;

// The sum of every REDUCERS-th block of a sum, in order.
fn partial_sum(sum: u32, lane4: u32, reducer: u32) -> real4 {
    var total = real4(0.0);
    for (var block = reducer; block < SUM_BLOCKS[sum]; block += REDUCERS) {
        total += partials[(SUM_STARTS[sum] + block) * LANE4S + lane4];
    }
    return total;
}

fn add_up(count: u32, first_lane4: u32, own: vec2<u32>, serves: bool) {
    let lane4 = min(first_lane4 + own.x, LANE4S - 1u);
    let index = own.y * FINALIZE_LANE4S + own.x;
    for (var first = 0u; first < count; first += SUM_BATCH) {
        let batch = min(SUM_BATCH, count - first);
        for (var i = 0u; i < batch; i++) {
            let at = (i * REDUCERS + own.y) * FINALIZE_LANE4S + own.x;
            partial_sums[at] = partial_sum(first + i, lane4, own.y);
        }
        workgroupBarrier();
        if (serves) {
            for (var i = 0u; i < batch; i++) {
                var sum = real(0.0);
                for (var part = 0u; part < REDUCERS; part++) {
                    sum += partial_sums[(i * REDUCERS + part) * FINALIZE_LANE4S + index / 4u][index % 4u];
                }
                totals[first + i] = sum;
            }
        }
        workgroupBarrier();
    }
}
