//! The scalar type of an engine: f32 or f64.

/// A floating-point scalar the CPU engine can run in.
pub trait Real:
    num_traits::Float + num_traits::FromPrimitive + faer::traits::ComplexField + Send + Sync + std::iter::Sum + 'static
{
    /// The nearest value to `v`.
    fn of(v: f64) -> Self;
    /// The exact value as f64.
    fn f64(self) -> f64;
}

impl Real for f32 {
    fn of(v: f64) -> Self {
        v as f32
    }
    fn f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(v: f64) -> Self {
        v
    }
    fn f64(self) -> f64 {
        self
    }
}
