// What is kept of each lane from one iteration to the next: [BOOK_FIELDS, LANES4]. Fields are named in the prelude.
fn book_at(lane: u32, field: u32) -> real {
    return book[field * LANES4 + lane];
}

fn keep(lane: u32, field: u32, v: real) {
    book[field * LANES4 + lane] = v;
}

fn is_running(lane: u32) -> bool {
    return book_at(lane, STATUS) == RUNNING;
}
