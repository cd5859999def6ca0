// exp and log(1 + x) in f64, for which WGSL has no built-in functions.

// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor sum, then 2^n in two steps, as 2^-1074
// has no single factor.
fn real_exp(x: real4) -> real4 {
    let clamped = max(min(x, real4(709.0lf)), real4(-745.0lf));
    let n = round(clamped * 1.4426950408889634lf);
    let r = (clamped - n * 0.693147180369123816490lf) - n * 1.90821492927058770002e-10lf;
    var sum = real4(1.0lf);
    for (var i = 13; i >= 1; i--) {
        sum = 1.0lf + sum * r / f64(i);
    }
    let whole = vec4<i32>(n);
    let half = whole / 2;
    return sum * power_of_two(half) * power_of_two(whole - half);
}

// 2^n for |n| <= 512, by squaring.
fn power_of_two(n: vec4<i32>) -> real4 {
    var factor = select(real4(2.0lf), real4(0.5lf), n < vec4<i32>());
    var left = vec4<u32>(abs(n));
    var result = real4(1.0lf);
    for (var i = 0; i < 10; i++) {
        result = result * select(real4(1.0lf), factor, (left & vec4<u32>(1u)) == vec4<u32>(1u));
        factor = factor * factor;
        left = left >> vec4<u32>(1u);
    }
    return result;
}

// One step of Halley's method for exp(l) = 1 + x from the f32 logarithm, which cubes its error.
fn real_log1p(x: real4) -> real4 {
    let y = 1.0lf + x;
    let l = real4(log(vec4<f32>(y)));
    let e = real_exp(l);
    return select(l + 2.0lf * (y - e) / (y + e), log1p_series(x), abs(x) < real4(0.25lf));
}
