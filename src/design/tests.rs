use super::*;
use ndarray::{Axis, array};

/// Entries without repetition.
fn entries(n: usize, q: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, q), |(i, j)| (1.7 * i as f64 + 0.3 * (j * j) as f64 + 0.1).sin())
}

fn vector(len: usize, seed: f64) -> Array1<f64> {
    (0..len).map(|i| (seed + 2.3 * i as f64).cos()).collect()
}

/// `X m` and `Xᵀ r` entry by entry, `[rows or columns]`-columns one after another.
fn explicit(x: &Array2<f64>, m: &[f64]) -> Vec<f64> {
    let (n, q) = x.dim();
    let sum = |column: &[f64], i: usize| (0..q).map(|j| x[[i, j]] * column[j]).sum::<f64>();
    m.chunks_exact(q).flat_map(|column| (0..n).map(move |i| sum(column, i))).collect()
}

/// The largest difference; NaN if there is one.
fn max_abs_diff(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> f64 {
    let (a, b): (Vec<f64>, Vec<f64>) = (a.into_iter().collect(), b.into_iter().collect());
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).fold(0.0, |most: f64, (a, b)| {
        let difference = (a - b).abs();
        if difference > most || difference.is_nan() { difference } else { most }
    })
}

#[test]
fn shift_scale_and_ones_are_those_of_the_formula() {
    let (x, shift, scale) = (entries(7, 4), vector(4, 0.5), vector(4, 2.0) + 3.0);
    let design = Design::dense(x.clone()).shifted(&shift).scaled(&scale).with_ones();
    assert_eq!((design.rows(), design.columns(), design.bytes()), (7, 5, 7 * 5 * 8));
    // X v = (X − 1 shiftᵀ) diag(scale)⁻¹ v + 1 v_last, from the unscaled entries.
    let v = vector(5, 1.0);
    let by_scale: Vec<f64> = (0..4).map(|j| v[j] / scale[j]).collect();
    let constant = v[4] - (0..4).map(|j| shift[j] * by_scale[j]).sum::<f64>();
    let expected: Vec<f64> = explicit(&x, &by_scale).iter().map(|z| z + constant).collect();
    assert!(max_abs_diff(design.apply_vector(v.view()), expected.iter().copied()) < 1e-14);
    let mut out = vec![0.0; 7];
    design.apply(&mut out, v.as_slice().unwrap(), Threads::One);
    assert!(max_abs_diff(out, expected) < 1e-14);
}

#[test]
fn a_shifted_column_of_clocks_keeps_its_digits() {
    // Milliseconds since 1970, a second apart: a rank-one correction in f32 would cancel all of their digits.
    let clocks = Array2::from_shape_fn((5, 1), |(i, _)| 1.7e12 + 1000.0 * i as f64);
    let design = Design::dense(clocks).shifted(&array![1.7e12 + 2000.0]).scaled(&array![1000.0]);
    let (single, mut out) = (design.cast::<f32>(), [0.0; 5]);
    single.apply(&mut out, &[1.0], Threads::One);
    assert_eq!(out, [-2.0, -1.0, 0.0, 1.0, 2.0]);
}

/// The products of blocks with numbers of type `T` against sums entry by entry, and the adjoint identity.
fn products_of_blocks<T: Real>(tolerance: f64) {
    let (n, q, columns) = (23, 9, 5);
    let x = entries(n, q);
    let design: Design<T> = Design::dense(x.clone()).cast();
    let of = |len: usize, seed: f64| -> Vec<T> { vector(len, seed).iter().map(|v| T::of(*v)).collect() };
    let wide = |v: &[T]| -> Vec<f64> { v.iter().map(|v| v.f64()).collect() };
    let (m, r) = (of(q * columns, 0.0), of(n * columns, 5.0));
    for threads in [Threads::One, Threads::All] {
        let (mut xm, mut xtr) = (of(n * columns, 9.0), of(q * columns, 9.0));
        design.apply(&mut xm, &m, threads);
        design.apply_t(&mut xtr, &r, threads);
        assert!(max_abs_diff(wide(&xm), explicit(&x, &wide(&m))) < tolerance);
        assert!(max_abs_diff(wide(&xtr), explicit(&x.t().to_owned(), &wide(&r))) < tolerance);
        let inner = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum::<f64>();
        assert!((inner(&xm, &r) - inner(&m, &xtr)).abs() < tolerance * 10.0);
        // Every second column, from the first.
        let mut strided = of(q * 3, 9.0);
        design.apply_t_strided(&mut strided, &r, 2, threads);
        let expected = [0, 2, 4].into_iter().flat_map(|c| wide(&xtr[c * q..(c + 1) * q]));
        assert!(max_abs_diff(wide(&strided), expected) < tolerance);
    }
}

