//! How the lanes of a path start.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::lanes::{Lane, Start};

/// How the lanes of a path start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// All at the same start, at the same time.
    #[default]
    Independent,
    /// In blocks of alphas, in the order of the list: a lane starts at the last iterate of the lane of the
    /// block before whose alpha is nearest (of the same fold), as soon as that has ended.
    Warm {
        /// Alphas of a block.
        block: usize,
        /// True if the derivatives start at those of that lane, so that they are the derivatives of the
        /// whole chain if all alphas of it move together; false if they start at zero.
        carried: bool,
    },
}

impl FromStr for Path {
    type Err = Error;
    /// Reads `independent`, `warm:BLOCK` (derivatives are carried) or `warm:BLOCK:restart`.
    fn from_str(text: &str) -> Result<Self> {
        let block = |t: &str| t.parse().ok().filter(|block| *block > 0);
        let parsed = match text.split(':').collect::<Vec<_>>()[..] {
            ["independent"] => Some(Path::Independent),
            ["warm", of] => block(of).map(|block| Path::Warm { block, carried: true }),
            ["warm", of, "restart"] => block(of).map(|block| Path::Warm { block, carried: false }),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let expected = "independent, warm:BLOCK or warm:BLOCK:restart, a block of at least one alpha";
            Error::usage("path", format!("'{text}'"), expected, "For example warm:10.")
        })
    }
}

impl Path {
    /// Sets the starts of lanes, `folds` beside each other for every alpha.
    pub(super) fn lay_out(self, lanes: &mut [Lane], folds: usize) {
        let Path::Warm { block, carried } = self else { return };
        let alphas: Vec<f64> = lanes.iter().step_by(folds).map(|lane| lane.alpha).collect();
        for a in block..alphas.len() {
            let first = a / block * block - block;
            let distance = |b: usize| (alphas[a].ln() - alphas[b].ln()).abs();
            let nearest = (first..first + block).min_by(|b, c| distance(*b).total_cmp(&distance(*c)));
            let nearest = nearest.expect("a block has an alpha");
            for fold in 0..folds {
                let source = nearest * folds + fold;
                let start = if carried { Start::Carried(source) } else { Start::From(source) };
                lanes[a * folds + fold].start = start;
            }
        }
    }

    /// The most of these lanes that run at the same time.
    pub(super) fn together(self, lanes: usize, folds: usize) -> usize {
        match self {
            Path::Independent => lanes,
            Path::Warm { block, .. } => lanes.min(block.saturating_mul(folds)),
        }
    }
}
