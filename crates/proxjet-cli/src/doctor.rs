//! `proxjet doctor`: what this machine has, and what to do about what it has not.

use std::fmt::Write;

use serde::Serialize;

use crate::{print, print_json};
use proxjet::engine::{Engine, EngineInfo, cpu::CpuEngine};
use proxjet::error::Result;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Diagnosis {
    proxjet: &'static str,
    cpu: EngineInfo,
    #[cfg(feature = "gpu")]
    adapters: Vec<proxjet::engine::gpu::AdapterSummary>,
    auto: String,
    remedy: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let cpu = CpuEngine::new().info();
    #[cfg(feature = "gpu")]
    let adapters = proxjet::engine::gpu::adapters();
    #[cfg(feature = "gpu")]
    let (auto, remedy) = match adapters.iter().find(|a| !a.software) {
        Some(real) => (format!("gpu: {}", real.name), None),
        None if adapters.is_empty() => ("cpu".to_string(), Some(proxjet::engine::gpu::no_adapter())),
        None => (
            "cpu (a software adapter is slower than the CPU engine; use it with --engine gpu)".to_string(),
            Some(proxjet::engine::gpu::no_real_adapter()),
        ),
    };
    #[cfg(not(feature = "gpu"))]
    let (auto, remedy) =
        ("cpu".to_string(), Some("This build has no GPU engine: build with the feature 'gpu'.".to_string()));
    let diagnosis = Diagnosis {
        proxjet: env!("CARGO_PKG_VERSION"),
        cpu,
        #[cfg(feature = "gpu")]
        adapters,
        auto,
        remedy,
    };
    if args.json {
        print_json(&diagnosis)?;
    } else {
        print(&text(&diagnosis))?;
    }
    Ok(0)
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut out = format!("proxjet {}\n\n", diagnosis.proxjet);
    let _ = writeln!(out, "CPU engine: {} ({}), f32 and f64", diagnosis.cpu.adapter, diagnosis.cpu.driver);
    #[cfg(feature = "gpu")]
    for (i, a) in diagnosis.adapters.iter().enumerate() {
        let kind = if a.software { "software" } else { a.device_type.as_str() };
        let _ = writeln!(out, "\nadapter {i}: {} ({kind}, {})", a.name, a.backend);
        let _ = writeln!(out, "  driver: {} {}", a.driver, a.driver_info);
        let yes = |b: bool| if b { "yes" } else { "no" };
        let _ = writeln!(
            out,
            "  precision: f32{}; timestamps: {}; subgroups: {}",
            if a.f64 { " and f64" } else { " only" },
            yes(a.timestamps),
            yes(a.subgroups)
        );
        let _ = writeln!(
            out,
            "  limits: one storage binding {}, one buffer {}, {} invocations and {} of memory per workgroup",
            proxjet::error::bytes(a.max_binding_bytes),
            proxjet::error::bytes(a.max_buffer_bytes),
            a.max_invocations,
            proxjet::error::bytes(a.max_workgroup_bytes)
        );
        if let Some(missing) = &a.unusable {
            let _ = writeln!(out, "  not usable: {missing}");
        }
    }
    let _ = writeln!(out, "\n--engine auto takes: {}", diagnosis.auto);
    if let Some(remedy) = &diagnosis.remedy {
        let _ = writeln!(out, "{remedy}");
    }
    out
}
