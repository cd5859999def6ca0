//! proxjet

pub mod data;
pub mod error;
pub mod problem;
pub mod schedule;
