// The end of a prediction of held-out rows: their loss and its derivatives, from the predictions in `values`.
var<private> validate_fit: real4;
var<private> validate_slope: array<real4, MAX_TANGENTS>;

fn validate_begin(quad: u32) {
    validate_fit = real4(0.0);
    validate_slope = array<real4, MAX_TANGENTS>();
}

fn validate_row(i: u32, quad: u32) {
    let target_value = validation_rows[2u * i];
    let weight = validation_rows[2u * i + 1u];
    validate_fit += weight * loss_value(values[0], target_value);
    let by_prediction = weight * loss_slope(values[0], target_value);
    for (var t = 0u; t < TANGENTS; t++) {
        validate_slope[t] += by_prediction * values[1u + t];
    }
}

fn validate_leave(block: u32, quad: u32) {
    leave(PART_VALIDATION, block, quad, validate_fit);
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_HYPERGRADIENT + t * BLOCKS_HYPERGRADIENT, block, quad, validate_slope[t]);
    }
}
