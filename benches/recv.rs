//! What does receiving cost: one of a few, one of a million, and after falling asleep?

mod common;

use common::{ByHand, Findings, Side, poll, timed, waker};
use onlooker::{Overflow, Watched};
use std::hint::black_box;
use std::pin::pin;
use tokio::sync::broadcast;

fn one_of_a_few(findings: &mut Findings) {
    const ROOM: usize = 1_024;
    if !findings.wants("try_recv", 1) {
        return;
    }
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
    const ROW: &str = "recv: poll, set, poll";
    if !findings.wants(ROW, 1) {
        return;
    }
    let (bounded, unbounded) = (Watched::new(0), Watched::new(0));
    let mut ring = bounded.watch_bounded(16, Overflow::DropOldest);
    let mut endless = unbounded.watch();
    let (sender, mut receiver) = broadcast::channel(16);
    let (there, mut here) = async_broadcast::broadcast(16);
    let by_hand = ByHand::new(0);
    let queue = by_hand.watch(Some(16));
    let waker = waker();
    findings.row(
        ROW,
        1,
        vec![
            Side::each("onlooker, unbounded", |n| {
                let mut recv = endless.recv();
                assert!(!poll(&mut recv, &waker));
                unbounded.set(n);
                assert!(poll(&mut recv, &waker));
            }),
            Side::each("onlooker, bounded", |n| {
                let mut recv = ring.recv();
                assert!(!poll(&mut recv, &waker));
                bounded.set(n);
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
    const ROW: &str = "fall behind and catch up";
    for behind in findings.wanted(ROW, [1_000, 10_000, 100_000, 1_000_000]) {
        let state = Watched::new(0);
        let mut watcher = state.watch();
        let by_hand = ByHand::new(0);
        let queue = by_hand.watch(None);
        let mut n = 0;
        let mut m = 0;
        findings.row(
            ROW,
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

/// The longest single set on the way to so many that nobody has received: what a buffer that grows costs at once.
fn longest(findings: &mut Findings) {
    const ROW: &str = "longest set, nobody receives";
    fn longest(sets: u64, mut set: impl FnMut(u64)) -> f64 {
        let each = (1..=sets).map(|n| timed(|| set(n)));
        each.max().unwrap_or_default().as_secs_f64() * 1e9
    }
    for sets in findings.wanted(ROW, [1_000, 10_000, 100_000, 1_000_000]) {
        let (mut ours, mut hands, mut nobody) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..findings.or_fewer(9) {
            let state = Watched::new(0);
            // What the machine itself takes a thread away for.
            nobody.push(longest(sets, |n| _ = state.set(n)));
            let _watcher = state.watch();
            ours.push(longest(sets, |n| _ = state.set(n + 1)));
            let by_hand = ByHand::new(0);
            let _queue = by_hand.watch(None);
            hands.push(longest(sets, |n| by_hand.set(n)));
        }
        findings.keep_all(ROW, sets, "onlooker, unbounded", "ns", &ours);
        findings.keep_all(ROW, sets, "by hand", "ns", &hands);
        findings.keep_all(ROW, sets, "onlooker, nobody watches", "ns", &nobody);
    }
}

fn main() {
    let Some(mut findings) = Findings::of("recv") else {
        return;
    };
    one_of_a_few(&mut findings);
    after_sleep(&mut findings);
    backlog(&mut findings);
    longest(&mut findings);
}
