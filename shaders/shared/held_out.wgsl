// The target and the weight of a held-out row.
fn held_out_target(i: u32) -> real {
    return validation_rows[2u * i];
}

fn held_out_weight(i: u32, lane4: u32) -> real4 {
    return real4(validation_rows[2u * i + 1u]);
}
