use super::*;
use crate::data::{Dataset, bundled};
use crate::engine::Engine;
use crate::engine::gpu::{GpuEngine, Pick};
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective};
use crate::program::{MetricKind, Request};
use crate::schedule::{Algorithm, LaneCurvature, LaneSchedule, Metric, Phase, Schedule, Step};

#[test]
fn buffers_are_as_large_as_the_plan_says() {
    let Ok(engine) = GpuEngine::request(Pick::Any) else {
        assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
        return eprintln!("SKIPPED, no adapter");
    };
    let (fitted, held_out) = bundled("digits").unwrap().split("0.2:1".parse().unwrap()).unwrap();
    let plain = Objective::builder(fitted.clone()).build().unwrap();
    let validated = Objective::builder(fitted).validation(held_out).build().unwrap();
    // So large that there are lists of what moves.
    let x = Array2::from_shape_fn((300, 260), |(i, j)| ((7 * i + 13 * j) % 31) as f64);
    let y = x.column(0).to_owned();
    let large = Objective::builder(Dataset::new(x, y).unwrap()).build().unwrap();
    let lanes = vec![Lane::new(0.1, 1.0); 100];
    let curvature = LaneCurvature { lipschitz: 1.0, strong_convexity: 0.0, prox_strong_convexity: 0.0 };
    let still = LaneCurvature { lipschitz: 0.0, ..curvature };
    let derivatives = [Derivative::LogAlpha];
    let pgd = || Phase::new(Algorithm::Pgd);
    let hessian = MetricSource::Hessian { every: 5, gain: 1.5, bound: ndarray::Array1::ones(64) };
    let table = Step::Table(ndarray::ArrayD::from_elem(vec![500, 100], 0.5));
    for (problem, schedule, metric, strategy) in [
        (&plain, Schedule::from(pgd()), MetricSource::None, Some(Strategy::Direct)),
        (&plain, Schedule::from(pgd()), MetricSource::None, Some(Strategy::Gram)),
        (&plain, Schedule::from(pgd()), MetricSource::None, Some(Strategy::Persistent)),
        (&validated, Schedule::from(pgd()).metric(Metric::Hessian { every: 5, gain: 1.5 }), hessian, None),
        (&plain, pgd().step(table).into(), MetricSource::None, None),
        (&plain, pgd().step(Step::Backtracking { start: 4.0, shrink: 0.5 }).into(), MetricSource::None, None),
        (&large, Schedule::from(pgd()), MetricSource::None, Some(Strategy::Direct)),
    ] {
        let curvatures = (vec![curvature; 100], vec![vec![still]; 100]);
        let schedule = LaneSchedule::new(schedule, 500, curvatures.0, curvatures.1, &derivatives).unwrap();
        let shape = problem.shape();
        let request = Request {
            validation_rows: shape.validation_rows,
            every: 10,
            check_every: 10,
            measures_curvature: schedule.uses_secant(),
            constants: schedule.constants().len(),
            factored: schedule.is_factored(),
            metric: if metric == MetricSource::None {
                MetricKind::None
            } else {
                MetricKind::Hessian { every: 5 }
            },
            memory_budget: 1 << 30,
            strategy,
            sparsity: true,
            ..Request::plain((shape.rows, problem.state_rows()), 100, 1, 500, Precision::F32)
        };
        let plan = Plan::new(request, &engine.limits(Precision::F32).unwrap()).unwrap();
        assert_eq!(plan.active_sets, shape.features > 256);
        let job = Job {
            problem,
            lanes: &lanes,
            schedule: &schedule,
            metric: &metric,
            derivatives: &derivatives,
            start: None,
            null_loss: problem.null_loss(),
            tol: 0.0,
        };
        let run =
            GpuRun::new(&engine.context, &mut Library::default(), &plan, &job, engine.tiles(&plan)).unwrap();
        let held = run.held.held_bytes + 2 * run.staging_bytes();
        assert!(held.abs_diff(plan.device_bytes) * 20 <= held, "{held} held, {} planned", plan.device_bytes);
    }
}
