//! What does receiving cost: one of a few, one of a million, and after falling asleep?

mod common;

use common::{ByHand, Findings, Side, poll, timed, waker};
use onlooker::{Overflow, Watched};
use std::hint::black_box;
use std::pin::pin;
use tokio::sync::broadcast;

fn one_of_a_few(findings: &mut Findings) {
    const ROOM: usize = 1_024;
    let (bounded, unbounded) = (Watched::new(0), Watched::new(0));
    let mut roomy = bounded.watch_bounded(ROOM, Overflow::DropOldest);
    let mut endless = unbounded.watch();
    let (sender, mut receiver) = broadcast::channel(ROOM);
    let (there, mut here) = async_broadcast::broadcast(ROOM);
    let by_hand = ByHand::new(0);
    let queue = by_hand.watch(Some(ROOM));
    // Puts as many in as it then takes out; only taking counts.
    fn filled<'a>(
        who: &str,
        mut put: impl FnMut(u64) + 'a,
        mut take: impl FnMut() -> bool + 'a,
    ) -> Side<'a> {
        let mut n = 0;
        Side::new(who, move |times| {
            for _ in 0..times {
                n += 1;
                put(n);
            }
            timed(|| (0..times).for_each(|_| assert!(take())))
        })
        .most(ROOM as u64)
    }
    findings.row(
        "try_recv",
        1,
        vec![
            filled(
                "onlooker, bounded",
                |n| _ = bounded.set(n),
                || black_box(roomy.try_recv()).is_ok(),
            ),
            filled(
                "onlooker, unbounded",
                |n| _ = unbounded.set(n),
                || black_box(endless.try_recv()).is_ok(),
            ),
            filled(
                "tokio broadcast",
                |n| _ = sender.send(n).is_ok(),
                || black_box(receiver.try_recv()).is_ok(),
            ),
            filled(
                "async-broadcast",
                |n| assert!(there.try_broadcast(n).is_ok()),
                || black_box(here.try_recv()).is_ok(),
            ),
            filled(
                "by hand",
                |n| by_hand.set(n),
                || black_box(queue.try_recv()).is_ok(),
            ),
        ],
    );
}

/// Poll, set, poll: a sleeper is woken for one transition.
fn after_sleep(findings: &mut Findings) {
    let state = Watched::new(0);
    let mut watcher = state.watch_bounded(16, Overflow::DropOldest);
    let (sender, mut receiver) = broadcast::channel(16);
    let (there, mut here) = async_broadcast::broadcast(16);
    let by_hand = ByHand::new(0);
    let queue = by_hand.watch(Some(16));
    let waker = waker();
    findings.row(
        "recv: poll, set, poll",
        1,
        vec![
            Side::each("onlooker", |n| {
                let mut recv = watcher.recv();
                assert!(!poll(&mut recv, &waker));
                state.set(n);
                assert!(poll(&mut recv, &waker));
            }),
            Side::each("tokio broadcast", |n| {
                let mut recv = pin!(receiver.recv());
                assert!(!poll(&mut recv, &waker));
                assert!(sender.send(n).is_ok());
                assert!(poll(&mut recv, &waker));
            }),
            Side::each("async-broadcast", |n| {
                let mut recv = pin!(here.recv_direct());
                assert!(!poll(&mut recv, &waker));
                assert!(there.try_broadcast(n).is_ok());
                assert!(poll(&mut recv, &waker));
            }),
            Side::each("by hand", |n| {
                let mut recv = pin!(queue.recv());
                assert!(!poll(&mut recv, &waker));
                by_hand.set(n);
                assert!(poll(&mut recv, &waker));
            }),
        ],
    );
}

/// A watcher falls behind by so many, then catches up. Both ways count.
fn backlog(findings: &mut Findings) {
    for behind in [1_000, 10_000, 100_000, 1_000_000] {
        let state = Watched::new(0);
        let mut watcher = state.watch();
        let by_hand = ByHand::new(0);
        let queue = by_hand.watch(None);
        let mut n = 0;
        let mut m = 0;
        findings.row(
            "fall behind and catch up",
            behind,
            vec![
                Side::new("onlooker, unbounded", |times| {
                    timed(|| {
                        for _ in 0..times {
                            for _ in 0..behind {
                                n += 1;
                                state.set(n);
                            }
                            while watcher.try_recv().is_ok() {}
                        }
                    })
                })
                .per(behind),
                Side::new("by hand", |times| {
                    timed(|| {
                        for _ in 0..times {
                            for _ in 0..behind {
                                m += 1;
                                by_hand.set(m);
                            }
                            while queue.try_recv().is_ok() {}
                        }
                    })
                })
                .per(behind),
            ],
        );
    }
}

fn main() {
    let Some(mut findings) = Findings::of("recv") else {
        return;
    };
    one_of_a_few(&mut findings);
    after_sleep(&mut findings);
    backlog(&mut findings);
}
