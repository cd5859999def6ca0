// exp and log(1 + x) in f64, for which WGSL has no built-in functions.

// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor sum, then 2^n in two steps, as 2^-1074 has no single factor.
fn real_exp(x: real) -> real {
    let clamped = max(min(x, 709.0lf), -745.0lf);
    let n = round(clamped * 1.4426950408889634lf);
    let r = (clamped - n * 0.693147180369123816490lf) - n * 1.90821492927058770002e-10lf;
    var sum = 1.0lf;
    for (var i = 13; i >= 1; i--) {
        sum = 1.0lf + sum * r / f64(i);
    }
    let whole = i32(n);
    let half = whole / 2;
    return sum * power_of_two(half) * power_of_two(whole - half);
}

// 2^n for |n| <= 512, by squaring.
fn power_of_two(n: i32) -> real {
    var factor = select(2.0lf, 0.5lf, n < 0);
    var left = u32(abs(n));
    var result = 1.0lf;
    for (var i = 0; i < 10; i++) {
        result = result * select(1.0lf, factor, (left & 1u) == 1u);
        factor = factor * factor;
        left = left >> 1u;
    }
    return result;
}

// Halley's step for exp(l) = 1 + x from the f32 logarithm: its error is cubed.
fn real_log1p(x: real) -> real {
    if (abs(x) < 0.25lf) {
        return log1p_series(x);
    }
    let y = 1.0lf + x;
    let l = f64(log(f32(y)));
    let e = real_exp(l);
    return l + 2.0lf * (y - e) / (y + e);
}
