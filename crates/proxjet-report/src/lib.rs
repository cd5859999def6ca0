//! Results as files and pictures. A file is written under a temporary name and renamed when it is complete.

mod convergence;
mod gradient;
pub mod html;
mod id;
mod json;
mod model;
mod npz;
mod output;
pub mod plot;
mod summary;
mod table;

pub use convergence::errors_against;
pub use gradient::{GradientFile, OverFolds, choice_table, gradient_table, over_folds, size};
pub use json::{DataInfo, ResultFile};
pub use model::{Model, write_coefficients};
pub use npz::{write_gradient, write_trace};
pub use output::OutputDir;
pub use summary::{convergence_summary, summary};
pub use table::{best_candidate, cross_validation_table, lane_table, write_lanes};
