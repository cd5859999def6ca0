// The residual by itself: where the schedule decides only now how far to look, where the step was taken back, and for the stop rule.
// One invocation: a lane and a block of rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read_write> z: array<real>;
@group(1) @binding(1) var<storage, read> z_before: array<real>;
@group(1) @binding(2) var<storage, read> rows: array<real>;
@group(1) @binding(3) var<storage, read> book: array<real>;
@group(1) @binding(4) var<storage, read_write> r: array<real>;
@group(1) @binding(5) var<storage, read_write> extrapolated: array<real>;

fn look_ahead(lane: u32) -> real {
    return select(real(0.0), told_look(lane), params.ahead == 1u);
}

fn dlook_ahead(lane: u32, t: u32) -> real {
    return select(real(0.0), told_dlook(lane, t), params.ahead == 1u);
}

@compute @workgroup_size(64)
fn residual(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let ahead = params.ahead == 1u;
    let restore = ahead && is_running(lane) && told_restore(lane);
    residual_begin(lane);
    let first = id.y * ROW_BLOCK;
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = entry(i, lane);
        for (var t = 0u; t < WIDTH; t++) {
            let c = at + t * LANES4;
            if (restore) {
                z[c] = z_before[c];
            }
            values[t] = z[c];
        }
        residual_row(i, lane);
        if (MEASURES_CURVATURE && ahead) {
            for (var t = 0u; t < WIDTH; t++) {
                extrapolated[at + t * LANES4] = extrapolation[t];
            }
        }
    }
    residual_leave(id.y, lane);
}
