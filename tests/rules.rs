//! Closures run under the state's lock: what may be called there, what may not, and what happens to who does.

mod common;

use common::{in_time, leaked, observers, panics, pending, poll, ready};
use onlooker::{Callback, Overflow, SetPaced, Transition, View, Wait, Watched, Watcher};
use std::cell::RefCell;
use std::sync::{Arc, mpsc};
use std::thread;

type State = Watched<i32>;
type Outer = fn(&State, &dyn Fn(&State));
type Inner = fn(&State);

/// Every closure that runs under a state's lock.
const OUTER: [(&str, Outer); 7] = [
    ("read", |s, call| s.read(|_| call(s))),
    ("a view's read", |s, call| s.view().read(|_| call(s))),
    ("set_if", |s, call| {
        let _ = s.set_if(5, |_| {
            call(s);
            true
        });
    }),
    ("update", |s, call| {
        s.update(|_| {
            call(s);
            5
        });
    }),
    ("try_update", |s, call| {
        let _ = s.try_update(|_| {
            call(s);
            Some(5)
        });
    }),
    ("modify", |s, call| {
        s.modify(|n| {
            call(s);
            *n = 5;
        });
    }),
    ("replace_with", |s, call| {
        s.replace_with(|_| {
            call(s);
            5
        });
    }),
];

const SETTERS: [(&str, Inner); 10] = [
    ("set", |s| _ = s.set(9)),
    ("set to an equal value", |s| _ = s.set(0)),
    ("replace", |s| _ = s.replace(9)),
    ("replace_with", |s| _ = s.replace_with(|_| 9)),
    ("set_if", |s| _ = s.set_if(9, |_| true)),
    ("update", |s| _ = s.update(|_| 9)),
    ("try_update", |s| _ = s.try_update(|_| Some(9))),
    ("modify", |s| _ = s.modify(|n| *n = 9)),
    ("set_paced", |s| _ = ready(s.set_paced(9))),
    ("try_set_paced", |s| _ = s.try_set_paced(9)),
];

/// All else that asks a state. (`version` takes no lock and need not notice.)
const OTHERS: [(&str, Inner); 20] = [
    ("get", |s| _ = s.get()),
    ("read", |s| s.read(|_| ())),
    ("reader", |s| _ = s.reader().get()),
    ("watcher_count", |s| _ = s.watcher_count()),
    ("view_count", |s| _ = s.view_count()),
    ("inspect", |s| _ = s.inspect()),
    ("view", |s| drop(s.view())),
    ("watch", |s| drop(s.watch())),
    ("watch_bounded", |s| {
        drop(s.watch_bounded(1, Overflow::DropOldest));
    }),
    ("watch_since", |s| drop(s.watch_since(0))),
    ("wait_for", |s| drop(s.wait_for(9))),
    ("wait_for_not", |s| drop(s.wait_for_not(0))),
    ("wait_until", |s| drop(s.wait_until(|_| false))),
    ("wait_map", |s| drop(s.wait_map(|_| None::<()>))),
    ("wait_for_change", |s| drop(s.wait_for_change())),
    ("wait_for_next", |s| drop(s.wait_for_next(9))),
    ("wait_until_next", |s| drop(s.wait_until_next(|_| false))),
    ("wait_unwatched", |s| drop(s.wait_unwatched())),
    ("wait_watched", |s| drop(s.wait_watched())),
    ("on_change", |s| drop(s.on_change(|_| ()))),
];

/// They set off a call: like a setter.
const CALLS: [(&str, Inner); 2] = [
    ("on_value of what is there", |s| drop(s.on_value(0, |_| ()))),
    ("on_value of what is not", |s| drop(s.on_value(9, |_| ()))),
];

fn names_the_rule(said: &str) -> bool {
    let words = ["onlooker", "read", "set_if", "update", "modify", "lock"];
    words.iter().all(|word| said.contains(word))
}

