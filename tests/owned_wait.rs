//! Owned waits: as those on a `Watched`, to be taken along; and they end with the state.

mod common;

use common::{Gate, Task, in_time, leaked, observers, panics, pending, poll, ready};
use onlooker::{Closed, OwnedWait, Transition, View, Watched};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

type Value = Option<u32>;

/// An owned wait with whatever output, as one for the value it ended at.
enum Any {
    Value(OwnedWait<Value>),
    Inner(OwnedWait<u32>),
    Change(OwnedWait<Transition<Value>>),
}

impl Any {
    fn poll(&mut self, task: &Arc<Task>) -> Poll<Result<Value, Closed>> {
        match self {
            Any::Value(wait) => task.poll(wait),
            Any::Inner(wait) => task.poll(wait).map(|found| found.map(Some)),
            Any::Change(wait) => task.poll(wait).map(|found| found.map(|change| change.new)),
        }
    }
}

/// A way to wait on a view of `None`, for `Some(7)` or something that it is, too; and whether the present value counts.
type Kind = (&'static str, fn(&View<Value>) -> Any, bool);

const KINDS: [Kind; 8] = [
    ("wait_for", |v| Any::Value(v.wait_for(Some(7))), true),
    ("wait_for_not", |v| Any::Value(v.wait_for_not(None)), true),
    (
        "wait_until",
        |v| Any::Value(v.wait_until(|n| *n == Some(7))),
        true,
    ),
    (
        "wait_map",
        |v| Any::Inner(v.wait_map(|n| n.filter(|n| *n == 7))),
        true,
    ),
    ("wait_for_some", |v| Any::Inner(v.wait_for_some()), true),
    (
        "wait_for_change",
        |v| Any::Change(v.wait_for_change()),
        false,
    ),
    (
        "wait_for_next",
        |v| Any::Value(v.wait_for_next(Some(7))),
        false,
    ),
    (
        "wait_until_next",
        |v| Any::Value(v.wait_until_next(Option::is_some)),
        false,
    ),
];

const MATCH: Poll<Result<Value, Closed>> = Poll::Ready(Ok(Some(7)));
const END: Poll<Result<Value, Closed>> = Poll::Ready(Err(Closed));

#[test]
fn every_owned_wait_is_registered_at_the_call_and_keeps_a_match_that_has_passed() {
    for (name, make, _) in KINDS {
        let state = Watched::new(None);
        // Of a view that is gone before anything happens.
        let mut wait = make(&state.view());
        state.set(Some(7));
        state.set(Some(8));
        state.set(None);
        assert_eq!(wait.poll(&Task::new()), MATCH, "{name}");
    }
}

#[test]
fn a_match_that_was_latched_stays_when_the_state_ends() {
    for (name, make, _) in KINDS {
        for polled in [false, true] {
            let (state, task) = (Watched::new(None), Task::new());
            let mut wait = make(&state.view());
            if polled {
                assert!(wait.poll(&task).is_pending(), "{name}");
            }
            state.set(Some(7));
            drop(state);
            assert_eq!(task.wakes(), usize::from(polled), "{name}: woken once");
            assert_eq!(wait.poll(&task), MATCH, "{name}");
        }
    }
}

#[test]
fn without_a_match_it_ends_with_the_state_and_is_woken_by_that() {
    for (name, make, _) in KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let (mut asleep, mut silent) = (make(&state.view()), make(&state.view()));
        assert!(asleep.poll(&task).is_pending(), "{name}");
        drop(state);
        assert_eq!((task.wakes(), task.kept()), (1, 0), "{name}");
        assert_eq!(
            (asleep.poll(&task), silent.poll(&task)),
            (END, END),
            "{name}"
        );
    }
}

#[test]
fn made_after_the_end_the_last_value_counts_where_the_present_one_does() {
    for (name, make, present_counts) in KINDS {
        let (none, seven) = (Watched::new(None), Watched::new(Some(7)));
        let (without, with) = (none.view(), seven.view());
        drop((none, seven));
        let task = Task::new();
        assert_eq!(make(&without).poll(&task), END, "{name}");
        let expected = if present_counts { MATCH } else { END };
        assert_eq!(make(&with).poll(&task), expected, "{name}");
        assert_eq!(task.kept(), 0, "{name}");
    }
}

#[test]
fn it_counts_as_a_view_until_it_is_dropped_decided_collected_or_not() {
    for (name, make, _) in KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let view = state.view();
        let mut waits = [make(&view), make(&view), make(&view)];
        assert_eq!(state.view_count(), 4, "{name}");
        drop(view);
        state.set(Some(7));
        assert_eq!(waits[0].poll(&task), MATCH, "{name}");
        assert_eq!(state.view_count(), 3, "{name}: collected, decided, decided");
        let mut alone = state.wait_unwatched();
        for (gone, wait) in (1..).zip(waits) {
            assert!(pending(&mut alone), "{name}");
            drop(wait);
            assert_eq!(state.view_count(), 3 - gone, "{name}");
        }
        assert_eq!(ready(alone), (), "{name}");
    }
}

#[test]
fn dropping_it_takes_it_off_the_state_at_once_and_frees_what_it_held() {
    let token = Arc::new(0);
    let held = || Arc::strong_count(&token) - 1;
    let state = Watched::new(Arc::new(1));
    let view = state.view();
    let target = view.wait_for(token.clone());
    let captured = token.clone();
    let predicate = view.wait_until(move |now| *now == captured);
    assert_eq!((held(), observers(&state)), (2, 2));
    drop(target);
    assert_eq!((held(), observers(&state)), (1, 1));
    drop(predicate);
    assert_eq!((held(), observers(&state)), (0, 0));

    // Also when the state has gone before.
    let captured = token.clone();
    let (target, predicate) = (
        view.wait_for(token.clone()),
        view.wait_until(move |now| *now == captured),
    );
    drop((state, view));
    drop((target, predicate));
    assert_eq!(held(), 0);
}

