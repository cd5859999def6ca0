// The residual by itself: where the schedule decides only now how far to look, where the step was taken back, and for the stop
// rule. One invocation: a quad of lanes and a block of rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read_write> z: array<real4>;
@group(1) @binding(1) var<storage, read> z_before: array<real4>;
@group(1) @binding(2) var<storage, read> rows: array<real>;
@group(1) @binding(3) var<storage, read> book: array<real4>;
@group(1) @binding(4) var<storage, read_write> r: array<real4>;
@group(1) @binding(5) var<storage, read_write> extrapolated: array<real4>;

fn look_ahead(quad: u32) -> real4 {
    return select(real4(0.0), told_look(quad), params.ahead == 1u);
}

fn dlook_ahead(quad: u32, t: u32) -> real4 {
    return select(real4(0.0), told_dlook(quad, t), params.ahead == 1u);
}

@compute @workgroup_size(GROUP_QUADS, GROUP_BLOCKS)
fn residual(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    let first = id.y * ROW_BLOCK;
    if (quad >= QUADS) {
        return;
    }
    let ahead = params.ahead == 1u;
    let restore = vec4<bool>(ahead) & are_running(quad) & told_restore(quad);
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = place(i, quad);
        for (var t = 0u; t < WIDTH; t++) {
            let c = at + t * QUADS;
            if (MEASURES_CURVATURE) {
                // Only steps that are measured can be taken back.
                z[c] = select(z[c], z_before[c], restore);
            }
            values[t] = z[c];
        }
        residual_row(i, quad);
        if (MEASURES_CURVATURE && ahead) {
            for (var t = 0u; t < WIDTH; t++) {
                extrapolated[at + t * QUADS] = extrapolation[t];
            }
        }
    }
}
