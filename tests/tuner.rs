//! Tuned tiles: kept, found again, used, and without any influence on results.

use crate::common::{gpu, synthetic};
use proxjet::engine::gpu::{GpuEngine, Tile, TileCache, TunedTile, Tuning};
use proxjet::objective::{Derivative, Objective};
use proxjet::program::{Precision, Strategy};
use proxjet::solve::{Alphas, Sweep, SweepResult};

fn sweep(n: usize, p: usize, tangents: usize) -> Sweep {
    let problem = Objective::builder(synthetic(n, p, false, 5)).build().unwrap();
    Sweep::new(problem)
        .alphas(Alphas::Path { epsilon: 0.1, count: 13 })
        .derivatives(std::iter::repeat_n(Derivative::LogAlpha, tangents))
        .iterations(30)
        .every(10)
        .precision(Precision::F32)
        .strategy(Some(Strategy::Direct))
}

fn engine(cache: &TileCache, tuning: Tuning) -> Option<GpuEngine> {
    Some(gpu()?.tuning(tuning).tile_cache(cache.clone()))
}

/// All numbers of a trace, as bits.
fn bits(result: &SweepResult) -> Vec<u64> {
    let trace = &result.trace;
    trace.coef.iter().chain(&trace.dcoef).chain(&trace.objective).map(|v| v.to_bits()).collect()
}

#[test]
fn winners_are_kept_found_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::in_folder(folder.path());
    let sweep = sweep(40, 20, 1);
    let Some(mut first) = engine(&cache, Tuning::Always) else { return };
    let plan = sweep.plan(&first).unwrap();
    sweep.run(&mut first).unwrap();
    // The two products of every iteration.
    let kept = cache.read();
    assert_eq!(
        kept.iter().map(|t| (t.key.fused, t.key.width, t.key.rows)).collect::<Vec<_>>(),
        [(true, 2, 32), (true, 2, 16)]
    );
    for tuned in &kept {
        assert!(tuned.seconds > 0.0 && tuned.seconds <= tuned.usual_seconds, "{tuned:?}");
    }
    assert_eq!(first.tiles(&plan).fused, [kept[0].tile, kept[1].tile]);
    // Asked for, those of stored products come to them; nothing is timed twice.
    let all = first.tune(&plan).unwrap();
    assert_eq!(all[..2], kept);
    assert_eq!((all.len(), cache.read()), (4, all.clone()));
    assert_eq!(first.tune(&plan).unwrap(), all);
    // Another engine finds them, unless its tuner is off.
    let second = engine(&cache, Tuning::Auto).unwrap();
    assert_eq!(second.tiles(&plan), first.tiles(&plan));
    let mut off = engine(&cache, Tuning::Off).unwrap();
    let refused = off.tune(&plan).unwrap_err();
    assert!(refused.remedy.contains("PROXJET_TUNER"), "{refused}");
}

#[test]
fn a_short_run_is_not_tuned() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::in_folder(folder.path().join("cache"));
    let Some(mut engine) = engine(&cache, Tuning::Auto) else { return };
    sweep(40, 20, 1).run(&mut engine).unwrap();
    assert!(!folder.path().join("cache").exists());
}

#[test]
fn results_have_the_same_bits_with_any_tiles() {
    // Products with epilogues; with sums split in two, where predictions are stored; with more tangents than
    // have epilogues; with lists of what moves.
    for (n, p, tangents) in [(40, 30, 1), (7, 2050, 1), (33, 21, 8), (257, 258, 1)] {
        let sweep = sweep(n, p, tangents).sparsity(true);
        let folder = tempfile::tempdir().unwrap();
        let cache = TileCache::in_folder(folder.path());
        let Some(mut off) = engine(&cache, Tuning::Off) else { return };
        let plan = sweep.plan(&off).unwrap();
        assert_eq!(plan.active_sets, n > 256);
        let usual = off.tiles(&plan);
        let expected = bits(&sweep.run(&mut off).unwrap());
        let winners = engine(&cache, Tuning::Auto).unwrap().tune(&plan).unwrap();
        // In turn, tiles of both families are said to have won; one of them is not the usual one.
        let mut families = Vec::new();
        for (depth, group) in [(16, [8, 8]), (0, [8, 8])] {
            let others: Vec<TunedTile> =
                winners.iter().cloned().map(|w| TunedTile { tile: other(&w, depth, group), ..w }).collect();
            cache.add(&others).unwrap();
            let mut tuned = engine(&cache, Tuning::Auto).unwrap();
            let tiles = tuned.tiles(&plan);
            for w in &others {
                let of = if w.key.fused { tiles.fused } else { tiles.stored };
                assert!(of.contains(&w.tile), "{w:?} is not among {tiles:?}");
            }
            families.push(tiles);
            assert_eq!(
                bits(&sweep.run(&mut tuned).unwrap()),
                expected,
                "{n} x {p}, {tangents} tangents, {others:?}"
            );
        }
        assert!(families.iter().any(|tiles| *tiles != usual));
    }
}

/// A tile of a family, as the tuner tries it on every kind of device.
fn other(won: &TunedTile, depth: usize, group: [usize; 2]) -> Tile {
    Tile { rows: 8, lane4s: (2 / won.key.width).max(1), group, depth, unroll: 1 }
}

#[test]
fn tiles_that_were_never_tried_are_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::in_folder(folder.path());
    let sweep = sweep(40, 20, 1);
    let Some(mut first) = engine(&cache, Tuning::Auto) else { return };
    let plan = sweep.plan(&first).unwrap();
    let winners = first.tune(&plan).unwrap();
    let usual = engine(&cache, Tuning::Off).unwrap().tiles(&plan);
    // More rows than registers; more invocations than a workgroup has.
    for tile in [Tile { rows: 4096, ..winners[0].tile }, Tile { group: [4096, 4096], ..winners[0].tile }] {
        let forged: Vec<TunedTile> = winners.iter().cloned().map(|w| TunedTile { tile, ..w }).collect();
        cache.add(&forged).unwrap();
        let mut engine = engine(&cache, Tuning::Auto).unwrap();
        assert_eq!(engine.tiles(&plan), usual);
        sweep.run(&mut engine).unwrap();
    }
    // Those of another driver are none of ours.
    let mut foreign = winners.clone();
    foreign.iter_mut().for_each(|w| {
        w.key.driver.push_str(" updated");
        w.tile = other(w, 16, [8, 8]);
    });
    cache.clear().unwrap();
    cache.add(&foreign).unwrap();
    assert_eq!(engine(&cache, Tuning::Auto).unwrap().tiles(&plan), usual);
}

#[test]
fn a_broken_cache_never_fails_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = sweep(12, 6, 0);
    // A file that is not one, and a folder that cannot be made.
    let corrupt = TileCache::in_folder(folder.path());
    std::fs::write(corrupt.file().unwrap(), "{\"version\": 1, \"tiles\": [tru").unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let impossible = TileCache::in_folder(folder.path().join("file/folder"));
    for (cache, kept) in [(corrupt, 2), (impossible, 0)] {
        let Some(mut engine) = engine(&cache, Tuning::Always) else { return };
        sweep.run(&mut engine).unwrap();
        assert_eq!(cache.read().len(), kept);
    }
}
