// Many iterations of the Gram strategy in one dispatch: a workgroup keeps LOCAL_LANE4S lane4s in its own
// memory and runs params.iterations iterations of them. An invocation has one lane4 and OWN_ROWS
// coefficients; the first invocations also hold a lane's lane_state. `finalize` finalizes the last iteration,
// as the stop rule may be measured first.

struct PersistentParams {
    // Row in the chunk's tables for the first iteration.
    table_row: u32,
    // Iterations of the dispatch.
    iterations: u32,
}

// Two states, [STRIDE, WIDTH, LOCAL_LANE4S] each: the iterates and the previous ones, which alternate.
var<workgroup> pool: array<real4, POOL>;
// [STATE_FIELDS, LOCAL_LANES]
var<workgroup> pages: array<real, PAGES>;
// [sums, ROW_GROUPS, LOCAL_LANE4S]
var<workgroup> partial_sums: array<real4, LOCAL_PARTIALS>;
var<workgroup> runners: atomic<u32>;
var<workgroup> going: u32;

// v = X'X x of the invocation's own coefficients, at the iterate and at the previous one.
var<private> carried: array<real4, OWN_VALUES>;
var<private> before: array<real4, OWN_VALUES>;
var<private> here_base: u32;
var<private> first_lane4: u32;
var<private> first_row: u32;
var<private> totals: array<real, SUMS>;
var<private> record_row: u32;
var<private> records_now: bool;
var<private> table_row: u32;
// True if the stop rule is measured after the last iteration, which `finalize` finalizes.
var<private> checked: bool;

fn pooled(base: u32, j: u32, t: u32, lane4: u32) -> u32 {
    return base + (j * WIDTH + t) * LOCAL_LANE4S + lane4 - first_lane4;
}

fn here_at(j: u32, t: u32, lane4: u32) -> real4 {
    return pool[pooled(here_base, j, t, lane4)];
}

fn before_at(j: u32, t: u32, lane4: u32) -> real4 {
    return pool[pooled(POOL / 2u - here_base, j, t, lane4)];
}

fn store_next(j: u32, t: u32, lane4: u32, v: real4) {
    pool[pooled(POOL / 2u - here_base, j, t, lane4)] = v;
}

fn carried_before(j: u32, t: u32, lane4: u32) -> real4 {
    return before[(j - first_row) * WIDTH + t];
}

fn new_iterate_at(j: u32, lane4: u32) -> real4 {
    return here_at(j, 0u, lane4);
}

fn store_partial(sum: u32, block: u32, lane4: u32, v: real4) {
    partial_sums[(sum + block) * LOCAL_LANE4S + lane4 - first_lane4] = v;
}

fn page(lane: u32, field: u32) -> u32 {
    return field * LOCAL_LANES + lane - 4u * first_lane4;
}

fn get_state(lane: u32, field: u32) -> real {
    return pages[page(lane, field)];
}

fn set_state(lane: u32, field: u32, v: real) {
    pages[page(lane, field)] = v;
}

fn is_running(lane: u32) -> bool {
    return get_state(lane, STATUS) == RUNNING;
}

fn lane_state4(lane4: u32, field: u32) -> real4 {
    let at = page(4u * lane4, field);
    return real4(pages[at], pages[at + 1u], pages[at + 2u], pages[at + 3u]);
}

