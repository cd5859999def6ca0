// The end of a prediction where steps follow from curvature: a row's part of <s, grad f(x+) - grad f(e)>, s = x+ - e, with the
// new predictions in `values`, those at e in `extrapolated` and their residual in `r`.
var<private> secant_sum: real4;
var<private> secant_dsum: array<real4, MAX_TANGENTS>;

fn secant_begin(quad: u32) {
    secant_sum = real4(0.0);
    secant_dsum = array<real4, MAX_TANGENTS>();
}

fn secant_row(i: u32, quad: u32) {
    let at = place(i, quad);
    let target_value = rows[i * ROW_FIELDS];
    let weight = rows[i * ROW_FIELDS + 1u];
    let here = values[0];
    let s = here - extrapolated[at];
    let turned = weight * loss_slope(here, target_value) - r[at];
    secant_sum += s * turned;
    for (var t = 0u; t < TANGENTS; t++) {
        let c = at + (1u + t) * QUADS;
        var dslope = loss_curve(here, target_value) * values[1u + t];
        if (MOVES_TARGET) {
            dslope += loss_slope_by_target(here, target_value) * rows[i * ROW_FIELDS + 2u + t];
        }
        let ds = values[1u + t] - extrapolated[c];
        secant_dsum[t] += ds * turned + s * (weight * dslope - r[c]);
    }
}

fn secant_leave(block: u32, quad: u32) {
    leave(PART_SECANT_ROWS, block, quad, secant_sum);
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_DSECANT_ROWS + t * BLOCKS_DSECANT_ROWS, block, quad, secant_dsum[t]);
    }
}
