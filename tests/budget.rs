//! A watcher polled by a task lets its executor look after others now and then, whatever its answers are; and futures
//! and streams say when they are over.

mod common;

use common::{Task, in_time, poll, ready};
use futures_core::{FusedFuture, FusedStream};
use futures_lite::{Stream, StreamExt};
use onlooker::{Closed, Overflow, Watched, Watcher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One answer, or `Pending`.
type Ask = fn(&mut Watcher<u64>, &Arc<Task>) -> Poll<()>;

/// Everything a watcher answers again and again without ever having to wait.
const ANSWERS: [(&str, bool, Ask); 9] = [
    ("transitions", true, |w, t| {
        t.poll(&mut w.recv()).map(|change| _ = change.unwrap())
    }),
    ("transitions of a stream", true, |w, t| {
        t.poll(&mut w.next()).map(|change| _ = change.unwrap())
    }),
    ("matches in the buffer", true, |w, t| {
        t.poll(&mut w.wait_until_next(|_| true))
            .map(|found| _ = found.unwrap())
    }),
    ("a value that was seen last", false, |w, t| {
        let seen = *w.seen();
        t.poll(&mut w.wait_for(seen))
            .map(|found| _ = found.unwrap())
    }),
    ("a predicate that holds", false, |w, t| {
        t.poll(&mut w.wait_until(|_| true))
            .map(|found| _ = found.unwrap())
    }),
    ("something that is made of it", false, |w, t| {
        t.poll(&mut w.wait_map(|n| Some(n + 1)))
            .map(|found| _ = found.unwrap())
    }),
    ("the end", false, |w, t| {
        t.poll(&mut w.recv())
            .map(|end| assert_eq!(end.map(drop), Err(Closed)))
    }),
    ("the end of a wait", false, |w, t| {
        t.poll(&mut w.wait_for_next(1))
            .map(|end| assert_eq!(end, Err(Closed)))
    }),
    ("the end of a stream", false, |w, t| {
        t.poll(&mut w.next()).map(|end| assert!(end.is_none()))
    }),
];

// PITFALLS: an ended watcher in a loop starved its executor.
#[test]
fn whatever_it_answers_a_polled_watcher_makes_way_for_others_after_some_hundreds_in_a_row() {
    const MANY: u64 = 5_000;
    for (name, buffered, ask) in ANSWERS {
        for bounded in [false, true] {
            let state = Watched::new(0);
            let mut watcher = match bounded {
                false => state.watch(),
                true => state.watch_bounded(MANY as usize, Overflow::DropNewest),
            };
            if buffered {
                (1..=MANY).for_each(|n| _ = state.set(n));
            }
            drop(state);
            let task = Task::new();
            let (mut answers, mut in_a_row, mut pauses) = (0, 0, 0);
            while answers < MANY {
                match ask(&mut watcher, &task) {
                    Poll::Ready(()) => {
                        answers += 1;
                        in_a_row += 1;
                        assert!(in_a_row <= 1_000, "{name}: it goes on and on");
                    }
                    Poll::Pending => {
                        pauses += 1;
                        assert!(in_a_row >= 100, "{name}: a pause after {in_a_row}");
                        in_a_row = 0;
                        assert_eq!(task.wakes(), pauses, "{name}: it wakes itself");
                    }
                }
            }
            assert_eq!(task.kept(), 0, "{name}");
        }
    }
}

#[test]
fn a_wait_that_looks_through_a_long_buffer_makes_way_too_and_goes_on_where_it_was() {
    let state = Watched::new(0);
    let (mut watcher, task) = (state.watch(), Task::new());
    (1..=5_000).for_each(|n| _ = state.set(n));
    let mut wait = watcher.wait_for(5_000);
    let mut pauses = 0;
    let found = loop {
        match task.poll(&mut wait) {
            Poll::Ready(found) => break found,
            Poll::Pending => pauses += 1,
        }
        assert_eq!(task.wakes(), pauses);
    };
    assert_eq!(found, Ok(5_000));
    assert!((3..=50).contains(&pauses), "{pauses}");
}

#[test]
fn what_was_received_without_a_task_has_no_budget() {
    let state = Watched::new(0_u64);
    let mut watcher = state.watch();
    (1..=5_000).for_each(|n| _ = state.set(n));
    for n in 1..=2_000 {
        assert_eq!(watcher.try_recv().unwrap().new, n);
    }
    for n in 2_001..=3_000 {
        assert_eq!(watcher.recv_blocking().unwrap().new, n);
    }
    assert!(
        watcher
            .iter()
            .take(1_000)
            .map(|change| change.new)
            .eq(3_001..=4_000)
    );
    assert!(
        watcher
            .try_iter()
            .map(|change| change.new)
            .eq(4_001..=5_000)
    );
}

#[test]
fn a_pause_is_no_end_and_loses_nothing() {
    in_time(|| {
        let state = Watched::new(0_u64);
        let watcher = state.watch();
        (1..=5_000).for_each(|n| _ = state.set(n));
        drop(state);
        let all =
            futures_lite::future::block_on(watcher.map(|change| change.new).collect::<Vec<_>>());
        assert!(all.into_iter().eq(1..=5_000));
    });
}

// Values

#[test]
fn values_begin_with_what_was_seen_last_and_go_on_without_a_gap() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    (1..=4).for_each(|n| _ = state.set(n));
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    let task = Task::new();
    let mut values = watcher.values();
    for n in 1..=4 {
        assert_eq!(task.poll(&mut values.next()), Poll::Ready(Some(n)));
    }
    assert!(task.poll(&mut values.next()).is_pending());
    assert!(!values.is_terminated());
    state.set(5);
    state.replace(5);
    assert_eq!(task.wakes(), 1);
    drop(state);
    let rest: Vec<_> = futures_lite::future::block_on(values.collect());
    assert_eq!(rest, [5, 5]);
}

