#![no_main]

use std::path::Path;

use proxjet::schedule::Schedule;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A table is a file, which is a target of its own.
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains("table")
    {
        let _ = Schedule::parse(text, "a.toml", Path::new("."), 1 << 20);
    }
});
