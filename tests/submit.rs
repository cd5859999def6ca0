//! Sweeps that run on a thread of their own, watched from an executor that knows nothing of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::executor::{LocalPool, block_on};
use futures::task::LocalSpawnExt;
use futures::{FutureExt, StreamExt};
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::{Chunk, Engine, EngineInfo, Run, Sealed, Status};
use proxjet::error::{ErrorKind, Result};
use proxjet::lanes::{Job, LaneState};
use proxjet::objective::Objective;
use proxjet::program::{Limits, Plan, Precision, Strategy};
use proxjet::schedule::Restart;
use proxjet::solve::{Alphas, Sweep};

use crate::common::compare::assert_same;
use crate::common::synthetic;

/// A CPU engine that counts the chunks it has done, and that somebody holds.
struct Counted {
    inner: CpuEngine,
    chunks: Arc<AtomicUsize>,
}

/// An engine, and the count of its chunks; nobody else holds the count as long as the engine is gone.
fn counted() -> (Box<dyn Engine>, Arc<AtomicUsize>) {
    let chunks = Arc::new(AtomicUsize::new(0));
    (Box::new(Counted { inner: CpuEngine::new(), chunks: chunks.clone() }), chunks)
}

impl Sealed for Counted {}

impl Engine for Counted {
    fn info(&self) -> EngineInfo {
        self.inner.info()
    }
    fn limits(&self, precision: Precision) -> Result<Limits> {
        self.inner.limits(precision)
    }
    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
        Ok(Box::new(CountedRun { inner: self.inner.open(plan, job)?, chunks: self.chunks.clone() }))
    }
    fn recover(&mut self) -> Result<()> {
        self.inner.recover()
    }
}

struct CountedRun<'a> {
    inner: Box<dyn Run + 'a>,
    chunks: Arc<AtomicUsize>,
}

impl Run for CountedRun<'_> {
    fn free(&self) -> usize {
        self.inner.free()
    }
    fn load(&mut self, lanes: &[LaneState]) -> Result<()> {
        self.inner.load(lanes)
    }
    fn evict(&mut self, lanes: &[usize]) {
        self.inner.evict(lanes);
    }
    fn submit(&mut self, iterations: usize) -> Result<usize> {
        self.inner.submit(iterations)
    }
    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
    fn depth(&self) -> usize {
        self.inner.depth()
    }
    fn collect(&mut self) -> Result<Chunk> {
        let chunk = self.inner.collect();
        self.chunks.fetch_add(1, Ordering::SeqCst);
        chunk
    }
    fn state(&self, lane: usize) -> LaneState {
        self.inner.state(lane)
    }
}

fn problem() -> Objective {
    Objective::builder(synthetic(40, 6, false, 2)).build().unwrap()
}

fn sweep() -> Sweep {
    Sweep::new(problem())
        .alphas("path:0.1:4".parse().unwrap())
        .strategy(Some(Strategy::Direct))
        .iterations(3000)
        .tol(0.0)
        .every(500)
        .chunk(100)
}

/// A sweep whose first lanes end soon and whose last one never does.
fn endless() -> Sweep {
    let top = problem().alpha_max(1.0);
    let alphas = Alphas::List(vec![2.0 * top, 1.5 * top, 1e-9 * top]);
    let sweep = Sweep::new(problem()).alphas(alphas).tol(1e-300).check_every(10).restart(Restart::None);
    let sweep = sweep.strategy(Some(Strategy::Direct));
    sweep.iterations(5_000_000).every(5_000_000).memory_budget(1 << 36).chunk(10)
}

