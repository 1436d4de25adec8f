//! What does each operation cost beside tokio's watch and broadcast?
//!
//! `cargo bench --bench compare` prints a table: nanoseconds, the median of interleaved rounds in one process, and our
//! ratio to the peer. Only ratios of one run mean anything. Row names follow the goals of the project.

use async_executor::LocalExecutor;
use onlooker::{Overflow, Watched};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Instant;
use tokio::sync::{broadcast, watch};

/// One side of a comparison: runs its operation so many times, and says how many nanoseconds one took.
type Side<'a> = Box<dyn FnMut(u64) -> f64 + 'a>;

fn each<'a>(mut operation: impl FnMut(u64) + 'a) -> Side<'a> {
    let mut n = 0;
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            n += 1;
            operation(n);
        }
        start.elapsed().as_nanos() as f64 / times as f64
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs both sides in turn and prints a row. `goal` is the ratio to stay under.
fn row(name: &str, peer: &str, goal: f64, times: u64, mut ours: Side<'_>, mut theirs: Side<'_>) {
    const ROUNDS: usize = 11;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    ours(times / 10 + 1);
    theirs(times / 10 + 1);
    for _ in 0..ROUNDS {
        here.push(ours(times));
        there.push(theirs(times));
    }
    let (here, there) = (median(here), median(there));
    let ratio = here / there;
    let met = if ratio <= goal { "met" } else { "not met" };
    println!("| {name} | {here:.1} | {peer} {there:.1} | {ratio:.3} | {goal} | {met} |");
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

fn reading_and_setting() {
    let floor = Mutex::new(0_u64);
    let state = Watched::new(0_u64);
    row(
        "A get",
        "Mutex",
        1.15,
        1_000_000,
        each(|_| assert!(black_box(black_box(&state).get()) < u64::MAX)),
        each(|_| assert!(black_box(*black_box(&floor).lock().unwrap()) < u64::MAX)),
    );
    let swap = arc_swap::ArcSwap::from_pointee(0_u64);
    let mut reader = state.reader();
    row(
        "A' Reader::get",
        "ArcSwap",
        0.125,
        1_000_000,
        each(move |_| {
            black_box(*black_box(&mut reader).get());
        }),
        each(|_| {
            black_box(**black_box(&swap).load());
        }),
    );
    row(
        "B set, nobody watches",
        "Mutex",
        1.3,
        1_000_000,
        each(|n| {
            black_box(&state).set(n);
        }),
        each(|n| *black_box(&floor).lock().unwrap() = n),
    );
}

fn fan_out() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let state = Watched::new(0_u64);
        let _idle = state.watch_bounded(16, overflow);
        let (sender, _receiver) = broadcast::channel(16);
        row(
            &format!("C set, 1 idle, full, {overflow:?}"),
            "broadcast",
            1.2,
            200_000,
            each(|n| {
                state.set(n);
            }),
            each(|n| {
                black_box(sender.send(n).is_ok());
            }),
        );
    }
    for bounded in [true, false] {
        let state = Watched::new(0_u64);
        let many = || -> Vec<_> {
            (0..64)
                .map(|_| {
                    if bounded {
                        state.watch_bounded(1_024, Overflow::DropOldest)
                    } else {
                        state.watch()
                    }
                })
                .collect()
        };
        let by_hand = (Mutex::new(0_u64), Mutex::new(Vec::new()));
        let mut queues = Vec::new();
        for _ in 0..64 {
            let (sender, receiver) = if bounded {
                async_channel::bounded(1_024)
            } else {
                async_channel::unbounded()
            };
            by_hand.1.lock().unwrap().push(sender);
            queues.push(receiver);
        }
        let mut watchers = many();
        row(
            &format!("C' set, 64 idle, room, bounded: {bounded}"),
            "by hand",
            if bounded { 0.125 } else { 0.2 },
            500,
            Box::new({
                let mut n = 0;
                let state = &state;
                move |times| {
                    let start = Instant::now();
                    for _ in 0..times {
                        n += 1;
                        state.set(n);
                    }
                    let spent = start.elapsed().as_nanos() as f64 / times as f64 / 64.0;
                    watchers
                        .iter_mut()
                        .for_each(|watcher| while watcher.try_recv().is_ok() {});
                    spent
                }
            }),
            Box::new(|times| {
                let start = Instant::now();
                for n in 0..times {
                    *by_hand.0.lock().unwrap() = n;
                    by_hand
                        .1
                        .lock()
                        .unwrap()
                        .iter()
                        .for_each(|queue| assert!(queue.try_send((n, n)).is_ok()));
                }
                let spent = start.elapsed().as_nanos() as f64 / times as f64 / 64.0;
                queues
                    .iter()
                    .for_each(|queue| while queue.try_recv().is_ok() {});
                spent
            }),
        );
    }
    let state = Watched::new(0_u64);
    let mut watcher = state.watch_bounded(1_024, Overflow::DropOldest);
    let (sender, mut receiver) = broadcast::channel(1_024);
    let mut n = 0;
    row(
        "D try_recv",
        "broadcast",
        1.0,
        1_000,
        Box::new(move |times| {
            for _ in 0..times {
                n += 1;
                state.set(n);
            }
            let start = Instant::now();
            for _ in 0..times {
                black_box(watcher.try_recv().is_ok());
            }
            start.elapsed().as_nanos() as f64 / times as f64
        }),
        Box::new(move |times| {
            (0..times).for_each(|n| {
                black_box(sender.send(n).is_ok());
            });
            let start = Instant::now();
            for _ in 0..times {
                black_box(receiver.try_recv().is_ok());
            }
            start.elapsed().as_nanos() as f64 / times as f64
        }),
    );
}

