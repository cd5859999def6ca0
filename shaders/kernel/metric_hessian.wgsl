// d = 1/h held between 1/bound and METRIC_GAIN/bound, where it does not move; h is the diagonal of the
// Hessian, in g. For the lanes that refresh their metric now.

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    let refreshes = vec4<u32>(lane_state4(lane4, DONE)) % METRIC_EVERY == vec4<u32>();
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = place(j, lane4);
        // A column of zeros has no curvature: any step will do.
        let most = select(real(1.0), bound[j], bound[j] > real(0.0));
        let least = most / METRIC_GAIN;
        let inside = (g[at] > real4(least)) & (g[at] < real4(most));
        let d = real(1.0) / min(max(g[at], real4(least)), real4(most));
        metric[at] = select(metric[at], d, refreshes);
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * LANE4S;
            metric[c] = select(metric[c], select(real4(0.0), -d * d * g[c], inside), refreshes);
        }
    }
}
