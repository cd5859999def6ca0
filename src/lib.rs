//! proxjet