/// Sixteen transitions, then the executor until it is idle: nanoseconds a delivery.
fn on_one_executor() {
    for watchers in [1_u64, 8, 64] {
        let spread =
            |sets: Box<dyn FnMut(u64)>, executor: LocalExecutor<'static>| -> Side<'static> {
                let mut set = sets;
                let mut n = 0;
                Box::new(move |times| {
                    while executor.try_tick() {}
                    let start = Instant::now();
                    for _ in 0..times {
                        for _ in 0..16 {
                            n += 1;
                            set(n);
                        }
                        while executor.try_tick() {}
                    }
                    start.elapsed().as_nanos() as f64 / (times * 16 * watchers) as f64
                })
            };
        for peer in ["broadcast", "async-broadcast"] {
            let here = LocalExecutor::new();
            let state = Watched::new(0_u64);
            for _ in 0..watchers {
                let mut watcher = state.watch_bounded(64, Overflow::DropOldest);
                here.spawn(async move { while watcher.recv().await.is_ok() {} })
                    .detach();
            }
            let ours = spread(
                Box::new(move |n| {
                    state.set(n);
                }),
                here,
            );
            let there = LocalExecutor::new();
            let theirs = if peer == "broadcast" {
                let (sender, _) = broadcast::channel(64);
                for _ in 0..watchers {
                    let mut receiver = sender.subscribe();
                    there
                        .spawn(async move { while receiver.recv().await.is_ok() {} })
                        .detach();
                }
                spread(
                    Box::new(move |n| {
                        black_box(sender.send(n).is_ok());
                    }),
                    there,
                )
            } else {
                let (sender, receiver) = async_broadcast::broadcast(64);
                for _ in 0..watchers {
                    let mut receiver = receiver.clone();
                    there
                        .spawn(async move { while receiver.recv().await.is_ok() {} })
                        .detach();
                }
                spread(
                    Box::new(move |n| assert!(sender.try_broadcast(n).is_ok())),
                    there,
                )
            };
            row(
                &format!("E fan-out to {watchers}"),
                peer,
                1.0,
                20_000 / watchers,
                ours,
                theirs,
            );
        }
    }
}

/// Setters on threads of their own, one watcher that blocks here: nanoseconds a transition.
fn between_threads() {
    for setters in [1_u64, 2] {
        row(
            &format!("F {setters} setting threads, 1 watcher"),
            "broadcast",
            if setters == 1 { 1.0 } else { 1.1 },
            50_000,
            Box::new(move |times| {
                let state = Watched::new(0_u64);
                let mut watcher = state.watch();
                let start = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..setters {
                        scope.spawn(|| {
                            (0..times).for_each(|n| {
                                black_box(state.replace(n));
                            });
                        });
                    }
                    (0..times * setters).for_each(|_| assert!(watcher.recv_blocking().is_ok()));
                });
                start.elapsed().as_nanos() as f64 / (times * setters) as f64
            }),
            Box::new(move |times| {
                let (sender, mut receiver) =
                    broadcast::channel((times * setters).next_power_of_two() as usize);
                let start = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..setters {
                        scope.spawn(|| {
                            (0..times).for_each(|n| {
                                black_box(sender.send(n).is_ok());
                            });
                        });
                    }
                    (0..times * setters).for_each(|_| assert!(receiver.blocking_recv().is_ok()));
                });
                start.elapsed().as_nanos() as f64 / (times * setters) as f64
            }),
        );
    }
    row(
        "G ping-pong by wait_for",
        "watch",
        0.7,
        3_000,
        Box::new(|times| {
            let (ping, pong) = (Watched::new(0), Watched::new(0));
            let start = Instant::now();
            thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 1..=times {
                        ping.wait_for(n).wait();
                        pong.set(n);
                    }
                });
                for n in 1..=times {
                    ping.set(n);
                    pong.wait_for(n).wait();
                }
            });
            start.elapsed().as_nanos() as f64 / times as f64
        }),
        Box::new(|times| {
            let ((ping, mut pinged), (pong, mut ponged)) = (watch::channel(0), watch::channel(0));
            let start = Instant::now();
            thread::scope(|scope| {
                scope.spawn(move || {
                    for n in 1..=times {
                        futures_lite::future::block_on(pinged.wait_for(|value| *value == n))
                            .unwrap();
                        pong.send_replace(n);
                    }
                });
                for n in 1..=times {
                    ping.send_replace(n);
                    futures_lite::future::block_on(ponged.wait_for(|value| *value == n)).unwrap();
                }
            });
            start.elapsed().as_nanos() as f64 / times as f64
        }),
    );
}

