//! A lasso path on real data, with the derivative of every coefficient by log alpha.
//! cargo run --release --example quickstart

use proxjet::prelude::*;

fn main() -> Result<()> {
    let (train, held_out) = bundled("diabetes")?.standardize().split("0.25:1".parse()?)?;
    let problem = Objective::builder(train)
        .loss(Loss::squared())
        .penalty(Penalty::l1())
        .validation(held_out)
        .build()?;
    let sweep = Sweep::new(problem).alphas("path:1e-2:50".parse()?).iterations(2000);
    let result = sweep.run(&mut CpuEngine::new())?;

    for lane in result.lanes.iter().step_by(10) {
        let slope = lane.hypergradient.as_ref().and_then(|h| h[0]).unwrap_or(f64::NAN);
        println!(
            "alpha {:8.4}: {} features, held-out loss {:.1}, slope by log alpha {slope:+.1}, {} after {} \
                iterations",
            lane.alpha,
            lane.support,
            lane.validation_loss.unwrap_or(f64::NAN),
            lane.status.name(),
            lane.iterations
        );
    }
    let last = result.trace.iteration.len() - 1;
    println!(
        "d coef / d log alpha of lane 30: {:.3}",
        result.trace.dcoef.index_axis(Axis(0), last).index_axis(Axis(0), 30)
    );
    Ok(())
}
