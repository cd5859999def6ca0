// exp and log(1 + x) in f32: the built-in functions, and a series where log(1 + x) would cancel.
fn real_exp(x: real) -> real {
    return exp(x);
}

fn real_log1p(x: real) -> real {
    if (abs(x) < real(0.25)) {
        return log1p_series(x);
    }
    return log(real(1.0) + x);
}
