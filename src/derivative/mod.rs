//! Derivatives of a sweep, beyond carrying them: how far they can be trusted.

mod check;

pub use check::{CheckRow, check};
