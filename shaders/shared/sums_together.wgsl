// The totals of a workgroup's lanes if sums are long: the invocations of a lane4 share its blocks.
// [sums of a batch, REDUCERS, FINALIZE_LANE4S]
var<workgroup> partial_sums: array<real4, FINALIZE_PARTIALS>;

// A partial sum of a block.
fn partial(sum: u32, block: u32, lane4: u32) -> real4 {
    return partials[(SUM_STARTS[sum] + block) * LANE4S + lane4];
}

// The sum of every REDUCERS-th block of a sum, in order. Eight loads are started at a time, because each
// takes much longer than an addition.
fn partial_sum(sum: u32, lane4: u32, reducer: u32) -> real4 {
    var total = real4(0.0);
    var block = reducer;
    for (; block + 7u * REDUCERS < SUM_BLOCKS[sum]; block += 8u * REDUCERS) {
        let p0 = partial(sum, block, lane4);
        let p1 = partial(sum, block + REDUCERS, lane4);
        let p2 = partial(sum, block + 2u * REDUCERS, lane4);
        let p3 = partial(sum, block + 3u * REDUCERS, lane4);
        let p4 = partial(sum, block + 4u * REDUCERS, lane4);
        let p5 = partial(sum, block + 5u * REDUCERS, lane4);
        let p6 = partial(sum, block + 6u * REDUCERS, lane4);
        let p7 = partial(sum, block + 7u * REDUCERS, lane4);
        total = total + p0 + p1 + p2 + p3 + p4 + p5 + p6 + p7;
    }
    for (; block < SUM_BLOCKS[sum]; block += REDUCERS) {
        total += partial(sum, block, lane4);
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
