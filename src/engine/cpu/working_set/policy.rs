//! Decides when working sets are used: if they leave out enough columns, since products of few columns are
//! slower per operation.

use super::super::state::State;
use super::{GROUP, WorkingSet};
use crate::design::Design;
use crate::objective::Real;
use crate::program::Plan;

/// The working sets of all groups of lanes.
pub(in super::super) struct WorkingSets<T> {
    /// True if they are in use.
    pub(in super::super) on: bool,
    pub(in super::super) groups: Vec<WorkingSet<T>>,
    /// Iterations so far, the iteration of the next attempt, and the iterations to wait
    /// after a failed attempt.
    iterations: usize,
    next_try: usize,
    wait: usize,
    /// Columns left out so far, in units of all columns of a lane for an iteration.
    pub(in super::super) skipped: f64,
}

/// Share of the columns below which working sets are enabled, and above which they are disabled.
const ENABLE_BELOW: f64 = 0.5;
const DISABLE_ABOVE: f64 = 0.7;
/// Iterations before the first attempt, and most iterations between attempts.
const FIRST_WAIT: usize = 8;
const MAX_WAIT: usize = 64;
/// Iterations over which the first change of residuals is measured, and after which an
/// unrestricted group tries again.
pub(super) const PERIOD: usize = 5;

impl<T: Real> WorkingSets<T> {
    /// Sets for the slots of a plan, of columns of a design.
    pub(in super::super) fn new(plan: &Plan, design: &Design<T>) -> Self {
        let groups = 0..plan.slots.div_ceil(GROUP);
        WorkingSets {
            on: false,
            groups: groups.map(|_| WorkingSet::new(design, plan.slots.min(GROUP))).collect(),
            iterations: 0,
            next_try: FIRST_WAIT,
            wait: FIRST_WAIT,
            skipped: 0.0,
        }
    }

    /// Share of `q` columns that `lanes` use.
    fn share(&self, lanes: usize, q: usize) -> f64 {
        let used = |(i, set): (usize, &WorkingSet<T>)| {
            let own = (lanes - i * GROUP).min(GROUP);
            own * if set.active { set.members.len() } else { q }
        };
        let used: usize = self.groups[..lanes.div_ceil(GROUP)].iter().enumerate().map(used).sum();
        used as f64 / (lanes * q) as f64
    }

    /// Disables all sets until the next attempt, after `wait` iterations.
    fn wait(&mut self, wait: usize) {
        self.on = false;
        self.wait = wait;
        self.next_try = self.iterations + wait;
        self.groups.iter_mut().for_each(|set| set.active = false);
    }
}

impl<T: Real> State<T> {
    /// Enables working sets if they pay, and disables them if they do not.
    pub(in super::super) fn adapt_working_sets(&mut self) {
        let (lanes, q) = (self.lanes.len(), self.shared.shape().1);
        let running = self.lanes.iter().filter(|lane| lane.is_running()).count();
        let Some(sets) = &mut self.sets else { return };
        sets.iterations += 1;
        sets.groups.iter_mut().for_each(|set| set.age += 1);
        let was_on = sets.on;
        if !was_on && sets.iterations != sets.next_try {
            if sets.iterations + PERIOD == sets.next_try {
                self.for_each_group(|block| block.keep_residuals());
            }
            return;
        }
        self.for_each_group(|block| block.try_working_set());
        let Some(sets) = &mut self.sets else { return };
        let share = sets.share(lanes, q);
        if was_on {
            sets.skipped += (1.0 - share) * running as f64;
        }
        if share < if was_on { DISABLE_ABOVE } else { ENABLE_BELOW } {
            sets.on = true;
        } else if was_on {
            self.disable_working_sets();
        } else {
            // Each failed attempt doubles the wait.
            sets.wait((2 * sets.wait).min(MAX_WAIT));
        }
    }

    /// Writes the iterates of working sets back into those of all coefficients.
    pub(in super::super) fn scatter_working_sets(&mut self) {
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            self.for_each_group(|block| block.scatter());
        }
    }

    /// Goes back to all coefficients.
    pub(in super::super) fn disable_working_sets(&mut self) {
        self.scatter_working_sets();
        if let Some(sets) = &mut self.sets {
            sets.wait(FIRST_WAIT);
        }
    }
}
