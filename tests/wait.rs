//! Waiting on a `Watched`: registered at the call, decided where the transition happens, woken only by a match.

mod common;

use common::{Task, leaked, observers, panics, pending, ready};
use onlooker::{Transition, Wait, Watched};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

type Value = Option<u32>;
type State = Watched<Value>;

/// One of the ways to wait, in a state that is `None`; all of them end at `Some(7)`.
struct Kind {
    name: &'static str,
    /// Makes the wait and calls `run` with it.
    make: for<'a> fn(&'a State) -> Any<'a>,
    /// Whether setting `None` again passes it by.
    ignores_none: bool,
    /// Whether setting `Some(1)` passes it by.
    ignores_some_1: bool,
    /// Whether the present value counts.
    present_counts: bool,
}

/// A wait with whatever output, as a wait for the value it ended at.
enum Any<'a> {
    Value(Wait<'a, Value>),
    Inner(Wait<'a, u32>),
    Change(Wait<'a, Transition<Value>>),
}

impl Any<'_> {
    fn poll(&mut self, task: &Arc<Task>) -> Poll<Value> {
        match self {
            Any::Value(wait) => task.poll(wait),
            Any::Inner(wait) => task.poll(wait).map(Some),
            Any::Change(wait) => task.poll(wait).map(|change| change.new),
        }
    }
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "wait_for",
        make: |s| Any::Value(s.wait_for(Some(7))),
        ignores_none: true,
        ignores_some_1: true,
        present_counts: true,
    },
    Kind {
        name: "wait_for_not",
        make: |s| Any::Value(s.wait_for_not(None)),
        ignores_none: true,
        ignores_some_1: false,
        present_counts: true,
    },
    Kind {
        name: "wait_until",
        make: |s| Any::Value(s.wait_until(|now| *now == Some(7))),
        ignores_none: true,
        ignores_some_1: true,
        present_counts: true,
    },
    Kind {
        name: "wait_map",
        make: |s| Any::Inner(s.wait_map(|now| now.filter(|n| *n == 7))),
        ignores_none: true,
        ignores_some_1: true,
        present_counts: true,
    },
    Kind {
        name: "wait_for_some",
        make: |s| Any::Inner(s.wait_for_some()),
        ignores_none: true,
        ignores_some_1: false,
        present_counts: true,
    },
    Kind {
        name: "wait_for_change",
        make: |s| Any::Change(s.wait_for_change()),
        ignores_none: false,
        ignores_some_1: false,
        present_counts: false,
    },
    Kind {
        name: "wait_for_next",
        make: |s| Any::Value(s.wait_for_next(Some(7))),
        ignores_none: true,
        ignores_some_1: true,
        present_counts: false,
    },
    Kind {
        name: "wait_until_next",
        make: |s| Any::Value(s.wait_until_next(|now| *now == Some(7))),
        ignores_none: true,
        ignores_some_1: true,
        present_counts: false,
    },
];

