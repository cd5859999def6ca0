//! Front ends: how people and programs reach the library.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod reproduce;
