// exp and log(1 + x) in f32: the built-in functions, and a series for arguments at which
// log(1 + x) would cancel.
fn real_exp(x: real4) -> real4 {
    return exp(x);
}

fn real_log1p(x: real4) -> real4 {
    return select(log(real(1.0) + x), log1p_series(x), abs(x) < real4(0.25));
}
