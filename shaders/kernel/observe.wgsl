// The loss of the fitted rows at the new predictions, and the rows' part of <s, grad f(x+) - grad f(e)>, s = x+ - e: summed by
// block.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> z: array<real>;
@group(1) @binding(1) var<storage, read> rows: array<real>;
@group(1) @binding(2) var<storage, read_write> partials: array<real>;
@group(1) @binding(3) var<storage, read> r: array<real>;
@group(1) @binding(4) var<storage, read> extrapolated: array<real>;

@compute @workgroup_size(64)
fn observe(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    var fit = real(0.0);
    var secant = real(0.0);
    var dsecant: array<real, MAX_TANGENTS>;
    let first = id.y * ROW_BLOCK;
    for (var i = first; i < min(first + ROW_BLOCK, ROWS); i++) {
        let at = entry(i, lane);
        let target_value = rows[i * ROW_FIELDS];
        let weight = rows[i * ROW_FIELDS + 1u];
        fit += weight * loss_value(z[at], target_value);
        if (MEASURES_CURVATURE) {
            let s = z[at] - extrapolated[at];
            let turned = weight * loss_slope(z[at], target_value) - r[at];
            secant += s * turned;
            for (var t = 0u; t < TANGENTS; t++) {
                let c = at + (1u + t) * LANES4;
                var dslope = loss_curve(z[at], target_value) * z[c];
                if (MOVES_TARGET) {
                    dslope += loss_slope_by_target(z[at], target_value) * rows[i * ROW_FIELDS + 2u + t];
                }
                dsecant[t] += (z[c] - extrapolated[c]) * turned + s * (weight * dslope - r[c]);
            }
        }
    }
    leave(PART_LOSS, id.y, lane, fit);
    leave(PART_SECANT_ROWS, id.y, lane, secant);
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_DSECANT_ROWS + t, id.y, lane, dsecant[t]);
    }
}
