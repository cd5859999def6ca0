// From one iteration to the next: adds up what the blocks of rows left of each lane, finalizes the iteration they belong to, and
// decides what comes. A workgroup serves FINALIZE_LANE4S groups of four lanes, with REDUCERS invocations for each. The order of every
// sum is fixed: every REDUCERS-th block, and the sums of these.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> rules: array<real>;
@group(1) @binding(1) var<storage, read> constants: array<real>;
@group(1) @binding(2) var<storage, read> lanes: array<real4>;
@group(1) @binding(3) var<storage, read> partials: array<real4>;
@group(1) @binding(4) var<storage, read_write> lane_state: array<real>;
@group(1) @binding(5) var<storage, read_write> records: array<real>;

var<private> totals: array<real, SUMS>;
// Row of the records that the iteration just done belongs to, and of the tables for the one that comes.
var<private> record_row: u32;
var<private> table_row: u32;

@compute @workgroup_size(FINALIZE_LANE4S, REDUCERS)
fn finalize(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    // The first invocations close and control a lane each.
    let index = own.y * FINALIZE_LANE4S + own.x;
    let lane = group.x * FINALIZE_LANE4S * 4u + index;
    record_row = params.record_row;
    table_row = params.table_row;
    let serves = index < FINALIZE_LANE4S * 4u && lane < LANES;
    if ((params.flags & FINALIZES) != 0u) {
        add_up(select(SUMS_OF_EACH, SUMS, (params.flags & CHECKED) != 0u), group.x * FINALIZE_LANE4S, own.xy, serves);
        if (serves) {
            finalize_iteration(lane);
        }
    }
    if ((params.flags & CONTROLS) != 0u && serves && is_running(lane)) {
        control(lane);
    }
}
