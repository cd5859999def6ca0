// r = w phi'(X e), dr = w (phi''(X e) X de + d_y phi' dy), with X e = z + look (z - z_previous).
// X e is kept where the schedule measures the curvature of the step that follows.
// One invocation: a lane and a block of rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read_write> z: array<real>;
@group(1) @binding(1) var<storage, read> z_previous: array<real>;
@group(1) @binding(2) var<storage, read> rows: array<real>;
@group(1) @binding(3) var<storage, read> book: array<real>;
@group(1) @binding(4) var<storage, read_write> r: array<real>;
@group(1) @binding(5) var<storage, read_write> extrapolated: array<real>;

@compute @workgroup_size(64)
fn residual(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let ahead = params.ahead == 1u;
    var look = real(0.0);
    var restore = false;
    if (ahead) {
        look = told_look(lane);
        restore = is_running(lane) && told_restore(lane);
    }
    let first = id.y * ROW_BLOCK;
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = entry(i, lane);
        let target_value = rows[i * ROW_FIELDS];
        let weight = rows[i * ROW_FIELDS + 1u];
        if (restore) {
            for (var t = 0u; t < WIDTH; t++) {
                z[at + t * LANES4] = z_previous[at + t * LANES4];
            }
        }
        let moved = z[at] - z_previous[at];
        let e = z[at] + look * moved;
        if (MEASURES_CURVATURE && ahead) {
            extrapolated[at] = e;
        }
        r[at] = weight * loss_slope(e, target_value);
        if (TANGENTS > 0u) {
            let curve = weight * loss_curve(e, target_value);
            for (var t = 0u; t < TANGENTS; t++) {
                let c = at + (1u + t) * LANES4;
                var de = z[c] + look * (z[c] - z_previous[c]);
                if (ahead) {
                    de += told_dlook(lane, t) * moved;
                }
                if (MEASURES_CURVATURE && ahead) {
                    extrapolated[c] = de;
                }
                var dr = curve * de;
                if (MOVES_TARGET) {
                    dr += weight * loss_slope_by_target(e, target_value) * rows[i * ROW_FIELDS + 2u + t];
                }
                r[c] = dr;
            }
        }
    }
}
