//! Compiles the main kernels with AMD's compiler in Mesa's RADV, without a GPU, and fails where it spills
//! registers, uses scratch memory without need, or multiplies too rarely in the loop of a product.
//!
//! `tests/kernels` fetches the driver and calls this program. Nothing runs: RADV compiles for a device that
//! is not there (`RADV_FORCE_FAMILY`).

use std::process::ExitCode;

use ndarray::{Array1, Array2};
use proxjet::data::Dataset;
use proxjet::engine::gpu::{DeviceKind, compose};
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Limits, Plan, Precision, Request, Strategy};
use proxjet::solve::{Alphas, Sweep};

mod assembly;
mod device;

use device::{Compiled, Device};

/// Least share of multiply-adds among the instructions of a product's loop; where it reads its columns by a
/// list of active ones; and with so many derivatives that a tile has fewer results.
const LEAST_SHARE: f64 = 0.75;
const LEAST_BY_LIST: f64 = 0.7;
const LEAST_OF_SMALL_TILES: f64 = 0.55;
/// Derivatives from which tiles are small, and a kernel may use scratch memory.
const SMALL_TILES_FROM: usize = 4;

/// Kernels of a run: loss, rows and features, lanes, derivatives, strategy.
struct Case {
    loss: Loss,
    shape: (usize, usize),
    lanes: usize,
    tangents: usize,
    strategy: Strategy,
}

fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for tangents in [0, 1, 4] {
        let mut add = |loss, shape, lanes, strategy| {
            list.push(Case { loss, shape, lanes, tangents, strategy });
        };
        add(Loss::squared(), (4096, 8192), 256, Strategy::Direct);
        add(Loss::logistic(), (4096, 8192), 256, Strategy::Direct);
        add(Loss::squared(), (8192, 1024), 4096, Strategy::Direct);
        add(Loss::squared(), (4096, 1024), 1024, Strategy::Gram);
        add(Loss::squared(), (442, 10), 4096, Strategy::Persistent);
    }
    list
}

/// The name and the WGSL of every pass of a case on a discrete GPU.
fn kernels(case: &Case) -> proxjet::error::Result<Vec<(&'static str, String)>> {
    // The data of the kernels are elsewhere: their sizes are those of the request.
    let x = Array2::from_shape_fn((6, 2), |(i, j)| (1.0 + 2.0 * i as f64 + j as f64).sin());
    let y = Array1::from_shape_fn(6, |i| (i % 2) as f64);
    let problem = Objective::builder(Dataset::new(x, y)?).loss(case.loss).penalty(Penalty::l1());
    let sweep = Sweep::new(problem.intercept(false).build()?)
        .alphas(Alphas::List(vec![0.1; 4]))
        .derivatives(vec![Derivative::LogAlpha; case.tangents])
        .strategy(Some(case.strategy))
        .iterations(500);
    let prepared = sweep.prepare()?;
    let ((rows, features), lanes) = (case.shape, case.lanes);
    let request = Request {
        rows,
        state_rows: features,
        moving_rows: features,
        lanes,
        together: lanes,
        precision: Precision::F32,
        memory_budget: u64::MAX,
        ..sweep.request(&prepared)
    };
    let limits = Limits {
        storage_buffers: 16,
        workgroup_bytes: 48 << 10,
        max_buffer_bytes: 2 << 30,
        ..Limits::of_gpu(DeviceKind::Discrete, Precision::F32)
    };
    let plan = Plan::new(request, &limits)?;
    let shaders = compose(&plan, &prepared.job(sweep.problem(), 1e-6));
    Ok(shaders.into_iter().map(|shader| (shader.name, shader.source)).collect())
}

/// What is wrong with a kernel.
fn faults(case: &Case, by_list: bool, kernel: &str, of: &Compiled) -> Vec<String> {
    let mut faults = Vec::new();
    if of.spilled > 0 {
        faults.push(format!("{} registers spilled", of.spilled));
    }
    if of.scratch > 0 && case.tangents < SMALL_TILES_FROM {
        faults.push(format!("{} bytes of scratch", of.scratch));
    }
    // Others are small, or multiply by the way.
    let products: &[&str] = match case.strategy {
        Strategy::Direct => &["predict", "gradient"],
        Strategy::Gram => &["gram_product"],
        _ => &[],
    };
    let least = match () {
        () if case.tangents >= SMALL_TILES_FROM => LEAST_OF_SMALL_TILES,
        () if by_list => LEAST_BY_LIST,
        () => LEAST_SHARE,
    };
    if products.iter().any(|product| kernel.starts_with(product)) && of.share < least {
        faults.push(format!("{:.1} % multiply-adds in the hot loop", 100.0 * of.share));
    }
    faults
}

fn check(device: &Device) -> Result<usize, Box<dyn std::error::Error>> {
    println!(
        "{:>30} {:>18} {:>9} {:>7} {:>7} {:>7} {:>5}",
        "case", "kernel", "registers", "spilled", "scratch", "code", "fma"
    );
    let (mut seen, mut found) = (std::collections::HashSet::new(), 0);
    for case in cases() {
        let (n, p) = case.shape;
        let name = format!("{} {n} x {p}, {}, d={}", case.strategy, case.loss, case.tangents);
        let kernels = kernels(&case)?;
        let by_list = kernels.iter().any(|(kernel, _)| *kernel == "active_set");
        for (kernel, source) in kernels {
            if !seen.insert(source.clone()) {
                continue;
            }
            let of = device.compile(&source).map_err(|e| format!("{name}, {kernel}: {e}"))?;
            let faults = faults(&case, by_list, kernel, &of);
            found += faults.len();
            println!(
                "{name:>30} {kernel:>18} {:>9} {:>7} {:>7} {:>7} {:>4.0}% {}",
                of.registers,
                of.spilled,
                of.scratch,
                of.code,
                100.0 * of.share,
                faults.join(", ")
            );
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let device = match Device::open() {
        Ok(device) => device,
        Err(e) => {
            eprintln!("no compiler: {e}\n  tests/kernels fetches Mesa's RADV and calls this program with it");
            return ExitCode::from(3);
        }
    };
    println!("{}", device.name);
    match check(&device) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(found) => {
            eprintln!("{found} faults");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
