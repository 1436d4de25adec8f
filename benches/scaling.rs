//! How does the cost of a `set` grow with those who idle beside it?

mod common;

use common::{ByHand, Findings, Side, poll, timed, waker};
use onlooker::{Overflow, Wait, Watched};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::sync::{broadcast, watch};

/// Per watcher. Nobody receives until the round is over.
fn watchers(findings: &mut Findings) {
    const ROW: &str = "set, idle watchers, each";
    for count in findings.wanted(ROW, [1, 8, 64, 512, 4_096]) {
        // The same room for all, and little: memory is not in question here.
        let room = 64;
        let ours = |who: &str, capacity: Option<u64>, overflow, most| {
            let state = Watched::new(0_u64);
            let mut watchers: Vec<_> = (0..count)
                .map(|_| match capacity {
                    Some(capacity) => state.watch_bounded(capacity as usize, overflow),
                    None => state.watch(),
                })
                .collect();
            let drain = move || {
                for watcher in &mut watchers {
                    while watcher.try_recv().is_ok() {}
                }
            };
            Side::with_room(who, most, move |n| _ = black_box(state.set(n)), drain).per(count)
        };
        let by_hand = |who: &str, capacity: Option<u64>| {
            let state = ByHand::new(0_u64);
            let queues: Vec<_> = (0..count)
                .map(|_| state.watch(capacity.map(|capacity| capacity as usize)))
                .collect();
            let drain = move || {
                for queue in &queues {
                    while queue.try_recv().is_ok() {}
                }
            };
            Side::with_room(who, room, move |n| state.set(n), drain).per(count)
        };
        let (sender, receiver) = broadcast::channel(room as usize);
        let _receivers: Vec<_> = (0..count).map(|_| receiver.resubscribe()).collect();
        findings.row(
            ROW,
            count,
            vec![
                ours("onlooker, room", Some(room), Overflow::DropOldest, room),
                ours("onlooker, unbounded", None, Overflow::DropOldest, room),
                ours(
                    "onlooker, full, DropOldest",
                    Some(16),
                    Overflow::DropOldest,
                    1_000,
                ),
                ours(
                    "onlooker, full, DropNewest",
                    Some(16),
                    Overflow::DropNewest,
                    1_000,
                ),
                by_hand("by hand, room", Some(room)),
                by_hand("by hand, unbounded", None),
                Side::each("tokio broadcast", |n| _ = black_box(sender.send(n).is_ok())).per(count),
            ],
        );
    }
}

/// Tasks that wait for what does not come.
fn waits(findings: &mut Findings) {
    const ROW: &str = "set, none of the waits matches";
    for count in findings.wanted(ROW, [1, 10, 100, 1_000, 10_000, 100_000]) {
        let waker = waker();
        let states = Box::leak(Box::new((Watched::new(0_u64), Watched::new(0_u64))));
        let (values, predicates) = &*states;
        let keep = |mut wait: Wait<'static, u64>| {
            assert!(!poll(&mut wait, &waker));
            wait
        };
        let _values: Vec<_> = (0..count)
            .map(|own| keep(values.wait_for(u64::MAX - own)))
            .collect();
        let _predicates: Vec<_> = (0..count)
            .map(|own| keep(predicates.wait_until(move |value| *value == u64::MAX - own)))
            .collect();
        let (sender, receiver) = watch::channel(0_u64);
        let mut receivers: Vec<_> = (0..count).map(|_| receiver.clone()).collect();
        let mut waiting: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = receivers
            .iter_mut()
            .enumerate()
            .map(|(own, receiver)| {
                Box::pin(async move {
                    let awaited = u64::MAX - own as u64;
                    receiver.wait_for(|value| *value == awaited).await.ok();
                }) as Pin<Box<dyn Future<Output = ()> + '_>>
            })
            .collect();
        let context = &mut Context::from_waker(Waker::noop());
        for wait in &mut waiting {
            assert!(wait.as_mut().poll(context).is_pending());
        }
        findings.row(
            ROW,
            count,
            vec![
                Side::each("onlooker wait_for", |n| _ = black_box(values.set(n))),
                Side::each("onlooker wait_until", |n| _ = black_box(predicates.set(n))),
                // Each of them is woken, looks, and lies down again.
                Side::new("tokio watch", |times| {
                    timed(|| {
                        for n in 0..times {
                            sender.send_replace(n);
                            for wait in &mut waiting {
                                assert!(wait.as_mut().poll(context).is_pending());
                            }
                        }
                    })
                }),
            ],
        );
    }
}

/// One of many states: what memory's distance costs.
fn states(findings: &mut Findings) {
    const ROW: &str = "set, one of many states";
    for count in findings.wanted(ROW, [1, 100, 10_000, 100_000]) {
        let states = |watched: bool| -> Vec<_> {
            (0..count)
                .map(|_| {
                    let state = Watched::new(0_u64);
                    let watcher = watched.then(|| state.watch_bounded(1, Overflow::DropOldest));
                    (state, watcher)
                })
                .collect()
        };
        let (alone, watched) = (states(false), states(true));
        let peers: Vec<_> = (0..count).map(|_| watch::channel(0_u64)).collect();
        // Not in the order in which they lie.
        let at = |n: u64| (n * 7_919 % count) as usize;
        findings.row(
            ROW,
            count,
            vec![
                Side::each("onlooker, 1 watcher", |n| {
                    _ = black_box(watched[at(n)].0.set(n));
                }),
                Side::each("onlooker, nobody", |n| _ = black_box(alone[at(n)].0.set(n))),
                Side::each("tokio watch", |n| {
                    _ = black_box(peers[at(n)].0.send_replace(n));
                }),
            ],
        );
    }
}

fn main() {
    let Some(mut findings) = Findings::of("scaling") else {
        return;
    };
    watchers(&mut findings);
    waits(&mut findings);
    states(&mut findings);
}
