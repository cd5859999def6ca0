//! Execution forms: how an engine computes an iteration.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Limits, MetricForm, Request};
use crate::error::{Error, ErrorKind, Result};

/// How an iteration is computed. All forms compute the same sequences, to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Products with the design: `4 n q b (1+d)` operations.
    Direct,
    /// A product with `XᵀX`: `2 q² b (1+d)` operations. Squared loss only.
    Gram,
    /// The same with many iterations in one dispatch, in which a workgroup keeps some lanes in its own memory.
    Resident,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 3] = [Form::Direct, Form::Gram, Form::Resident];
    /// Every name, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] = &["direct", "gram", "resident"];

    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Why this form cannot answer a request on an engine, if it cannot.
    fn obstacle(self, r: &Request, limits: &Limits) -> Option<&'static str> {
        match self {
            Form::Direct => None,
            _ if limits.engine != "gpu" => Some("the CPU engine has only the direct form"),
            _ if !r.quadratic => Some("only the squared loss is quadratic"),
            _ if r.measures_curvature => Some("the schedule measures curvature along its steps"),
            _ if matches!(r.metric, MetricForm::Hessian { .. }) => Some("the metric follows from the design's squares"),
            _ if !limits.wide => Some("the adapter has no f64 to sum XᵀX in"),
            Form::Gram => None,
            Form::Resident if r.metric != MetricForm::None => Some("there is a metric"),
            Form::Resident if r.validation_rows > 0 => Some("held-out rows are predicted at every iteration"),
            Form::Resident if limits.storage_buffers < RESIDENT_BUFFERS => {
                Some("the device binds too few storage buffers")
            }
            Form::Resident if ResidentTile::of(r, limits).is_none() => {
                Some("a lane is too large for a workgroup's memory")
            }
            Form::Resident => None,
        }
    }

    /// Estimated seconds of an iteration of some lanes together: products, what is between them, launches, and what is decided lane
    /// by lane.
    pub(super) fn iteration(self, r: &Request, limits: &Limits, lanes: usize) -> f64 {
        let request = Request { form: Some(self), ..*r };
        // What is done once in a while is done alike in every form.
        let (often, rarely): (Vec<_>, Vec<_>) =
            super::kernels::kernels(&request, lanes).into_iter().partition(|k| k.every == 1);
        let operations: f64 = often.iter().map(|k| k.flops).sum();
        let tests: f64 = rarely.iter().map(|k| k.flops / k.every as f64 / limits.flops).sum();
        let (n, q, lanes) = (r.rows as f64, r.state_rows as f64, lanes as f64);
        let columns = lanes * (1 + r.tangents) as f64;
        let of = |flops: f64, elements: f64, dispatches: f64, deciding: f64| {
            operations / flops
                + elements * columns * limits.element
                + dispatches * limits.dispatch
                + deciding * lanes * limits.lane
        };
        tests
            + match self {
                Form::Direct => of(limits.flops, n + q, 3.0, 1.0),
                Form::Gram => of(limits.flops, 1.5 * q, 3.0, 1.0),
                // Of invocations that work at the same time fewer decide.
                Form::Resident => {
                    let deciding = if limits.parallel { 2.5 } else { 1.0 };
                    of(limits.flops_resident, 0.5 * q, 2.0 / super::kernels::segment(r) as f64, deciding)
                }
            }
    }

    /// Estimated seconds of what is done once a run.
    pub(super) fn once(self, r: &Request, limits: &Limits) -> f64 {
        let (n, q) = (r.rows as f64, r.state_rows as f64);
        if self == Form::Direct { 0.0 } else { n * q * q / limits.flops_wide }
    }

    fn seconds(self, r: &Request, limits: &Limits) -> f64 {
        self.iteration(r, limits, r.lanes) * r.iterations as f64 + self.once(r, limits)
    }
}

/// Storage buffers that the resident form binds.
const RESIDENT_BUFFERS: u32 = 9;

/// How a workgroup of the resident form is cut. The same however many lanes there are, as it decides the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ResidentTile {
    /// vec4s of lanes of a workgroup.
    pub quads: usize,
    /// Invocations that share the coefficients of a lane, at least four.
    pub groups: usize,
}

impl ResidentTile {
    /// The first that fits the device, if any does: the most lanes, then by how invocations work.
    pub(super) fn of(r: &Request, limits: &Limits) -> Option<Self> {
        // Where invocations take turns anyway, few of them waste the least of those that have nothing to decide.
        let groups = if limits.parallel { [64, 32, 16, 8, 4] } else { [4, 8, 16, 32, 64] };
        let candidates = [8, 4, 2, 1].into_iter().flat_map(|quads| groups.map(|groups| ResidentTile { quads, groups }));
        let fits = |t: &ResidentTile| {
            let useful = t.groups == 4 || t.groups < 2 * r.state_rows;
            useful
                && (t.quads * t.groups) as u64 <= limits.max_invocations.min(256)
                && t.own_rows(r.state_rows) * (1 + r.tangents) <= MOST_VALUES
                && t.bytes(r) <= limits.workgroup_bytes.min(MOST_BYTES)
        };
        candidates.into_iter().find(fits)
    }

    /// Coefficients of an invocation.
    pub fn own_rows(&self, state_rows: usize) -> usize {
        state_rows.div_ceil(self.groups)
    }

    fn bytes(&self, r: &Request) -> u64 {
        let d = r.tangents;
        let pool = 2 * r.state_rows.next_multiple_of(4) * (1 + d) * self.quads * 4;
        let shares = (6 + usize::from(r.constants > 0) + 2 * d) * self.groups * self.quads * 4;
        let pages = super::book_fields(d) * self.quads * 4;
        (pool + shares + pages + 2) as u64 * r.precision.bytes()
    }
}

/// vec4s of a product that an invocation keeps in registers.
const MOST_VALUES: usize = 16;
/// Bytes of workgroup memory at most: more would leave a multiprocessor with a single workgroup.
const MOST_BYTES: u64 = 48 << 10;

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let of = |name: &&&str| **name == text;
        match Self::NAMES.iter().find(of) {
            Some(_) => Ok(Self::ALL.into_iter().find(|form| form.name() == text).expect("a form for every name")),
            None => Err(Error::unknown(ErrorKind::Usage, "--form", text, Self::NAMES)),
        }
    }
}

/// The form a plan takes, and why.
pub(super) fn choose(r: &Request, limits: &Limits) -> Result<(Form, String)> {
    if let Some(form) = r.form {
        return match form.obstacle(r, limits) {
            None => Ok((form, "as asked".into())),
            Some(why) => {
                let (found, expected) = (format!("the {form} form, but {why}"), "a form that can run this");
                Err(Error::usage("--form", found, expected, "Leave the form to the plan."))
            }
        };
    }
    let (able, unable): (Vec<Form>, Vec<Form>) = Form::ALL.into_iter().partition(|f| f.obstacle(r, limits).is_none());
    let estimates: Vec<(Form, f64)> = able.into_iter().map(|form| (form, form.seconds(r, limits))).collect();
    let (best, _) = *estimates.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("the direct form always can");
    let mut reasons: Vec<String> = estimates.iter().map(|(form, s)| format!("{form} about {s:.2e} s")).collect();
    reasons.extend(unable.iter().filter_map(|form| Some(format!("not {form}: {}", form.obstacle(r, limits)?))));
    Ok((best, reasons.join("; ")))
}
