//! Readers on hostile files: the corpus of the fuzz targets, and what a few bytes may not cost. One test, as
//! allocations are those of the whole process.

use std::alloc::System;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proxjet::data::{ReadOptions, parse};
use proxjet::error::{ErrorKind, Result};
use proxjet::schedule::Schedule;
use proxjet_report::Model;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most bytes of a file and of its arrays, in the replay of the corpus.
const BUDGET: u64 = 1 << 20;
/// Most bytes that a reader may allocate for it, all allocations summed up.
const ALLOCATED: usize = 32 << 20;

#[test]
fn readers_are_bounded_in_time_and_memory() {
    the_corpus_of_the_fuzz_targets();
    headers_of_arrays();
    svmlight_indices();
    text_labels_count();
}

/// Runs `work` within a second and the bytes given.
#[track_caller]
fn within<T>(what: &str, bytes: usize, work: impl FnOnce() -> T) -> T {
    let (region, clock) = (Region::new(ALLOCATOR), Instant::now());
    let done = work();
    let (change, time) = (region.change(), clock.elapsed());
    assert!(time < Duration::from_secs(1), "{what}: {time:?}");
    assert!(change.bytes_allocated <= bytes, "{what}: {} bytes", change.bytes_allocated);
    done
}

fn the_corpus_of_the_fuzz_targets() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let options = ReadOptions { max_bytes: BUDGET, ..ReadOptions::default() };
    let data = |bytes: &[u8], name: &str| parse(bytes, name, &options).map(drop);
    let text =
        |bytes: &[u8], read: &dyn Fn(&str) -> Result<()>| std::str::from_utf8(bytes).map_or(Ok(()), read);
    let mut replayed = 0;
    for target in ["csv", "npy", "npz", "svmlight", "matrix_market", "schedule", "model"] {
        for path in files(&corpus.join(target)) {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().to_string();
            let good = within(&name, ALLOCATED, || match target {
                "schedule" => text(&bytes, &|t| Schedule::parse(t, "a", Path::new("."), BUDGET).map(drop)),
                "model" => text(&bytes, &|t| Model::parse(t, "a").map(drop)),
                _ => data(&bytes, &name),
            });
            // The seeds that must be read.
            let plain = ["plain", "all.", "classes", "matrix", "fortran", "two."];
            if plain.iter().any(|p| name.starts_with(p)) {
                good.unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            replayed += 1;
        }
    }
    assert!(replayed >= 40, "{replayed} files in {}", corpus.display());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    list.sort();
    assert!(!list.is_empty(), "{}", folder.display());
    list
}

/// A NPY file of a header and no data.
fn npy(header: &str) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap();
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes()].concat()
}

/// Refused with words, under the default budget.
#[track_caller]
fn refused(name: &str, bytes: &[u8], kind: ErrorKind, words: &str) {
    let error = within(words, 4 << 20, || parse(bytes, name, &ReadOptions::default()).unwrap_err());
    assert!(error.kind == kind && error.to_string().contains(words), "{error}");
}

fn headers_of_arrays() {
    let shaped = |descr: &str, shape: &str| {
        npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"))
    };
    // 22 s for 20 levels, and twice as long for each more.
    for depth in [20, 60, 5000] {
        let open = npy(&format!("{{'descr': {}", "[".repeat(depth)));
        refused("a.npy", &open, ErrorKind::Data, "nested deeper than");
        let closed = npy(&format!("{{'descr': {}'<f8'{}, }}", "[".repeat(depth), "]".repeat(depth)));
        refused("a.npy", &closed, ErrorKind::Data, "nested deeper than");
    }
    // Texts without letters have no bytes in the file, and take memory.
    refused("a.npy", &shaped("<U0", "(500000000,)"), ErrorKind::Memory, "500000000 items");
    refused("a.npy", &shaped("|S0", "(500000000,)"), ErrorKind::Memory, "500000000 items");
    // No number, and a name for each column.
    refused("a.npy", &shaped("<f8", "(0, 1099511627776)"), ErrorKind::Data, "at least one number");
    refused("a.npy", &shaped("<f8", "(1099511627776, 0)"), ErrorKind::Data, "at least one number");
    refused("a.npy", &shaped("<f8", "(1, 1099511627776)"), ErrorKind::Memory, "1099511627776 items");
    refused("a.npy", &shaped("<f8", "(4294967296, 4294967296, 4)"), ErrorKind::Memory, "items of 8 bytes");
    refused("a.npy", &shaped("<f8", "(3, 3)"), ErrorKind::Data, "over 0 bytes");
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{'descr'"].concat();
    refused("a.npy", &long, ErrorKind::Data, "a header of 4294967295 bytes");
    refused("a.npy", b"\x93NUMPY", ErrorKind::Data, "other bytes than those");
}

fn svmlight_indices() {
    refused("a.svm", b"1 500000000:1\n", ErrorKind::Memory, "500000000 columns");
    refused("a.svm", b"1 18446744073709551615:1\n", ErrorKind::Memory, "columns");
    // Few enough are read: a million doubles, and their names.
    let data = within("a million columns", 256 << 20, || {
        parse(b"1 1000000:2\n0 1:1\n", "a.svm", &ReadOptions::default()).unwrap()
    });
    assert_eq!((data.rows(), data.features(), data.x()[[0, 999_999]]), (2, 1_000_000, 2.0));
}

/// A row of a CSV file takes more memory than its text.
fn text_labels_count() {
    let text = format!("x,y\n{}", "1,a\n1,b\n".repeat(50_000));
    let options = |max_bytes| ReadOptions { max_bytes, ..ReadOptions::default() };
    // No text is kept, so a budget of a few numbers a row suffices, and is not exceeded.
    let error = parse(text.as_bytes(), "a.csv", &options(1 << 19)).unwrap_err();
    assert!(error.kind == ErrorKind::Memory, "{error}");
    let region = Region::new(ALLOCATOR);
    let data = parse(text.as_bytes(), "a.csv", &options(32 << 20)).unwrap();
    let allocated = region.change().bytes_allocated;
    assert!(allocated < 64 << 20, "{allocated} bytes");
    assert_eq!((data.rows(), data.class_names().unwrap()[1].as_str()), (100_000, "b"));
}
