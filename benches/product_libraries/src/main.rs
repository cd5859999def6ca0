//! GFLOP/s of `X M` and `Xᵀ R` together, X of n rows and p columns by rows, M and R of as many columns as 64
//! lanes with one derivative have: faer, and matrixmultiply, which ndarray uses. benches/peers/products.py
//! prints the same for numpy's OpenBLAS. Medians of 9; threads by RAYON_NUM_THREADS and MATMUL_NUM_THREADS.

use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

const COLUMNS: usize = 128;
const SHAPES: [(usize, usize); 4] = [(1000, 2000), (2000, 500), (569, 30), (500, 500)];

fn gflops(shape: (usize, usize), mut products: impl FnMut()) -> f64 {
    let operations = 4.0 * (shape.0 * shape.1 * COLUMNS) as f64;
    let repeat = (2e9 / operations).ceil() as usize;
    let mut seconds: Vec<f64> = (0..9)
        .map(|_| {
            let clock = Instant::now();
            (0..repeat).for_each(|_| products());
            clock.elapsed().as_secs_f64() / repeat as f64
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    1e-9 * operations / seconds[4]
}

macro_rules! measure {
    ($real:ty, $gemm:path) => {
        for (n, p) in SHAPES {
            let x: Vec<$real> = (0..n * p).map(|i| (i % 17) as $real).collect();
            let (m, mut z): (Vec<$real>, Vec<$real>) = (vec![0.5; p * COLUMNS], vec![0.5; n * COLUMNS]);
            let mut g = m.clone();
            let par = if std::env::var("RAYON_NUM_THREADS").as_deref() == Ok("1") {
                Par::Seq
            } else {
                Par::rayon(0)
            };
            let by_faer = gflops((n, p), || {
                let x = MatRef::from_row_major_slice(&x, n, p);
                let out = MatMut::from_column_major_slice_mut(&mut z, n, COLUMNS);
                matmul(out, Accum::Replace, x, MatRef::from_column_major_slice(&m, p, COLUMNS), 1.0, par);
                let out = MatMut::from_column_major_slice_mut(&mut g, p, COLUMNS);
                let r = MatRef::from_column_major_slice(&z, n, COLUMNS);
                matmul(out, Accum::Replace, x.transpose(), r, 1.0, par);
            });
            let (ni, pi) = (n as isize, p as isize);
            let by_matrixmultiply = gflops((n, p), || {
                // SAFETY: pointers, sizes and strides are those of the vectors.
                unsafe {
                    $gemm(
                        n,
                        p,
                        COLUMNS,
                        1.0,
                        x.as_ptr(),
                        pi,
                        1,
                        m.as_ptr(),
                        1,
                        pi,
                        0.0,
                        z.as_mut_ptr(),
                        1,
                        ni,
                    );
                    $gemm(
                        p,
                        n,
                        COLUMNS,
                        1.0,
                        x.as_ptr(),
                        1,
                        pi,
                        z.as_ptr(),
                        1,
                        ni,
                        0.0,
                        g.as_mut_ptr(),
                        1,
                        pi,
                    );
                }
            });
            println!(
                "{n} x {p} {}: faer {by_faer:.1}, matrixmultiply {by_matrixmultiply:.1}",
                stringify!($real)
            );
        }
    };
}

fn main() {
    measure!(f64, matrixmultiply::dgemm);
    measure!(f32, matrixmultiply::sgemm);
}
