//! What can be moved to another thread, and what can be shared by several.

use proxjet::data::{Dataset, ReadOptions};
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::gpu::{GpuContext, GpuEngine, Session, TileCache};
use proxjet::engine::{Chunk, Engine, EngineInfo, LaneOutcome, Status};
use proxjet::error::Error;
use proxjet::objective::{Derivative, Loss, Objective, ObjectiveBuilder, Penalty};
use proxjet::program::{Limits, Plan};
use proxjet::result::Trace;
use proxjet::schedule::{Phase, Schedule};
use proxjet::solve::{Alphas, Finish, Handle, LaneResult, Prepared, RunInfo, Sweep, SweepResult, Update};

fn send<T: Send + 'static>() {}
fn shared<T: Send + Sync + 'static>() {}

#[test]
fn problems_settings_and_results_are_shared() {
    shared::<Dataset>();
    shared::<ReadOptions>();
    shared::<Objective>();
    shared::<ObjectiveBuilder>();
    shared::<Loss>();
    shared::<Penalty>();
    shared::<Derivative>();
    shared::<Phase>();
    shared::<Schedule>();
    shared::<Alphas>();
    shared::<Sweep>();
    shared::<Prepared>();
    shared::<Plan>();
    shared::<Limits>();
    shared::<Trace>();
    shared::<SweepResult>();
    shared::<LaneResult>();
    shared::<RunInfo>();
    shared::<Status>();
    shared::<EngineInfo>();
    shared::<LaneOutcome>();
    shared::<Chunk>();
    // `Box<dyn Error + Send + Sync>` takes it.
    shared::<Error>();
}

#[test]
fn engines_and_runs_under_way_move() {
    shared::<CpuEngine>();
    shared::<GpuEngine>();
    shared::<GpuContext>();
    shared::<Session>();
    shared::<TileCache>();
    send::<Box<dyn Engine>>();
    // A handle is polled by one task at a time; it goes where the task goes.
    send::<Handle>();
    send::<Finish>();
    shared::<Update>();
}
