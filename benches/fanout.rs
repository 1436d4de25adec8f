//! What does a delivery cost when many tasks of one executor watch?
//!
//! Sixteen transitions, then the executor until it is idle. The executor's own tick is in every side's figure.

mod common;

use async_executor::LocalExecutor;
use common::{ByHand, Findings, Side, timed};
use onlooker::{Overflow, Watched};
use std::future::Future;
use tokio::sync::broadcast;

const BATCH: u64 = 16;
const ROOM: usize = 64;

fn spread<F: Future<Output = ()> + 'static>(
    who: &str,
    watchers: u64,
    mut watch: impl FnMut() -> F,
    mut set: impl FnMut(u64) + 'static,
) -> Side<'static> {
    let executor = LocalExecutor::new();
    (0..watchers).for_each(|_| executor.spawn(watch()).detach());
    let mut n = 0;
    Side::new(who, move |times| {
        while executor.try_tick() {}
        timed(|| {
            for _ in 0..times {
                for _ in 0..BATCH {
                    n += 1;
                    set(n);
                }
                while executor.try_tick() {}
            }
        })
    })
    .per(BATCH * watchers)
}

fn main() {
    let Some(mut findings) = Findings::of("fanout") else {
        return;
    };
    for watchers in findings.wanted("deliver", [1, 8, 64, 512, 4_096]) {
        let ours = |who: &str, capacity: Option<usize>| {
            let state: &'static Watched<u64> = Box::leak(Box::new(Watched::new(0)));
            let watch = || {
                let mut watcher = match capacity {
                    Some(capacity) => state.watch_bounded(capacity, Overflow::DropOldest),
                    None => state.watch(),
                };
                async move { while watcher.recv().await.is_ok() {} }
            };
            spread(who, watchers, watch, |n| _ = state.set(n))
        };
        let broadcast = {
            let (sender, _) = broadcast::channel(ROOM);
            let from = sender.clone();
            let watch = || {
                let mut receiver = from.subscribe();
                async move { while receiver.recv().await.is_ok() {} }
            };
            spread("tokio broadcast", watchers, watch, move |n| {
                assert!(sender.send(n).is_ok());
            })
        };
        let async_broadcast = {
            let (sender, receiver) = async_broadcast::broadcast(ROOM);
            let watch = || {
                let mut receiver = receiver.clone();
                // `recv` would allocate each time.
                async move { while receiver.recv_direct().await.is_ok() {} }
            };
            let side = spread("async-broadcast", watchers, watch, move |n| {
                assert!(sender.try_broadcast(n).is_ok());
            });
            // One that nobody reads would fill it.
            drop(receiver);
            side
        };
        let by_hand = {
            let state: &'static ByHand<u64> = Box::leak(Box::new(ByHand::new(0)));
            let watch = || {
                let queue = state.watch(Some(ROOM));
                async move { while queue.recv().await.is_ok() {} }
            };
            spread("by hand", watchers, watch, |n| state.set(n))
        };
        findings.row(
            "deliver",
            watchers,
            vec![
                ours("onlooker, unbounded", None),
                ours("onlooker, bounded", Some(ROOM)),
                broadcast,
                async_broadcast,
                by_hand,
            ],
        );
    }
}
