//! Watchers: every transition, in order, from a buffer of their own.

mod common;

use common::{Task, pending, poll, ready};
use futures_lite::{Stream, StreamExt, future};
use onlooker::{Overflow, TryRecvError, Watched, Watcher};
use std::task::Poll;

fn set_all<const N: usize>(state: &Watched<u32>, values: [u32; N]) {
    for value in values {
        state.set(value);
    }
}

#[test]
fn every_transition_is_received_in_order() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    set_all(&state, [1, 2, 3]);
    for n in 1..=3 {
        let change = watcher.try_recv().unwrap();
        assert_eq!(
            (change.old, change.new, change.seq, change.missed),
            (n - 1, n, n.into(), 0)
        );
        assert_eq!(*watcher.seen(), n);
    }
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_watcher_starts_at_the_value_it_registered_at() {
    let state = Watched::new(0);
    set_all(&state, [1, 2]);
    let mut watcher = state.watch();
    assert_eq!(*watcher.seen(), 2);
    assert!(watcher.is_empty());
    state.set(3);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old, change.seq, change.missed), (2, 3, 0));
}

#[test]
fn only_a_sleeper_is_woken_and_once() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let task = Task::new();
    assert!(task.poll(&mut watcher.recv()).is_pending());
    set_all(&state, [1, 2, 3]);
    assert_eq!(task.wakes(), 0, "the future was dropped");
    assert_eq!(watcher.len(), 3);
    (1..=3).for_each(|_| drop(ready(watcher.recv())));
    let mut recv = watcher.recv();
    assert!(task.poll(&mut recv).is_pending());
    set_all(&state, [4, 5, 6]);
    assert_eq!(task.wakes(), 1);
    assert_eq!(
        poll(&mut recv).map(|change| change.unwrap().new),
        Poll::Ready(4)
    );
}

#[test]
fn a_spurious_wake_proves_nothing() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let task = Task::new();
    let mut recv = watcher.recv();
    for _ in 0..5 {
        task.waker().wake();
        assert!(task.poll(&mut recv).is_pending());
    }
    state.set(1);
    assert_eq!(task.wakes(), 6);
    assert!(task.poll(&mut recv).is_ready());
}

#[test]
fn the_latest_waker_is_woken() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let (first, second) = (Task::new(), Task::new());
    let mut recv = watcher.recv();
    assert!(first.poll(&mut recv).is_pending());
    assert!(second.poll(&mut recv).is_pending());
    state.set(1);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn waits_in_a_row_lose_nothing_in_between() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    set_all(&state, [1, 2, 3, 4, 5, 6, 0, 7]);
    assert_eq!(ready(watcher.wait_for(0)), Ok(0), "seen already");
    assert_eq!(ready(watcher.wait_for(2)), Ok(2));
    assert_eq!(ready(watcher.wait_until(|n| n % 2 == 1)), Ok(3));
    assert_eq!(
        ready(watcher.wait_map(|n| (*n > 4).then_some(n * 10))),
        Ok(50)
    );
    assert_eq!(ready(watcher.wait_for_not(5)), Ok(6));
    assert_eq!(ready(watcher.wait_for_next(0)), Ok(0));
    assert_eq!(ready(watcher.wait_until_next(|_| true)), Ok(7));
    assert!(watcher.is_empty());
    assert!(pending(&mut watcher.wait_for_next(7)));
}

#[test]
fn a_wait_consumes_up_to_its_match_and_no_further() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    set_all(&state, [1, 2, 3]);
    assert_eq!(ready(watcher.wait_for(2)), Ok(2));
    assert_eq!((*watcher.seen(), watcher.len()), (2, 1));
}

#[test]
fn a_cancelled_wait_goes_on_where_it_was() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    set_all(&state, [1, 2]);
    assert!(pending(&mut watcher.wait_for(3)));
    assert_eq!(*watcher.seen(), 2);
    state.set(3);
    assert_eq!(ready(watcher.wait_for(3)), Ok(3));
}

#[test]
fn wait_for_some_narrows() {
    let state = Watched::new(None);
    let mut watcher = state.watch();
    assert!(pending(&mut watcher.wait_for_some()));
    state.set(Some("here"));
    state.set(None);
    assert_eq!(ready(watcher.wait_for_some()), Ok("here"));
}

#[test]
fn a_predicate_may_borrow_from_its_caller() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    set_all(&state, [1, 2, 3]);
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let found = ready(watcher.wait_until(|n| {
        seen.borrow_mut().push(*n);
        *n == 3
    }));
    assert_eq!(found, Ok(3));
    assert_eq!(*seen.borrow(), [0, 1, 2, 3]);
}

#[test]
fn a_stream_yields_every_transition() {
    let state = Watched::new(0);
    let watcher = state.watch();
    set_all(&state, [1, 2, 3]);
    drop(state);
    let all: Vec<_> = future::block_on(watcher.map(|change| (change.old, change.new)).collect());
    assert_eq!(all, [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn the_count_is_exact_under_random_watch_and_drop() {
    let state = Watched::new(0_u32);
    let mut watchers: Vec<Watcher<u32>> = Vec::new();
    let mut random = 1_u64;
    for step in 0..5_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (random >> 33) % 5 {
            0 | 1 => watchers.push(state.watch()),
            2 => watchers.push(state.watch_bounded(2, Overflow::DropOldest)),
            3 if !watchers.is_empty() => {
                let index = (random >> 40) as usize % watchers.len();
                drop(watchers.swap_remove(index));
            }
            _ => {
                state.set(step);
            }
        }
        assert_eq!(state.watcher_count(), watchers.len());
    }
    watchers.clear();
    assert_eq!(state.watcher_count(), 0);
}

#[test]
fn a_polled_watcher_makes_way_for_others_now_and_then() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    (1..=2_000).for_each(|n| {
        state.set(n);
    });
    let task = Task::new();
    let mut received = 0;
    let mut pauses = 0;
    while received < 2_000 {
        match task.poll(&mut watcher.recv()) {
            Poll::Ready(change) => {
                received += 1;
                assert_eq!(change.unwrap().new, received);
            }
            Poll::Pending => {
                pauses += 1;
                assert_eq!(task.wakes(), pauses, "it wakes itself");
            }
        }
    }
    assert!(pauses >= 3);
}

#[test]
fn watching_a_value_that_is_not_send_stays_on_its_thread() {
    let state = Watched::new(std::rc::Rc::new(0));
    let mut watcher = state.watch();
    state.set(std::rc::Rc::new(1));
    assert_eq!(*watcher.try_recv().unwrap().new, 1);
}

#[test]
fn a_stream_has_at_least_what_is_buffered() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    for buffered in 0..3 {
        assert_eq!(watcher.size_hint(), (buffered, None));
        state.replace(1);
    }
    watcher.try_recv().unwrap();
    assert_eq!(watcher.size_hint(), (2, None));
}
