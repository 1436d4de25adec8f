//! What a full buffer does: exact capacities, the chain, and losses that are counted.

mod common;

use common::{panics, pending};
use onlooker::{Overflow, TryRecvError, Watched, Watcher};
use std::sync::Arc;

/// Receives all there is; checks the chain; says what came and how many were missed on the way.
fn drain(watcher: &mut Watcher<u64>) -> (Vec<u64>, u64) {
    let (mut seen, mut came, mut missed) = (*watcher.seen(), Vec::new(), 0);
    let mut seq = seen; // the tests set 1, 2, 3 …
    while let Ok(change) = watcher.try_recv() {
        assert_eq!(change.old, seen, "the chain is broken");
        assert_eq!(change.seq, seq + 1 + change.missed);
        (seen, seq) = (change.new, change.seq);
        came.push(change.new);
        missed += change.missed;
    }
    (came, missed)
}

#[test]
fn capacity_is_exact() {
    for capacity in [1, 2, 3, 5, 16, 17] {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
            let state = Watched::new(0);
            let mut watcher = state.watch_bounded(capacity, overflow);
            assert_eq!(watcher.capacity(), Some(capacity));
            for n in 1..=capacity as u64 {
                state.set(n);
                assert_eq!((watcher.len() as u64, watcher.missed()), (n, 0));
            }
            state.set(100);
            assert_eq!((watcher.len(), watcher.missed()), (capacity, 1));
            assert!(watcher.try_recv().is_ok());
            assert_eq!(watcher.len(), capacity - 1);
        }
    }
}

#[test]
fn drop_oldest_ends_on_the_present_value() {
    for capacity in 1..=20 {
        let state = Watched::new(0);
        let mut watcher = state.watch_bounded(capacity, Overflow::DropOldest);
        (1..=50).for_each(|n| {
            state.set(n);
        });
        let first = 51 - capacity as u64;
        assert_eq!(drain(&mut watcher), ((first..=50).collect(), first - 1));
        assert_eq!(watcher.missed(), first - 1);
    }
}

#[test]
fn drop_newest_keeps_the_beginning() {
    for capacity in 1..=20 {
        let state = Watched::new(0);
        let mut watcher = state.watch_bounded(capacity, Overflow::DropNewest);
        (1..=50).for_each(|n| {
            state.set(n);
        });
        let last = capacity as u64;
        assert_eq!(drain(&mut watcher), ((1..=last).collect(), 0));
        assert_eq!(watcher.missed(), 50 - last, "counted when it happened");
        state.set(51);
        let next = watcher.try_recv().unwrap();
        assert_eq!((next.old, next.new, next.missed), (last, 51, 50 - last));
    }
}

#[test]
fn a_reader_in_between_keeps_the_chain() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let state = Watched::new(0);
        let mut watcher = state.watch_bounded(3, overflow);
        let (mut received, mut missed, mut n) = (0, 0, 0);
        for round in 0..200 {
            for _ in 0..round % 7 {
                n += 1;
                state.set(n);
            }
            if round % 3 == 0 {
                let (came, lost) = drain(&mut watcher);
                received += came.len() as u64;
                missed += lost;
            }
        }
        n += 1;
        drain(&mut watcher).0.iter().for_each(|_| received += 1);
        state.set(n);
        let last = watcher.try_recv().unwrap();
        assert_eq!(last.new, n);
        // Every transition was either received or counted.
        assert_eq!(received + 1 + watcher.missed(), n);
        assert!(missed <= watcher.missed());
    }
}

#[test]
fn loss_ends_no_loop() {
    let state = Watched::new(0);
    let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
    (1..=10).for_each(|n| {
        state.set(n);
    });
    let mut came = Vec::new();
    while let Ok(change) = watcher.try_recv() {
        came.push((change.new, change.missed));
    }
    assert_eq!(came, [(9, 8), (10, 0)]);
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn an_unbounded_watcher_misses_nothing() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    assert_eq!(watcher.capacity(), None);
    (1..=10_000).for_each(|n| {
        state.set(n);
    });
    assert_eq!(watcher.len(), 10_000);
    assert_eq!(drain(&mut watcher), ((1..=10_000).collect(), 0));
    assert_eq!(watcher.missed(), 0);
}

#[test]
fn capacity_zero_panics_with_the_reason() {
    let state = Watched::new(0);
    let message = panics(|| drop(state.watch_bounded(0, Overflow::DropOldest)));
    assert!(message.contains("would miss everything"), "{message}");
    assert_eq!(state.watcher_count(), 0);
}

#[test]
fn a_slow_watcher_costs_its_neighbour_nothing() {
    let state = Watched::new(0);
    let slow = state.watch_bounded(1, Overflow::DropOldest);
    let mut fast = state.watch_bounded(1, Overflow::DropOldest);
    for n in 1..=100 {
        state.set(n);
        assert_eq!(fast.try_recv().unwrap().new, n);
    }
    assert_eq!((slow.missed(), fast.missed()), (99, 0));
}

#[test]
fn what_a_full_buffer_gives_up_is_gone_when_the_setter_returns() {
    let values: Vec<Arc<u32>> = (0..6).map(Arc::new).collect();
    let held = |n: usize| Arc::strong_count(&values[n]) - 1;
    for asleep in [false, true] {
        let state = Watched::new(values[0].clone());
        let full = state.watch_bounded(1, Overflow::DropOldest);
        let mut other = state.watch();
        drop(state.replace(values[1].clone()));
        drop(other.try_recv());
        // Somebody to be woken by the same set.
        let mut recv = other.recv();
        assert!(!asleep || pending(&mut recv));
        drop(state.replace(values[2].clone()));
        // One watcher has seen it last, the full one has given it up.
        assert_eq!(held(1), 1, "asleep: {asleep}");
        assert_eq!(full.missed(), 1);
        drop(recv);
    }
    assert!((0..6).all(|n| held(n) == 0));
}
