// From one iteration to the next: adds up what the blocks of rows left of each lane, closes the iteration they belong to, and
// decides what comes. A workgroup serves TURN_LANES lanes with REDUCERS invocations each; the order of every sum is fixed.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> rules: array<real>;
@group(1) @binding(1) var<storage, read> constants: array<real>;
@group(1) @binding(2) var<storage, read> lanes: array<real>;
@group(1) @binding(3) var<storage, read> partials: array<real>;
@group(1) @binding(4) var<storage, read_write> book: array<real>;
@group(1) @binding(5) var<storage, read_write> records: array<real>;

var<workgroup> shares: array<real, TURN_SHARES>;
var<private> totals: array<real, SUMS>;

// Every REDUCERS-th block's share of a sum, in order.
fn share(sum: u32, lane: u32, reducer: u32) -> real {
    var total = real(0.0);
    for (var block = reducer; block < SUM_BLOCKS[sum]; block += REDUCERS) {
        total += partials[(SUM_STARTS[sum] + block) * LANES4 + lane];
    }
    return total;
}

@compute @workgroup_size(TURN_LANES, REDUCERS)
fn turn(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    let lane = min(id.x, LANES - 1u);
    let serves = id.x < LANES && own.y == 0u;
    if ((params.flags & CLOSES) != 0u) {
        let count = select(SUMS_OF_EACH, SUMS, (params.flags & CHECKED) != 0u);
        for (var i = 0u; i < count; i++) {
            let part = share(i, lane, own.y);
            if (REDUCERS == 1u) {
                totals[i] = part;
            } else {
                shares[own.y * TURN_LANES + own.x] = part;
                workgroupBarrier();
                if (own.y == 0u) {
                    var sum = part;
                    for (var r = 1u; r < REDUCERS; r++) {
                        sum += shares[r * TURN_LANES + own.x];
                    }
                    totals[i] = sum;
                }
                workgroupBarrier();
            }
        }
        if (serves) {
            close_iteration(lane);
        }
    }
    if ((params.flags & CONTROLS) != 0u && serves && is_running(lane)) {
        control(lane);
    }
}
