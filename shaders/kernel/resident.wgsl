// Many iterations of the Gram form in one dispatch: a workgroup keeps LOCAL_QUADS quads of lanes in its own memory and takes them
// through params.ahead iterations. An invocation has a quad and OWN_ROWS coefficients; the first ones keep a lane's book as well. The
// last iteration is closed by `turn`, as the stop rule may have to look at it first.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> gram: array<real4>;
@group(1) @binding(1) var<storage, read_write> x: array<real4>;
@group(1) @binding(2) var<storage, read_write> x_previous: array<real4>;
@group(1) @binding(3) var<storage, read> rules: array<real>;
@group(1) @binding(4) var<storage, read> constants: array<real>;
@group(1) @binding(5) var<storage, read> lanes: array<real4>;
@group(1) @binding(6) var<storage, read_write> book: array<real>;
@group(1) @binding(7) var<storage, read_write> records: array<real>;
@group(1) @binding(8) var<storage, read_write> partials: array<real4>;

// Two states, [STRIDE, WIDTH, LOCAL_QUADS] each: the iterates and those before change places.
var<workgroup> pool: array<real4, POOL>;
// [BOOK_FIELDS, LOCAL_LANES]
var<workgroup> pages: array<real, PAGES>;
// [sums, ROW_GROUPS, LOCAL_QUADS]
var<workgroup> shares: array<real4, LOCAL_SHARES>;
var<workgroup> runners: atomic<u32>;
var<workgroup> going: u32;

// v = X'X x of the own coefficients, at the iterate and the one before.
var<private> carried: array<real4, OWN_VALUES>;
var<private> before: array<real4, OWN_VALUES>;
var<private> here_base: u32;
var<private> first_quad: u32;
var<private> first_row: u32;
var<private> totals: array<real, SUMS>;
var<private> record_row: u32;
var<private> table_row: u32;

fn pooled(base: u32, j: u32, t: u32, quad: u32) -> u32 {
    return base + (j * WIDTH + t) * LOCAL_QUADS + quad - first_quad;
}

fn here_at(j: u32, t: u32, quad: u32) -> real4 {
    return pool[pooled(here_base, j, t, quad)];
}

fn before_at(j: u32, t: u32, quad: u32) -> real4 {
    return pool[pooled(POOL / 2u - here_base, j, t, quad)];
}

fn leave_next(j: u32, t: u32, quad: u32, v: real4) {
    pool[pooled(POOL / 2u - here_base, j, t, quad)] = v;
}

// This form has neither a metric nor steps that are taken back.
fn metric_at(j: u32, t: u32, quad: u32) -> real4 {
    return real4(1.0);
}

fn restore_where(on: vec4<bool>, j: u32, t: u32, quad: u32) {
}

fn carried_before(j: u32, t: u32, quad: u32) -> real4 {
    return before[(j - first_row) * WIDTH + t];
}

fn fitted_at(j: u32, quad: u32) -> real4 {
    return here_at(j, 0u, quad);
}

fn leave(sum: u32, block: u32, quad: u32, v: real4) {
    shares[(sum + block) * LOCAL_QUADS + quad - first_quad] = v;
}

fn page(lane: u32, field: u32) -> u32 {
    return field * LOCAL_LANES + lane - 4u * first_quad;
}

fn book_at(lane: u32, field: u32) -> real {
    return pages[page(lane, field)];
}

fn keep(lane: u32, field: u32, v: real) {
    pages[page(lane, field)] = v;
}

fn is_running(lane: u32) -> bool {
    return book_at(lane, STATUS) == RUNNING;
}

fn told(quad: u32, field: u32) -> real4 {
    let at = page(4u * quad, field);
    return real4(pages[at], pages[at + 1u], pages[at + 2u], pages[at + 3u]);
}

