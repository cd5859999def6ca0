//! The tests of the library in one program. Those of a file: `cargo test --release --test library engines::`.
//! `memory.rs` is a program of its own, since it counts the allocations of a process.

mod architecture;
mod catalog;
mod certificate;
mod common;
mod comparison;
mod data;
mod derivatives;
mod differentiate;
mod docs;
mod embedding;
mod engines;
mod fit;
mod folds;
mod fragments;
mod golden;
mod hostile;
mod nonconvex;
mod paths;
mod restart;
mod scheduler;
mod schedules;
mod shaders;
mod solutions;
mod submit;
mod trust;
mod tuner;
mod warm_starts;
