// Reduces the partial sums of each lane, finalizes the iteration they belong to, and decides the next one. A
// workgroup handles FINALIZE_LANE4S lane4s, with REDUCERS invocations for each. The order of every sum is
// fixed: each invocation adds every REDUCERS-th block, then these sums are added.

struct FinalizeParams {
    // Row in the chunk's records for the iteration just done, and row in its tables for the next one.
    record_row: u32,
    table_row: u32,
    // Bits FINALIZES, CONTROLS, CHECKED, RECORDS.
    flags: u32,
}

var<workgroup> entry: FinalizeParams;
var<private> totals: array<real, SUMS>;
var<private> record_row: u32;
// True if the iteration has a record.
var<private> records_now: bool;
var<private> table_row: u32;
// True if the stop rule was measured.
var<private> checked: bool;

@compute @workgroup_size(FINALIZE_LANE4S, REDUCERS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    // The first invocations finalize and control one lane each.
    let index = own.y * FINALIZE_LANE4S + own.x;
    let lane = group.x * FINALIZE_LANE4S * 4u + index;
    // From workgroup memory: for uniforms in conditions, some drivers compile the kernel again when their
    // values change.
    if (index == 0u) {
        entry = params;
    }
    let now = workgroupUniformLoad(&entry);
    record_row = now.record_row;
    records_now = (now.flags & RECORDS) != 0u;
    table_row = now.table_row;
    let tested = (now.flags & CHECKED) != 0u;
    checked = tested;
    let serves = index < FINALIZE_LANE4S * 4u && lane < LANES;
    if ((now.flags & FINALIZES) != 0u) {
        add_up(select(SUMS_OF_EACH, SUMS, tested), group.x * FINALIZE_LANE4S, own.xy, serves);
        if (serves) {
            finalize_iteration(lane);
        }
    }
    if ((now.flags & CONTROLS) != 0u && serves && is_running(lane)) {
        control(lane);
    }
}