@compute @workgroup_size(LOCAL_QUADS, ROW_GROUPS)
fn resident(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    first_quad = group.x * LOCAL_QUADS;
    first_row = own.y * OWN_ROWS;
    let quad = first_quad + own.x;
    let last_row = min(first_row + OWN_ROWS, STATE_ROWS);
    let index = own.y * LOCAL_QUADS + own.x;
    let lane = 4u * first_quad + index;
    let serves = index < LOCAL_LANES && lane < LANES;
    let holds = index < LOCAL_LANES && lane < LANES4;

    for (var i = index; i < POOL / 2u; i += LOCAL_QUADS * ROW_GROUPS) {
        // Beyond the matrix nothing is read that counts.
        let at = min(first_quad + i % LOCAL_QUADS, QUADS - 1u);
        let row = i / (WIDTH * LOCAL_QUADS);
        let c = place(min(row, STATE_ROWS - 1u), at) + i / LOCAL_QUADS % WIDTH * QUADS;
        pool[i] = select(real4(0.0), x[c], row < STATE_ROWS);
        pool[POOL / 2u + i] = select(real4(0.0), x_previous[c], row < STATE_ROWS);
    }
    if (holds) {
        for (var field = 0u; field < BOOK_FIELDS; field++) {
            pages[field * LOCAL_LANES + index] = book[field * LANES4 + lane];
        }
    }
    workgroupBarrier();
    here_base = POOL / 2u;
    multiply(here_base, quad);
    before = carried;
    here_base = 0u;
    multiply(here_base, quad);

    for (var i = 0u; i < params.ahead; i++) {
        table_row = params.table_row + i;
        if (serves && is_running(lane)) {
            control(lane);
        }
        // Once in a while, whether anyone is left.
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
        step_begin(quad);
        for (var j = first_row; j < last_row; j++) {
            for (var t = 0u; t < WIDTH; t++) {
                values[t] = carried[(j - first_row) * WIDTH + t];
            }
            slope_row(j, quad);
            step_row(j, quad);
        }
        step_leave(own.y, quad);
        here_base = POOL / 2u - here_base;
        workgroupBarrier();
        before = carried;
        multiply(here_base, quad);
        fit_begin(quad);
        for (var j = first_row; j < last_row; j++) {
            values[0] = carried[(j - first_row) * WIDTH];
            fit_row(j, quad);
        }
        fit_leave(own.y, quad);
        workgroupBarrier();
        if (serves && i + 1u < params.ahead) {
            for (var sum = 0u; sum < SUMS_OF_EACH; sum++) {
                // In the order of `turn`, which closes some iterations.
                var total = real(0.0);
                for (var reducer = 0u; reducer < REDUCERS; reducer++) {
                    var part = real(0.0);
                    for (var block = reducer; block < ROW_GROUPS; block += REDUCERS) {
                        part += shares[(sum * ROW_GROUPS + block) * LOCAL_QUADS + index / 4u][index % 4u];
                    }
                    total += part;
                }
                totals[sum] = total;
            }
            record_row = table_row;
            close_iteration(lane);
        }
    }

    workgroupBarrier();
    if (quad < QUADS) {
        for (var sum = 0u; sum < SUMS_OF_EACH; sum++) {
            let share = sum * ROW_GROUPS + own.y;
            partials[share * QUADS + quad] = shares[share * LOCAL_QUADS + own.x];
        }
        // The iterate's buffer follows the parity of the iterations, those left out included.
        let swaps = params.ahead % 2u == 1u;
        for (var j = first_row; j < last_row; j++) {
            for (var t = 0u; t < WIDTH; t++) {
                let c = place(j, quad) + t * QUADS;
                let now = here_at(j, t, quad);
                let previous = before_at(j, t, quad);
                x[c] = select(now, previous, swaps);
                x_previous[c] = select(previous, now, swaps);
            }
        }
    }
    if (holds) {
        for (var field = 0u; field < BOOK_FIELDS; field++) {
            book[field * LANES4 + lane] = pages[field * LOCAL_LANES + index];
        }
    }
}
