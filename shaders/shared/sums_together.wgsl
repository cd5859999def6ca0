// The totals of a workgroup's lanes, where sums are long: invocations that serve a quad of lanes share its blocks.
// [sums of a batch, REDUCERS, TURN_QUADS]
var<workgroup> shares: array<real4, TURN_SHARES>;

// Every REDUCERS-th block's share of a sum, in order.
fn share(sum: u32, quad: u32, reducer: u32) -> real4 {
    var total = real4(0.0);
    for (var block = reducer; block < SUM_BLOCKS[sum]; block += REDUCERS) {
        total += partials[(SUM_STARTS[sum] + block) * QUADS + quad];
    }
    return total;
}

fn add_up(count: u32, first_quad: u32, own: vec2<u32>, serves: bool) {
    let quad = min(first_quad + own.x, QUADS - 1u);
    let index = own.y * TURN_QUADS + own.x;
    for (var first = 0u; first < count; first += SUM_BATCH) {
        let batch = min(SUM_BATCH, count - first);
        for (var i = 0u; i < batch; i++) {
            shares[(i * REDUCERS + own.y) * TURN_QUADS + own.x] = share(first + i, quad, own.y);
        }
        workgroupBarrier();
        if (serves) {
            for (var i = 0u; i < batch; i++) {
                var sum = real(0.0);
                for (var part = 0u; part < REDUCERS; part++) {
                    sum += shares[(i * REDUCERS + part) * TURN_QUADS + index / 4u][index % 4u];
                }
                totals[first + i] = sum;
            }
        }
        workgroupBarrier();
    }
}
