// The weight of a row: all lanes are fitted on all rows.
fn row_weight(i: u32, lane4: u32) -> real4 {
    return real4(rows[i * ROW_FIELDS + 1u]);
}
