//! Measurements as tables, each with a short explanation.

use std::fmt::Write;

use crate::compare::{Comparison, Side};
use crate::report::{Entry, Latency, ModeTime, Report};

/// A table with aligned columns; the first `left` columns are left-aligned.
fn table(left: usize, head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|h| h.to_string()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in all() {
        let cells = row.iter().zip(&widths).enumerate();
        let cells =
            cells.map(|(i, (cell, &w))| if i < left { format!("{cell:<w$}") } else { format!("{cell:>w$}") });
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out
}

/// A number with three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 || v == 0.0 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        v if v >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

fn ms(seconds: f64) -> String {
    digits(1e3 * seconds)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".into())
}

/// Every section of a report.
pub(crate) fn report(report: &Report) -> String {
    let (ran, host) = (&report.engine, &report.host);
    let mut out = format!("{} engine: {} ({})\n", ran.engine, ran.adapter, ran.driver);
    let _ =
        writeln!(out, "host: {}, {} threads, {}, kernel {}", host.cpu, host.threads, host.os, host.kernel);
    let settings = &report.settings;
    let _ = writeln!(
        out,
        "{}, suite {}, median of {} repetitions of about {} s; {:.0} s in all",
        report.date, settings.suite, settings.repeat, settings.sample_seconds, report.seconds
    );
    for part in [products, shapes, kernels, lanes, sparsity, paths, modes, cancel, accuracy, skipped] {
        out += &part(report);
    }
    out
}

fn products(report: &Report) -> String {
    if report.products.is_empty() {
        return String::new();
    }
    let mut out = "\nplain products X M and X'R on this engine\n".to_string();
    let rows = report.products.iter().filter(|p| p.rows == p.features && p.rows == p.columns).map(|p| {
        let size = format!("{} x {} x {}", p.rows, p.features, p.columns);
        vec![size, p.precision.clone(), ms(p.seconds.median), digits(p.gflops)]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        out += &table(2, &["size", "prec", "ms of both", "GFLOP/s"], &rows);
    }
    for p in &report.peaks {
        let _ = writeln!(
            out,
            "  peak {}: {} GFLOP/s, at {} x {} x {}",
            p.precision,
            digits(p.gflops),
            p.rows,
            p.features,
            p.columns
        );
    }
    out
}

fn shapes(report: &Report) -> String {
    if report.shapes.is_empty() {
        return String::new();
    }
    let mut out = "\niterations: FISTA, squared loss, l1; ms of one iteration of all lanes\n".to_string();
    let row = |e: &Entry| {
        let device = e.device.as_ref();
        vec![
            format!("{} x {}", e.rows, e.features),
            e.precision.clone(),
            e.strategy.clone(),
            e.lanes.to_string(),
            e.lanes_at_a_time.to_string(),
            e.tangents.to_string(),
            ms(e.seconds.median),
            digits(e.gflops),
            digits(e.gigabytes_per_second),
            digits(e.products_ratio.median),
            or_dash(e.floor_ratio.map(digits)),
            or_dash(device.map(|d| percent(d.idle_share))),
            or_dash(device.map(|d| percent(d.gap_seconds.median / e.seconds.median))),
            or_dash(device.and_then(|d| d.hidden_share).map(percent)),
            ms(e.start_seconds),
            percent(e.run.host_share),
        ]
    };
    let head = [
        "shape",
        "prec",
        "strategy",
        "lanes",
        "at once",
        "d",
        "ms",
        "GFLOP/s",
        "GB/s",
        "/products",
        "/floor",
        "idle",
        "gaps",
        "hidden",
        "start ms",
        "host",
    ];
    out += &table(3, &head, &report.shapes.iter().map(row).collect::<Vec<_>>());
    out += "  /products: over the two plain products of as many columns, measured in between. /floor: over \
        the counted operations\n\
        \x20 at the peak. GB/s: the design counts once a product, the state as often as it is read and \
        written.\n\
        \x20 host: share of a whole run, with preparation and trace, that is not spent in iterations (on a \
        device: in kernels).\n\
        \x20 start: from opening a run to the end of its first iteration, kernels compiled before.\n";
    if report.shapes.iter().any(|e| e.device.is_some()) {
        out += "  idle: share of an iteration in which no kernel ran. gaps: the part of it between kernels, \
            at most. hidden: share of\n\
            \x20 transfers and host work that chunks in flight hide. All by the device's own clock.\n";
    }
    if let Some(share) = report.host_share {
        let _ = writeln!(out, "  all whole runs together: host {}", percent(share));
    }
    out
}

fn kernels(report: &Report) -> String {
    let timed: Vec<_> = report.shapes.iter().filter_map(|e| e.device.as_ref().map(|d| (e, d))).collect();
    if timed.is_empty() {
        return String::new();
    }
    let mut out = "\nkernels: µs of an iteration, by the device's own clock\n".to_string();
    for (e, device) in timed {
        let mut list: Vec<_> = device.kernels.iter().collect();
        list.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let list: Vec<String> =
            list.iter().map(|k| format!("{} {}", k.name, digits(1e6 * k.seconds))).collect();
        let what =
            format!("{} x {}, {} lanes, d={}, {}", e.rows, e.features, e.lanes, e.tangents, e.precision);
        let _ = writeln!(out, "  {what}, {}: {}", e.strategy, list.join(", "));
    }
    out
}

fn lanes(report: &Report) -> String {
    if report.lanes.is_empty() {
        return String::new();
    }
    let rows = report.lanes.iter().map(|w| {
        let shape = format!("{} x {}", w.rows, w.features);
        let (lanes, iterations, d) = (w.lanes.to_string(), w.iterations.to_string(), w.tangents.to_string());
        vec![shape, w.precision.clone(), w.strategy.clone(), lanes, iterations, d, digits(w.seconds.median)]
    });
    let rows: Vec<_> = rows.collect();
    let head = ["shape", "prec", "strategy", "lanes", "iterations", "d", "s"];
    format!("\nmany lanes: seconds of all iterations, preparation not counted\n{}", table(3, &head, &rows))
}

fn sparsity(report: &Report) -> String {
    if report.sparsity.is_empty() {
        return String::new();
    }
    let rows = report.sparsity.iter().map(|s| {
        vec![
            format!("{} x {}", s.rows, s.features),
            s.lanes.to_string(),
            s.iterations.to_string(),
            s.tangents.to_string(),
            s.path_floor.to_string(),
            digits(s.seconds_without.median),
            digits(s.seconds.median),
            digits(s.ratio.median),
            percent(s.skipped_work),
            if s.difference == 0.0 { "0".into() } else { format!("{:.1e}", s.difference) },
        ]
    });
    let rows: Vec<_> = rows.collect();
    let head = [
        "shape",
        "lanes",
        "iterations",
        "d",
        "floor",
        "s without",
        "s with",
        "ratio",
        "skipped",
        "difference",
    ];
    format!(
        "\nexact sparsity: lasso of 1 % density, direct strategy, {}; floor: smallest alpha over alpha_max; \
            difference: the largest\n\
         relative one of iterates and derivatives, of lanes with equal active sets\n{}",
        report.sparsity[0].precision,
        table(1, &head, &rows)
    )
}

fn paths(report: &Report) -> String {
    let Some(first) = report.paths.first() else { return String::new() };
    let rows = report.paths.iter().map(|p| {
        vec![
            p.what.clone(),
            p.than.clone(),
            digits(p.seconds.median),
            digits(p.seconds_than.median),
            digits(p.ratio.median),
            digits(p.iterations),
            digits(p.iterations_than),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let head = ["what", "than", "s", "s than", "ratio", "iterations", "iterations than"];
    format!(
        "\npaths: lasso {} x {}, {} alphas down to 0.01 of alpha_max, one derivative, {}; iterations: of all \
            lanes\n{}",
        first.rows,
        first.features,
        first.lanes,
        first.precision,
        table(2, &head, &rows)
    )
}

fn modes(report: &Report) -> String {
    let mut out = String::new();
    for of_case in report.modes.chunk_by(|a, b| a.what == b.what) {
        let row = |m: &ModeTime| {
            vec![
                m.mode.clone(),
                if m.chosen { "auto".into() } else { String::new() },
                digits(m.seconds.median),
                digits(m.ratio.median),
                digits(m.bytes as f64 / 1e6),
                or_dash(m.error.map(|e| format!("{e:.0e}"))),
                digits(m.iterations),
            ]
        };
        let rows: Vec<_> = of_case.iter().map(row).collect();
        let first = &of_case[0];
        let all = if first.jacobian { ", of all coefficients" } else { "" };
        let _ = write!(
            out,
            "\nmodes: {}; {} derivative(s) of the held-out loss{all}, {}; plain: the sweep alone, {} s; \
             error: of the gradient,\nagainst the solution's; iterations: of all lanes\n{}",
            first.what,
            first.derivatives,
            first.precision,
            digits(first.seconds_plain.median),
            table(2, &["mode", "", "s", "/ plain", "MB", "error", "iterations"], &rows)
        );
    }
    out
}

fn cancel(report: &Report) -> String {
    let Some(c) = &report.cancel else { return String::new() };
    let row = |what: &str, l: &Latency| {
        let count = l.values.len().to_string();
        vec![what.to_string(), count, ms(l.median), ms(l.percentile_99), ms(l.largest), l.missed.to_string()]
    };
    let rows = [row("cancel", &c.cancels), row("deadline", &c.deadlines)];
    format!(
        "\nends before the end: {} x {}, {} lanes, d={}, {}; ms from a random moment, or from the deadline, \
            to the result\n{}",
        c.rows,
        c.features,
        c.lanes,
        c.tangents,
        c.precision,
        table(1, &["", "runs", "median", "99 %", "largest", "missed"], &rows)
    )
}

fn accuracy(report: &Report) -> String {
    if report.accuracy.is_empty() {
        return String::new();
    }
    let mut out = "\naccuracy, largest relative error\n".to_string();
    for a in &report.accuracy {
        let verdict = if a.error <= a.bound { "within" } else { "BEYOND" };
        let _ = writeln!(out, "  {:.1e}, {verdict} {:.0e}: {}; {}", a.error, a.bound, a.what, a.note);
    }
    out
}

fn skipped(report: &Report) -> String {
    if report.skipped.is_empty() {
        return String::new();
    }
    let mut out = "\nskipped\n".to_string();
    for s in &report.skipped {
        let _ = writeln!(out, "  {}: {}: {}", s.section, s.what, s.reason);
    }
    out
}

/// Two files side by side.
pub(crate) fn comparison(comparison: &Comparison) -> String {
    let side = |name: &str, s: &Side| {
        let commit = s.commit.as_ref().map_or(String::new(), |c| format!(", commit {c}"));
        format!("{name}: {}{commit}, {} engine, {} ({}), {}\n", s.date, s.engine, s.adapter, s.driver, s.cpu)
    };
    let mut out = side("A", &comparison.a) + &side("B", &comparison.b) + "\n";
    let rows = comparison.entries.iter().map(|e| {
        let [low, high] = e.quartiles;
        let apart = if !e.apart {
            ""
        } else if e.ratio < 1.0 {
            "faster"
        } else {
            "slower"
        };
        let spread = format!("{}..{}", digits(low), digits(high));
        vec![e.what.clone(), apart.into(), ms(e.a_seconds), ms(e.b_seconds), digits(e.ratio), spread]
    });
    let rows: Vec<_> = rows.collect();
    out += &table(2, &["", "B is", "A ms", "B ms", "B/A", "half of pairs"], &rows);
    let _ = writeln!(
        out,
        "\nB/A: median over all pairs of repetitions; 'faster' and 'slower' where no repetition of A and B \
            overlaps.\n\
         geometric mean of {} ratios: {}",
        comparison.entries.len(),
        digits(comparison.mean)
    );
    for (name, list) in [("A", &comparison.only_a), ("B", &comparison.only_b)] {
        if !list.is_empty() {
            let _ = writeln!(out, "only in {name}: {}", list.join("; "));
        }
    }
    out
}
