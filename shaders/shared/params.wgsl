// What changes from one dispatch to the next.
struct Params {
    // Row of the chunk's records that the iteration just done belongs to, and of its tables for the one that comes.
    record_row: u32,
    table_row: u32,
    // What `finalize` does: FINALIZES, CONTROLS, CHECKED.
    flags: u32,
    // 1 where a residual is taken at e, as far ahead as the lane is params, and not at x; the number of iterations of `persistent`.
    ahead: u32,
}