#[test]
fn every_wait_is_registered_at_the_call_and_keeps_a_match_that_has_passed() {
    for kind in &KINDS {
        let state = Watched::new(None);
        let mut wait = (kind.make)(&state);
        state.set(Some(7));
        state.set(Some(8));
        state.set(None);
        let polled = wait.poll(&Task::new());
        assert_eq!(polled, Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn every_wait_is_woken_once_by_its_match_whatever_comes_after() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut wait = (kind.make)(&state);
        assert!(wait.poll(&task).is_pending(), "{}", kind.name);
        state.set(Some(7));
        assert_eq!(task.wakes(), 1, "{}", kind.name);
        for n in 8..100 {
            state.set(Some(n));
            state.set(Some(7));
        }
        assert_eq!(task.wakes(), 1, "{}", kind.name);
        assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn the_first_match_is_the_one_that_counts() {
    let state = Watched::new(0);
    let big = state.wait_until(|n| *n > 10);
    let other = state.wait_for_not(0);
    let half = state.wait_map(|n| (n % 2 == 0 && *n > 0).then_some(n / 2));
    let change = state.wait_for_change();
    for n in [3, 5, 12, 40, 0] {
        state.set(n);
    }
    assert_eq!(ready(big), 12);
    assert_eq!(ready(other), 3);
    assert_eq!(ready(half), 6);
    let first = ready(change);
    assert_eq!(
        (first.old, first.new, first.seq, first.missed),
        (0, 3, 1, 0)
    );
}

#[test]
fn a_transition_that_does_not_match_wakes_nobody() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut wait = (kind.make)(&state);
        assert!(wait.poll(&task).is_pending(), "{}", kind.name);
        for n in 0..1_000 {
            if kind.ignores_none {
                state.replace(None);
            }
            if kind.ignores_some_1 {
                state.replace(Some(n + 8));
                state.replace(Some(1));
            }
        }
        assert_eq!(task.wakes(), 0, "{}", kind.name);
        assert!(wait.poll(&task).is_pending(), "{}", kind.name);
        state.replace(Some(7));
        assert_eq!(task.wakes(), 1, "{}", kind.name);
        assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn a_spurious_wake_finds_the_wait_still_pending() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut wait = (kind.make)(&state);
        for _ in 0..3 {
            assert!(wait.poll(&task).is_pending(), "{}", kind.name);
            task.waker().wake();
        }
        assert_eq!(task.wakes(), 3);
        state.set(Some(7));
        assert_eq!(task.wakes(), 4, "{}", kind.name);
        assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn the_present_value_counts_where_is_or_becomes_is_asked_and_nowhere_else() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(Some(7)), Task::new());
        let mut wait = (kind.make)(&state);
        if kind.present_counts {
            // Decided at the call: what the state does afterwards is too late.
            state.set(None);
            assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
            continue;
        }
        assert!(wait.poll(&task).is_pending(), "{}", kind.name);
        state.replace(Some(7));
        assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn next_means_the_next_transition_into_a_match() {
    let state = Watched::new("green");
    let mut green = state.wait_for_next("green");
    let mut short = state.wait_until_next(|light| light.len() == 5);
    state.set("red");
    assert!(pending(&mut green) && pending(&mut short));
    state.set("green");
    state.set("red");
    assert_eq!((ready(green), ready(short)), ("green", "green"));
}

#[test]
fn polled_by_one_task_and_then_by_another_it_wakes_only_the_second() {
    for kind in &KINDS {
        let (state, first, second) = (Watched::new(None), Task::new(), Task::new());
        let mut wait = (kind.make)(&state);
        assert!(wait.poll(&first).is_pending());
        assert!(wait.poll(&second).is_pending());
        assert_eq!((first.kept(), second.kept()), (0, 1), "{}", kind.name);
        state.set(Some(7));
        assert_eq!((first.wakes(), second.wakes()), (0, 1), "{}", kind.name);
        assert_eq!(wait.poll(&first), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn ten_thousand_polls_keep_one_waker_the_latest() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut wait = (kind.make)(&state);
        for _ in 0..10_000 {
            assert!(wait.poll(&task).is_pending());
        }
        assert_eq!(task.kept(), 1, "{}", kind.name);
        state.set(Some(7));
        assert_eq!((task.wakes(), task.kept()), (1, 0), "{}", kind.name);
    }
}

#[test]
fn a_wait_that_was_never_polled_wakes_nobody_and_still_has_its_match() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut silent = (kind.make)(&state);
        let mut asked = (kind.make)(&state);
        assert!(asked.poll(&task).is_pending());
        state.set(Some(7));
        assert_eq!(task.wakes(), 1);
        assert_eq!(silent.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
        assert_eq!(asked.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
    }
}

#[test]
fn polling_again_after_the_output_panics_and_leaves_the_state_usable() {
    for kind in &KINDS {
        let (state, task) = (Watched::new(None), Task::new());
        let mut wait = (kind.make)(&state);
        state.set(Some(7));
        assert!(wait.poll(&task).is_ready());
        assert!(panics(|| wait.poll(&task)).contains("onlooker"));
        drop(wait);
        assert!(state.set(None), "{}", kind.name);
    }
}

#[test]
fn wait_map_and_wait_for_some_narrow() {
    let state: Watched<Result<u8, &str>> = Watched::new(Err("not yet"));
    let good = state.wait_map(|now| now.ok());
    let bad = state.wait_map(|now| now.err().filter(|why| why.contains("gone")));
    state.set(Ok(4));
    state.set(Err("gone"));
    assert_eq!((ready(good), ready(bad)), (4, "gone"));

    let state: Watched<Option<String>> = Watched::new(None);
    let some = state.wait_for_some();
    state.set(Some("here".to_string()));
    state.set(None);
    assert_eq!(ready(some), "here");
}

// Many waits

#[test]
fn of_a_thousand_waits_only_those_that_match_are_woken() {
    let state = Watched::new(usize::MAX);
    let mut waits: Vec<_> = (0..1_000)
        .map(|n| {
            let wait = match n % 2 {
                0 => state.wait_for(n),
                _ => state.wait_until(move |now| *now == n),
            };
            (wait, Task::new())
        })
        .collect();
    for (wait, task) in &mut waits {
        assert!(task.poll(wait).is_pending());
    }
    for n in [500, 3, 999, 0] {
        state.set(n);
        let woken: Vec<_> = (0..1_000).filter(|n| waits[*n].1.wakes() > 0).collect();
        assert_eq!(woken, [n]);
        let (mut wait, task) =
            std::mem::replace(&mut waits[n], (state.wait_for(usize::MAX - 1), Task::new()));
        assert_eq!(task.poll(&mut wait), Poll::Ready(n));
    }
}

#[test]
fn any_number_of_waits_for_the_same_are_all_woken() {
    for kind in &KINDS {
        let state = Watched::new(None);
        let mut waits: Vec<_> = (0..300)
            .map(|_| ((kind.make)(&state), Task::new()))
            .collect();
        for (wait, task) in &mut waits {
            assert!(wait.poll(task).is_pending());
        }
        // Some leave before: the others must not suffer.
        let mut at = 0;
        waits.retain(|_| {
            at += 1;
            at % 3 != 0
        });
        state.set(Some(7));
        for (wait, task) in &mut waits {
            assert_eq!(task.wakes(), 1, "{}", kind.name);
            assert_eq!(wait.poll(task), Poll::Ready(Some(7)), "{}", kind.name);
        }
    }
}

#[test]
fn waits_of_every_kind_leave_when_they_are_dropped_and_not_before() {
    let state = Watched::new(0);
    let plain = [state.wait_for(7), state.wait_for(8), state.wait_for_not(0)];
    let judged = [state.wait_until(|n| *n == 7), state.wait_until(|n| *n == 8)];
    assert_eq!(observers(&state), 5);
    state.set(7);
    assert_eq!(observers(&state), 5, "decided, not collected");
    drop(plain);
    assert_eq!(observers(&state), 2);
    drop(judged);
    assert_eq!(observers(&state), 0);
}

#[test]
fn waits_of_every_kind_side_by_side_do_not_disturb_each_other() {
    let state = Watched::new(None);
    let mut waits: Vec<_> = KINDS
        .iter()
        .chain(&KINDS)
        .map(|kind| (kind, (kind.make)(&state), Task::new()))
        .collect();
    for (_, wait, task) in &mut waits {
        assert!(wait.poll(task).is_pending());
    }
    state.replace(None);
    state.set(Some(1));
    state.set(Some(7));
    state.set(Some(9));
    for (kind, wait, task) in &mut waits {
        let first = match (kind.ignores_none, kind.ignores_some_1) {
            (false, _) => None,
            (true, false) => Some(1),
            (true, true) => Some(7),
        };
        assert_eq!(task.wakes(), 1, "{}", kind.name);
        assert_eq!(wait.poll(task), Poll::Ready(first), "{}", kind.name);
    }
}

// From inside a delivery

#[test]
fn a_wait_made_inside_a_callback_is_not_offered_the_transition_that_is_under_way() {
    let state = leaked(None);
    for kind in &KINDS {
        state.replace(None);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = kept.clone();
        let callback = state.on_change(move |change| {
            if change.new == Some(1) {
                let wait = (kind.make)(state);
                sink.lock().unwrap().push(wait);
            }
        });
        state.set(Some(1));
        let mut wait = kept.lock().unwrap().pop().unwrap();
        let task = Task::new();
        let polled = wait.poll(&task);
        if kind.present_counts && !kind.ignores_some_1 {
            assert_eq!(polled, Poll::Ready(Some(1)), "{}", kind.name);
        } else {
            assert!(polled.is_pending(), "{}", kind.name);
            state.set(Some(7));
            assert_eq!(task.wakes(), 1, "{}", kind.name);
            assert_eq!(wait.poll(&task), Poll::Ready(Some(7)), "{}", kind.name);
        }
        drop(callback);
    }
}

#[test]
fn a_thousand_tasks_that_wait_anew_when_woken_cost_one_wake_each_per_set() {
    let state = leaked(0);
    let mut waits: Vec<_> = (0..1_000)
        .map(|_| (state.wait_for_change(), Task::new()))
        .collect();
    for n in 1..=5 {
        for (wait, task) in &mut waits {
            assert!(task.poll(wait).is_pending());
        }
        state.set(n);
        for (wait, task) in &mut waits {
            assert_eq!(task.wakes(), n);
            match task.poll(wait) {
                Poll::Ready(change) => assert_eq!(change.new, n),
                Poll::Pending => panic!("woken without a match"),
            }
            *wait = state.wait_for_change();
        }
    }
}

#[test]
fn a_callback_that_sets_shows_the_waits_both_values_in_order() {
    let state = leaked(0);
    let _callback = state.on_change(move |change| {
        if change.new == 1 {
            state.set(2);
            state.set(3);
        }
    });
    let (one, two) = (state.wait_for(1), state.wait_for(2));
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    let all = state.wait_until_next(move |n| {
        sink.lock().unwrap().push(*n);
        *n == 3
    });
    state.set(1);
    assert_eq!((ready(one), ready(two), ready(all)), (1, 2, 3));
    assert_eq!(*log.lock().unwrap(), [1, 2, 3]);
}

// Threads

#[test]
fn a_set_that_races_the_call_or_the_first_poll_is_never_lost() {
    for round in 0..400 {
        let state = leaked(None);
        let kind = &KINDS[round % KINDS.len()];
        if !kind.present_counts {
            continue;
        }
        let setter = thread::spawn(move || {
            state.set(Some(7));
            state.set(Some(7));
        });
        let limit = Duration::from_secs(30);
        let found = match (kind.make)(state) {
            Any::Value(wait) => wait.wait_timeout(limit),
            Any::Inner(wait) => wait.wait_timeout(limit).map(Some),
            Any::Change(_) => unreachable!("the present value does not count"),
        };
        assert_eq!(found, Ok(Some(7)), "{}", kind.name);
        setter.join().unwrap();
    }
}

#[test]
fn a_watcher_that_joins_while_others_set_has_no_gap_after_its_snapshot() {
    let state = leaked(0_u64);
    let setters: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..5_000 {
                    state.update(|n| n + 1);
                }
            })
        })
        .collect();
    while state.get() < 10_000 {
        let mut watcher = state.watch();
        let mut seen = *watcher.seen();
        while let (true, Ok(change)) = (
            seen < 10_000,
            watcher.recv_timeout(Duration::from_millis(1)),
        ) {
            assert_eq!(
                (change.old, change.new, change.seq, change.missed),
                (seen, seen + 1, seen + 1, 0)
            );
            seen = change.new;
            if seen % 16 == 0 {
                break;
            }
        }
    }
    for setter in setters {
        setter.join().unwrap();
    }
}

