//! Rows of weight 0, and columns that are constant to rounding.

use super::*;

#[test]
fn rows_of_weight_0_are_not_looked_at() {
    let x = ndarray::array![[1.0, 2.0], [f64::NAN, 1e300], [3.0, 5.0], [4.0, 9.0]];
    let y = ndarray::array![1.0, f64::INFINITY, 2.0, 4.0];
    let weight = ndarray::array![1.0, 0.0, 2.0, 1.0];
    let data = Dataset::weighted(x, y, weight).unwrap();
    let rows = [[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]];
    let absent = Dataset::new(Array2::from(rows.to_vec()), ndarray::array![1.0, 2.0, 4.0]).unwrap();
    let absent = absent.with_sample_weight(ndarray::array![1.0, 2.0, 1.0]).unwrap();
    assert_eq!((data.x(), data.target()), (absent.x(), absent.target()));
    assert_eq!((data.sample_weight(), data.given_rows()), (absent.sample_weight(), &[0, 2, 3][..]));
    assert_eq!(data.clone().standardize().x(), absent.standardize().x());
    let bad = ndarray::array![[1.0], [f64::NAN], [f64::NAN]];
    let refused = Dataset::weighted(bad, Array1::zeros(3), ndarray::array![1.0, 0.0, 1.0]).unwrap_err();
    assert!(refused.to_string().contains("row 2, column 0"), "{refused}");
    // Weights may come later, and rows keep their place in the data as given.
    let late = Dataset::new(Array2::ones((4, 1)), ndarray::array![1.0, 2.0, 3.0, 4.0]).unwrap();
    let late = late.with_sample_weight(ndarray::array![0.0, 1.0, 1.0, 1.0]).unwrap();
    let late = late.with_sample_weight(ndarray::array![1.0, 0.0, 1.0]).unwrap();
    assert_eq!((late.target(), late.given_rows()), (ndarray::array![2.0, 4.0].view(), &[1, 3][..]));
    let refused = late.with_sample_weight(ndarray::array![1.0, -1.0]).unwrap_err();
    assert!(refused.to_string().contains("sample_weight, row 3"), "{refused}");
    // Neither part of a split has such a row.
    let data = bundled("diabetes").unwrap();
    let weight = Array1::from_shape_fn(442, |i| f64::from(u8::from(i % 3 > 0)));
    let (fitted, held_out) =
        data.with_sample_weight(weight).unwrap().split("0.25:1".parse().unwrap()).unwrap();
    assert_eq!((fitted.rows(), held_out.rows()), (220, 74));
}

#[test]
fn an_archive_with_rows_of_weight_0_is_read() {
    let f = Folder::new();
    let archive = npz(&[
        ("X", npy(&[3, 1], vec![1.0, f64::NAN, 3.0])),
        ("y", unicode(&["no", "NA", "yes"], 3)),
        ("sample_weight", npy(&[3], vec![1.0, 0.0, 1.0])),
    ]);
    let data = f.read("d.npz", &archive).unwrap();
    assert_eq!((data.target(), data.x()), (ndarray::array![0.0, 1.0].view(), ndarray::array![[1.0], [3.0]]));
    assert_eq!(data.class_names().unwrap(), &["no".to_string(), "yes".to_string()]);
}

#[test]
fn constant_columns_are_constant_to_rounding() {
    let n = 200_000;
    let x = Array2::from_shape_fn((n, 3), |(i, j)| match j {
        0 => 14.62,
        1 => [0.3, 0.1 + 0.2][i % 2], // an ulp apart
        _ => 1.7e12 + (i % 7) as f64,
    });
    let weight = Array1::from_shape_fn(n, |i| 0.5 + (i % 3) as f64);
    let data = Dataset::new(x, Array1::zeros(n)).unwrap().with_sample_weight(weight).unwrap().standardize();
    let s = data.standardization().unwrap();
    assert_eq!((s.scale[0], s.scale[1]), (1.0, 1.0));
    assert!((s.mean[0], (s.mean[1] - 0.3).abs() < 1e-15) == (14.62, true));
    assert!(data.x().column(0).iter().chain(data.x().column(1)).all(|v| *v == 0.0));
    // A clock is not: seven values of about equal weight have deviation 2.
    assert!((s.scale[2] - 2.0).abs() < 1e-3, "{}", s.scale[2]);
    // Squares that overflow do not hide a deviation.
    let wide = Dataset::new(ndarray::array![[1e200], [-1e200]], Array1::zeros(2)).unwrap().standardize();
    assert!((wide.x()[[0, 0]] - 1.0).abs() < 1e-12);
}
