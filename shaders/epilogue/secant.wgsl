// The epilogue of a prediction if steps are computed from curvature: the contribution of a row to <s, grad
// f(x+) - grad f(e)>, s = x+ - e, with the new predictions in `values`, those at e in `extrapolated` and
// their residual in `r`.
var<private> secant_sum: real4;
var<private> secant_dsum: array<real4, MAX_TANGENTS>;

fn secant_begin(lane4: u32) {
    secant_sum = real4(0.0);
    secant_dsum = array<real4, MAX_TANGENTS>();
}

fn secant_row(i: u32, lane4: u32) {
    let at = place(i, lane4);
    let target_value = rows[i * ROW_FIELDS];
    let weight = row_weight(i, lane4);
    let here = values[0];
    let s = here - extrapolated[at];
    let turned = weight * loss_d1(here, target_value) - r[at];
    secant_sum += s * turned;
    for (var t = 0u; t < TANGENTS; t++) {
        let c = at + (1u + t) * LANE4S;
        var dd1 = loss_d2(here, target_value) * values[1u + t];
        if (SEEDS_TARGET) {
            dd1 += loss_d1_by_target(here, target_value) * rows[i * ROW_FIELDS + 2u + t];
        }
        let ds = values[1u + t] - extrapolated[c];
        secant_dsum[t] += ds * turned + s * (weight * dd1 - r[c]);
    }
}

fn secant_store(block: u32, lane4: u32) {
    store_partial(PART_SECANT_ROWS, block, lane4, secant_sum);
    for (var t = 0u; t < TANGENTS; t++) {
        store_partial(PART_DSECANT_ROWS + t * BLOCKS_DSECANT_ROWS, block, lane4, secant_dsum[t]);
    }
}
