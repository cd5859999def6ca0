// The residual as a kernel of its own: for iterations whose residual the last prediction could not store, and
// for the stop rule. One invocation per lane4 and block of rows.
struct ResidualParams {
    // 1: at the extrapolated point of the iteration; 0: at the iterate itself.
    extrapolates: u32,
}

fn extrapolation_coefficient(lane4: u32) -> real4 {
    return select(real4(0.0), params_extrapolation(lane4), params.extrapolates == 1u);
}

fn dextrapolation_coefficient(lane4: u32, t: u32) -> real4 {
    return select(real4(0.0), params_dextrapolation(lane4, t), params.extrapolates == 1u);
}

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    let extrapolates = params.extrapolates == 1u;
    let restore = vec4<bool>(extrapolates) & are_running(lane4) & params_restore(lane4);
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = place(i, lane4);
        for (var t = 0u; t < WIDTH; t++) {
            values[t] = prediction_at(at + t * LANE4S, restore);
        }
        residual_row(i, lane4);
        if (extrapolates) {
            for (var t = 0u; t < WIDTH; t++) {
                store_extrapolated(at + t * LANE4S, extrapolated_row[t]);
            }
        }
    }
}
