// What each lane does next: the table's row, and what the last iteration showed.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> table: array<real>;
@group(1) @binding(1) var<storage, read> constants: array<real>;
@group(1) @binding(2) var<storage, read_write> memory: array<real>;
@group(1) @binding(3) var<storage, read_write> directives: array<real>;

fn has(code: vec4<u32>, bit: u32) -> bool {
    return (code.x & bit) != 0u;
}

fn number(stage: u32, field: u32, lane: u32) -> real {
    return table[((params.row * STAGES + stage) * TABLE_FIELDS + field) * LANES + lane];
}

@compute @workgroup_size(64)
fn control(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let m = lane * MEMORY_FIELDS;
    let k = params.iteration - 1u;
    var quiet = memory[m + MEMORY_QUIET];
    var identified = memory[m + MEMORY_IDENTIFIED] > real(0.0);
    if (k > 0u) {
        quiet = select(quiet + real(1.0), real(0.0), memory[m + SEEN_MOVED] > real(0.0));
        identified = identified || quiet >= PATIENCE;
    }
    memory[m + MEMORY_IDENTIFIED] = select(real(0.0), real(1.0), identified);
    let waits = has(params.codes[0], WAITS) && memory[m + MEMORY_SWITCHED] == real(0.0);
    if (waits && has(params.codes[0], STARTS)) {
        quiet = real(0.0);
    }
    memory[m + MEMORY_QUIET] = quiet;
    let switches = waits && quiet >= PATIENCE;
    if (switches) {
        memory[m + MEMORY_SWITCHED] = real(1.0);
    }
    let stage = select(0u, STAGES - 1u, memory[m + MEMORY_SWITCHED] > real(0.0));
    let code = params.codes[stage];
    let square = memory[m + SEEN_SQUARE];
    let secant = memory[m + SEEN_SECANT];

    let begins = has(code, STARTS) || switches;
    var count = u32(memory[m + MEMORY_COUNT]);
    var scale = memory[m + MEMORY_SCALE];
    var taken_back = false;
    if (begins) {
        count = 0u;
        scale = real(1.0);
    } else {
        let rose = has(code, RESTARTS_BY_FUNCTION) && memory[m + SEEN_OBJECTIVE] > memory[m + MEMORY_OBJECTIVE];
        let turned = has(code, RESTARTS_BY_GRADIENT) && memory[m + SEEN_RESTART] > real(0.0);
        if (rose || turned) {
            count = 0u;
        }
        if (has(code, BACKTRACKS)) {
            let least = real(1.0) / constants[code.y];
            taken_back = memory[m + MEMORY_STEP] * secant > square && scale > least;
            if (taken_back) {
                scale = max(scale * constants[code.y + 1u], least);
                count = 0u;
            }
        }
    }
    // Nothing is known of the start's objective: the first iterate cannot have risen. A step that is taken back leaves the
    // objective of its start.
    if (k == 0u) {
        memory[m + MEMORY_OBJECTIVE] = REAL_MAX;
    } else if (!taken_back) {
        memory[m + MEMORY_OBJECTIVE] = memory[m + SEEN_OBJECTIVE];
    }
    memory[m + MEMORY_SCALE] = scale;

    let high = scale * number(stage, 0u, lane);
    var step = high;
    // Which tangent the step has: 0 the table's, 1 that of the lowest step, 2 that of the measured curvature.
    var kind = 0u;
    if (has(code, USES_SECANT_STEP)) {
        let low = high / constants[code.y];
        // No curvature, or NaN: the lowest step.
        let found = select(real(0.0), square / secant, secant > real(0.0));
        if (begins || found <= low) {
            step = low;
            kind = 1u;
        } else if (found < high) {
            step = found;
            kind = 2u;
        }
    }
    memory[m + MEMORY_STEP] = step;

    let resets = has(code, RESTARTS_BY_FUNCTION | RESTARTS_BY_GRADIENT | BACKTRACKS);
    let begun = !has(code, COUNTS) && count == 0u && resets;
    var momentum = number(stage, 1u, lane);
    if (has(code, COUNTS)) {
        momentum = constants[code.y + 2u + count];
    } else if (begun) {
        momentum = real(0.0);
    }
    memory[m + MEMORY_COUNT] = real(count + 1u);

    let at = lane * DIRECTIVE_FIELDS;
    directives[at] = step;
    directives[at + 1u] = momentum;
    directives[at + 2u] = select(real(0.0), momentum, has(code, LOOKS_AHEAD));
    let by_iteration = TANGENT_START != 0xffffffffu;
    let tangents = (by_iteration && k >= TANGENT_START) || (!by_iteration && identified);
    directives[at + 3u] = select(real(0.0), real(1.0), tangents);
    directives[at + 4u] = select(real(0.0), real(1.0), taken_back);
    for (var t = 0u; t < TANGENTS; t++) {
        var dstep = scale * number(stage, 2u + 2u * t, lane);
        if (kind == 1u) {
            dstep = dstep / constants[code.y];
        } else if (kind == 2u) {
            dstep = (memory[m + SEEN_TANGENTS + 2u * t] - step * memory[m + SEEN_TANGENTS + 2u * t + 1u]) / secant;
        }
        let dmomentum = select(number(stage, 3u + 2u * t, lane), real(0.0), begun);
        directives[at + 5u + 3u * t] = dstep;
        directives[at + 6u + 3u * t] = dmomentum;
        directives[at + 7u + 3u * t] = select(real(0.0), dmomentum, has(code, LOOKS_AHEAD));
    }
}