#[test]
fn calling_the_same_state_from_inside_a_closure_panics_with_the_rule_and_changes_nothing() {
    for observed in [false, true] {
        for (outer, within) in OUTER {
            for (inner, call) in SETTERS.iter().chain(&OTHERS).chain(&CALLS) {
                let what = format!("{inner} inside {outer}");
                let state = Watched::new(0);
                let watcher = observed.then(|| state.watch());
                let said = panics(|| within(&state, &|s| call(s)));
                assert!(names_the_rule(&said), "{what}: {said}");
                assert_eq!((state.get(), state.version()), (0, 0), "{what}");
                assert_eq!(state.watcher_count(), usize::from(observed), "{what}");
                assert_eq!(state.view_count(), 0, "{what}");
                assert!(state.set(1), "{what}");
                if let Some(mut watcher) = watcher {
                    let change = watcher.try_recv().unwrap();
                    assert_eq!((change.old, change.new), (0, 1), "{what}");
                    assert!(watcher.is_empty(), "{what}");
                }
            }
        }
    }
}

#[test]
fn setting_any_other_state_from_inside_a_closure_panics_with_the_rule_and_changes_neither() {
    for observed in [false, true] {
        for (outer, within) in OUTER {
            for (inner, call) in SETTERS.iter().chain(&CALLS) {
                let what = format!("{inner} inside {outer}");
                let (state, other) = (Watched::new(0), Watched::new(0));
                let guards = observed.then(|| (other.watch(), other.on_change(|_| ())));
                let said = panics(|| within(&state, &|_| call(&other)));
                assert!(names_the_rule(&said), "{what}: {said}");
                for state in [&state, &other] {
                    assert_eq!((state.get(), state.version()), (0, 0), "{what}");
                    assert!(state.set(1), "{what}");
                }
                assert_eq!(observers(&other), 2 * usize::from(observed), "{what}");
                drop(guards);
            }
        }
    }
}

#[test]
fn reading_and_registering_on_another_state_from_inside_a_closure_is_allowed() {
    for (outer, within) in OUTER {
        for (inner, call) in OTHERS {
            let (state, other) = (Watched::new(0), Watched::new(0));
            within(&state, &|_| call(&other));
            assert!(state.version() <= 1, "{inner} inside {outer}");
            assert_eq!(observers(&other), 0, "{inner} inside {outer}");
            assert!(other.set(1), "{inner} inside {outer}");
        }
    }
}

#[test]
fn what_was_registered_on_another_state_inside_a_closure_works_like_any_other() {
    let (one, other) = (Watched::new(1), Watched::new(0));
    let (calls, called) = mpsc::channel();
    let sum = one.read(|n| {
        let sink = calls.clone();
        let callback = other.on_change(move |change| sink.send(change.new).unwrap());
        let waits = [other.wait_for(7), other.wait_until(|n| *n == 7)];
        let owned = other.view().wait_for(7);
        (
            other.watch(),
            other.view(),
            waits,
            owned,
            callback,
            n + other.get(),
        )
    });
    let (mut watcher, view, waits, owned, callback, sum) = sum;
    assert_eq!(sum, 1);
    other.set(7);
    other.set(8);
    assert_eq!((watcher.try_recv().unwrap().new, view.get()), (7, 8));
    for wait in waits {
        assert_eq!(ready(wait), 7);
    }
    assert_eq!(ready(owned), Ok(7));
    drop((callback, calls));
    assert!(called.iter().eq([7, 8]));
}

#[test]
fn a_closure_that_catches_the_panic_of_the_rule_can_still_finish() {
    let (state, other) = (Watched::new(0), Watched::new(0));
    let mut watcher = state.watch();
    let before = state.update(|n| {
        assert!(names_the_rule(&panics(|| state.set(9))));
        assert!(names_the_rule(&panics(|| other.set(9))));
        n + 1
    });
    assert_eq!((before, state.get(), state.version()), (0, 1, 1));
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    assert_eq!(other.get(), 0);
}

