//! Folds: which rows a candidate is fitted on, and which are held out from it.

use std::collections::BTreeMap;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are fitted and rows that are held out, ascending; the others are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Rows of the fit.
    pub fitted: Vec<usize>,
    /// Rows whose loss is recorded.
    pub held_out: Vec<usize>,
}

/// The folds of a cross-validation, over the rows of a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    folds: Vec<Fold>,
    /// Rows of the data.
    rows: usize,
    /// Times that all rows are dealt out.
    repeats: usize,
}

/// A rule that makes folds: `K[:SEED[:REPEATS]]`, or `time:K` for rows in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldRule {
    /// K-fold cross-validation.
    KFold {
        /// Folds.
        folds: usize,
        /// Seed of the shuffle.
        seed: u64,
        /// Times that it is repeated, each with a shuffle of its own.
        repeats: usize,
    },
    /// Forward chaining: the rows are cut into `folds + 1` blocks, and each but the first is held out from a
    /// fit of all rows before it.
    Time {
        /// Folds.
        folds: usize,
    },
}

impl FromStr for FoldRule {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let whole = |t: &str| t.parse::<u64>().ok().filter(|v| *v <= u64::from(u32::MAX));
        let parsed = match text.split(':').collect::<Vec<_>>()[..] {
            ["time", folds] => whole(folds).map(|folds| FoldRule::Time { folds: folds as usize }),
            [folds] => whole(folds).map(|k| FoldRule::KFold { folds: k as usize, seed: 1, repeats: 1 }),
            [folds, seed] => whole(folds).zip(whole(seed)).map(|(k, seed)| FoldRule::KFold {
                folds: k as usize,
                seed,
                repeats: 1,
            }),
            [folds, seed, repeats] => {
                whole(folds).zip(whole(seed)).zip(whole(repeats)).map(|((k, seed), repeats)| {
                    FoldRule::KFold { folds: k as usize, seed, repeats: repeats as usize }
                })
            }
            _ => None,
        };
        parsed.ok_or_else(|| {
            let expected = "K, K:SEED, K:SEED:REPEATS or time:K";
            Error::usage("folds", format!("'{text}'"), expected, "For example 5:1.")
        })
    }
}

impl FoldRule {
    /// The folds of a data set: stratified if `classes` says that its target is one of classes, and by
    /// groups of rows that stay together if `groups` names one for each row.
    ///
    /// # Errors
    /// Fewer rows or groups than folds; so many folds that their rows would fill the memory; groups with an
    /// order of time.
    pub fn of(self, data: &Dataset, classes: bool, groups: Option<&[String]>) -> Result<Folds> {
        let n = data.rows();
        match (self, groups) {
            (FoldRule::KFold { folds, seed, repeats }, _) if repeats > 1 => {
                check_rows(n, folds.saturating_mul(repeats))?;
                let own = |i: usize| FoldRule::KFold { folds, seed: seed.wrapping_add(i as u64), repeats: 1 };
                let all: Vec<Folds> =
                    (0..repeats).map(|i| own(i).of(data, classes, groups)).collect::<Result<_>>()?;
                let folds = Folds::new(n, all.into_iter().flat_map(|f| f.folds).collect())?;
                Ok(Folds { repeats, ..folds })
            }
            (FoldRule::KFold { repeats: 0, .. }, _) => {
                Err(Error::usage("folds", "0 repeats", "at least 1", ""))
            }
            (FoldRule::KFold { folds, seed, .. }, Some(groups)) => Folds::grouped(groups, folds, seed),
            (FoldRule::KFold { folds, seed, .. }, None) if classes => {
                let labels: Vec<u64> = data.target().iter().map(|v| v.to_bits()).collect();
                Folds::stratified(&labels, folds, seed)
            }
            (FoldRule::KFold { folds, seed, .. }, None) => Folds::k_fold(n, folds, seed),
            (FoldRule::Time { folds }, None) => Folds::forward_chaining(n, folds),
            (FoldRule::Time { .. }, Some(_)) => {
                let found = "folds in the order of time, with groups";
                Err(Error::usage("groups", found, "folds by a shuffle", "Leave `groups` out."))
            }
        }
    }
}

/// Most rows of all folds together: 3 GiB of numbers and weights.
const MOST_ROWS: usize = 1 << 27;

/// Refuses so many folds that their rows would fill the memory.
fn check_rows(rows: usize, folds: usize) -> Result<()> {
    if rows.checked_mul(folds).is_some_and(|all| all <= MOST_ROWS) {
        return Ok(());
    }
    let found = format!("{folds} folds of {rows} rows");
    let expected = format!("at most {MOST_ROWS} rows in all folds together");
    Err(Error::new(ErrorKind::Memory, "folds", found, expected, "Use fewer folds or repeats."))
}

fn check_count(folds: usize, what: &str, most: usize) -> Result<()> {
    if folds < 2 {
        return Err(Error::usage("folds", format!("{folds} {what}"), "at least 2", "For example 5."));
    }
    if folds > most {
        let expected = format!("at most {most}, one row for each");
        return Err(Error::data("folds", format!("{folds} {what}"), expected, "Use fewer folds."));
    }
    Ok(())
}

