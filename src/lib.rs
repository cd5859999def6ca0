//! proxjet

pub mod data;
pub mod derivative;
pub mod driver;
pub mod engine;
pub mod error;
pub mod front;
pub mod plan;
pub mod problem;
pub mod report;
pub mod schedule;
pub mod trace;
