//! Checks of derivatives, their limits, and their rates of convergence.

mod analysis;
mod check;
mod check_gradient;
mod cost;
mod criterion;
mod differentiate;
pub mod late_start;
mod mode;
pub mod rates;
pub(crate) mod unrolled;

pub use crate::certificate::implicit;
pub use analysis::{LaneAnalysis, LateStart, analyse, resolve_manifold, solutions};
pub use check::{CheckRow, check};
pub use check_gradient::check_gradient;
pub use cost::{Choice, Estimate};
pub use criterion::Criterion;
pub use differentiate::{Differentiate, Differentiated, DifferentiatedLane, Kind};
pub use mode::Mode;

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
