// log(1 + x) = 2 artanh(s), s = x / (2 + x), for |x| < 1/4: |s| < 1/7, so that ten terms reach 1e-17.
fn log1p_series(x: real4) -> real4 {
    let s = x / (real(2.0) + x);
    let q = s * s;
    var sum = real4(0.0);
    for (var i = 19; i >= 1; i -= 2) {
        sum = sum * q + real(1.0) / real(i);
    }
    return real(2.0) * s * sum;
}