#[test]
fn after_a_closure_that_panicked_its_thread_may_set_again() {
    let (state, other) = (Watched::new(0), Watched::new(0));
    for (outer, within) in OUTER {
        let said = panics(|| within(&state, &|_| panic!("closure")));
        assert_eq!(said, "closure", "{outer}");
        // Neither state is held, and this thread is inside no more.
        let before = (state.get(), other.get());
        assert_eq!((state.replace(1), other.replace(2)), before);
    }
}

#[test]
fn inside_a_closure_inside_a_closure_the_rule_still_holds() {
    let (one, two, three) = (Watched::new(1), Watched::new(2), Watched::new(3));
    let said = one.read(|_| two.read(|_| panics(|| one.get())));
    assert!(names_the_rule(&said), "{said}");
    let said = one.read(|_| {
        two.read(|_| ());
        panics(|| three.set(4))
    });
    assert!(
        names_the_rule(&said),
        "the outer closure still runs: {said}"
    );
    assert!(one.set(0) && two.set(0) && three.set(0));
}

#[test]
fn another_thread_that_calls_while_a_closure_runs_waits_and_does_not_panic() {
    for observed in [false, true] {
        let state = leaked(0);
        let _watcher = observed.then(|| state.watch());
        let (started, start) = mpsc::channel();
        let other = thread::spawn(move || {
            start.recv().unwrap();
            let before = state.update(|n| n + 10);
            (before, state.get())
        });
        state.update(|n| {
            started.send(()).unwrap();
            for _ in 0..100 {
                thread::yield_now();
            }
            n + 1
        });
        assert_eq!(other.join().unwrap(), (1, 11));
    }
}

#[test]
fn another_thread_may_set_another_state_while_a_closure_runs_here() {
    let (state, other) = (Watched::new(0), Watched::new(0));
    state.read(|_| {
        thread::scope(|scope| {
            let setter = scope.spawn(|| other.set(1));
            assert!(setter.join().unwrap());
        });
    });
}

#[test]
fn debug_inside_a_closure_of_the_same_state_says_locked_and_does_not_panic() {
    for (outer, within) in OUTER {
        let state = Watched::new(7);
        let view = state.view();
        within(&state, &|s| {
            let shown = format!("{s:?} {view:?}");
            assert_eq!(shown.matches("<locked>").count(), 2, "{outer}: {shown}");
        });
    }
}

// The value's own code

thread_local! {
    static COMES_BACK: RefCell<Option<(&'static str, Act, &'static Watched<Nosy>)>> =
        const { RefCell::new(None) };
}

