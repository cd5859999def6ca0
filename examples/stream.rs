//! Watching a sweep while it runs, from async code: a handle is a `futures::Stream` of updates and a future
//! of the result. cargo run --release --example stream

use futures::StreamExt;
use proxjet::prelude::*;

fn main() -> Result<()> {
    let objective = Objective::builder(bundled("breast_cancer")?.standardize())
        .loss(Loss::logistic())
        .penalty(Penalty::elastic_net())
        .build()?;
    let sweep = Sweep::new(objective).alphas(Alphas::path(1e-2, 20)).iterations(3000).tol(1e-4);
    // A slow reader slows the solver down. Dropping the handle, or `cancel`, ends the run at the next chunk.
    let mut handle = sweep.submit(Box::new(CpuEngine::new()));
    // Any executor will do.
    pollster::block_on(async {
        while let Some(update) = handle.next().await {
            let done = update.chunk.slots.iter().map(|slot| slot.outcome.iterations).max().unwrap_or(0);
            println!(
                "iteration {done:5}: {} of {} lanes running",
                update.chunk.running(),
                update.progress.lanes
            );
        }
        println!("done in {:.2} s", handle.result().await?.info.seconds);
        Ok(())
    })
}
