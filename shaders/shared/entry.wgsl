// An entry of a sparse matrix. A matrix begins with one entry for each line and one for the end, whose
// `place` is that of the line's first entry; then the lines follow.
struct Entry {
    place: u32,
    value: real,
}
