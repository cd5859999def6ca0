//! The kernels of an iteration, with their operations.

use super::*;

/// Iterations between events that end a dispatch of the persistent strategy: a frame, a test of the stop rule.
pub(super) fn segment(r: &Request) -> usize {
    let check = if r.check_every == 0 { r.iterations } else { r.check_every };
    check.min(r.every).min(r.iterations).max(1)
}

pub(super) fn kernels(r: &Request, lanes: usize) -> Vec<Kernel> {
    let columns = lanes as f64 * (1 + r.tangents) as f64;
    let (n, q, v) = (r.rows as f64, r.state_rows as f64, r.validation_rows as f64);
    let product = |rows: f64| 2.0 * rows * q * columns;
    let mut list = if r.is_gram() {
        vec![
            Kernel { name: "step", flops: 16.0 * q * columns, every: 1 },
            Kernel { name: "gram", flops: product(q), every: 1 },
        ]
    } else {
        vec![
            Kernel { name: "residual", flops: 10.0 * n * columns, every: 1 },
            Kernel { name: "gradient", flops: product(n), every: 1 },
            Kernel { name: "step", flops: 12.0 * q * columns, every: 1 },
            Kernel { name: "predict", flops: product(n), every: 1 },
        ]
    };
    list.push(Kernel { name: "finalize", flops: 20.0 * columns, every: 1 });
    if r.validation_rows > 0 {
        list.push(Kernel { name: "predict (validation)", flops: product(v), every: 1 });
        list.push(Kernel { name: "validate", flops: 4.0 * v * columns, every: 1 });
    }
    if let MetricKind::Hessian { every } = r.metric {
        list.push(Kernel { name: "gradient (metric)", flops: product(n), every });
        list.push(Kernel { name: "metric", flops: 8.0 * (n + q) * columns, every });
    }
    let every = if r.check_every == 0 { r.iterations.max(1) } else { r.check_every };
    match r.strategy {
        Some(Strategy::Gram) => {}
        Some(Strategy::Persistent) => {
            list.push(Kernel { name: "gram (stop rule)", flops: product(q), every })
        }
        _ => list.push(Kernel { name: "gradient (stop rule)", flops: product(n), every }),
    }
    let rows = if r.is_gram() { q } else { n + q };
    list.push(Kernel { name: "criterion", flops: 20.0 * rows * columns, every });
    list
}
