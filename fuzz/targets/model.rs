#![no_main]

use proxjet_report::Model;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Model::parse(text, "model.json");
    }
});
