//! Checks of derivatives, their limits, and their rates of convergence.

mod analysis;
mod check;
pub mod late_start;
pub mod rates;

pub use crate::certificate::implicit;
pub use analysis::{LaneAnalysis, LateStart, analyse, resolve_manifold, solutions};
pub use check::{CheckRow, check};

use crate::error::{Error, Result};
use crate::solve::Sweep;

/// Refuses lanes that are fitted on folds: they have other solutions than the problem on all rows.
fn refuse_folds(sweep: &Sweep) -> Result<()> {
    match sweep.problem().folds() {
        0 => Ok(()),
        folds => {
            let found = format!("{folds} folds");
            Err(Error::usage("folds", found, "a fit on all rows", "Leave the folds out."))
        }
    }
}
