//! `proxjet tuner`, and when a sweep tunes.

use std::process::{Command, Stdio};

use proxjet::engine::gpu::{Side, Tile, TileCache, TileKey, TunedTile, adapters};
use proxjet::program::Precision;

/// Runs the program with its own cache folder.
fn proxjet(cache: &TileCache, tuner: &str, args: &[&str]) -> String {
    let file = cache.file().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_proxjet"))
        .args(args)
        .env("PROXJET_CACHE", file.parent().unwrap())
        .env("PROXJET_TUNER", tuner)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).to_string();
    assert!(
        matches!(out.status.code(), Some(0 | 3)),
        "{args:?}: {text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

#[test]
fn the_program_lists_and_clears_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::in_folder(folder.path());
    let list = |more: &[&str]| proxjet(&cache, "", &[&["tuner", "list"], more].concat());
    assert!(list(&[]).contains("no tuned tiles"), "{}", list(&[]));
    let key = TileKey {
        adapter: "Some GPU".into(),
        driver: "a driver 1.2".into(),
        precision: Precision::F64,
        side: Side::Transposed,
        fused: true,
        rows: 2048,
        inner: 1024,
        lanes: 256,
        width: 2,
    };
    let tile = Tile { rows: 8, lane4s: 1, group: [16, 16], depth: 16, unroll: 1 };
    cache.add(&[TunedTile { key, tile, seconds: 0.002, usual_seconds: 0.003 }]).unwrap();
    let text = list(&[]);
    for part in
        ["Some GPU", "a driver 1.2", "f64", "Xᵀ m", "fused", "2048", "128x128x16 shared", "2.000", "1.50"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(json["tiles"][0]["key"]["side"], "transposed");
    assert_eq!(json["tiles"][0]["seconds"], 0.002);
    assert!(proxjet(&cache, "", &["tuner", "clear"]).contains("removed"));
    assert!(proxjet(&cache, "", &["tuner", "clear"]).contains("nothing to remove"));
    assert!(!cache.file().unwrap().exists());
}

#[test]
fn the_program_tunes_when_asked_and_not_when_forbidden() {
    if adapters().is_empty() {
        assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
        return eprintln!("SKIPPED, no adapter");
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::in_folder(folder.path());
    let sweep = |tuner: &str, more: &[&str]| {
        let sweep = [
            "sweep",
            "--data",
            "bundled:diabetes",
            "--loss",
            "squared",
            "--penalty",
            "l1",
            "--alphas",
            "1,0.5",
            "--strategy",
            "direct",
        ];
        let rest = ["--iterations", "5", "--engine", "gpu", "--json"];
        proxjet(&cache, tuner, &[&sweep[..], &rest, more].concat())
    };
    for (tuner, more) in [("", &[][..]), ("off", &[]), ("always", &["--no-tuner"])] {
        sweep(tuner, more);
        assert!(cache.read().is_empty(), "PROXJET_TUNER={tuner} {more:?}");
    }
    sweep("always", &[]);
    assert_eq!(cache.read().len(), 2);
    // Ahead of a run: of another shape, as products with an end and as stored ones.
    let run = ["tuner", "run", "--shape", "20,10,8", "--tangents", "0", "--json"];
    let json: serde_json::Value = serde_json::from_str(&proxjet(&cache, "", &run)).unwrap();
    assert_eq!(json["tiles"].as_array().unwrap().len(), 4);
    assert_eq!(cache.read().len(), 6);
}
