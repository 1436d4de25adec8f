//! What does it cost between threads: a stream to one watcher, a ping-pong, setters that contend?

mod common;

use common::{ByHand, CallsByHand, Findings, Side, together};
use futures_lite::future::block_on;
use onlooker::{Overflow, Watched};
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// `setters` threads set `times` each, values that are all different; this one receives them all.
fn stream<'a, C: Sync>(
    who: &str,
    setters: u64,
    connect: impl Fn(u64) -> C + 'a,
    set: impl Fn(&C, u64) + Sync + 'a,
    receive: impl Fn(&C, u64) + 'a,
) -> Side<'a> {
    Side::new(who, move |times| {
        let all = times * setters;
        let connected = connect(all);
        let setting = |own| (0..times).for_each(|n| set(&connected, 1 + n * setters + own));
        together(setters, setting, || receive(&connected, all))
    })
    .per(setters)
    .most(100_000)
    .long()
}

fn streams(findings: &mut Findings) {
    const ROW: &str = "stream to 1 watcher";
    for setters in findings.wanted(ROW, [1, 2, 4, 8]) {
        findings.row(
            ROW,
            setters,
            vec![
                stream(
                    "onlooker, unbounded",
                    setters,
                    |_| {
                        let state = Watched::new(0);
                        let watcher = Mutex::new(state.watch());
                        (state, watcher)
                    },
                    |(state, _), n| _ = black_box(state.set(n)),
                    |(_, watcher), all| {
                        let mut watcher = watcher.lock().unwrap();
                        (0..all).for_each(|_| assert!(watcher.recv_blocking().is_ok()));
                    },
                ),
                stream(
                    "tokio broadcast",
                    setters,
                    |all| {
                        // Room for all: it would lose some.
                        let room = all.next_power_of_two() as usize;
                        let (sender, receiver) = broadcast::channel(room);
                        (sender, Mutex::new(receiver))
                    },
                    |(sender, _), n| assert!(sender.send(n).is_ok()),
                    |(_, receiver), all| {
                        let mut receiver = receiver.lock().unwrap();
                        (0..all).for_each(|_| assert!(receiver.blocking_recv().is_ok()));
                    },
                ),
                stream(
                    "async-broadcast",
                    setters,
                    |all| {
                        let (sender, receiver) = async_broadcast::broadcast(all as usize);
                        (sender, Mutex::new(receiver))
                    },
                    |(sender, _), n| assert!(sender.try_broadcast(n).is_ok()),
                    |(_, receiver), all| {
                        let mut receiver = receiver.lock().unwrap();
                        (0..all).for_each(|_| assert!(receiver.recv_blocking().is_ok()));
                    },
                ),
                stream(
                    "by hand",
                    setters,
                    |_| {
                        let state = ByHand::new(0);
                        let queue = state.watch(None);
                        (state, queue)
                    },
                    |(state, _), n| state.set(n),
                    |(_, queue), all| {
                        (0..all).for_each(|_| assert!(queue.recv_blocking().is_ok()));
                    },
                ),
            ],
        );
    }
}

