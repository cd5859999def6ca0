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
    let (new, found) = ([2, 5], design.weighted_products(&weight, &[2, 5], &index));
    for (a, j) in new.iter().enumerate() {
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
    let mut part = design.without_columns();
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
    let (Design::Dense(a), Design::Dense(b)) = (&design, design.cast::<f64>()) else {
        panic!("dense designs")
    };
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
    let image = Dense::new(array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).padded_rows(4);
    assert_eq!(image, [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
}

#[test]
fn bounds_hold_the_known_spectrum_of_a_diagonal_design() {
    // Xᵀ diag(1/n) X = diag(s_j²)/n for a diagonal X.
    let n = 300;
    let s: Array1<f64> = (0..n).map(|j| 1.0 + j as f64 / 10.0).collect();
    let weight = Array1::from_elem(n, 1.0 / n as f64);
    let bounds = |design: &Design, scale: f64| {
        let spectrum = design.times_diagonal(&Array1::from_elem(n, scale));
        let spectrum = spectrum.spectral_bound(weight.view(), (1.0, 1.0));
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
    // Two rows of weight 1 with twenty columns: the same matrix, and a null space.
    let x = entries(20, 2).reversed_axes();
    let gram = x.dot(&x.t());
    let (middle, radius) =
        (0.5 * (gram[[0, 0]] + gram[[1, 1]]), (0.5 * (gram[[0, 0]] - gram[[1, 1]])).hypot(gram[[0, 1]]));
    let spectrum = Design::dense(x.to_owned()).spectral_bound(Array1::ones(2).view(), (0.25, 0.1));
    let top = 0.25 * (middle + radius);
    assert!(spectrum.lipschitz >= top && spectrum.lipschitz <= top * (1.0 + 1e-8), "{spectrum:?} {top}");
    assert_eq!(spectrum.strong_convexity, 0.0);
}

#[test]
fn a_wide_design_has_no_strong_convexity() {
    let design = Design::dense(Array2::from_shape_fn((3, 5), |(i, j)| (i * 5 + j * j) as f64));
    let spectrum = design.spectral_bound(Array1::from_elem(3, 1.0 / 3.0).view(), (1.0, 1.0));
    assert_eq!(spectrum.strong_convexity, 0.0);
}

/// A design of which a share of the entries is zero, with one column that is full and far from zero, one of a
/// single entry, one of zeros and one that is constant.
fn mostly_zeros(n: usize, q: usize) -> Array2<f64> {
    let mut x = entries(n, q).mapv(|v| if v > 0.6 { v } else { 0.0 });
    x.column_mut(0).iter_mut().zip(0..).for_each(|(v, i)| *v = 1e6 + f64::from(i));
    x.column_mut(1).fill(0.0);
    x.column_mut(2).fill(0.0);
    x[[n / 2, 2]] = 3.0;
    x.column_mut(3).fill(14.62);
    x
}

fn sparse(x: &Array2<f64>) -> Design {
    let stored = x.indexed_iter().filter(|(_, v)| **v != 0.0).map(|((i, j), v)| (i, j, *v));
    Design::Sparse(Sparse::from_triplets(x.dim(), stored).unwrap().0)
}

#[test]
fn a_sparse_design_is_the_dense_one() {
    // Stored by rows, and by columns.
    for (n, q) in [(40, 11), (11, 40)] {
        let x = mostly_zeros(n, q);
        let weight = vector(n, 0.3).mapv(|v| v * v + 0.1);
        let weight = &weight / weight.sum();
        let scale = vector(q, 2.0) + 3.0;
        let rows: Vec<usize> = (0..n).rev().step_by(2).collect();
        let forms = |design: Design| {
            let (centred, mean) = design.clone().centred(weight.view());
            let scaled = centred.clone().scaled(&scale);
            let chosen = scaled.select_rows(&rows).with_columns(&[5, 0, 3, 2]);
            let list = [
                design.clone(),
                centred.clone(),
                scaled,
                centred.clone().with_ones(),
                centred.squared(),
                chosen,
            ];
            (list, mean)
        };
        let (dense, mean) = forms(Design::dense(x.clone()));
        let (sparse, sparse_mean) = forms(sparse(&x));
        assert!(max_abs_diff(mean, sparse_mean) < 1e-9);
        for (k, (a, b)) in dense.iter().zip(&sparse).enumerate() {
            assert!(matches!(b, Design::Sparse(_)), "form {k}");
            let size = a.to_dense().iter().fold(1.0, |m: f64, v| m.max(v.abs()));
            let bound = 1e-13 * size * n.max(q) as f64;
            let near = |a: Array1<f64>, b: Array1<f64>, what: &str| {
                let apart = max_abs_diff(a, b);
                assert!(apart <= bound, "{what} of form {k}, {n} x {q}: {apart} over {bound}");
            };
            near(a.to_dense().flatten().to_owned(), b.to_dense().flatten().to_owned(), "entries");
            let (n, q) = (a.rows(), a.columns());
            let (v, r) = (vector(q, 1.0), vector(n, 2.0));
            near(a.apply_vector(v.view()), b.apply_vector(v.view()), "X v");
            near(a.apply_t_vector(r.view()), b.apply_t_vector(r.view()), "Xᵀ r");
            let positive = r.mapv(|v| v * v);
            near(
                a.column_squares(positive.view()) / size,
                b.column_squares(positive.view()) / size,
                "squares",
            );
            assert!((a.max_row_norm() - b.max_row_norm()).abs() <= bound);
            let index: Vec<usize> = (0..q).step_by(3).collect();
            let [g, h] = [a, b].map(|d| d.weighted_gram(positive.as_slice().unwrap(), &index));
            let apart = max_abs_diff(
                (0..index.len() * index.len()).map(|i| g[(i % index.len(), i / index.len())] / size),
                (0..index.len() * index.len()).map(|i| h[(i % index.len(), i / index.len())] / size),
            );
            assert!(apart <= bound, "gram of form {k}: {apart}");
            let some = &index[..index.len().min(2)];
            let [g, h] = [a, b].map(|d| d.weighted_products(positive.as_slice().unwrap(), some, &index));
            let apart = max_abs_diff(
                (0..some.len() * index.len()).map(|i| g[(i % some.len(), i / some.len())] / size),
                (0..some.len() * index.len()).map(|i| h[(i % some.len(), i / some.len())] / size),
            );
            assert!(apart <= bound, "products of form {k}: {apart}");
            (0..q).for_each(|j| near(a.column(j), b.column(j), "a column"));
        }
    }
}

#[test]
fn a_column_of_a_sparse_product_has_the_same_bits_alone_and_among_others() {
    for (n, q) in [(40, 11), (11, 40)] {
        let weight = Array1::from_elem(n, 1.0 / n as f64);
        let design = sparse(&mostly_zeros(n, q)).centred(weight.view()).0;
        // 19 columns, of which some are zero in part.
        let m: Vec<f64> = (0..19 * q).map(|i| if i % 3 == 0 { 0.0 } else { (i as f64).sin() }).collect();
        let r: Vec<f64> = (0..19 * n).map(|i| (0.7 * i as f64).cos()).collect();
        let (mut z, mut g) = (vec![0.0; 19 * n], vec![0.0; 19 * q]);
        design.apply(&mut z, &m, Threads::All);
        design.apply_t(&mut g, &r, Threads::All);
        for c in 0..19 {
            let (mut alone, mut alone_t) = (vec![0.0; n], vec![0.0; q]);
            design.apply(&mut alone, &m[c * q..(c + 1) * q], Threads::One);
            design.apply_t(&mut alone_t, &r[c * n..(c + 1) * n], Threads::One);
            assert_eq!(
                (alone.as_slice(), alone_t.as_slice()),
                (&z[c * n..(c + 1) * n], &g[c * q..(c + 1) * q])
            );
        }
        let mut every_second = vec![0.0; 10 * q];
        design.apply_t_strided(&mut every_second, &r, 2, Threads::All);
        assert_eq!(every_second[q..2 * q], g[2 * q..3 * q]);
        // A working set's columns alone.
        let index = [0, 2, 5, 9];
        let mut set = design.without_columns();
        design.select_columns(&index, &mut set);
        let mut of_set = vec![0.0; 19 * 4];
        set.apply_t(&mut of_set, &r, Threads::One);
        for (a, j) in index.iter().enumerate() {
            assert_eq!(of_set[4 + a], g[q + j]);
        }
    }
}

#[test]
fn entries_of_one_place_are_summed_and_places_are_checked() {
    let triplets = [(1, 1, 2.0), (0, 2, 1.0), (1, 1, 3.0), (0, 0, 0.0), (0, 2, -1.0)];
    let (matrix, summed) = Sparse::from_triplets((2, 3), triplets).unwrap();
    assert_eq!((matrix.stored(), summed), (1, 2));
    assert_eq!(Design::Sparse(matrix).to_dense(), array![[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]);
    let error = Sparse::from_triplets((2, 3), [(2, 0, 1.0)]).unwrap_err();
    assert!(error.to_string().contains("row 2, column 0"), "{error}");
}

/// Rows that are selected may fill a column that was shifted when it was mostly zeros.
#[test]
fn a_column_that_becomes_full_keeps_its_shift() {
    let mut x = Array2::zeros((10, 12));
    (0..4).for_each(|i| x[[i, 3]] = 5.0 + i as f64);
    x[[7, 1]] = 2.0;
    let rows = [0, 1, 2, 3, 4];
    let weight = Array1::from_elem(5, 0.2);
    let shift = vector(12, 0.4);
    let of = |design: Design| {
        let (centred, mean) = design.shifted(&shift).select_rows(&rows).centred(weight.view());
        (centred.to_dense(), mean)
    };
    let ((dense, mean), (from_sparse, sparse_mean)) = (of(Design::dense(x.clone())), of(sparse(&x)));
    assert!(max_abs_diff(mean, sparse_mean) < 1e-14);
    assert!(max_abs_diff(dense, from_sparse) < 1e-14);
}

/// A triangle of more rows than a block has, whole and of some columns.
#[test]
fn products_of_a_triangular_matrix_leave_out_zeros_only() {
    for (n, q) in [(301, 300), (40, 250), (250, 40)] {
        let entry = |i: usize, j: usize| if i > j { 0.0 } else { ((3 * i + 7 * j) as f64).sin() };
        let entries = Array2::from_shape_fn((n, q), |(i, j)| entry(i, j));
        let (plain, triangular) = (Design::dense(entries.clone()), Design::upper_triangular(entries));
        let index: Vec<usize> = (0..q).filter(|j| j % 3 == 1).collect();
        let part = |of: &Design| {
            let mut part = of.without_columns();
            of.select_columns(&index, &mut part);
            part
        };
        for (a, b) in [(plain.clone(), triangular.clone()), (part(&plain), part(&triangular))] {
            let numbers = |count: usize| (0..count).map(|i| (i as f64).cos()).collect::<Vec<f64>>();
            let columns = 5;
            let close = |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-12);
            let (m, r) = (numbers(a.columns() * columns), numbers(n * columns));
            let (mut x, mut y) = (vec![9.0; n * columns], vec![7.0; n * columns]);
            a.apply(&mut x, &m, Threads::One);
            b.apply(&mut y, &m, Threads::One);
            assert!(close(&x, &y), "{n} x {q}");
            let (mut x, mut y) = (vec![9.0; m.len()], vec![7.0; m.len()]);
            a.apply_t(&mut x, &r, Threads::One);
            b.apply_t(&mut y, &r, Threads::One);
            assert!(close(&x, &y), "{n} x {q}, transposed");
        }
    }
}

/// Exchanged sets: columns kept, left out, taken in between and anew.
#[test]
fn a_gram_matrix_follows_its_columns() {
    let (x, weight) = (entries(9, 8), vector(9, 0.3).mapv(f64::abs));
    let design = Design::dense(x.clone());
    let mut gram = Gram::<f64>::empty();
    for columns in [vec![1, 4, 6], vec![0, 1, 4, 5, 6, 7], vec![4, 7], vec![4, 7], vec![0, 1, 2, 3]] {
        gram.set_columns(&design, weight.as_slice().unwrap(), &columns);
        assert_eq!(
            (gram.missing(columns.clone()), gram.missing([0, 8])),
            (0, 2 - usize::from(columns[0] == 0))
        );
        let part = x.select(Axis(1), &columns);
        let of_rows = Array2::from_diag(&weight).dot(&part);
        let expected = part.t().dot(&of_rows);
        let m = columns.len();
        let (unit, mut out) = (Array2::<f64>::eye(m), vec![0.0; m * m]);
        gram.apply(&mut out, unit.as_slice().unwrap(), Threads::One);
        assert!(max_abs_diff(out, expected) < 1e-14, "{columns:?}");
    }
}
