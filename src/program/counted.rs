//! What an iteration is counted with, for rates.

use super::{Plan, Strategy};

impl Plan {
    /// Floating-point operations of an iteration of all slots that its products cannot do without: `4·n·q·b(1+d)` in the direct
    /// strategy, `2·q²·b(1+d)` in those with `XᵀX`. The element-wise epilogues and the stop rule are not counted.
    pub fn counted_operations(&self) -> f64 {
        let r = &self.request;
        let entries = match self.strategy {
            Strategy::Direct => 2.0 * r.rows as f64,
            Strategy::Gram | Strategy::Persistent => r.state_rows as f64,
        };
        2.0 * entries * r.state_rows as f64 * (self.slots * (1 + r.tangents)) as f64
    }

    /// Bytes that an iteration of all slots moves if nothing stays in a cache between two kernels: the matrix once for each of its
    /// products, and what is between them each read once and written once (of a pair, both are read and one is written): state,
    /// gradient, prediction and residual in the direct strategy, state and carried product in the Gram strategy, nothing in the
    /// persistent strategy.
    pub fn counted_bytes(&self) -> f64 {
        let of = |name: &str| self.buffers.iter().find(|b| b.name == name);
        let (matrix, products, between): (_, _, &[&str]) = match self.strategy {
            Strategy::Direct => ("design", 2.0, &["state", "gradient", "prediction", "residual"]),
            Strategy::Gram => ("gram", 1.0, &["state", "carried"]),
            Strategy::Persistent => ("gram", 1.0, &[]),
        };
        let matrix = of(matrix).map_or(0.0, |b| products * b.bytes as f64);
        let columns = between.iter().copied().filter_map(of);
        matrix + columns.map(|b| b.bytes as f64 * (1.0 + 1.0 / b.copies as f64)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use crate::program::{Plan, tests};

    #[test]
    fn counts_of_the_diabetes_lasso() {
        let plan = Plan::new(tests::request(), &tests::limits()).unwrap();
        // 442 x 10, 100 lanes with a tangent each: 200 columns.
        assert_eq!(plan.counted_operations(), 2.0 * (2.0 * 442.0 * 10.0 * 200.0));
        let (design, state, rows) = (442.0 * 10.0, 10.0 * 200.0, 442.0 * 200.0);
        let read = 2.0 * design + (2.0 + 1.0) * state + (2.0 + 1.0) * rows;
        let written = (1.0 + 1.0) * state + (1.0 + 1.0) * rows;
        assert_eq!(plan.counted_bytes(), 8.0 * (read + written));
    }
}
