//! `proxjet grad-check`.

use std::fmt::Write;

use crate::settings::Settings;
use crate::{print, print_json};
use proxjet::diff::{Differentiate, check, check_gradient};
use proxjet::error::{Error, Result};
use proxjet::program::Precision;

/// Arguments of `grad-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Width of the differences: in log alpha, relative to alpha, absolute otherwise
    #[arg(long, value_name = "H", default_value_t = 1e-5)]
    width: f64,
    /// Largest relative error that passes
    #[arg(long, value_name = "E", default_value_t = 1e-6)]
    accept: f64,
    /// Compare the gradient of a criterion in this mode of `proxjet grad`, instead of the tangents of all
    /// coefficients
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// What the gradient is of: validation or objective [default: validation where rows are held out]
    #[arg(long, value_name = "WHAT", requires = "mode")]
    criterion: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 0 when every derivative passes and at least one lane was compared, else 3.
pub(crate) fn run(args: &Args) -> Result<u8> {
    // Differences need the same branches on both sides: by default without restart.
    let settings = args.settings.clone().or_without_restart();
    let (mut engine, precision) = settings.engine.open(settings.precision()?)?;
    if precision == Precision::F32 {
        log::warn!(
            "central differences lose half the digits: in f32 expect errors near 1e-2; use --precision f64"
        );
    }
    let sweep = settings.sweep(precision)?;
    let rows = match &args.mode {
        None => check(&sweep, engine.as_mut(), args.width)?,
        Some(mode) => {
            let mut of = Differentiate::new(sweep).mode(mode.parse()?);
            if let Some(criterion) = &args.criterion {
                of = of.criterion(criterion.parse()?);
            }
            check_gradient(&of, engine.as_mut(), args.width)?
        }
    };
    if rows.is_empty() {
        let remedy = "Name one with --derivative, as in --derivative log_alpha.";
        return Err(Error::usage("--derivative", "none", "at least one derivative to compare", remedy));
    }
    if args.json {
        print_json(&rows)?;
    } else {
        let mut out = String::from("derivative\tcompared\texcluded\tmax_error\tworst_lane\n");
        for r in &rows {
            let worst = r.worst_lane.map_or("-".into(), |l| l.to_string());
            let _ = writeln!(
                out,
                "{}\t{}\t{}\t{:.3e}\t{worst}",
                r.derivative, r.compared, r.excluded, r.max_error
            );
        }
        print(&out)?;
        note!(
            "excluded: lanes whose active set differs between the perturbed runs at some iteration (a kink)"
        );
    }
    for row in rows.iter().filter(|r| r.compared == 0) {
        note!(
            "derivative '{}' fails: nothing was compared, because every lane was excluded. Use other \
             --alphas, fewer --iterations or a smaller --width.",
            row.derivative
        );
    }
    let passes = rows.iter().all(|r| r.compared > 0 && r.max_error <= args.accept);
    Ok(if passes { 0 } else { crate::SOME_NOT_CONVERGED })
}
