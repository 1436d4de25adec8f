//! The end: everybody is woken, drains what is left, the last value included, and then learns that it is over.

mod common;

use common::{Task, poll, ready};
use futures_lite::{StreamExt, future};
use onlooker::{Closed, Overflow, TryRecvError, WaitError, Watched};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

#[test]
fn the_last_value_is_received_before_the_end() {
    for bounded in [false, true] {
        let state = Watched::new(0);
        let mut watcher = if bounded {
            state.watch_bounded(3, Overflow::DropOldest)
        } else {
            state.watch()
        };
        (1..=3).for_each(|n| {
            state.set(n); // at capacity when it closes
        });
        assert!(!watcher.is_closed());
        drop(state);
        assert!(watcher.is_closed());
        assert_eq!(watcher.len(), 3);
        for n in 1..=3 {
            assert_eq!(ready(watcher.recv()).unwrap().new, n);
        }
        assert_eq!(ready(watcher.recv()), Err(Closed));
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(*watcher.seen(), 3);
    }
}

#[test]
fn a_sleeping_task_is_woken_by_the_end() {
    let state = Watched::new(0);
    let (mut one, mut two) = (state.watch(), state.watch_bounded(1, Overflow::DropOldest));
    let (task, other) = (Task::new(), Task::new());
    let (mut recv, mut wait) = (one.recv(), two.wait_for(9));
    assert!(task.poll(&mut recv).is_pending());
    assert!(other.poll(&mut wait).is_pending());
    drop(state);
    assert_eq!((task.wakes(), other.wakes()), (1, 1));
    assert_eq!(poll(&mut recv), Poll::Ready(Err(Closed)));
    assert_eq!(poll(&mut wait), Poll::Ready(Err(Closed)));
}

#[test]
fn a_sleeping_thread_is_woken_by_the_end() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let thread = thread::spawn(move || watcher.recv_blocking());
    drop(state);
    assert_eq!(thread.join().unwrap(), Err(Closed));
}

#[test]
fn a_time_out_and_the_end_are_told_apart() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    assert_eq!(
        watcher.recv_timeout(Duration::ZERO),
        Err(WaitError::TimedOut)
    );
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    drop(state);
    assert_eq!(watcher.recv_timeout(Duration::ZERO), Err(WaitError::Closed));
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_stream_ends_after_the_last_one_and_stays_ended() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    state.set(1);
    drop(state);
    future::block_on(async {
        assert_eq!(watcher.next().await.map(|change| change.new), Some(1));
        assert_eq!(watcher.next().await, None);
        assert_eq!(watcher.next().await, None);
    });
}

#[test]
fn a_wait_in_the_buffer_still_matches_after_the_end() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    (1..=3).for_each(|n| {
        state.set(n);
    });
    drop(state);
    assert_eq!(ready(watcher.wait_for(2)), Ok(2));
    assert_eq!(
        ready(watcher.wait_for(2)),
        Ok(2),
        "it is what was seen last"
    );
    assert_eq!(ready(watcher.wait_for_next(2)), Err(Closed));
}

#[test]
fn errors_read_alone_in_a_log() {
    let texts = [
        Closed.to_string(),
        TryRecvError::Empty.to_string(),
        TryRecvError::Closed.to_string(),
        onlooker::TimedOut.to_string(),
        WaitError::TimedOut.to_string(),
        WaitError::Closed.to_string(),
    ];
    for text in texts {
        assert!(text.contains("watched value"), "{text}");
    }
    let errors: [Box<dyn std::error::Error>; 4] = [
        Box::new(Closed),
        Box::new(TryRecvError::Empty),
        Box::new(onlooker::TimedOut),
        Box::new(WaitError::TimedOut),
    ];
    assert!(errors.iter().all(|error| error.source().is_none()));
}

#[test]
fn an_ended_state_at_which_nobody_looks_keeps_no_value_whatever_guards_are_left() {
    let value = Arc::new(1);
    let state = Watched::new(value.clone());
    let view = state.view();
    let guards = [state.on_change(|_| ()), view.on_change(|_| ())];
    drop(state);
    assert_eq!(*view.get(), 1);
    assert_eq!(Arc::strong_count(&value), 2);
    drop(view);
    assert_eq!(Arc::strong_count(&value), 1);
    drop(guards);
}