#[test]
fn blocks_in_f64_are_sums_of_products() {
    products_of_blocks::<f64>(1e-13);
}

#[test]
fn blocks_in_f32_are_sums_of_products() {
    products_of_blocks::<f32>(1e-5);
}

#[test]
fn vectors_norms_and_gram_matrices_are_sums_of_products() {
    let (n, q) = (11, 6);
    let x = entries(n, q);
    let design = Design::dense(x.clone());
    let (v, r) = (vector(q, 1.0), vector(n, 2.0));
    let weight: Vec<f64> = r.iter().map(|r| r * r).collect();
    assert!(max_abs_diff(design.apply_vector(v.view()), explicit(&x, v.as_slice().unwrap())) < 1e-14);
    let expected = explicit(&x.t().to_owned(), r.as_slice().unwrap());
    assert!(max_abs_diff(design.apply_t_vector(r.view()), expected) < 1e-14);
    let gram = |a: usize, b: usize| (0..n).map(|i| weight[i] * x[[i, a]] * x[[i, b]]).sum::<f64>();
    let squares = design.column_squares(Array1::from(weight.clone()).view());
    assert!(max_abs_diff(squares, (0..q).map(|j| gram(j, j))) < 1e-14);
    let norms = (0..q).map(|j| x.column(j).iter().map(|v| v * v).sum::<f64>().sqrt());
    assert!(max_abs_diff(design.column_norms(), norms) < 1e-14);
    let longest = (0..n).map(|i| x.row(i).iter().map(|v| v * v).sum::<f64>()).fold(0.0, f64::max);
    assert!((design.max_row_norm() - longest.sqrt()).abs() < 1e-14);
    let index = [4, 0, 5];
    let found = design.weighted_gram(&weight, &index);
    for (a, j) in index.iter().enumerate() {
        assert!(max_abs_diff((0..3).map(|b| found[(a, b)]), index.map(|k| gram(*j, k))) < 1e-14);
    }
    assert_eq!(design.squared().to_dense(), x.mapv(|v| v * v));
}

#[test]
fn restricted_designs_are_parts_of_the_whole() {
    let (n, q) = (10, 8);
    let x = entries(n, q);
    let design = Design::dense(x.clone());
    let rows = [7, 2, 3];
    assert_eq!(design.select_rows(&rows).to_dense(), x.select(Axis(0), &rows));
    let mut part = Design::without_columns(n);
    // The second set is smaller and reuses the memory of the first.
    for columns in [&[0, 3, 4, 7][..], &[1, 6]] {
        design.select_columns(columns, &mut part);
        assert_eq!((part.rows(), part.columns()), (n, columns.len()));
        // Coefficients off the set are zero; gradients on it equal those of the whole design.
        let (on, r) = (vector(columns.len(), 3.0), vector(n, 4.0));
        let mut v = Array1::zeros(q);
        columns.iter().zip(&on).for_each(|(j, value)| v[*j] = *value);
        let (mut z, mut g) = (vec![9.0; n], vec![9.0; columns.len()]);
        part.apply(&mut z, on.as_slice().unwrap(), Threads::One);
        part.apply_t(&mut g, r.as_slice().unwrap(), Threads::One);
        let whole = design.apply_t_vector(r.view());
        assert!(max_abs_diff(z, design.apply_vector(v.view())) < 1e-14);
        assert!(max_abs_diff(g, columns.iter().map(|j| whole[*j])) < 1e-14);
    }
}