type Act = fn(&'static Watched<Nosy>);

/// A value whose own code calls a state.
#[derive(Debug)]
struct Nosy(i32);

fn come_back(from: &str) {
    let armed = COMES_BACK.with_borrow_mut(|armed| armed.take_if(|(when, ..)| *when == from));
    if let Some((_, call, state)) = armed {
        call(state);
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        come_back("eq");
        self.0 == other.0
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        come_back("clone");
        Nosy(self.0)
    }
}

#[test]
fn a_value_that_calls_its_own_state_or_sets_another_while_it_is_compared_or_cloned_panics() {
    let acts: [(&str, &str, Act); 9] = [
        ("set", "eq", |s| _ = s.set(Nosy(1))),
        ("set_if", "eq", |s| drop(s.set_if(Nosy(1), |_| true))),
        ("update", "eq", |s| _ = s.update(|_| Nosy(1))),
        ("try_update", "eq", |s| _ = s.try_update(|_| Some(Nosy(1)))),
        ("try_set_paced", "eq", |s| _ = s.try_set_paced(Nosy(1))),
        ("set_paced", "eq", |s| _ = ready(s.set_paced(Nosy(1)))),
        ("modify", "clone", |s| _ = s.modify(|n| n.0 = 1)),
        ("get", "clone", |s| _ = s.get()),
        ("watch", "clone", |s| drop(s.watch())),
    ];
    for (name, when, act) in acts {
        for (observed, own) in [(false, true), (false, false), (true, true), (true, false)] {
            let (state, other) = (leaked(Nosy(0)), leaked(Nosy(0)));
            let watcher = observed.then(|| state.watch());
            let (call, target): (Act, _) = match own {
                true => (|s| s.read(|_| ()), state),
                false => (|s| _ = s.replace(Nosy(9)), other),
            };
            COMES_BACK.set(Some((when, call, target)));
            let said = panics(|| act(state));
            assert!(names_the_rule(&said), "{name}, {when}, {own}: {said}");
            assert_eq!((state.read(|n| n.0), other.version()), (0, 0), "{name}");
            assert!(state.set(Nosy(2)), "{name}");
            if let Some(mut watcher) = watcher {
                assert_eq!(watcher.try_recv().unwrap().new.0, 2, "{name}");
            }
        }
    }
}

// Guards that are dropped inside

/// Everything that can be registered, in the hands of one owner.
type Guards = (
    Watcher<i32>,
    [Wait<'static, i32>; 2],
    Wait<'static, Transition<i32>>,
    (Callback, Callback),
    SetPaced<'static, i32>,
    (View<i32>, onlooker::OwnedWait<i32>),
);

/// Registers one of each, with a full bounded buffer so that the paced setter stands in line.
fn guards(state: &'static State) -> Guards {
    let watcher = state.watch_bounded(1, Overflow::DropNewest);
    let mut waits = [state.wait_for(9), state.wait_until(|value| *value == 9)];
    assert!(waits.iter_mut().all(pending));
    let callbacks = (state.on_change(|_| ()), state.on_value(-1, |_| ()));
    state.set(state.get() + 1);
    let mut paced = state.set_paced(7);
    let change = state.wait_for_change();
    assert!(pending(&mut paced));
    let views = (state.view(), state.view().wait_for(9));
    (watcher, waits, change, callbacks, paced, views)
}

fn nobody_is_left(state: &State) {
    assert_eq!(observers(state), 0, "{}", state.inspect());
    assert_eq!((state.watcher_count(), state.view_count()), (0, 0));
    let mut paced = state.set_paced(state.get() + 1);
    assert!(!pending(&mut paced), "nobody is left in line");
}

#[test]
fn guards_dropped_inside_a_closure_are_gone_when_it_has_returned() {
    let state = leaked(1);
    let closures: [fn(&State, Guards); 6] = [
        |state, guards| state.read(move |_| drop(guards)),
        |state, guards| {
            state.update(move |value| {
                drop(guards);
                value + 1
            });
        },
        |state, guards| {
            state.replace_with(move |value| {
                drop(guards);
                *value
            });
        },
        |state, guards| {
            assert!(state.modify(move |value| {
                drop(guards);
                *value += 1;
            }));
        },
        |state, guards| {
            let kept = state.set_if(5, move |_| {
                drop(guards);
                false
            });
            assert_eq!(kept, Err(5));
        },
        |state, guards| {
            let kept = state.try_update(move |_| {
                drop(guards);
                None
            });
            assert!(kept.is_err());
        },
    ];
    for within in closures {
        let guards = guards(state);
        assert!(observers(state) > 6);
        within(state, guards);
        nobody_is_left(state);
    }
}

// PITFALLS: a closure that panics kept the guards dropped in it until the next call.
#[test]
fn guards_dropped_inside_a_closure_that_panics_are_gone_when_it_has_panicked() {
    let state = leaked(1);
    let guards = guards(state);
    let text = panics(|| {
        state.update(move |_| {
            let _guards = &guards;
            panic!("closure")
        })
    });
    assert_eq!(text, "closure");
    nobody_is_left(state);
    assert!(state.set(9));
}

#[test]
fn what_guards_dropped_inside_held_is_freed_as_soon_as_the_lock_is_free() {
    for panicking in [false, true] {
        let (state, held) = (leaked(0), Arc::new(()));
        let (one, two) = (held.clone(), held.clone());
        let callback = state.on_change(move |_| assert_eq!(Arc::strong_count(&one), 3));
        let wait = state.wait_until(move |_| Arc::strong_count(&two) > 9);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            state.read(|_| {
                drop((callback, wait));
                assert!(!panicking, "closure");
            });
        }));
        assert_eq!(ended.is_err(), panicking);
        // Without any further call.
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

// PITFALLS: a callback was called after its guard's drop had returned.
#[test]
fn no_call_starts_after_a_guards_drop_inside_a_closure_has_returned() {
    for panicking in [false, true] {
        let (state, (calls, called)) = (leaked(0), mpsc::channel());
        let callback = state.on_change(move |change| calls.send(change.new).unwrap());
        state.set(1);
        // The commit of the very closure that drops it is none of its business any more.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            state.update(|n| {
                drop(callback);
                assert!(!panicking, "closure");
                n + 1
            })
        }));
        state.set(9);
        assert!(called.iter().eq([1]));
    }
}

