//! Watching a sweep while it runs, from async code: the trace is a `futures::Stream` with a bounded buffer.
//! cargo run --release --example stream

use futures::StreamExt;
use proxjet::driver::Event;
use proxjet::prelude::*;

fn main() -> Result<()> {
    let problem = Problem::builder(bundled("breast_cancer")?.standardize())
        .loss(Loss::logistic())
        .penalty(Penalty::elastic_net())
        .build()?;
    let sweep = Sweep::new(problem).alphas("path:1e-2:20".parse()?).iterations(3000).tol(1e-4);
    // Four chunks may wait; a slower reader slows the solver down. Dropping the stream cancels it.
    let mut events = sweep.stream(Box::new(CpuEngine::new()), 4);
    pollster::block_on(async {
        while let Some(event) = events.next().await {
            match event? {
                Event::Chunk(chunk) => {
                    let done = chunk.seats.iter().map(|seat| seat.outcome.iterations).max().unwrap_or(0);
                    println!("iteration {done:5}: {} lanes going", chunk.running());
                }
                Event::Finished(result) => println!("done in {:.2} s", result.info.seconds),
            }
        }
        Ok(())
    })
}