#[test]
fn casts_share_what_they_can_and_shifts_keep_others_entries() {
    let design = Design::dense(entries(4, 3));
    let (Design::Dense(a), Design::Dense(b)) = (&design, design.cast::<f64>());
    assert!(std::sync::Arc::ptr_eq(&a.values, &b.values));
    let shifted = design.clone().shifted(&Array1::ones(3));
    assert_eq!(shifted.to_dense(), entries(4, 3) - 1.0);
    assert_eq!(design.to_dense(), entries(4, 3), "a clone was shifted, not this");
    // Columns first, and part of a larger array.
    let turned = entries(3, 9).slice_axis_move(Axis(1), (2..6).into()).reversed_axes();
    assert_eq!(Design::dense(turned.clone()).to_dense(), turned);
    let below = entries(9, 3).slice_axis_move(Axis(0), (4..).into());
    assert_eq!(Design::dense(below.clone()).to_dense(), below);
}

#[cfg(feature = "gpu")]
#[test]
fn rows_of_a_device_image_are_padded_with_zeros() {
    let image = Design::dense(array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).padded_rows(4);
    assert_eq!(image, [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
}

#[test]
fn bounds_hold_the_known_spectrum_of_a_diagonal_design() {
    // Xᵀ diag(1/n) X = diag(s_j²)/n for a diagonal X.
    let n = 300;
    let s: Array1<f64> = (0..n).map(|j| 1.0 + j as f64 / 10.0).collect();
    let weight = Array1::from_elem(n, 1.0 / n as f64);
    let bounds = |design: &Design, scale: f64| {
        let spectrum = design.spectral_bound_scaled(&Array1::from_elem(n, scale), weight.view(), (1.0, 1.0));
        let (top, bottom) = ((scale * s[n - 1]).powi(2) / n as f64, scale * scale / n as f64);
        assert!(spectrum.lipschitz >= top && spectrum.lipschitz <= top * (1.0 + 1e-6), "{spectrum:?} {top}");
        assert!(spectrum.strong_convexity <= bottom, "{spectrum:?} {bottom}");
        spectrum
    };
    let design = Design::dense(Array2::from_diag(&s));
    let plain = design.spectral_bound(weight.view(), (1.0, 1.0));
    assert_eq!(bounds(&design, 1.0).lipschitz, plain.lipschitz);
    bounds(&design, 0.25);
}

#[test]
fn bounds_hold_the_spectrum_of_a_small_design() {
    // Two columns: the eigenvalues of a 2 x 2 matrix in closed form.
    let x = entries(20, 2);
    let weight = vector(20, 7.0).mapv(f64::abs);
    let gram = Design::dense(x.clone()).weighted_gram(weight.as_slice().unwrap(), &[0, 1]);
    let (a, b, c) = (gram[(0, 0)], gram[(0, 1)], gram[(1, 1)]);
    let (middle, radius) = (0.5 * (a + c), (0.25 * (a - c).powi(2) + b * b).sqrt());
    let spectrum = Design::dense(x).spectral_bound(weight.view(), (0.25, 0.1));
    let (top, bottom) = (0.25 * (middle + radius), 0.1 * (middle - radius));
    assert!(spectrum.lipschitz >= top && spectrum.lipschitz <= top * (1.0 + 1e-8), "{spectrum:?} {top}");
    assert!(spectrum.strong_convexity <= bottom && spectrum.strong_convexity >= bottom * (1.0 - 1e-8));
}

#[test]
fn a_wide_design_has_no_strong_convexity() {
    let design = Design::dense(Array2::from_shape_fn((3, 5), |(i, j)| (i * 5 + j * j) as f64));
    let spectrum = design.spectral_bound(Array1::from_elem(3, 1.0 / 3.0).view(), (1.0, 1.0));
    assert_eq!(spectrum.strong_convexity, 0.0);
}
