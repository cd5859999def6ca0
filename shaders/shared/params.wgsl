// What changes from one iteration to the next.
struct Params {
    // The iterate being made, from 1.
    iteration: u32,
    // Row of the chunk's step table and records.
    row: u32,
    // Whether the stop rule is tested.
    check: u32,
    // Whether the gradient is taken at the extrapolated point.
    look_ahead: u32,
}
