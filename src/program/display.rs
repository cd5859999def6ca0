//! The plan as text, as `--dry-run` prints it.

use std::fmt;

use super::{Access, Binding, Copies, Plan, Program, When, Which};
use crate::error::bytes;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.request;
        writeln!(f, "plan: {} engine, {}, {} strategy", self.engine, r.precision.name(), self.strategy)?;
        writeln!(f, "  strategy: {}", self.strategy_reason)?;
        writeln!(
            f,
            "  {} rows x {} state rows; {} lanes, {} of them at a time, each with {} tangents: {} columns",
            r.rows,
            r.state_rows,
            r.lanes,
            self.slots,
            r.tangents,
            self.slots * (1 + r.tangents)
        )?;
        let check = if r.check_every == 0 { "at the end".into() } else { format!("every {}", r.check_every) };
        writeln!(
            f,
            "  {} iterations in chunks of at most {}, a frame every {}, stop rule {check}",
            r.iterations, self.chunk, r.every
        )?;
        write!(f, "{}", self.program)?;
        writeln!(
            f,
            "  memory: {} device + {} trace and results on the host, of a budget of {}",
            bytes(self.device_bytes),
            bytes(self.host_bytes),
            bytes(r.memory_budget)
        )?;
        write!(
            f,
            "  estimate: {:.2e} operations, about {:.2} s if every lane runs to the end",
            self.flops, self.seconds
        )
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.passes.is_empty() {
            writeln!(
                f,
                "  passes (operations, bytes, workgroups, when; buffers that are read, >written, <>both):"
            )?;
        }
        for pass in &self.passes {
            let [x, y, z] = pass.grid;
            let (cost, when) = (pass.cost, self.when(pass.when));
            let grid = format!("{x}x{y}x{z}");
            let moved = bytes(cost.bytes as u64);
            writeln!(f, "    {:<20} {:>9.2e} {moved:>10}  {grid:<11} {when}", pass.kernel, cost.flops)?;
            let bindings: Vec<String> = pass.bindings.iter().map(words).collect();
            writeln!(f, "      {}", bindings.join(", "))?;
        }
        writeln!(f, "  buffers:")?;
        for b in &self.buffers {
            let copies = match b.copies {
                Copies::One => String::new(),
                Copies::Iterate => "2, by iterate, of ".into(),
                Copies::Chunk => "2, by chunk, of ".into(),
                Copies::Many(count) => format!("{count} of "),
            };
            let element = b.element.name();
            writeln!(f, "    {:<22} {:>10}  {copies}{element} {:?}", b.id.name(), bytes(b.bytes()), b.shape)?;
        }
        Ok(())
    }
}

impl Program {
    /// When a pass runs, as text.
    fn when(&self, when: When) -> String {
        let period = self.shape.period(when);
        match when {
            When::Once => "once".into(),
            When::Load => "on load".into(),
            When::LoadGiven => "on load of given states".into(),
            When::Iteration if period == 1 => "every iteration".into(),
            When::Iteration => format!("every {period} iterations"),
            When::Stale => "where no residual is stored".into(),
            When::Refresh => format!("on a metric refresh, every {period}"),
            When::Check => format!("on a check, every {period}"),
            When::ChunkEnd => "at the end of a chunk".into(),
        }
    }
}

/// A binding as text: the access to a buffer, and the copy that is bound.
fn words(binding: &Binding) -> String {
    let access = match binding.access {
        Access::Read => "",
        Access::Write => ">",
        Access::ReadWrite => "<>",
    };
    let which = match binding.which {
        Which::Only => "",
        Which::Current => " (current)",
        Which::Other => " (other)",
        Which::Chunk => " (chunk)",
    };
    format!("{access}{}{which}", binding.buffer.name())
}
