// The residual by itself: where the schedule decides only now how far to extrapolation, where the step was taken back, and for the stop
// rule. One invocation: four lanes and a block of rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read_write> z: array<real4>;
@group(1) @binding(1) var<storage, read> z_before: array<real4>;
@group(1) @binding(2) var<storage, read> rows: array<real>;
@group(1) @binding(3) var<storage, read> lane_state: array<real4>;
@group(1) @binding(4) var<storage, read_write> r: array<real4>;
@group(1) @binding(5) var<storage, read_write> extrapolated: array<real4>;

fn extrapolation_coefficient(lane4: u32) -> real4 {
    return select(real4(0.0), params_extrapolation(lane4), params.ahead == 1u);
}

fn dextrapolation_coefficient(lane4: u32, t: u32) -> real4 {
    return select(real4(0.0), params_dextrapolation(lane4, t), params.ahead == 1u);
}

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn residual(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    let ahead = params.ahead == 1u;
    let restore = vec4<bool>(ahead) & are_running(lane4) & params_restore(lane4);
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = place(i, lane4);
        for (var t = 0u; t < WIDTH; t++) {
            let c = at + t * LANE4S;
            if (MEASURES_CURVATURE) {
                // Only steps that are measured can be taken back.
                z[c] = select(z[c], z_before[c], restore);
            }
            values[t] = z[c];
        }
        residual_row(i, lane4);
        if (MEASURES_CURVATURE && ahead) {
            for (var t = 0u; t < WIDTH; t++) {
                extrapolated[at + t * LANE4S] = extrapolated_row[t];
            }
        }
    }
}
