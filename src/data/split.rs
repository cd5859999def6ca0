//! Held-out rows, by seed.

use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::Dataset;
use crate::error::{Error, Result};

/// A held-out split: the share of the rows, and the seed of the selection.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Validation {
    /// Share of the rows, in (0, 1).
    pub fraction: f64,
    /// Seed of the shuffle.
    pub seed: u64,
}

impl FromStr for Validation {
    type Err = Error;
    /// Reads `FRACTION` (with seed 1) or `FRACTION:SEED`.
    fn from_str(text: &str) -> Result<Self> {
        let (fraction, seed) = text.split_once(':').unwrap_or((text, "1"));
        let fraction = fraction.parse::<f64>().ok().filter(|f| *f > 0.0 && *f < 1.0);
        let parsed = fraction.zip(seed.parse().ok()).map(|(fraction, seed)| Validation { fraction, seed });
        parsed.ok_or_else(|| {
            let expected = "FRACTION or FRACTION:SEED, a fraction between 0 and 1 and a whole seed";
            Error::usage("validation", format!("'{text}'"), expected, "For example 0.25:1.")
        })
    }
}

impl Dataset {
    /// Splits off held-out rows: (fitted, held out), each in the order of the file. The number held out is
    /// `fraction · n`, rounded, at least 1 and at most `n − 1`.
    ///
    /// # Errors
    /// A fraction outside of (0, 1), or a data set of one row.
    pub fn split(&self, validation: Validation) -> Result<(Dataset, Dataset)> {
        let n = self.rows();
        if !(validation.fraction > 0.0 && validation.fraction < 1.0) {
            let found = format!("fraction {}", validation.fraction);
            return Err(Error::usage("validation", found, "a fraction between 0 and 1", ""));
        }
        if n < 2 {
            return Err(Error::data(
                "validation",
                "one row (of positive weight)",
                "at least two rows to split",
                "",
            ));
        }
        let count = ((validation.fraction * n as f64).round() as usize).clamp(1, n - 1);
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut rand_pcg::Pcg64::seed_from_u64(validation.seed));
        let (held_out, fitted) = order.split_at_mut(count);
        held_out.sort_unstable();
        fitted.sort_unstable();
        Ok((self.select(fitted)?, self.select(held_out)?))
    }
}
