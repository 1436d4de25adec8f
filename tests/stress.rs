//! Everything at once, at full speed: one order, exact counts.

use onlooker::{Callback, Overflow, Watched};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// A setter and its count: no two transitions are alike.
type Value = (u32, u32);

const SETTERS: u32 = 4;
const SETS: u32 = 4_000;

fn setter(state: &Watched<Value>, name: u32) {
    for count in 1..=SETS {
        state.set((name, count));
        match count % 50 {
            0 => drop(state.wait_for((name, count + 1))),
            10 => drop(state.wait_until(|value| value.1 == u32::MAX)),
            20 => drop(state.watch()),
            30 => drop(state.on_change(|_| ())),
            40 => drop(state.watch_bounded(2, Overflow::DropNewest)),
            _ => {}
        }
    }
}

#[test]
fn everything_at_once_makes_one_order_and_exact_counts() {
    let state = Watched::new((0, 0));
    let called: Arc<Mutex<Vec<(u64, Value)>>> = Arc::default();
    let judged: Arc<Mutex<Vec<Value>>> = Arc::default();
    let panics = Arc::new(AtomicU64::new(0));

    let sink = called.clone();
    let callback: Callback = state.on_change(move |change| {
        sink.lock().unwrap().push((change.seq, change.new));
    });
    let sink = judged.clone();
    let predicate = state.wait_until_next(move |value| {
        sink.lock().unwrap().push(*value);
        false
    });
    let count = panics.clone();
    let last_ones: Vec<_> = (1..=SETTERS)
        .map(|name| {
            let count = count.clone();
            state.wait_map(move |value| {
                count.fetch_add(1, SeqCst);
                (*value == (name, SETS)).then_some(name)
            })
        })
        .collect();

    // Made before anything is set: on a busy machine a setter may be done before the next line runs here.
    let values: Vec<_> = (1..=SETTERS)
        .map(|name| state.wait_for((name, SETS)))
        .collect();

    let mut all = state.watch();
    let mut asleep = state.watch();
    let mut oldest = state.watch_bounded(7, Overflow::DropOldest);
    let mut newest = state.watch_bounded(1, Overflow::DropNewest);
    let total = u64::from(SETTERS * SETS);

    thread::scope(|scope| {
        let state = &state;
        for name in 1..=SETTERS {
            scope.spawn(move || setter(state, name));
        }
        // A reader that sleeps in between, of each kind.
        scope.spawn(move || {
            let mut before = (0, 0);
            for seq in 1..=total {
                let change = asleep.recv_blocking().unwrap();
                assert_eq!((change.old, change.seq, change.missed), (before, seq, 0));
                before = change.new;
            }
        });
        scope.spawn(move || {
            let (mut before, mut seq, mut missed) = ((0, 0), 0, 0);
            while seq < total {
                let change = oldest.recv_blocking().unwrap();
                assert_eq!((change.old, change.seq), (before, seq + 1 + change.missed));
                (before, seq) = (change.new, change.seq);
                missed += change.missed;
            }
            assert_eq!(missed, oldest.missed());
        });
        for (name, wait) in (1..).zip(last_ones) {
            scope.spawn(move || assert_eq!(wait.wait(), name));
        }
        for (name, wait) in (1..).zip(values) {
            scope.spawn(move || assert_eq!(wait.wait(), (name, SETS)));
        }
    });

    assert_eq!(state.version(), total);
    let mut order = Vec::new();
    let mut before = (0, 0);
    while let Ok(change) = all.try_recv() {
        assert_eq!((change.old, change.missed), (before, 0));
        before = change.new;
        order.push(change.new);
    }
    assert_eq!(order.len() as u64, total);
    for name in 1..=SETTERS {
        let own: Vec<_> = order.iter().filter(|value| value.0 == name).collect();
        assert!(own.is_sorted() && own.len() == SETS as usize);
    }
    let called = called.lock().unwrap();
    assert!(called.iter().map(|call| call.0).eq(1..=total));
    assert!(called.iter().map(|call| call.1).eq(order.iter().copied()));
    assert_eq!(*judged.lock().unwrap(), order);

    let mut kept = 0;
    while newest.try_recv().is_ok() {
        kept += 1;
    }
    assert_eq!(kept + newest.missed(), total);
    assert_eq!(state.watcher_count(), 2);
    drop((callback, predicate));
}
