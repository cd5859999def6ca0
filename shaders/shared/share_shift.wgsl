// What a row of the iterates adds to the sum that the design's shift needs.
fn share_of(row: u32) -> real {
    return shift[row];
}
