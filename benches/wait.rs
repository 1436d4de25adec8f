//! What does a wait cost: made and met, made and given up, one among a thousand?

mod common;

use async_executor::LocalExecutor;
use common::{Findings, Side, poll, timed, waker};
use onlooker::Watched;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// A state of its own for each side: what one leaves behind is not the other's to walk over.
fn cycles(findings: &mut Findings) {
    let waker = waker();
    for met in [true, false] {
        let ends = if met { "set, poll" } else { "drop" };
        let row = format!("wait: create, poll, {ends}");
        if !findings.wants(&row, 1) {
            continue;
        }
        let (values, predicates) = (Watched::new(0_u64), Watched::new(0_u64));
        let (sender, mut receiver) = watch::channel(0_u64);
        findings.row(
            &row,
            1,
            vec![
                Side::each("onlooker wait_for", |n| {
                    let mut wait = values.wait_for(n);
                    assert!(!poll(&mut wait, &waker));
                    if met {
                        values.set(n);
                        assert!(poll(&mut wait, &waker));
                    }
                }),
                Side::each("onlooker wait_until", |n| {
                    let mut wait = predicates.wait_until(move |value| *value == n);
                    assert!(!poll(&mut wait, &waker));
                    if met {
                        predicates.set(n);
                        assert!(poll(&mut wait, &waker));
                    }
                }),
                Side::each("tokio watch", |n| {
                    let mut wait = pin!(receiver.wait_for(|value| *value == n));
                    assert!(!poll(&mut wait, &waker));
                    if met {
                        sender.send_replace(n);
                        assert!(poll(&mut wait, &waker));
                    }
                }),
            ],
        );
    }
}

const TASKS: u64 = 1_000;
static POLLS: AtomicU64 = AtomicU64::new(0);

/// Each of a thousand tasks waits for a value of its own; each set lets one of them go round.
fn thousand<F: Future<Output = ()> + 'static>(
    who: &str,
    task: impl Fn(u64) -> F,
    set: impl Fn(u64) + 'static,
) -> Side<'static> {
    let executor = LocalExecutor::new();
    (0..TASKS).for_each(|own| executor.spawn(task(own)).detach());
    let mut n = 0;
    Side::new(who, move |times| {
        while executor.try_tick() {}
        POLLS.store(0, Relaxed);
        timed(|| {
            for _ in 0..times {
                n += 1;
                set(n % TASKS);
                while executor.try_tick() {
                    POLLS.store(POLLS.load(Relaxed) + 1, Relaxed);
                }
            }
        })
    })
}

fn one_of_a_thousand(findings: &mut Findings) {
    fn state() -> &'static Watched<u64> {
        Box::leak(Box::new(Watched::new(u64::MAX)))
    }
    let by_value = || {
        let state = state();
        let task = move |own| async move {
            loop {
                state.wait_for_next(own).await;
            }
        };
        thousand("onlooker wait_for", task, |n| {
            _ = black_box(state.replace(n));
        })
    };
    let by_predicate = || {
        let state = state();
        let task = move |own| async move {
            loop {
                state.wait_until_next(move |value| *value == own).await;
            }
        };
        thousand("onlooker wait_until", task, |n| {
            _ = black_box(state.replace(n));
        })
    };
    let peer = || {
        let (sender, receiver) = watch::channel(u64::MAX);
        let task = |own| {
            let mut receiver = receiver.clone();
            async move {
                while receiver.wait_for(|value| *value == own).await.is_ok() {
                    receiver.mark_unchanged();
                    if receiver.changed().await.is_err() {
                        break;
                    }
                }
            }
        };
        thousand("tokio watch", task, move |n| {
            _ = black_box(sender.send_replace(n));
        })
    };
    const ROW: &str = "one of 1,000 waits matches";
    const POLLED: &str = "one of 1,000 waits matches: polled";
    if !findings.wants(ROW, TASKS) && !findings.wants(POLLED, TASKS) {
        return;
    }
    for (who, mut side) in [
        ("onlooker wait_for", by_value()),
        ("onlooker wait_until", by_predicate()),
        ("tokio watch", peer()),
    ] {
        const SETS: u64 = 1_000;
        side.once(1);
        side.once(SETS);
        let polled = POLLS.load(Relaxed) as f64 / SETS as f64;
        findings.count(POLLED, TASKS, who, "tasks", polled);
    }
    findings.row(ROW, TASKS, vec![by_value(), by_predicate(), peer()]);
}

fn main() {
    let Some(mut findings) = Findings::of("wait") else {
        return;
    };
    cycles(&mut findings);
    one_of_a_thousand(&mut findings);
}
