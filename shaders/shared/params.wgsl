// What changes from one dispatch to the next.
struct Params {
    // Row of the chunk's records that the iteration just done belongs to, and of its tables for the one that comes.
    record_row: u32,
    table_row: u32,
    // What `turn` does: STATUS, CONTROL, CHECKED.
    flags: u32,
    // Whether the gradient is taken at e, where the lane's directive says, and not at x.
    ahead: u32,
}