fn waiting() {
    let waker = Waker::from(Arc::new(Idle));
    let state = Watched::new(0_u64);
    let (sender, receiver) = watch::channel(0_u64);
    for set in [true, false] {
        let (ours, theirs) = (waker.clone(), waker.clone());
        let mut receiver = receiver.clone();
        row(
            if set {
                "H wait_for: create, poll, set, poll"
            } else {
                "H' wait_for: create, poll, drop"
            },
            "watch",
            if set { 0.35 } else { 0.75 },
            100_000,
            each(|n| {
                let value = if set { u64::MAX - n } else { n };
                let mut wait = state.wait_for(value);
                let context = &mut Context::from_waker(&ours);
                assert!(Pin::new(&mut wait).poll(context).is_pending());
                if set {
                    state.set(value);
                    assert!(Pin::new(&mut wait).poll(context).is_ready());
                }
            }),
            each(|n| {
                let awaited = if set { u64::MAX - n } else { n };
                let mut wait = pin!(receiver.wait_for(|value| *value == awaited));
                let context = &mut Context::from_waker(&theirs);
                assert!(wait.as_mut().poll(context).is_pending());
                if set {
                    sender.send_replace(awaited);
                    assert!(wait.as_mut().poll(context).is_ready());
                }
            }),
        );
    }
}

/// A thousand tasks wait, each for a value of its own; each set lets one of them go round.
fn one_of_a_thousand() {
    const TASKS: u64 = 1_000;
    static POLLS: AtomicU64 = AtomicU64::new(0);
    let driven = |executor: LocalExecutor<'static>, set: Box<dyn Fn(u64)>| -> Side<'static> {
        let mut n = 0;
        Box::new(move |times| {
            while executor.try_tick() {}
            let start = Instant::now();
            for _ in 0..times {
                n += 1;
                set(n % TASKS);
                while executor.try_tick() {
                    POLLS.fetch_add(1, Relaxed);
                }
            }
            start.elapsed().as_nanos() as f64 / times as f64
        })
    };
    for (name, goal) in [("wait_for", 0.01), ("wait_until", 0.025)] {
        let state: &'static Watched<u64> = Box::leak(Box::new(Watched::new(u64::MAX)));
        let here = LocalExecutor::new();
        for own in 0..TASKS {
            here.spawn(async move {
                loop {
                    if name == "wait_for" {
                        state.wait_for_next(own).await;
                    } else {
                        state.wait_until_next(move |value| *value == own).await;
                    }
                }
            })
            .detach();
        }
        let (sender, receiver) = watch::channel(u64::MAX);
        let there = LocalExecutor::new();
        for own in 0..TASKS {
            let mut receiver = receiver.clone();
            there
                .spawn(async move {
                    while receiver.wait_for(|value| *value == own).await.is_ok() {
                        receiver.mark_unchanged();
                        if receiver.changed().await.is_err() {
                            break;
                        }
                    }
                })
                .detach();
        }
        let mut ours = driven(
            here,
            Box::new(|n| {
                black_box(state.replace(n));
            }),
        );
        ours(1);
        POLLS.store(0, Relaxed);
        ours(1_000);
        println!(
            "| I tasks polled for each {name} | {} | | | 1 | |",
            POLLS.load(Relaxed) as f64 / 1_000.0
        );
        row(
            &format!("I one of 1,000 by {name}"),
            "watch",
            goal,
            300,
            ours,
            driven(
                there,
                Box::new(move |n| {
                    black_box(sender.send_replace(n));
                }),
            ),
        );
    }
}

fn main() {
    // `cargo test` runs benches without this flag: then there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("| what | ours, ns | peer, ns | ratio | goal | |\n|---|---|---|---|---|---|");
    reading_and_setting();
    fan_out();
    on_one_executor();
    between_threads();
    waiting();
    one_of_a_thousand();
}