/// Panics when it is dropped, unless a panic is on its way already.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(thread::panicking(), "fragile");
    }
}

// PITFALLS: run between commit and delivery, the role was lost: no callback, no wake, further sets hung.
#[test]
fn a_guard_dropped_inside_whose_captured_value_panics_in_its_drop_costs_no_delivery() {
    in_time(|| {
        for with_callback in [false, true] {
            let (state, (calls, called)) = (leaked(0), mpsc::channel());
            let fragile = Fragile;
            let guard: Box<dyn Send> = match with_callback {
                true => Box::new(state.on_change(move |_| _ = &fragile)),
                false => Box::new(state.wait_until(move |_| {
                    let _ = &fragile;
                    false
                })),
            };
            let callback = state.on_change(move |change| calls.send(change.new).unwrap());
            let (task, mut wait) = (common::Task::new(), state.wait_for(1));
            assert!(task.poll(&mut wait).is_pending());
            let said = panics(|| {
                state.update(|_| {
                    drop(guard);
                    1
                })
            });
            assert_eq!(said, "fragile", "whoever dropped it learns of it");
            assert_eq!((state.get(), task.wakes()), (1, 1));
            assert_eq!(ready(wait), 1);
            for n in 2..1_200 {
                state.set(n);
            }
            drop(callback);
            assert!(called.iter().eq(1..1_200));
        }
    });
}

// PITFALLS: `try_recv` inside a closure lost its transition when a paced setter waited.
#[test]
fn receiving_inside_a_closure_of_the_same_state_answers_or_panics_and_loses_nothing() {
    for bound in [None, Some(1), Some(4)] {
        for paced in [false, true] {
            let state = leaked(0);
            let mut watcher = match bound {
                None => state.watch(),
                Some(capacity) => state.watch_bounded(capacity, Overflow::DropNewest),
            };
            let full = paced.then(|| {
                let full = state.watch_bounded(1, Overflow::DropNewest);
                state.set(1);
                let mut set = state.set_paced(2);
                assert!(pending(&mut set));
                (full, set)
            });
            state.set(1);
            let mut inside = None;
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                state.read(|_| inside = Some(watcher.try_recv()));
            }));
            let received = match (caught, inside) {
                (Ok(()), Some(received)) => received,
                (Err(payload), None) => {
                    assert!(names_the_rule(&common::message(&*payload)));
                    watcher.try_recv()
                }
                _ => unreachable!("it answers or panics"),
            };
            let change = received.expect("the transition is still there");
            assert_eq!((change.old, change.new, change.missed), (0, 1, 0));
            assert_eq!(watcher.missed(), 0);
            drop(full);
        }
    }
}

#[test]
fn a_watcher_waits_predicate_runs_in_the_caller_and_may_call_anything() {
    let (state, other) = (Watched::new(0), Watched::new(0));
    let mut watcher = state.watch();
    state.set(1);
    let found = ready(watcher.wait_until(|n| {
        other.set(10 + n);
        state.set(2) || state.get() == *n
    }));
    assert_eq!((found, state.get(), other.get()), (Ok(0), 2, 10));
    assert!(poll(&mut watcher.wait_for(2)).is_ready());
}
