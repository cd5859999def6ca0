//! Readers: what they accept, and what they say of what they do not.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use npyz::WriterBuilder;
use proptest::prelude::*;
use proxjet::data::{
    BUNDLED, Dataset, Header, Missing, ReadOptions, Validation, bundled, read, read_array, read_features,
};
use proxjet::error::{Error, ErrorKind, Result};

mod csv;
mod sparse;
mod weights;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
    fn read(&self, name: &str, content: &[u8]) -> Result<Dataset> {
        read(&self.file(name, content), &ReadOptions::default())
    }
    fn with(&self, name: &str, content: &[u8], options: ReadOptions) -> Result<Dataset> {
        read(&self.file(name, content), &options)
    }
    fn target(&self, name: &str, content: &[u8], target: &str) -> Result<Dataset> {
        self.with(name, content, ReadOptions { target: Some(target.into()), ..Default::default() })
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

fn npy<T: npyz::AutoSerialize>(shape: &[u64], values: Vec<T>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut out).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
    out
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A NPY header, as numpy writes it.
fn header(descr: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = format!("{header:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((padded.len() as u16).to_le_bytes());
    out.extend(padded.as_bytes());
    out
}

/// Numpy strings, `<U` of the given width.
fn unicode(words: &[&str], width: usize) -> Vec<u8> {
    let mut out = header(&format!("<U{width}"), &format!("({},)", words.len()));
    for word in words {
        let mut chars: Vec<u32> = word.chars().map(|c| c as u32).collect();
        chars.resize(width, 0);
        chars.iter().for_each(|c| out.extend(c.to_le_bytes()));
    }
    out
}

#[track_caller]
fn says(result: Result<Dataset>, kind: ErrorKind, parts: &[&str]) {
    let error: Error = result.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn bundled_sets_have_their_known_sums() {
    // Sums that numpy gives for scikit-learn's arrays (data/make.py prints them).
    let known =
        [("diabetes", 442, 10, 276404.2336, 67243.0), ("breast_cancer", 569, 30, 1056474.4596356, 357.0)];
    for (name, n, p, x, y) in known.into_iter().chain([("digits", 1797, 64, 561718.0, 8070.0)]) {
        let data = bundled(name).unwrap();
        assert_eq!((data.rows(), data.features()), (n, p));
        assert!((data.x().sum() - x).abs() < 1e-6 * x && data.target().sum() == y, "{name}");
    }
    assert_eq!(bundled("diabetes").unwrap().feature_names()[2], "bmi");
    assert!(bundled("diabets").unwrap_err().to_string().contains("Did you mean 'diabetes'?"));
    assert_eq!(BUNDLED.len(), 3);
}

#[test]
fn npz_reads_what_numpy_saves() {
    let f = Folder::new();
    let x = || ("X", npy(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]));
    let data = f.read("d.npz", &npz(&[x(), ("y", npy(&[2], vec![5i64, 7]))])).unwrap();
    assert_eq!((data.x()[[1, 0]], data.target()[1]), (3.0, 7.0));
    let full = npz(&[
        x(),
        ("y", unicode(&["ill", "well"], 5)),
        ("sample_weight", npy(&[2], vec![0.5, 2.0])),
        ("feature_names", unicode(&["größe", "age"], 5)),
    ]);
    let data = f.read("d.npz.gz", &gzip(&full)).unwrap();
    assert_eq!(data.feature_names(), ["größe", "age"]);
    assert_eq!(data.sample_weight(), ndarray::array![0.5, 2.0]);
    assert_eq!(data.class_names().unwrap()[1], "well");
    // A matrix with the target in a column.
    let table = f.target("d.npy", &npy(&[2, 3], vec![1u8, 2, 3, 4, 5, 6]), "0").unwrap();
    assert_eq!((table.target()[1], table.x()[[1, 1]]), (4.0, 6.0));
    assert_eq!(read_array(&f.file("v.npy", &npy(&[2], vec![true, false])), 1 << 20).unwrap().sum(), 1.0);
}

#[test]
fn npz_errors_name_array_row_and_column() {
    let f = Folder::new();
    use ErrorKind::{Data, Memory};
    let x = |v: f64| ("X", npy(&[2, 2], vec![1.0, 2.0, 3.0, v]));
    let y = || ("y", npy(&[2], vec![0.0, 1.0]));
    says(f.read("d.npz", &npz(&[y()])), Data, &["arrays [\"y\"]", "an array 'X'"]);
    says(f.read("d.npz", &npz(&[x(f64::NAN), y()])), Data, &["d.npz", "row 1, column 1", "NaN"]);
    says(
        f.read("d.npz", &npz(&[x(1.0), ("y", npy(&[3], vec![0.0; 3]))])),
        Data,
        &["3 values", "2, one per row"],
    );
    let weight = |w: [f64; 2]| npz(&[x(1.0), y(), ("sample_weight", npy(&[2], w.to_vec()))]);
    says(f.read("d.npz", &weight([-1.0, 1.0])), Data, &["sample_weight, row 0", "-1"]);
    says(f.read("d.npz", &weight([0.0, 0.0])), Data, &["all zero"]);
    says(f.read("d.npz", b"PK\x03\x04 nonsense"), Data, &["d.npz"]);
    says(
        f.read("d.npz", &npz(&[("X", npy(&[4], vec![1.0; 4])), y()])),
        Data,
        &["array 'X'", "shape [4]", "two"],
    );
    // Names that were meant for known arrays.
    for (name, meant) in
        [("sample_weights", "sample_weight"), ("weights", "sample_weight"), ("w", "sample_weight")]
    {
        let archive = npz(&[x(1.0), y(), (name, npy(&[2], vec![1.0, 2.0]))]);
        says(f.read("d.npz", &archive), Data, &[name, &format!("the name '{meant}'"), "Save it as"]);
    }
    says(f.read("d.npz", &npz(&[x(1.0), ("target", npy(&[2], vec![1.0; 2]))])), Data, &["'target'", "'y'"]);
    let foreign = npz(&[x(1.0), y(), ("groups", npy(&[2], vec![1.0, 2.0]))]);
    assert_eq!(f.read("d.npz", &foreign).unwrap().rows(), 2, "only warned about");
    let missing = npz(&[x(1.0), ("y", unicode(&["yes", "NA"], 3))]);
    says(f.read("d.npz", &missing), Data, &["array 'y', row 1", "'NA', a missing value"]);
    // A header that promises more than there is, and one that promises more than the bound: before anything
    // is allocated.
    let mut short = npy(&[2, 2], vec![1.0; 4]);
    short.truncate(short.len() - 8);
    says(f.read("d.npy", &short), Data, &["over", "as many numbers as the header says"]);
    let bomb = header("<f8", "(9999999999, 9999999999)");
    says(f.read("d.npy", &bomb), Memory, &["bytes"]);
}

#[test]
fn svmlight_is_read_within_its_bound() {
    let f = Folder::new();
    let data = f.read("d.svm", b"# comment\n+1 1:0.5 3:2\n-1 2:1e-3 # tail\n").unwrap();
    assert_eq!(data.x(), ndarray::array![[0.5, 0.0, 2.0], [0.0, 1e-3, 0.0]]);
    assert_eq!(data.target(), ndarray::array![1.0, -1.0]);
    // An index 0 makes the file zero-based.
    assert_eq!(f.read("z.svm.gz", &gzip(b"1 0:1 1:2\n2 qid:3 1:4\n")).unwrap().x()[[1, 1]], 4.0);
    use ErrorKind::{Data, Memory};
    says(f.read("d.svm", b"1 1:2\nx 1:2\n"), Data, &["line 2", "'x'", "label"]);
    says(f.read("d.svm", b"1 1:2 5\n"), Data, &["line 1", "'5'", "INDEX:VALUE"]);
    says(f.read("d.svm", b"1 1:nan\n"), Data, &["'1:nan'"]);
    says(f.read("d.svm", b"\n\n"), Data, &["no rows"]);
    says(f.read("d.svm", b"1 999999999999:1\n-1 1:1\n"), Memory, &["999999999999 columns", "4.0 GiB"]);
    says(f.read("d.svm", b"1 18446744073709551615:1\n"), Memory, &["columns"]);
}

#[test]
fn settings_that_mean_nothing_for_a_format_are_refused() {
    let f = Folder::new();
    let archive = npz(&[("X", npy(&[2, 2], vec![1.0; 4])), ("y", npy(&[2], vec![0.0, 1.0]))]);
    let svm = b"1 1:2 2:1\n2 1:3\n";
    use ErrorKind::Usage;
    says(f.target("d.npz", &archive, "y"), Usage, &["target", "'y' for a .npz file", "the array y"]);
    says(f.target("d.svm", svm, "x1"), Usage, &["target", "'x1' for a .svm file", "label of each line"]);
    let weights = || ReadOptions { weights: Some("w".into()), ..Default::default() };
    says(f.with("d.npz", &archive, weights()), Usage, &["weights", "the array sample_weight"]);
    says(f.with("d.svm", svm, weights()), Usage, &["weights", "comma-separated text"]);
    let one_hot = ReadOptions { one_hot: true, ..Default::default() };
    says(f.with("d.npy", &npy(&[2, 2], vec![1.0; 4]), one_hot), Usage, &["one_hot", "comma-separated"]);
    let missing = ReadOptions { missing: Missing::Mean, ..Default::default() };
    says(f.with("d.svm", svm, missing), Usage, &["missing", "comma-separated"]);
    let named = ReadOptions { target: Some("y".into()), ..Default::default() };
    says(named.apply_to_bundled(bundled("diabetes").unwrap()), Usage, &["'y' for bundled data"]);
    // Features can be left out of every format.
    let drop = |name: &str| ReadOptions { drop: vec![name.into()], ..Default::default() };
    assert_eq!(f.with("d.svm", svm, drop("x1")).unwrap().feature_names(), ["x2"]);
    let left = drop("bmi").apply_to_bundled(bundled("diabetes").unwrap()).unwrap();
    assert_eq!((left.features(), left.feature_names().contains(&"bmi".to_string())), (9, false));
    says(f.with("d.svm", svm, drop("x9")), ErrorKind::Data, &["drop", "'x9'"]);
}

#[test]
fn sizes_are_bounded() {
    let f = Folder::new();
    let path = f.file("d.csv.gz", &gzip(&[b"a,y\n".to_vec(), b"1,2\n".repeat(100_000)].concat()));
    let small = ReadOptions { max_bytes: 10_000, ..Default::default() };
    says(read(&path, &small), ErrorKind::Memory, &["more than 10000 bytes", "9.8 KiB"]);
}

#[test]
fn a_split_is_a_partition_that_the_seed_decides() {
    let data = bundled("diabetes").unwrap();
    let validation: Validation = "0.25:3".parse().unwrap();
    let (fitted, held_out) = data.split(validation).unwrap();
    assert_eq!((fitted.rows(), held_out.rows()), (331, 111)); // 442 / 4 = 110.5, rounded
    assert!((fitted.x().sum() + held_out.x().sum() - data.x().sum()).abs() < 1e-6);
    assert_eq!(data.split(validation).unwrap().1.target(), held_out.target());
    assert_eq!("0.25".parse::<Validation>().unwrap(), "0.25:1".parse().unwrap());
    assert_ne!(data.split("0.25:4".parse().unwrap()).unwrap().1.target(), held_out.target());
    for text in ["0:1", "1:1", "x:1", "0.2:-1", "0.2:"] {
        assert!(text.parse::<Validation>().unwrap_err().to_string().contains("FRACTION:SEED"), "{text}");
    }
}

#[test]
fn standardised_columns_have_mean_0_and_deviation_1() {
    let x = ndarray::array![[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]];
    let weight = ndarray::array![1.0, 2.0, 1.0];
    let data =
        Dataset::new(x, Array1::zeros(3)).unwrap().with_sample_weight(weight.clone()).unwrap().standardize();
    let mean = weight.dot(&data.x()) / 4.0;
    let square = weight.dot(&data.x().mapv(|v| v * v)) / 4.0;
    assert!(mean.iter().all(|m| m.abs() < 1e-15) && (square[0] - 1.0).abs() < 1e-15);
    assert_eq!(data.x().column(1).sum(), 0.0, "a constant column is centred and not divided by zero");
    assert_eq!(data.standardization().unwrap().mean, vec![2.75, 5.0]);
}

#[test]
fn held_out_rows_are_standardised_by_the_fitted_ones() {
    let data = bundled("diabetes").unwrap();
    let (fitted, held_out) = data.split(Validation { fraction: 0.25, seed: 1 }).unwrap();
    let (mean, deviation) = (fitted.x().mean_axis(Axis(0)).unwrap(), fitted.x().std_axis(Axis(0), 0.0));
    let by_hand = (&held_out.x() - &mean) / &deviation;
    let given = held_out.clone();
    let fitted = fitted.standardize();
    let held_out = held_out.standardize_like(&fitted).unwrap();
    assert_eq!(held_out.x().shape(), by_hand.shape());
    let gap = (&held_out.x() - &by_hand).mapv(f64::abs);
    assert!(gap.iter().all(|v| *v < 1e-9), "{gap}");
    assert_eq!(held_out.standardization(), fitted.standardization());
    // Nothing was done to the ones: nothing is done to the others.
    let (plain, _) = data.split(Validation { fraction: 0.25, seed: 1 }).unwrap();
    assert_eq!(given.clone().standardize_like(&plain).unwrap().x(), given.x());
    let narrow = Dataset::new(Array2::ones((3, 2)), Array1::zeros(3)).unwrap();
    let refused = narrow.standardize_like(&fitted).unwrap_err().to_string();
    assert!(refused.contains("found 2 features, expected 10"), "{refused}");
}

#[test]
fn features_are_found_by_name_without_a_target() {
    let f = Folder::new();
    let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let read = |path: &Path, list: &[&str]| {
        read_features(path, &names(list), None, &ReadOptions::default()).map(|x| x.to_dense())
    };
    let csv = f.file("d.csv", b"b,text,a\n1,no,2\n3,yes,4\n");
    assert_eq!(read(&csv, &["a", "b"]).unwrap(), ndarray::array![[2.0, 1.0], [4.0, 3.0]]);
    let refused = |result: Result<Array2<f64>>, parts: &[&str]| {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Data);
        parts
            .iter()
            .for_each(|part| assert!(error.to_string().contains(part), "'{part}' is not in: {error}"));
    };
    refused(read(&csv, &["a", "bb"]), &["d.csv: columns", "no column 'bb' among 3", "Did you mean 'b'?"]);
    refused(read(&csv, &["text"]), &["line 2, column 'text'", "'no'"]);
    let one = f.file("one.csv", b"a\n1\n2\n");
    assert_eq!(read(&one, &["a"]).unwrap(), ndarray::array![[1.0], [2.0]]);
    let matrix = f.file("d.npy", &npy(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(read(&matrix, &["a", "b"]).unwrap(), ndarray::array![[1.0, 2.0], [3.0, 4.0]]);
    refused(read(&matrix, &["a"]), &["found 2 columns, expected 1"]);
    let archive = f.file("d.npz", &npz(&[("X", npy(&[1, 2], vec![1.0, 2.0]))]));
    assert_eq!(read(&archive, &["a", "b"]).unwrap(), ndarray::array![[1.0, 2.0]]);
    let svm = f.file("d.svm", b"0 2:5\n0 1:3\n");
    assert_eq!(read(&svm, &["x1", "x2", "x3"]).unwrap(), ndarray::array![[0.0, 5.0, 0.0], [3.0, 0.0, 0.0]]);
    assert_eq!(read(&svm, &["x1"]).unwrap(), ndarray::array![[0.0], [3.0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn csv_and_svmlight_round_trip(values in prop::collection::vec(-1e6..1e6f64, 12)) {
        let f = Folder::new();
        let x = Array2::from_shape_vec((3, 4), values).unwrap();
        let row = |r: ArrayView1<'_, f64>| r.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        let csv: String = x.rows().into_iter().map(|r| format!("{}\n", row(r))).collect();
        let data = f.read("d.csv", format!("a,b,c,y\n{csv}").as_bytes()).unwrap();
        prop_assert_eq!(data.x(), x.slice_axis(ndarray::Axis(1), (..3).into()));
        let line = |r: ArrayView1<'_, f64>| format!("{} 1:{} 2:{} 3:{}\n", r[3], r[0], r[1], r[2]);
        let svm: String = x.rows().into_iter().map(line).collect();
        let data = f.read("d.svm", svm.as_bytes()).unwrap();
        prop_assert_eq!(data.x(), x.slice_axis(ndarray::Axis(1), (..3).into()));
        prop_assert_eq!(data.target(), x.column(3));
    }

    #[test]
    fn random_bytes_are_refused_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        flips in any::<u16>(),
    ) {
        let f = Folder::new();
        let good = npz(&[("X", npy(&[2, 2], vec![1.0; 4])), ("y", npy(&[2], vec![0.0, 1.0]))]);
        let mut broken = good.clone();
        let at = flips as usize % good.len();
        broken[at] ^= 1 << (flips % 8);
        for name in ["d.csv", "d.npy", "d.npz", "d.svm", "d.csv.gz", "d.npz.gz"] {
            let _ = f.read(name, &bytes);
            let _ = f.read(name, &broken);
        }
        let mut array = npy(&[2, 2], vec![1.0; 4]);
        let at = flips as usize % array.len();
        array[at] ^= 1 << (flips % 8);
        let _ = f.read("d.npy", &array);
    }
}
