use proxjet::engine::gpu::{GpuEngine, Pick};
use proxjet::prelude::*;
use proxjet::schedule::*;
fn main() -> Result<()> {
    let data = proxjet::data::Synthetic {
        rows: 257,
        features: 301,
        scale: (1.0, 1.0),
        relevant: 5,
        effect: 1.0,
        noise: 0.5,
        classes: false,
        seed: 3,
    };
    let mut engine = GpuEngine::request(Pick::Any)?;
    let problem = Problem::builder(data.draw()?).loss(Loss::huber(0.5)?).penalty(Penalty::elastic_net()).build()?;
    for (d, bt, prec) in [
        (1, false, Precision::F32),
        (1, true, Precision::F32),
        (3, false, Precision::F32),
        (1, false, Precision::F64),
        (0, false, Precision::F32),
    ] {
        let phase = Phase::new(Algorithm::Fista);
        let phase = if bt { phase.step(Step::Backtracking { start: 4.0, shrink: 0.5 }) } else { phase };
        let sweep = Sweep::new(problem.clone())
            .alphas("path:0.1:11".parse()?)
            .schedule(phase)
            .iterations(60)
            .every(10)
            .tol(0.0)
            .derivatives(vec![Derivative::LogAlpha; d])
            .precision(prec)
            .form(Some(Form::Direct));
        let plan = sweep.plan(&engine)?;
        let r = sweep.run(&mut engine)?;
        println!(
            "d {d} bt {bt} {}: support {} spared {} nnz {:?}",
            prec.name(),
            plan.support,
            r.info.coefficients_spared,
            r.trace.support.row(59).to_vec()
        );
    }
    Ok(())
}