/// One thread answers, this one asks.
fn ping_pong(findings: &mut Findings) {
    fn rounds(times: u64, answer: impl Fn(u64) + Sync, ask: impl Fn(u64)) -> Duration {
        together(
            1,
            |_| (1..=times).for_each(&answer),
            || (1..=times).for_each(&ask),
        )
    }
    const ROW: &str = "ping-pong by wait_for";
    if !findings.wants(ROW, 2) {
        return;
    }
    findings.row(
        ROW,
        2,
        vec![
            Side::new("onlooker", |times| {
                let (ping, pong) = (Watched::new(0), Watched::new(0));
                let answer = |n| {
                    ping.wait_for(n).wait();
                    pong.set(n);
                };
                rounds(times, answer, |n| {
                    ping.set(n);
                    pong.wait_for(n).wait();
                })
            })
            .long(),
            Side::new("onlooker, block_on", |times| {
                let (ping, pong) = (Watched::new(0), Watched::new(0));
                let answer = |n| {
                    block_on(ping.wait_for(n));
                    pong.set(n);
                };
                rounds(times, answer, |n| {
                    ping.set(n);
                    block_on(pong.wait_for(n));
                })
            })
            .long(),
            Side::new("tokio watch, block_on", |times| {
                let (ping, pinged) = watch::channel(0);
                let (pong, ponged) = watch::channel(0);
                let (pinged, ponged) = (Mutex::new(pinged), Mutex::new(ponged));
                let answer = |n| {
                    let mut pinged = pinged.lock().unwrap();
                    block_on(pinged.wait_for(|value| *value == n)).unwrap();
                    pong.send_replace(n);
                };
                rounds(times, answer, |n| {
                    ping.send_replace(n);
                    let mut ponged = ponged.lock().unwrap();
                    block_on(ponged.wait_for(|value| *value == n)).unwrap();
                })
            })
            .long(),
            // The floor: two threads that wake each other and do nothing else.
            Side::new("park and unpark", |times| {
                let turn = AtomicU64::new(0);
                let (asker, answerer) = (thread::current(), Mutex::new(None));
                let wait = |until| {
                    while turn.load(Ordering::Acquire) != until {
                        thread::park();
                    }
                };
                let pass = |to: &thread::Thread, n| {
                    turn.store(n, Ordering::Release);
                    to.unpark();
                };
                let answering = |_| {
                    *answerer.lock().unwrap() = Some(thread::current());
                    pass(&asker, 1);
                    for n in 1..=times {
                        wait(2 * n);
                        pass(&asker, 2 * n + 1);
                    }
                };
                together(1, answering, || {
                    wait(1);
                    let answerer = answerer.lock().unwrap().clone().unwrap();
                    for n in 1..=times {
                        pass(&answerer, 2 * n);
                        wait(2 * n + 1);
                    }
                })
            })
            .long(),
        ],
    );
}

type Set<'a> = Box<dyn Fn(u64) + Sync + 'a>;

/// So many threads set the same state as fast as they can.
fn contention(findings: &mut Findings) {
    const ROW: &str = "set, threads contend";
    for setters in findings.wanted(ROW, [1, 2, 4, 8]) {
        let (alone, watched) = (Watched::new(0_u64), Watched::new(0_u64));
        let called = Watched::new(0_u64);
        let _callback = called.on_change(|change| _ = black_box(change.new));
        let call = |_: &u64, new: &u64| _ = black_box(*new);
        let by_hand = CallsByHand::new(vec![Box::new(call)]);
        let _idle = watched.watch_bounded(16, Overflow::DropOldest);
        let floor = Mutex::new(0);
        let (sender, _receiver) = broadcast::channel(16);
        let (replaced, _watching) = watch::channel(0);
        let sets: [(&str, Set<'_>); 7] = [
            (
                "onlooker, nobody",
                Box::new(|n| _ = black_box(alone.set(n))),
            ),
            (
                "onlooker, 1 watcher",
                Box::new(|n| _ = black_box(watched.set(n))),
            ),
            (
                "onlooker, 1 callback",
                Box::new(|n| _ = black_box(called.set(n))),
            ),
            ("by hand, 1 callback", Box::new(|n| by_hand.set(n))),
            ("std Mutex", Box::new(|n| *floor.lock().unwrap() = n)),
            ("tokio broadcast", Box::new(|n| _ = sender.send(n).is_ok())),
            ("tokio watch", Box::new(|n| _ = replaced.send_replace(n))),
        ];
        let sides = sets
            .iter()
            .map(|(who, set)| {
                Side::new(who, move |times| {
                    let setting = |own| (0..times).for_each(|n| set(1 + n * setters + own));
                    // This thread is the first of them.
                    together(setters - 1, |other| setting(other + 1), || setting(0))
                })
                .per(setters)
                .most(200_000)
                .long()
            })
            .collect();
        findings.row(ROW, setters, sides);
    }
}

fn main() {
    let Some(mut findings) = Findings::of("threads") else {
        return;
    };
    streams(&mut findings);
    ping_pong(&mut findings);
    contention(&mut findings);
}