@compute @workgroup_size(LOCAL_LANE4S, ROW_GROUPS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    first_lane4 = group.x * LOCAL_LANE4S;
    first_row = own.y * OWN_ROWS;
    let lane4 = first_lane4 + own.x;
    let last_row = min(first_row + OWN_ROWS, STATE_ROWS);
    let index = own.y * LOCAL_LANE4S + own.x;
    let lane = 4u * first_lane4 + index;
    let serves = index < LOCAL_LANES && lane < LANES;
    let holds = index < LOCAL_LANES && lane < PADDED_LANES;

    for (var i = index; i < POOL / 2u; i += LOCAL_LANE4S * ROW_GROUPS) {
        // Values read beyond the matrix are not used.
        let at = min(first_lane4 + i % LOCAL_LANE4S, LANE4S - 1u);
        let row = i / (WIDTH * LOCAL_LANE4S);
        let c = place(min(row, STATE_ROWS - 1u), at) + i / LOCAL_LANE4S % WIDTH * LANE4S;
        pool[i] = select(real4(0.0), x[c], row < STATE_ROWS);
        pool[POOL / 2u + i] = select(real4(0.0), x_previous[c], row < STATE_ROWS);
    }
    if (holds) {
        for (var field = 0u; field < STATE_FIELDS; field++) {
            pages[field * LOCAL_LANES + index] = lane_state[field * PADDED_LANES + lane];
        }
    }
    workgroupBarrier();
    here_base = POOL / 2u;
    multiply(here_base, lane4);
    before = carried;
    here_base = 0u;
    multiply(here_base, lane4);

    for (var i = 0u; i < params.iterations; i++) {
        table_row = params.table_row + i;
        if (serves && is_running(lane)) {
            control(lane);
        }
        // Every 16 iterations, checks if any lane is still running.
        if (i % 16u == 15u) {
            if (index == 0u) {
                atomicStore(&runners, 0u);
            }
            workgroupBarrier();
            if (serves && is_running(lane)) {
                atomicAdd(&runners, 1u);
            }
            workgroupBarrier();
            if (index == 0u) {
                going = atomicLoad(&runners);
            }
            if (workgroupUniformLoad(&going) == 0u) {
                break;
            }
        } else {
            workgroupBarrier();
        }
        step_begin(lane4);
        for (var j = first_row; j < last_row; j++) {
            for (var t = 0u; t < WIDTH; t++) {
                values[t] = carried[(j - first_row) * WIDTH + t];
            }
            gradient_at_e_row(j, lane4);
            step_row(j, lane4);
        }
        step_store(own.y, lane4);
        here_base = POOL / 2u - here_base;
        workgroupBarrier();
        before = carried;
        multiply(here_base, lane4);
        gram_loss_begin(lane4);
        for (var j = first_row; j < last_row; j++) {
            values[0] = carried[(j - first_row) * WIDTH];
            gram_loss_row(j, lane4);
        }
        gram_loss_store(own.y, lane4);
        workgroupBarrier();
        if (serves && i + 1u < params.iterations) {
            for (var sum = 0u; sum < SUMS_OF_EACH; sum++) {
                // In the same order as `finalize`, which finalizes some of the iterations.
                var total = real(0.0);
                for (var reducer = 0u; reducer < REDUCERS; reducer++) {
                    var part = real(0.0);
                    for (var block = reducer; block < ROW_GROUPS; block += REDUCERS) {
                        let at = (sum * ROW_GROUPS + block) * LOCAL_LANE4S + index / 4u;
                        part += partial_sums[at][index % 4u];
                    }
                    total += part;
                }
                totals[sum] = total;
            }
            // Other iterations that are recorded end a dispatch.
            records_now = RECORD_EVERY == 1u;
            record_row = table_row;
            finalize_iteration(lane);
        }
    }

    workgroupBarrier();
    if (lane4 < LANE4S) {
        for (var sum = 0u; sum < SUMS_OF_EACH; sum++) {
            let share = sum * ROW_GROUPS + own.y;
            partials[share * LANE4S + lane4] = partial_sums[share * LOCAL_LANE4S + own.x];
        }
        // The buffer of the iterate follows the parity of all iterations, including skipped ones.
        let swaps = params.iterations % 2u == 1u;
        for (var j = first_row; j < last_row; j++) {
            for (var t = 0u; t < WIDTH; t++) {
                let c = place(j, lane4) + t * LANE4S;
                let now = here_at(j, t, lane4);
                let previous = before_at(j, t, lane4);
                x[c] = select(now, previous, swaps);
                x_previous[c] = select(previous, now, swaps);
            }
        }
    }
    if (holds) {
        for (var field = 0u; field < STATE_FIELDS; field++) {
            lane_state[field * PADDED_LANES + lane] = pages[field * LOCAL_LANES + index];
        }
    }
}
