//! Schedules written in TOML.

use std::path::Path;

use serde::Deserialize;

use super::{Metric, Momentum, Phase, Schedule, Step};
use crate::data::{read_array, read_text};
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of a file, its tables not counted.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    metric: Option<String>,
    tangent_start: Option<Word>,
    patience: Option<Word>,
    #[serde(default)]
    phase: Vec<FilePhase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePhase {
    until: Option<Word>,
    algorithm: String,
    step: Option<String>,
    momentum: Option<String>,
    restart: Option<String>,
}

/// A number or a word: `until = 200`, `until = "identified"`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Word(toml::Value);

impl Word {
    fn text(&self) -> String {
        self.0.as_str().map_or_else(|| self.0.to_string(), String::from)
    }
}

impl Schedule {
    /// Reads a schedule from a TOML file of at most a megabyte; relative paths of tables start at its folder.
    /// A table of more than `max_bytes` is refused.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or has an unknown key or a rule out of range; the phase is
    /// named.
    pub fn read(path: &Path, max_bytes: u64) -> Result<Self> {
        let at = path.display().to_string();
        let text = read_text(path, MAX_BYTES).map_err(|e| Error { kind: ErrorKind::Usage, ..e })?;
        Schedule::parse(&text, &at, path.parent().unwrap_or(Path::new(".")), max_bytes)
    }

    /// Reads a schedule from TOML text called `name`; relative paths of tables start at `folder`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str, name: &str, folder: &Path, max_bytes: u64) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |s| text[..s.start].matches('\n').count() + 1);
            let found = format!("line {line}: {}", e.message());
            let remedy =
                "See docs/schedules.md for the keys; rules are words in quotes, as in step = \"constant:1\".";
            Error::usage(name, found, "a schedule in TOML", remedy).with_source(e)
        })?;
        let count = file.phase.len();
        let table = |file: &str| read_array(&folder.join(file), max_bytes);
        let phase = |(i, p): (usize, &FilePhase)| -> Result<Phase> {
            let inside = |e: Error| e.within(&format!("{name}: phase {} of {count}: ", i + 1));
            let build = || -> Result<Phase> {
                let mut phase = Phase::new(p.algorithm.parse()?);
                if let Some(rule) = &p.step {
                    phase = phase.step(match rule.strip_prefix("table:") {
                        Some(file) => Step::Table(table(file)?),
                        None => rule.parse()?,
                    });
                }
                if let Some(rule) = &p.momentum {
                    phase = phase.momentum(match rule.strip_prefix("table:") {
                        Some(file) => Momentum::Table(table(file)?),
                        None => rule.parse()?,
                    });
                }
                if let Some(rule) = &p.restart {
                    phase = phase.restart(rule.parse()?);
                }
                if let Some(until) = &p.until {
                    phase = phase.until(until.text().parse()?);
                }
                Ok(phase)
            };
            build().map_err(inside)
        };
        let mut phases = file.phase.iter().enumerate().map(phase);
        let mut schedule: Schedule = match phases.next() {
            Some(first) => first?.into(),
            None => {
                return Err(Error::usage(
                    name,
                    "no phase",
                    "at least one [[phase]]",
                    "See docs/schedules.md.",
                ));
            }
        };
        for phase in phases {
            schedule = schedule.then(phase?);
        }
        let inside = |e: Error| e.within(&format!("{name}: "));
        if let Some(rule) = &file.metric {
            schedule = schedule.metric(match rule.strip_prefix("table:") {
                Some(file) => Metric::Table(table(file).map_err(inside)?),
                None => rule.parse().map_err(inside)?,
            });
        }
        if let Some(start) = &file.tangent_start {
            schedule = schedule.tangent_start(start.text().parse().map_err(inside)?);
        }
        Ok(match file.patience {
            Some(patience) => {
                let text = patience.text();
                let refuse =
                    || Error::usage(format!("{name}: patience"), &text, "a whole number of iterations", "");
                schedule.patience(text.parse().map_err(|_| refuse())?)
            }
            None => schedule,
        })
    }
}
