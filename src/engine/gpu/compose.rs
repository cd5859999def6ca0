//! Shader text: constants of the run, bindings of the pass, then whole files, one after the other.

use std::collections::HashSet;

use super::generate;
use super::prelude::ShaderSpec;
use crate::lanes::{Job, RunNumbers};
use crate::program::{Part, Pass, Plan, Precision, Program};

/// A finished shader and the sources of its lines.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Kernel.
    pub name: &'static str,
    /// WGSL, with the entry point `main`.
    pub source: String,
    /// (file, first line in `source`, counted from 1).
    parts: Vec<(String, usize)>,
}

impl Composed {
    /// `file:line` of a line of the source, counted from 1.
    pub fn locate(&self, line: usize) -> String {
        let part = self.parts.iter().rev().find(|(_, first)| *first <= line);
        part.map_or_else(|| format!("line {line}"), |(file, first)| format!("{file}:{}", line - first + 1))
    }

    /// The files of the shader, and the names of generated texts.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(file, _)| file.as_str())
    }
}

/// The text of every pass of a plan, in order.
pub fn compose(plan: &Plan, job: &Job<'_>) -> Vec<Composed> {
    compose_program(&plan.program, &ShaderSpec::new(&plan.program.shape, &RunNumbers::new(job), job))
}

pub(super) fn compose_program(program: &Program, spec: &ShaderSpec) -> Vec<Composed> {
    program.passes.iter().map(|pass| compose_pass(pass, &spec.prelude, |part| texts(part, spec))).collect()
}

/// A file, or the name of a generated text, and its text.
pub(super) type Text = (String, String);

macro_rules! file {
    ($path:literal) => {
        text(concat!("shaders/", $path), include_str!(concat!("../../../shaders/", $path)))
    };
}

fn text(path: &str, text: &str) -> Text {
    (path.into(), text.into())
}

/// The texts of a part.
fn texts(part: &Part, spec: &ShaderSpec) -> Vec<Text> {
    let transcendental = || match spec.precision {
        Precision::F32 => file!("shared/transcendental_f32.wgsl"),
        Precision::F64 => file!("shared/transcendental_f64.wgsl"),
    };
    match part {
        Part::Loss => {
            let (path, loss) = spec.loss.shader();
            vec![text(path, loss), transcendental(), file!("shared/log1p_series.wgsl")]
        }
        Part::Penalty => {
            let (path, penalty) = spec.penalty.shader();
            vec![text(path, penalty)]
        }
        other => plain_texts(other),
    }
}

/// The texts of a part that does not depend on the objective.
pub(super) fn plain_texts(part: &Part) -> Vec<Text> {
    match part {
        Part::File(path, file) => vec![text(path, file)],
        Part::Product(product) => vec![text("generated: product", &product.source())],
        Part::Rowwise(rowwise) => vec![text("generated: rows", &rowwise.source())],
        Part::Multiply { rows, width } => {
            vec![text("generated: multiply", &generate::multiply(*rows, *width))]
        }
        Part::Constants(list) => vec![text("generated: constants", &generate::constants(list))],
        Part::Loss | Part::Penalty => Vec::new(),
    }
}

/// The text of a pass.
pub(super) fn compose_pass(pass: &Pass, prelude: &str, texts: impl Fn(&Part) -> Vec<Text>) -> Composed {
    let bindings = ("generated: bindings".to_string(), generate::bindings(pass));
    let mut list = vec![bindings, file!("shared/index.wgsl")];
    list.extend(pass.parts.iter().flat_map(texts));
    let mut source = used(prelude, &list);
    let mut parts = vec![("prelude".to_string(), 1)];
    for (file, text) in list {
        parts.push((file, source.lines().count() + 1));
        source.push_str(&text);
        source.push('\n');
    }
    Composed { name: pass.kernel, source, parts }
}

/// The lines of the prelude that some texts use, so that a kernel is recompiled only if a
/// constant of its own changes.
fn used(prelude: &str, texts: &[Text]) -> String {
    let words: HashSet<&str> =
        texts.iter().flat_map(|(_, text)| text.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let is_used = |line: &&str| {
        line.starts_with("alias") || line.split([' ', ':']).nth(1).is_some_and(|name| words.contains(name))
    };
    prelude.lines().filter(is_used).map(|line| format!("{line}\n")).collect()
}