impl Folds {
    /// Folds over `rows` rows.
    ///
    /// # Errors
    /// No fold; a fold without fitted or without held-out rows, with a row of both, or with one that there
    /// is not.
    pub fn new(rows: usize, folds: Vec<Fold>) -> Result<Self> {
        check_rows(rows, folds.len())?;
        if folds.is_empty() {
            return Err(Error::data("folds", "none", "at least one", ""));
        }
        for (f, fold) in folds.iter().enumerate() {
            let at = || format!("fold {f}");
            let error = |found: String, expected: &str| Err(Error::data(at(), found, expected, ""));
            if fold.fitted.is_empty() || fold.held_out.is_empty() {
                let found = format!("{} fitted and {} held-out rows", fold.fitted.len(), fold.held_out.len());
                return error(found, "at least one of each");
            }
            let mut uses = vec![0u8; rows];
            for i in fold.fitted.iter().chain(&fold.held_out) {
                match uses.get_mut(*i) {
                    None => return error(format!("row {i}"), &format!("rows below {rows}")),
                    Some(used) if *used > 0 => return error(format!("row {i} twice"), "each row once"),
                    Some(used) => *used = 1,
                }
            }
        }
        Ok(Folds { folds, rows, repeats: 1 })
    }

    /// K-fold cross-validation of `rows` rows, shuffled by `seed`.
    ///
    /// # Errors
    /// Fewer than two folds, or fewer rows than folds.
    pub fn k_fold(rows: usize, folds: usize, seed: u64) -> Result<Self> {
        check_count(folds, "folds", rows)?;
        check_rows(rows, folds)?;
        Self::stratified(&vec![0; rows], folds, seed)
    }

    /// The same with about equal numbers of rows of each label in every fold.
    ///
    /// # Errors
    /// As [`k_fold`](Self::k_fold).
    pub fn stratified(labels: &[u64], folds: usize, seed: u64) -> Result<Self> {
        check_count(folds, "folds", labels.len())?;
        check_rows(labels.len(), folds)?;
        let mut by_label: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        labels.iter().enumerate().for_each(|(i, label)| by_label.entry(*label).or_default().push(i));
        let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
        let mut ids = vec![0; labels.len()];
        // Dealt out one after the other, so that no fold has two rows more than another.
        let mut next = 0;
        for mut rows in by_label.into_values() {
            rows.shuffle(&mut rng);
            for i in rows {
                ids[i] = next % folds;
                next += 1;
            }
        }
        Self::of_numbers(&ids, folds)
    }

    /// Folds of which each holds out whole groups, `[n]`: in random order, each goes to the smallest fold.
    ///
    /// # Errors
    /// Fewer than two folds, or fewer groups than folds.
    pub fn grouped(groups: &[String], folds: usize, seed: u64) -> Result<Self> {
        let mut by_group: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        groups.iter().enumerate().for_each(|(i, group)| by_group.entry(group).or_default().push(i));
        if by_group.len() < folds {
            let found = format!("{} groups for {folds} folds", by_group.len());
            return Err(Error::data("groups", found, "at least as many groups as folds", "Use fewer folds."));
        }
        check_count(folds, "folds", groups.len())?;
        check_rows(groups.len(), folds)?;
        let mut list: Vec<Vec<usize>> = by_group.into_values().collect();
        list.shuffle(&mut rand_pcg::Pcg64::seed_from_u64(seed));
        let (mut ids, mut sizes) = (vec![0; groups.len()], vec![0; folds]);
        for rows in list {
            let smallest = (0..folds).min_by_key(|f| sizes[*f]).expect("there are folds");
            sizes[smallest] += rows.len();
            rows.into_iter().for_each(|i| ids[i] = smallest);
        }
        Self::of_numbers(&ids, folds)
    }

    /// A fold for each number, `[n]`, that holds out its rows and is fitted on all others; rows of a negative
    /// number are never held out.
    ///
    /// # Errors
    /// Fewer than two numbers that are not negative.
    pub fn of_ids(ids: &[i64]) -> Result<Self> {
        let known: BTreeMap<i64, usize> = ids.iter().filter(|id| **id >= 0).map(|id| (*id, 0)).collect();
        if known.len() < 2 {
            let found = format!("folds of {} different numbers", known.len());
            return Err(Error::data(
                "fold ids",
                found,
                "at least two that are not negative",
                "Number the folds of the rows.",
            ));
        }
        check_rows(ids.len(), known.len())?;
        let place: BTreeMap<i64, usize> = known.into_keys().zip(0..).collect();
        let of = |id: &i64| place.get(id).copied().unwrap_or(usize::MAX);
        Self::of_numbers(&ids.iter().map(of).collect::<Vec<_>>(), place.len())
    }

    /// Forward chaining of `rows` rows in the order of time: see [`FoldRule::Time`].
    ///
    /// # Errors
    /// No fold, or fewer rows than blocks.
    pub fn forward_chaining(rows: usize, folds: usize) -> Result<Self> {
        if folds == 0 {
            return Err(Error::usage("folds", "0 folds", "at least 1", "For example time:5."));
        }
        check_count(folds.saturating_add(1), "blocks of rows", rows)?;
        check_rows(rows, folds)?;
        let end = |block: usize| rows * block / (folds + 1);
        let fold = |f: usize| Fold {
            fitted: (0..end(f + 1)).collect(),
            held_out: (end(f + 1)..end(f + 2)).collect(),
        };
        Self::new(rows, (0..folds).map(fold).collect())
    }

    fn of_numbers(ids: &[usize], folds: usize) -> Result<Self> {
        let rows = |f: usize, own: bool| (0..ids.len()).filter(|i| (ids[*i] == f) == own).collect();
        let fold = |f: usize| Fold { fitted: rows(f, false), held_out: rows(f, true) };
        Self::new(ids.len(), (0..folds).map(fold).collect())
    }

    /// The folds.
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }
    /// Rows of the data.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Times that the folds are repeated, the folds of a repeat beside each other.
    pub fn repeats(&self) -> usize {
        self.repeats
    }
}
