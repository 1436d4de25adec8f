//! The same cases on every runtime, and all of them at once.
#![cfg(all(feature = "smol", feature = "async-std", feature = "tokio"))]

use onlooker::{AsyncStd, Overflow, Smol, TimedOut, Timer, Tokio, WaitError, Watched};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a job to its end, and its children beside it.
type Runtime = (&'static str, fn(Job), fn(Job));

fn runtimes() -> [Runtime; 5] {
    [
        (
            "smol",
            |job| smol::block_on(job),
            |job| smol::spawn(job).detach(),
        ),
        (
            "async-std",
            |job| async_std::task::block_on(job),
            |job| drop(async_std::task::spawn(job)),
        ),
        (
            "tokio, one thread",
            |job| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(job);
            },
            |job| drop(tokio::spawn(job)),
        ),
        (
            "tokio, two threads",
            |job| {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(job);
            },
            |job| drop(tokio::spawn(job)),
        ),
        (
            "a plain thread",
            |job| futures_lite::future::block_on(job),
            |job| drop(thread::spawn(|| futures_lite::future::block_on(job))),
        ),
    ]
}

/// A wait, a watcher to the end, and deadlines of both kinds, with a setter in a task of its own.
async fn cases(spawn: fn(Job), timer: impl Timer<Sleep: Send> + Copy + Send + 'static) {
    let state = Arc::new(Watched::new(0));
    let mut watcher = state.watch();
    let closing = state.wait_for(7).timeout(timer, LONG);
    // Made before, moved into a task.
    let taken_along = Arc::new(Watched::new(None));
    let (owned, report) = (state.view().wait_for(8), taken_along.clone());
    spawn(Box::pin(async move {
        report.set(Some(owned.timeout(timer, LONG).await));
    }));
    let setter = state.clone();
    spawn(Box::pin(async move {
        for n in 1..=10 {
            setter.set(n);
        }
    }));
    assert_eq!(closing.await, Ok(7));
    assert_eq!(taken_along.wait_for_some().await, Ok(8));
    let never = state.view().wait_for(99).timeout(timer, SHORT);
    assert_eq!(never.await, Err(WaitError::TimedOut));
    assert_eq!(watcher.wait_for(10).timeout(timer, LONG).await, Ok(10));
    assert_eq!(
        state.wait_for(99).timeout(timer, SHORT).await,
        Err(TimedOut)
    );
    assert_eq!(
        state.wait_for(99).timeout(timer, Duration::ZERO).await,
        Err(TimedOut)
    );
    assert_eq!(
        state.wait_for(10).timeout(timer, Duration::ZERO).await,
        Ok(10)
    );
    assert_eq!(
        state.wait_for(10).timeout(timer, Duration::MAX).await,
        Ok(10)
    );
    let mut for_ever = Box::pin(state.wait_for(99).timeout(timer, Duration::MAX));
    assert!(
        futures_lite::future::poll_once(&mut for_ever)
            .await
            .is_none()
    );
    drop(for_ever);
    assert!(watcher.recv().timeout(timer, SHORT).await.is_err());
    assert_eq!(
        state.wait_for(99).unless(state.wait_for(10)).await,
        Err(10),
        "what the other future gave"
    );
}

#[test]
fn the_same_cases_hold_on_every_runtime() {
    for (name, run, spawn) in runtimes() {
        println!("{name}");
        match name {
            "async-std" => run(Box::pin(cases(spawn, AsyncStd))),
            "tokio, one thread" | "tokio, two threads" => run(Box::pin(cases(spawn, Tokio))),
            _ => run(Box::pin(cases(spawn, Smol))),
        }
    }
}

#[test]
fn five_runtimes_wait_for_one_state_at_the_same_time() {
    static STATE: Watched<u32> = Watched::new(0);
    static ARRIVED: Watched<u32> = Watched::new(0);
    let threads = runtimes().map(|(_, run, _)| {
        thread::spawn(move || {
            run(Box::pin(async {
                let mut watcher = STATE.watch();
                let passed = STATE.wait_for(3);
                ARRIVED.update(|n| n + 1);
                assert_eq!(passed.await, 3);
                for n in 1..=5 {
                    assert_eq!(watcher.recv().await.unwrap().new, n);
                }
            }));
        })
    });
    ARRIVED.wait_for(5).wait();
    (1..=5).for_each(|n| {
        STATE.set(n);
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_hot_watcher_loop_on_tokio_lets_a_timer_fire() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let start = Instant::now();
    // Always ready, as far as the watcher goes: ends only when the timer of this very thread fires.
    let hot = async {
        let state = Watched::new(0_u64);
        let mut watcher = state.watch_bounded(16, Overflow::DropOldest);
        for n in 1.. {
            state.set(n);
            assert_eq!(watcher.recv().await.unwrap().new, n);
            assert!(start.elapsed() < LONG, "the timer starves");
        }
    };
    let fired = runtime.block_on(async { tokio::time::timeout(SHORT, hot).await });
    assert!(fired.is_err());
}

#[test]
fn a_timer_without_its_runtime_panics_and_leaves_the_state_usable() {
    let state = Watched::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        futures_lite::future::block_on(state.wait_for(1).timeout(Tokio, SHORT))
    }));
    assert!(result.is_err());
    let wait = state.wait_for(1);
    assert!(state.set(1));
    assert_eq!(wait.wait(), 1);
}

/// Waits in every way, for what never comes.
async fn sleep_for_ever(state: Arc<Watched<i32>>) {
    let mut watcher = state.watch();
    let mut full = state.watch_bounded(1, Overflow::DropNewest);
    let both = futures_lite::future::or(async { _ = state.wait_for(-1).await }, async {
        let _ = state.wait_until(|n| *n == -1).await;
    });
    let owned = state.view().wait_for(-1);
    let received = async { _ = watcher.wait_for(-1).await };
    let received = futures_lite::future::or(received, async { _ = owned.await });
    futures_lite::future::or(both, received).await;
    let _ = full.recv().await;
}

#[test]
fn an_executor_that_is_dropped_takes_its_waits_along_and_leaves_the_state_usable() {
    let state = Arc::new(Watched::new(0));
    let mut stays = state.watch();

    let smol = smol::Executor::new();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    smol.spawn(sleep_for_ever(state.clone())).detach();
    tokio.spawn(sleep_for_ever(state.clone()));
    threads.spawn(sleep_for_ever(state.clone()));
    assert!(smol.try_tick());
    tokio.block_on(tokio::task::yield_now());
    while state.watcher_count() < 1 + 3 * 2 {
        thread::yield_now();
    }
    state.set(1);

    drop((smol, tokio, threads));
    assert_eq!(Arc::strong_count(&state), 1, "the tasks are gone");
    assert_eq!(state.watcher_count(), 1);
    assert!(state.set(2));
    assert_eq!(stays.try_recv().unwrap().new, 1);
    assert_eq!(stays.try_recv().unwrap().new, 2);
    drop(stays);
    let nobody = state.inspect();
    assert!(nobody.observers.is_empty(), "{nobody}");
    assert_eq!((nobody.version, nobody.views), (2, 0));
}
