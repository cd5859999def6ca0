//! The use of every column.

use super::super::read::{ReadOptions, find_column};
use super::text::Text;
use crate::error::{Error, Result};

/// Columns by their use.
pub(super) struct Roles {
    pub(super) target: usize,
    pub(super) weights: Option<usize>,
    pub(super) groups: Option<usize>,
    pub(super) features: Vec<usize>,
}

impl Roles {
    pub(super) fn new(text: &Text<'_>, options: &ReadOptions) -> Result<Self> {
        let names = &text.names;
        let find = |what: &str, wanted: &str| find_column(&format!("{}: {what}", text.file), wanted, names);
        let dropped: Vec<usize> =
            options.drop.iter().map(|d| find("column to drop", d)).collect::<Result<_>>()?;
        let weights = options.weights.as_deref().map(|w| find("column of weights", w)).transpose()?;
        let groups = options.groups.as_deref().map(|g| find("column of groups", g)).transpose()?;
        let free = |j: &usize| !dropped.contains(j) && ![weights, groups].contains(&Some(*j));
        let target = match &options.target {
            Some(wanted) => Some(find("target column", wanted)?),
            None => (0..names.len()).rev().find(free),
        };
        let Some(target) = target else {
            return Err(Error::usage("drop", "every column", "a target column that is kept", ""));
        };
        let both = |of: Option<usize>| of.is_some_and(|j| dropped.contains(&j));
        if !free(&target) || both(weights) || both(groups) || groups.is_some() && groups == weights {
            let twice = |j: &usize| dropped.contains(j) || groups == weights;
            let clash = [weights, groups].into_iter().flatten().find(twice).filter(|_| free(&target));
            let found = format!("column '{}' for two uses", names[clash.unwrap_or(target)]);
            let expected = "different columns for `target`, `weights`, `groups` and `drop`";
            return Err(Error::usage(format!("{}: columns", text.file), found, expected, ""));
        }
        let features: Vec<usize> = (0..names.len()).filter(|j| free(j) && *j != target).collect();
        if features.is_empty() {
            return Err(Error::data(
                format!("{}, line 1", text.file),
                format!("{} column(s)", names.len()),
                "at least one feature beside the target",
                other_separator(names).unwrap_or_default(),
            ));
        }
        let roles = Roles { target, weights, groups, features };
        roles.warn_of_unnamed(text);
        Ok(roles)
    }

    /// Data frames write their index as a first column without a name.
    fn warn_of_unnamed(&self, text: &Text<'_>) {
        for j in &self.features {
            let name = &text.names[*j];
            if *name == format!("column {j}") || name.starts_with("Unnamed:") {
                log::warn!(
                    "{}: column {j} ('{name}') has no name of its own, as an index that a data frame wrote; \
                     it is used as a feature. Leave it out with `drop {j}`.",
                    text.file
                );
            }
        }
    }
}

/// The remedy for a single name that holds another separator.
fn other_separator(names: &[String]) -> Option<String> {
    let known = [(';', ";"), ('\t', "tab"), ('|', "|")];
    let (_, word) = known.into_iter().find(|(c, _)| names.len() == 1 && names[0].contains(*c))?;
    Some(format!("Use `separator {word}`."))
}
