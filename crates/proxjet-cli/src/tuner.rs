//! `proxjet tuner`: the tuned tiles of this machine.

use std::fmt::Write;

use serde::Serialize;

use crate::{print, print_json};
use proxjet::engine::Engine;
use proxjet::engine::gpu::{GpuEngine, Pick, Side, TileCache, TunedTile, Tuning};
use proxjet::error::{Error, Result};
use proxjet::program::{Plan, Precision, Request, Strategy};
use proxjet::solve::DEFAULT_MEMORY_BUDGET;

/// Arguments of `tuner`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the tuned tiles that later runs use
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove them
    Clear,
    /// Time tiles ahead of runs of a shape, on the best adapter
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Rows, features (and one for an intercept, if there is one), and lanes
    #[arg(long, value_name = "N,P,B", value_delimiter = ',', required = true)]
    shape: Vec<usize>,
    /// Derivatives of a lane
    #[arg(long, value_name = "D", default_value_t = 1)]
    tangents: usize,
    /// f32 or f64
    #[arg(long, value_name = "P", default_value = "f32")]
    precision: Precision,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed {
    /// The file of the tuned tiles.
    file: Option<String>,
    tiles: Vec<TunedTile>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let cache = TileCache::of_user();
    let file = cache.file().map(|f| f.display().to_string());
    match &args.command {
        Command::List { json } => show(Listed { file, tiles: cache.read() }, *json)?,
        Command::Run(args) => show(Listed { file, tiles: tune(args)? }, args.json)?,
        Command::Clear => {
            let text = match (cache.clear()?, file) {
                (true, Some(file)) => format!("removed {file}\n"),
                (_, file) => format!("nothing to remove: {}\n", place(&file)),
            };
            print(&text)?;
        }
    }
    Ok(0)
}

/// Maximum size; products of such sizes do not overflow.
const MOST: usize = 1 << 24;
/// Maximum number of derivatives.
const MOST_TANGENTS: usize = 64;

fn tune(args: &RunArgs) -> Result<Vec<TunedTile>> {
    let [rows, state_rows, lanes] = args.shape[..] else {
        return Err(Error::usage("--shape", format!("{} numbers", args.shape.len()), "three: N,P,B", ""));
    };
    if let Some(wrong) = args.shape.iter().find(|size| **size == 0 || **size > MOST) {
        return Err(Error::usage("--shape", wrong.to_string(), format!("numbers from 1 to {MOST}"), ""));
    }
    if args.tangents > MOST_TANGENTS {
        let found = args.tangents.to_string();
        return Err(Error::usage("--tangents", found, format!("at most {MOST_TANGENTS}"), ""));
    }
    let mut engine = GpuEngine::request(Pick::Any)?;
    if Tuning::from_env() == Tuning::Auto {
        engine = engine.tuning(Tuning::Always);
    }
    // It only determines the slots.
    let plain = Request::plain((rows, state_rows), lanes, args.tangents, 1, args.precision);
    let request = Request { strategy: Some(Strategy::Direct), memory_budget: DEFAULT_MEMORY_BUDGET, ..plain };
    engine.tune(&Plan::new(request, &engine.limits(args.precision)?)?)
}

fn place(file: &Option<String>) -> String {
    file.clone().unwrap_or_else(|| "there is no cache folder; PROXJET_CACHE may name one".into())
}

fn show(listed: Listed, json: bool) -> Result<()> {
    if json { print_json(&listed) } else { print(&text(&listed)) }
}

fn text(listed: &Listed) -> String {
    let mut out = format!("{}\n", place(&listed.file));
    if listed.tiles.is_empty() {
        out.push_str("no tuned tiles\n");
        return out;
    }
    // By device, in the order in which they were first tuned.
    let mut devices: Vec<(&str, &str)> = Vec::new();
    for tuned in &listed.tiles {
        let device = (tuned.key.adapter.as_str(), tuned.key.driver.as_str());
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    for (adapter, driver) in devices {
        let _ = writeln!(out, "\n{adapter} ({driver}); sizes are rounded to powers of two");
        let _ = writeln!(
            out,
            "{:<10} {:<11} {:<8} {:>7} {:>7} {:>7} {:>7}  {:<26} {:>9} {:>9}",
            "precision",
            "product",
            "end",
            "rows",
            "terms",
            "lanes",
            "columns",
            "workgroup's outputs",
            "ms",
            "gain"
        );
        for tuned in listed
            .tiles
            .iter()
            .filter(|t| (t.key.adapter.as_str(), t.key.driver.as_str()) == (adapter, driver))
        {
            let TunedTile { key, tile, .. } = tuned;
            let side = if key.side == Side::Plain { "X m" } else { "Xᵀ m" };
            let columns = 4 * tile.lane4s * tile.group[0] * key.width;
            let mut cut = format!("{}x{columns}", tile.rows * tile.group[1]);
            let _ = match tile.depth {
                0 if key.side == Side::Transposed && tile.unroll > 1 => {
                    write!(cut, ", unrolled {}", tile.unroll)
                }
                0 => Ok(()),
                depth => write!(cut, "x{depth} shared"),
            };
            let _ = writeln!(
                out,
                "{:<10} {side:<11} {:<8} {:>7} {:>7} {:>7} {:>7}  {cut:<26} {:>9.3} {:>9.2}",
                key.precision.name(),
                if key.fused { "fused" } else { "stored" },
                key.rows,
                key.inner,
                key.lanes,
                key.width,
                1e3 * tuned.seconds,
                tuned.usual_seconds / tuned.seconds
            );
        }
    }
    out
}