#[test]
fn waits_on_many_threads_each_get_their_own_value() {
    let state = leaked(0_u64);
    // Registered before the setters start, so that each must be met.
    let waiters: Vec<_> = (1..=8)
        .map(|n| {
            let wait = state.wait_for(n * 100);
            thread::spawn(move || wait.wait_timeout(Duration::from_secs(30)))
        })
        .collect();
    let setters: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..500 {
                    state.update(|n| n + 1);
                }
            })
        })
        .collect();
    for setter in setters {
        setter.join().unwrap();
    }
    for (n, waiter) in (1..=8).zip(waiters) {
        assert_eq!(waiter.join().unwrap(), Ok(n * 100));
    }
}

#[test]
fn waits_that_match_together_are_woken_in_the_order_of_their_calls() {
    struct Named(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    for many in 1..6 {
        let state = Watched::new(0);
        let woken = Arc::default();
        let mut waits: Vec<_> = (0..many).map(|_| state.wait_for(1)).collect();
        for (name, wait) in waits.iter_mut().enumerate() {
            let waker = Waker::from(Arc::new(Named(name, Arc::clone(&woken))));
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(wait).poll(&mut context).is_pending());
        }
        state.set(1);
        assert!(woken.lock().unwrap().iter().copied().eq(0..many));
    }
}
