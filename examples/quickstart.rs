//! A lasso path on real data, with the derivative of every coefficient by log alpha.
//! cargo run --release --example quickstart

use proxjet::prelude::*;

fn main() -> Result<()> {
    // Split first: the held-out rows have no part in the means and deviations of the fit.
    let (train, held_out) = bundled("diabetes")?.split("0.25:1".parse()?)?;
    let train = train.standardize();
    let held_out = held_out.standardize_like(&train)?;
    let objective = Objective::builder(train)
        .loss(Loss::squared())
        .penalty(Penalty::l1())
        .validation(held_out)
        .build()?;
    let sweep = Sweep::new(objective).alphas(Alphas::path(1e-2, 50)).iterations(2000);
    let result = sweep.run(&mut CpuEngine::new())?;

    for lane in result.lanes.iter().step_by(10) {
        let slope = lane.hypergradient.as_ref().map_or(f64::NAN, |h| h[0]);
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
    let best = result.best().expect("there are held-out rows");
    let fit = result.lane(best);
    println!("\nalpha {:.4}, in the units of the data:", result.lanes[best].alpha);
    for (name, (coef, dcoef)) in fit.names().iter().zip(fit.coef().iter().zip(fit.dcoef().row(0))) {
        println!("{name:>6} {coef:9.3}, by log alpha {dcoef:+9.3}");
    }
    println!("{:>6} {:9.3}", "", fit.intercept());
    Ok(())
}
