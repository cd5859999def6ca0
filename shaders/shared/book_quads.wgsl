// A field of the book of a quad of lanes: [BOOK_FIELDS, QUADS].
fn told(quad: u32, field: u32) -> real4 {
    return book[field * QUADS + quad];
}
