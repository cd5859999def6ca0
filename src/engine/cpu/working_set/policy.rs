//! Decides when working sets are used: always if lanes advance in groups anyway; else if the sets leave out
//! enough columns, since products of few columns are slower per operation.

use rayon::prelude::*;

use super::super::shared::ColumnSet;
use super::super::state::{State, is_grouped};
use super::{LIFETIME, WorkingSet};
use crate::objective::Real;
use crate::program::Plan;

/// The working sets of all groups of lanes.
pub(in super::super) struct WorkingSets<T> {
    /// True if they are in use, and if they always are.
    pub(in super::super) on: bool,
    always: bool,
    pub(in super::super) groups: Vec<WorkingSet<T>>,
    /// Lanes of a group.
    group_lanes: usize,
    /// Iterations so far, the iteration of the next decision, and the iterations to wait after a failed
    /// attempt.
    iterations: usize,
    next: usize,
    wait: usize,
}

/// Share of the columns below which working sets are enabled, and above which they are disabled.
const ENABLE_BELOW: f64 = 0.5;
const DISABLE_ABOVE: f64 = 0.7;
/// Iterations before the first attempt, and between decisions while sets are in use; most iterations
/// between attempts.
const FIRST_WAIT: usize = 8;
const MAX_WAIT: usize = 16;
/// Iterations over which the first change of residuals is measured, and after which an
/// unrestricted group tries again.
pub(super) const PERIOD: usize = 5;

impl<T: Real> WorkingSets<T> {
    /// Sets of columns for the slots of a plan.
    pub(in super::super) fn new(plan: &Plan, all: &ColumnSet<T>) -> Self {
        let group_lanes = plan.request.group_lanes();
        let groups = 0..plan.slots.div_ceil(group_lanes);
        let always = is_grouped(&all.design);
        WorkingSets {
            on: always,
            always,
            groups: groups.map(|_| WorkingSet::new(all, plan.slots.min(group_lanes))).collect(),
            group_lanes,
            iterations: 0,
            next: FIRST_WAIT,
            wait: FIRST_WAIT,
        }
    }

    /// Share of `q` columns that `lanes` use.
    fn share(&self, lanes: usize, q: usize) -> f64 {
        let used = |(i, set): (usize, &WorkingSet<T>)| {
            let own = (lanes - i * self.group_lanes).min(self.group_lanes);
            own * if set.active { set.members.len() } else { q }
        };
        let groups = &self.groups[..lanes.div_ceil(self.group_lanes)];
        groups.iter().enumerate().map(used).sum::<usize>() as f64 / (lanes * q) as f64
    }

    /// Iterations until residuals must be kept, or a decision is due.
    pub(in super::super) fn span(&self) -> usize {
        if self.always {
            return usize::MAX;
        }
        let left = self.next - self.iterations;
        if !self.on && left > PERIOD { left - PERIOD } else { left }
    }

    /// Makes the next decision after `wait` iterations.
    fn wait(&mut self, wait: usize) {
        self.wait = wait;
        self.next = self.iterations + wait;
    }

    fn disable(&mut self, wait: usize) {
        self.on = self.always;
        for set in &mut self.groups {
            (set.active, set.lifetime, set.gram.patience) = (false, LIFETIME, 1);
        }
        self.wait(wait);
    }
}

impl<T: Real> State<T> {
    /// After `iterations`, enables working sets if they pay, and disables them if they do not.
    pub(in super::super) fn adapt_working_sets(&mut self, iterations: usize) {
        let (lanes, q) = (self.lanes.len(), self.shared.shape().1);
        let Some(sets) = self.sets.as_mut().filter(|sets| !sets.always) else { return };
        sets.iterations += iterations;
        if !sets.on {
            // Groups in use count their iterations themselves.
            sets.groups.iter_mut().for_each(|set| set.age += iterations);
        }
        let (on, left) = (sets.on, sets.next - sets.iterations);
        if left > 0 {
            if !on && left == PERIOD {
                self.groups().iter_mut().for_each(|block| block.keep_residuals());
            }
            return;
        }
        if !on {
            self.groups().into_par_iter().for_each(|mut block| block.try_working_set());
        }
        let Some(sets) = &mut self.sets else { return };
        let share = sets.share(lanes, q);
        if share < if on { DISABLE_ABOVE } else { ENABLE_BELOW } {
            sets.on = true;
            sets.wait(FIRST_WAIT);
        } else if on {
            self.disable_working_sets();
        } else {
            // Each failed attempt doubles the wait.
            sets.disable((2 * sets.wait).min(MAX_WAIT));
        }
    }

    /// Goes back to all coefficients.
    pub(in super::super) fn disable_working_sets(&mut self) {
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            self.groups().into_par_iter().for_each(|mut block| block.scatter());
        }
        if let Some(sets) = &mut self.sets {
            sets.disable(FIRST_WAIT);
        }
    }
}
