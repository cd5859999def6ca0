// The epilogue of a prediction of held-out rows: their loss and its derivatives, from the predictions in
// `values`.
var<private> validate_loss: real4;
var<private> validate_d1: array<real4, MAX_TANGENTS>;

fn validate_begin(lane4: u32) {
    validate_loss = real4(0.0);
    validate_d1 = array<real4, MAX_TANGENTS>();
}

fn validate_row(i: u32, lane4: u32) {
    let target_value = held_out_target(i);
    let weight = held_out_weight(i, lane4);
    validate_loss += weight * loss_value(values[0], target_value);
    let by_prediction = weight * loss_d1(values[0], target_value);
    for (var t = 0u; t < TANGENTS; t++) {
        validate_d1[t] += by_prediction * (values[1u + t] + INTERCEPT_TANGENTS[t]);
    }
}

fn validate_store(block: u32, lane4: u32) {
    store_partial(PART_VALIDATION, block, lane4, validate_loss);
    for (var t = 0u; t < TANGENTS; t++) {
        store_partial(PART_HYPERGRADIENT + t * BLOCKS_HYPERGRADIENT, block, lane4, validate_d1[t]);
    }
}
