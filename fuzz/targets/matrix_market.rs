#![no_main]

use proxjet::data::{ReadOptions, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions { max_bytes: 1 << 20, ..ReadOptions::default() };
    let _ = parse(bytes, "a.mtx", &options);
});