/// Waits until something holds; only a broken program waits long.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let clock = std::time::Instant::now();
    while !holds() {
        assert!(clock.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn updates_come_and_then_the_result() {
    let truth = sweep().run(&mut CpuEngine::new()).unwrap();
    let mut handle = sweep().submit(Box::new(CpuEngine::new()));
    let (mut iterations, mut frames, mut all) = (0, 0, 0);
    block_on(async {
        while let Some(update) = handle.next().await {
            assert!(update.chunk.slots.iter().all(|s| s.first == iterations));
            iterations += update.chunk.iterations();
            frames += update.chunk.frames.len();
            assert_eq!(update.progress.lanes, 4);
            all = update.progress.iterations;
        }
        let result = handle.result().await.unwrap();
        assert_same(&result, &truth, "submitted");
    });
    assert_eq!((iterations, frames, all), (3000, 6, 4 * 3000));
}

#[test]
fn the_result_alone_needs_no_reader() {
    let truth = sweep().run(&mut CpuEngine::new()).unwrap();
    let result = block_on(sweep().submit(Box::new(CpuEngine::new())).result()).unwrap();
    assert_same(&result, &truth, "submitted");
}

#[test]
fn several_sweeps_share_a_thread_that_never_blocks() {
    // A task that goes on between the updates of two sweeps: an event loop in small.
    let mut pool = LocalPool::new();
    let turns = std::rc::Rc::new(std::cell::Cell::new(0));
    let ended = std::rc::Rc::new(std::cell::Cell::new(0));
    for _ in 0..2 {
        let (mut handle, ended) = (sweep().submit(Box::new(CpuEngine::new())), ended.clone());
        let task = async move {
            while handle.next().await.is_some() {}
            assert_eq!(handle.result().await.unwrap().lanes.len(), 4);
            ended.set(ended.get() + 1);
        };
        pool.spawner().spawn_local(task).unwrap();
    }
    let clock = std::time::Instant::now();
    while ended.get() < 2 {
        pool.run_until_stalled();
        turns.set(turns.get() + 1);
        assert!(clock.elapsed() < Duration::from_secs(120));
    }
    // Blocking on a sweep would take a single turn.
    assert!(turns.get() > 2, "{}", turns.get());
}

#[test]
fn polling_does_not_wait() {
    let mut handle = endless().submit(Box::new(CpuEngine::new()));
    // As an event loop does once a frame: `now_or_never` polls once.
    let first = loop {
        if let Some(update) = handle.next().now_or_never() {
            break update.unwrap();
        }
        std::thread::yield_now();
    };
    assert_eq!(first.chunk.slots.len(), 3);
    handle.cancel();
    let mut finish = handle.result();
    assert!(block_on(&mut finish).is_ok());
}

#[test]
fn cancelling_keeps_lanes_that_ended() {
    let mut handle = endless().submit(Box::new(CpuEngine::new()));
    let result = block_on(async {
        while let Some(update) = handle.next().await {
            if update.progress.finished == 2 {
                handle.cancel();
            }
        }
        handle.result().await.unwrap()
    });
    let statuses: Vec<Status> = result.lanes.iter().map(|l| l.status).collect();
    assert_eq!(statuses, [Status::PrecisionLimit, Status::PrecisionLimit, Status::Cancelled]);
    assert!(result.lanes[2].iterations > 0 && result.lanes[2].objective.is_some());
}

#[test]
fn a_slow_reader_holds_the_run_back() {
    let (engine, chunks) = counted();
    let mut handle = endless().submit(engine);
    // Those that wait, one that is being sent, and one more that the channel keeps for its sender.
    let ahead = 6;
    let done = || chunks.load(Ordering::SeqCst);
    for read in 0..5 {
        eventually("the run goes on as far as it may", || done() >= read + ahead - 1);
        assert!(done() <= read + ahead, "{} chunks done, {read} read", done());
        block_on(handle.next()).unwrap();
    }
    // A run that waits for its reader is cancelled as well.
    handle.cancel();
    let result = block_on(handle.result()).unwrap();
    assert_eq!(result.lanes[2].status, Status::Cancelled);
}

#[test]
fn dropping_either_end_cancels() {
    for keep_future in [false, true] {
        let (engine, chunks) = counted();
        let handle = endless().submit(engine);
        eventually("the run begins", || chunks.load(Ordering::SeqCst) > 0);
        assert!(Arc::strong_count(&chunks) > 1, "the run goes on while somebody holds the handle");
        if keep_future {
            let finish = handle.result();
            let before = chunks.load(Ordering::SeqCst);
            eventually("it goes on without a reader", || chunks.load(Ordering::SeqCst) > before + 20);
            drop(finish);
        } else {
            drop(handle);
        }
        eventually("the run lets go of its engine", || Arc::strong_count(&chunks) == 1);
    }
}

#[test]
fn what_is_wrong_is_the_result() {
    let mut handle = sweep().iterations(0).submit(Box::new(CpuEngine::new()));
    assert!(block_on(handle.next()).is_none());
    assert_eq!(block_on(handle.result()).unwrap_err().kind, ErrorKind::Usage);
}

/// What can be moved to another thread, and what several can share.
mod threads {
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
}
