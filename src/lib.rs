//! proxjet

pub mod data;
pub mod engine;
pub mod error;
pub mod plan;
pub mod problem;
pub mod schedule;