#[test]
fn only_matching_waits_are_woken_and_ten_thousand_polls_keep_one_waker() {
    for (name, make, _) in KINDS.into_iter().filter(|kind| kind.0 != "wait_for_change") {
        let (state, first, task) = (Watched::new(None), Task::new(), Task::new());
        let mut wait = make(&state.view());
        assert!(wait.poll(&first).is_pending(), "{name}");
        for _ in 0..10_000 {
            state.replace(None);
            assert!(wait.poll(&task).is_pending(), "{name}");
        }
        assert_eq!(
            (first.kept(), task.kept(), task.wakes()),
            (0, 1, 0),
            "{name}"
        );
        state.set(Some(7));
        assert_eq!(
            (first.wakes(), task.wakes(), task.kept()),
            (0, 1, 0),
            "{name}"
        );
        assert_eq!(wait.poll(&first), MATCH, "{name}");
    }
}

#[test]
fn polling_again_after_the_output_panics_and_leaves_the_state_usable() {
    for (name, make, _) in KINDS {
        for ended in [false, true] {
            let (state, task) = (Watched::new(None), Task::new());
            let view = state.view();
            let mut wait = make(&view);
            let state = if ended {
                drop(state);
                None
            } else {
                state.set(Some(7));
                Some(state)
            };
            assert!(wait.poll(&task).is_ready());
            assert!(panics(|| wait.poll(&task)).contains("onlooker"), "{name}");
            drop(wait);
            assert_eq!(view.view_count(), 1, "{name}");
            assert!(state.is_none_or(|state| state.set(None)), "{name}");
        }
    }
}

#[test]
fn it_is_taken_along_into_a_task_after_it_was_registered() {
    in_time(|| {
        let executor = smol::Executor::new();
        let state = leaked(0);
        let view = state.view();
        let tasks: Vec<_> = (1..=50)
            .map(|n| {
                let wait = view.wait_for(n);
                executor.spawn(wait)
            })
            .collect();
        // Before any of them has run.
        (1..=60).for_each(|n| _ = state.set(n));
        for (task, n) in tasks.into_iter().zip(1..) {
            assert_eq!(futures_lite::future::block_on(executor.run(task)), Ok(n));
        }
    });
}

#[test]
fn it_is_waited_for_on_any_thread_and_ends_there_when_the_state_does() {
    in_time(|| {
        for with_match in [false, true] {
            let state = Watched::new(0);
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    let (wait, judged) = (
                        state.view().wait_for(1),
                        state.view().wait_until(|n| *n == 1),
                    );
                    thread::spawn(move || (wait.wait(), judged.wait_timeout(Duration::MAX)))
                })
                .collect();
            if with_match {
                state.set(1);
            }
            drop(state);
            for waiter in waiters {
                let (wait, judged) = waiter.join().unwrap();
                assert_eq!((wait.is_ok(), judged.is_ok()), (with_match, with_match));
            }
        }
    });
}

#[test]
fn a_deadline_and_the_end_are_told_apart() {
    let (state, gate, task) = (Watched::new(0), Gate::new(), Task::new());
    let view = state.view();
    {
        let mut late = pin!(view.wait_for(1).unless(gate.clone()));
        assert!(task.poll_pin(late.as_mut()).is_pending());
        gate.open();
        assert_eq!(task.poll_pin(late), Poll::Ready(Err(())));
    }
    assert_eq!((state.view_count(), observers(&state)), (1, 0));
    let mut closed = pin!(view.wait_for(1).unless(std::future::pending::<()>()));
    assert!(task.poll_pin(closed.as_mut()).is_pending());
    drop(state);
    assert_eq!(task.poll_pin(closed), Poll::Ready(Ok(Err(Closed))));
}

#[test]
fn a_wait_that_races_the_end_gets_its_match_or_the_end_and_is_always_woken() {
    in_time(|| {
        for round in 0..500 {
            let state = Watched::new(None);
            let (_, make, _) = KINDS[round % KINDS.len()];
            let view = state.view();
            let setter = thread::spawn(move || {
                state.set(Some(7));
                drop(state);
            });
            // Registered before, between or after; asleep or not.
            let outcome = match make(&view) {
                Any::Value(wait) => wait.wait(),
                Any::Inner(wait) => wait.wait().map(Some),
                Any::Change(wait) => wait.wait().map(|change| change.new),
            };
            assert!(outcome == Ok(Some(7)) || outcome == Err(Closed));
            setter.join().unwrap();
            assert_eq!(view.get(), Some(7));
        }
    });
}

#[test]
fn the_end_wakes_whoever_waits_for_the_same_in_whatever_number() {
    let state = Watched::new(0_u32);
    let (view, task) = (state.view(), Task::new());
    let mut waits: Vec<_> = (0..1_000)
        .map(|n| match n % 3 {
            0 => view.wait_for(n + 1),
            1 => view.wait_until(move |now| *now == n + 1),
            _ => view.wait_for_next(n + 1),
        })
        .collect();
    assert!(waits.iter_mut().all(|wait| task.poll(wait).is_pending()));
    state.set(500);
    drop(state);
    assert_eq!((task.wakes(), task.kept()), (1_000, 0));
    let found = waits.iter_mut().filter_map(|wait| match poll(wait) {
        Poll::Ready(outcome) => outcome.ok(),
        Poll::Pending => panic!("the state has ended"),
    });
    assert!(found.eq([500]));
}