#[test]
fn values_of_a_state_that_has_ended_are_the_one_it_ended_with() {
    let state = Watched::new("last");
    let mut values = state.watch().values();
    drop(state);
    assert_eq!(ready(values.next()), Some("last"));
    assert!(!values.is_terminated());
    assert_eq!(ready(values.next()), None);
    assert!(values.is_terminated());
    assert_eq!(ready(values.next()), None);
}

#[test]
fn values_make_way_for_others_as_well() {
    let state = Watched::new(0_u64);
    let (task, mut values) = (Task::new(), state.watch().values());
    (1..=5_000).for_each(|n| _ = state.set(n));
    let (mut next, mut pauses) = (0, 0);
    while next <= 5_000 {
        match task.poll(&mut values.next()) {
            Poll::Ready(value) => {
                assert_eq!(value, Some(next));
                next += 1;
            }
            Poll::Pending => pauses += 1,
        }
    }
    assert!((3..=50).contains(&pauses), "{pauses}");
    assert_eq!(task.wakes(), pauses);
}

// Over

fn over<F: FusedFuture + Unpin>(future: &mut F) -> (bool, bool) {
    let before = future.is_terminated();
    assert!(poll(future).is_ready());
    (before, future.is_terminated())
}

#[test]
fn a_future_says_that_it_is_terminated_once_it_has_given_its_output_and_not_before() {
    let state = Watched::new(0);
    let view = state.view();
    let mut watcher = state.watch();
    let mut change = state.wait_for_change();
    assert!(poll(&mut change).is_pending() && !change.is_terminated());
    state.set(1);
    assert!(!change.is_terminated(), "decided, and not collected");
    let once = (false, true);
    assert_eq!(over(&mut change), once);
    assert_eq!(over(&mut state.wait_for(1)), once);
    assert_eq!(over(&mut state.wait_until(|_| true)), once);
    assert_eq!(over(&mut state.wait_watched()), once);
    assert_eq!(over(&mut view.wait_for(1)), once);
    assert_eq!(over(&mut view.wait_map(|n| Some(*n))), once);
    assert_eq!(over(&mut watcher.recv()), once);
    assert_eq!(over(&mut watcher.wait_for(1)), once);
    assert_eq!(over(&mut watcher.wait_map(|n| Some(*n))), once);
    assert_eq!(over(&mut state.set_paced(2)), once);
    drop(change);
    let mut last = view.wait_for(9);
    drop(state);
    assert_eq!(over(&mut last), once, "the end is an output");
}

#[test]
fn a_stream_says_that_it_is_terminated_once_it_has_ended() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    assert!(!watcher.is_terminated());
    state.set(1);
    drop(state);
    assert!(!watcher.is_terminated(), "there is one left");
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut next = || Pin::new(&mut watcher).poll_next(&mut context);
    assert!(matches!(next(), Poll::Ready(Some(_))));
    assert!(matches!(next(), Poll::Ready(None)));
    assert!(watcher.is_terminated());
}
