//! A callback is a part of `set`: when a setter returns, the callbacks have had its transition; and nobody works for
//! others without limit.

mod common;

use common::{Barrier, Task, eventually, in_time, leaked, on_stack, poll_with, ready, waker};
use onlooker::{Callback, Overflow, Watched};
use std::cell::Cell;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

type Log<T> = Arc<Mutex<Vec<T>>>;

fn log<T>() -> (Log<T>, Log<T>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    (log.clone(), log)
}

fn taken<T>(log: &Log<T>) -> Vec<T> {
    std::mem::take(&mut *log.lock().unwrap())
}

// When a setter returns

#[test]
fn when_a_setter_returns_all_callbacks_have_had_its_transition_whoever_else_sets() {
    in_time(|| {
        let state = leaked((0, 0));
        let (had, first) = log();
        let second = had.clone();
        let callbacks = [
            state.on_change(move |change| first.lock().unwrap().push((change.new, 1))),
            state.on_change(move |change| second.lock().unwrap().push((change.new, 2))),
        ];
        thread::scope(|scope| {
            for setter in 1..=4 {
                let had = &had;
                scope.spawn(move || {
                    for n in 1..=300 {
                        state.set((setter, n));
                        let had = had.lock().unwrap();
                        let own = had.iter().rev().filter(|call| call.0 == (setter, n));
                        assert_eq!(own.count(), 2);
                    }
                });
            }
        });
        drop(callbacks);
    });
}

#[test]
fn every_setter_runs_its_own_transitions_callbacks_on_its_own_thread_in_the_order_of_commits() {
    in_time(|| {
        let state = leaked((thread::current().id(), 0));
        let mut watcher = state.watch();
        let (calls, sink) = log();
        let callback = state.on_change(move |change| {
            sink.lock()
                .unwrap()
                .push((change.seq, change.new, thread::current().id()));
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for n in 1..=300 {
                        state.set((thread::current().id(), n));
                    }
                });
            }
        });
        for (at, (seq, value, runner)) in taken(&calls).into_iter().enumerate() {
            assert_eq!(seq, at as u64 + 1);
            assert_eq!(watcher.try_recv().unwrap().new, value);
            assert_eq!(value.0, runner, "called back on another's thread");
        }
        assert_eq!(watcher.try_recv().ok(), None);
        drop(callback);
    });
}

#[test]
fn a_setter_waits_for_the_callbacks_of_earlier_transitions() {
    in_time(|| {
        let (state, barrier) = (leaked(0), Barrier::new());
        let (calls, sink) = log();
        let held = barrier.clone();
        let callback = state.on_change(move |change| {
            if change.new == 1 {
                held.pass();
            }
            sink.lock().unwrap().push(change.new);
        });
        let first = thread::spawn(move || state.set(1));
        barrier.arrived();
        let second = thread::spawn(move || state.set(2));
        eventually(|| state.get() == 2);
        for _ in 0..1_000 {
            thread::yield_now();
        }
        assert!(!second.is_finished() && taken(&calls).is_empty());
        barrier.open();
        assert!(second.join().unwrap());
        assert_eq!(taken(&calls), [1, 2], "when the second returned");
        assert!(first.join().unwrap());
        drop(callback);
    });
}

// No setter works for others without limit

thread_local! {
    static CALLS_HERE: Cell<u64> = const { Cell::new(0) };
}

// PITFALLS: one `set` called back for others as long as they came; 6.7 million transitions were on their way.
#[test]
fn with_many_setters_and_a_slow_callback_nobody_works_for_others_and_nothing_piles_up() {
    const SETTERS: u64 = 4;
    in_time(|| {
        let state = leaked(0_u64);
        let most_behind = Arc::new(AtomicU64::new(0));
        let most = most_behind.clone();
        let callback = state.on_change(move |change| {
            CALLS_HERE.set(CALLS_HERE.get() + 1);
            // Slow: everybody else has time to set again, if nothing holds them.
            for _ in 0..20 {
                thread::yield_now();
            }
            most.fetch_max(state.version() - change.seq, SeqCst);
        });
        let most_calls = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..SETTERS {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let before = CALLS_HERE.get();
                        state.update(|n| n + 1);
                        most_calls.fetch_max(CALLS_HERE.get() - before, SeqCst);
                    }
                });
            }
        });
        // Each setter has one transition on its way, and its own call.
        let (calls, behind) = (most_calls.into_inner(), most_behind.load(SeqCst));
        assert!(behind <= SETTERS, "{behind} transitions on their way");
        assert!(calls <= SETTERS, "{calls} calls in one set");
        drop(callback);
    });
}

// PITFALLS: a setter inside a callback of one state never waited for the next one.
#[test]
fn a_chain_of_states_with_a_slow_last_callback_stays_bounded_and_is_called_back_to_its_end() {
    const SETTERS: u64 = 4;
    const SETS: u64 = 150;
    in_time(|| {
        let chain: Vec<&'static Watched<u64>> = (0..4).map(|_| leaked(0)).collect();
        let called = Arc::new(AtomicU64::new(0));
        let most = Arc::new(AtomicU64::new(0));
        let mut callbacks: Vec<Callback> = chain
            .windows(2)
            .map(|pair| {
                let (from, next) = (pair[0], pair[1]);
                from.on_change(move |change| _ = next.set(change.new))
            })
            .collect();
        let last = chain[3];
        let (count, behind) = (called.clone(), most.clone());
        callbacks.push(last.on_change(move |change| {
            for _ in 0..20 {
                thread::yield_now();
            }
            behind.fetch_max(last.version() - change.seq, SeqCst);
            count.store(change.new, SeqCst);
        }));
        thread::scope(|scope| {
            for _ in 0..SETTERS {
                scope.spawn(|| {
                    for _ in 0..SETS {
                        let own = chain[0].update(|n| n + 1) + 1;
                        let called = called.load(SeqCst);
                        assert!(called >= own, "{own} returned, {called} called back");
                    }
                });
            }
        });
        assert_eq!(called.load(SeqCst), SETTERS * SETS);
        let most = most.load(SeqCst);
        assert!(most <= SETTERS, "{most} on their way in the last state");
        drop(callbacks);
    });
}

// Nested setters

#[test]
fn a_transition_is_called_back_whole_before_what_is_set_inside_it() {
    let state = leaked(0);
    let (calls, sink) = log();
    let callbacks: Vec<Callback> = (1..=3)
        .map(|name| {
            let sink = sink.clone();
            state.on_change(move |change| {
                if change.new < 3 && name < 3 {
                    state.set(change.new + 1);
                }
                sink.lock().unwrap().push((change.new, name));
            })
        })
        .collect();
    state.set(1);
    let whole = [1, 2, 3].map(|n| [(n, 1), (n, 2), (n, 3)]);
    assert_eq!(taken(&calls), whole.as_flattened());
    drop(callbacks);
}

#[test]
fn before_the_outermost_setter_returns_all_that_was_set_inside_it_has_been_called_back() {
    let states = [leaked(0), leaked(0), leaked(0)];
    let (calls, sink) = log();
    let callbacks: Vec<Callback> = (0..3)
        .map(|name| {
            let sink = sink.clone();
            states[name].on_change(move |change| {
                sink.lock().unwrap().push((name, change.new));
                if change.new < 20 {
                    // Each sets the others: the outermost one's own state among them.
                    states[(name + 1) % 3].set(change.new + 1);
                    states[(name + 2) % 3].set(change.new + 1);
                }
            })
        })
        .collect();
    for round in 0..3 {
        states[round].set(1);
        let called = taken(&calls);
        for (name, state) in states.iter().enumerate() {
            let own: Vec<_> = called.iter().filter(|call| call.0 == name).collect();
            assert_eq!(own.last().unwrap().1, state.get(), "round {round}");
        }
        for state in states {
            state.set(100);
            state.set(0);
        }
        taken(&calls);
    }
    let versions: u64 = states.iter().map(|state| state.version()).sum();
    assert!(versions > 3 * 20);
    drop(callbacks);
}

#[test]
fn of_several_states_that_are_set_inside_a_setter_each_is_called_back_before_that_returns() {
    let state = leaked(0);
    let inner = [leaked(0), leaked(0), leaked(0)];
    let (called, sink) = log();
    let mut callbacks: Vec<Callback> = (0..)
        .zip(inner)
        .map(|(at, inner)| {
            let sink = sink.clone();
            inner.on_change(move |change| sink.lock().unwrap().push((at, change.new)))
        })
        .collect();
    callbacks.push(state.on_change(move |change| {
        for inner in inner {
            inner.set(change.new);
        }
    }));
    state.set(1);
    assert_eq!(taken(&called), [(0, 1), (1, 1), (2, 1)]);
    state.set(2);
    assert_eq!(taken(&called), [(0, 2), (1, 2), (2, 2)]);
    drop(callbacks);
}

#[test]
fn ten_thousand_states_in_a_chain_of_callbacks_need_no_stack() {
    on_stack(256 * 1024, || {
        let chain: Vec<&'static Watched<u32>> = (0..10_000).map(|_| leaked(0)).collect();
        let callbacks: Vec<Callback> = chain
            .windows(2)
            .map(|pair| {
                let (from, next) = (pair[0], pair[1]);
                from.on_change(move |change| _ = next.set(change.new))
            })
            .collect();
        chain[0].set(7);
        assert_eq!(chain[9_999].get(), 7);
        drop(callbacks);
    });
}

#[test]
fn a_hundred_thousand_nested_sets_need_no_stack() {
    on_stack(256 * 1024, || {
        let (state, other) = (leaked(0), leaked(0));
        let here = state.on_change(move |change| _ = other.set(change.new));
        let there = other.on_change(move |change| {
            if change.new < 100_000 {
                state.set(change.new + 1);
            }
        });
        state.set(1);
        assert_eq!((state.get(), other.get()), (100_000, 100_000));
        drop((here, there));
    });
}

#[test]
fn two_states_whose_callbacks_set_each_other_from_two_threads_never_deadlock() {
    in_time(|| {
        for _ in 0..20 {
            let (here, there) = (leaked(0_u32), leaked(0_u32));
            let calls = Arc::new(AtomicU64::new(0));
            let bounce = |from: &'static Watched<u32>, to: &'static Watched<u32>| {
                let calls = calls.clone();
                from.on_change(move |change| {
                    calls.fetch_add(1, SeqCst);
                    if change.new % 4 != 0 {
                        to.update(|n| n + 1);
                    }
                })
            };
            let callbacks = [bounce(here, there), bounce(there, here)];
            thread::scope(|scope| {
                for state in [here, there] {
                    scope.spawn(move || {
                        for _ in 0..200 {
                            state.update(|n| n + 1);
                        }
                    });
                }
            });
            assert_eq!(calls.load(SeqCst), here.version() + there.version());
            drop(callbacks);
        }
    });
}

#[test]
fn a_ring_of_states_set_from_every_side_never_deadlocks_and_calls_all_back() {
    in_time(|| {
        const STATES: usize = 5;
        let ring: Vec<&'static Watched<u32>> = (0..STATES).map(|_| leaked(0)).collect();
        let calls = Arc::new(AtomicU64::new(0));
        let callbacks: Vec<Callback> = (0..STATES)
            .map(|at| {
                let (calls, next) = (calls.clone(), ring[(at + 1) % STATES]);
                ring[at].on_change(move |change| {
                    calls.fetch_add(1, SeqCst);
                    if change.new % 8 != 0 {
                        next.set(change.new + 1);
                    }
                })
            })
            .collect();
        thread::scope(|scope| {
            for (state, at) in ring.iter().zip(0..4) {
                scope.spawn(move || {
                    for n in 0..200 {
                        state.set(8 * (4 * n + at) + 1);
                    }
                });
            }
        });
        let versions: u64 = ring.iter().map(|state| state.version()).sum();
        assert_eq!(calls.load(SeqCst), versions);
        drop(callbacks);
    });
}

#[test]
fn what_a_waker_or_a_drop_sets_inside_a_setter_is_called_back_before_that_returns() {
    /// Sets the other state when it is dropped.
    #[derive(Clone)]
    struct Sets(Option<&'static Watched<u32>>);

    impl Drop for Sets {
        fn drop(&mut self) {
            if let Some(other) = self.0.take() {
                other.update(|n| n + 1);
            }
        }
    }

    let (state, other) = (leaked(Sets(None)), leaked(0));
    let (calls, sink) = log();
    let callback = other.on_change(move |change| sink.lock().unwrap().push(change.new));
    let mut wait = state.wait_for_change();
    let sets = waker(move || _ = other.update(|n| n + 10));
    assert!(poll_with(&mut wait, &sets).is_pending());
    drop(state.replace(Sets(Some(other))));
    assert_eq!(taken(&calls), [10], "by the waker");
    let previous = state.replace(Sets(None));
    assert!(taken(&calls).is_empty());
    drop(previous); // nobody's setter any more: an outermost one
    assert_eq!(taken(&calls), [11], "by the drop");
    drop((callback, wait));
}

#[test]
fn a_setter_in_a_waker_that_no_setter_runs_is_an_outermost_one() {
    let (state, other) = (leaked(0), leaked(0));
    let (calls, sink) = log();
    let callback = other.on_change(move |change| sink.lock().unwrap().push(change.new));
    let sets = waker(move || _ = other.update(|n| n + 1));

    // A receiver that makes room.
    let mut full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut paced = state.set_paced(2);
    assert!(poll_with(&mut paced, &sets).is_pending());
    assert!(full.try_recv().is_ok());
    assert_eq!(taken(&calls), [1], "called back when the receiver returned");
    drop((paced, full));

    // The last view's drop.
    let view = state.view();
    let mut alone = state.wait_unwatched();
    assert!(poll_with(&mut alone, &sets).is_pending());
    drop(view);
    assert_eq!(taken(&calls), [2], "called back when the drop returned");

    // The first view.
    let mut somebody = state.wait_watched();
    assert!(poll_with(&mut somebody, &sets).is_pending());
    drop(state.view());
    assert_eq!(taken(&calls), [3], "called back when it was made");

    // The end of a state.
    let ending = Watched::new(0);
    let mut watcher = ending.watch();
    let mut end = watcher.recv();
    assert!(poll_with(&mut end, &sets).is_pending());
    drop(ending);
    assert_eq!(taken(&calls), [4], "called back when it had ended");
    drop((alone, somebody, end, callback));
}

// `on_value` of what is there already

#[test]
fn on_value_of_what_is_there_lines_up_like_a_setter() {
    in_time(|| {
        let (state, barrier) = (leaked(0), Barrier::new());
        let (calls, sink) = log();
        let held = barrier.clone();
        let slow = state.on_change(move |_| held.pass());
        let setter = thread::spawn(move || state.set(1));
        barrier.arrived();
        let registrar = thread::spawn(move || {
            let callback = state.on_value(1, move |n| sink.lock().unwrap().push(*n));
            (callback, thread::current().id())
        });
        for _ in 0..1_000 {
            thread::yield_now();
        }
        assert!(!registrar.is_finished() && taken(&calls).is_empty());
        barrier.open();
        let (callback, _) = registrar.join().unwrap();
        assert_eq!(taken(&calls), [1], "when it returned");
        assert!(setter.join().unwrap());
        drop((callback, slow));
    });
}

#[test]
fn on_value_inside_a_callback_is_called_after_what_is_under_way_and_before_the_setter_returns() {
    let state = leaked(0);
    let (calls, sink) = log();
    let inner = sink.clone();
    let registering = state.on_change(move |change| {
        if change.new == 1 {
            let value = inner.clone();
            state
                .on_value(1, move |_| value.lock().unwrap().push("there already"))
                .detach();
            inner.lock().unwrap().push("registered");
        }
    });
    let last = state.on_change(move |_| sink.lock().unwrap().push("the last"));
    state.set(1);
    assert_eq!(taken(&calls), ["registered", "the last", "there already"]);
    drop((registering, last));
}

// The end

#[test]
fn transitions_that_were_committed_are_called_back_also_when_the_state_ends_meanwhile() {
    let (outer, inner) = (leaked(0), Arc::new(Mutex::new(None)));
    let state = Watched::new(0);
    let (calls, sink) = log();
    state
        .on_change(move |change| sink.lock().unwrap().push(change.new))
        .detach();
    *inner.lock().unwrap() = Some(state);
    let slot = inner.clone();
    let callback = outer.on_change(move |_| {
        let state = slot.lock().unwrap().take().unwrap();
        state.set(1);
        state.set(2);
        drop(state); // they are called back after this callback, and it is no more
    });
    outer.set(1);
    assert_eq!(taken(&calls), [1, 2]);
    drop(callback);
}

// Panics

/// A panic's payload that panics when it is dropped, a few times in a row.
struct Payload(u32);

impl Drop for Payload {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Payload(self.0 - 1));
        }
    }
}

// PITFALLS: a panic payload whose `Drop` panics: role lost.
#[test]
fn a_callback_whose_panics_payload_panics_in_its_drop_harms_nobody() {
    for depth in [1, 3, 100] {
        in_time(move || {
            let state = leaked(0);
            let mut watcher = state.watch();
            let (calls, sink) = log();
            let bad = state.on_change(move |_| panic_any(Payload(depth)));
            let good = state.on_change(move |change| sink.lock().unwrap().push(change.new));
            let (task, mut wait) = (Task::new(), state.wait_for(2));
            assert!(task.poll(&mut wait).is_pending());
            assert!(state.set(1) && state.set(2), "the setter notices nothing");
            assert_eq!((taken(&calls), task.wakes()), (vec![1, 2], 1));
            assert_eq!(watcher.try_recv().unwrap().new, 1);
            // The turn is free: for another thread, too.
            assert!(thread::spawn(move || state.set(3)).join().unwrap());
            assert_eq!(taken(&calls), [3]);
            assert_eq!(ready(wait), 2);
            drop((bad, good));
        });
    }
}

#[test]
fn the_turn_of_a_callback_that_panics_goes_on_to_who_waits_for_it() {
    in_time(|| {
        let (state, barrier) = (leaked(0), Barrier::new());
        let (calls, sink) = log();
        let held = barrier.clone();
        let callback = state.on_change(move |change| {
            sink.lock().unwrap().push(change.new);
            if change.new == 1 {
                held.pass();
                panic!("on purpose");
            }
        });
        let mut setters = vec![thread::spawn(move || state.set(1))];
        barrier.arrived();
        for n in 2..6 {
            setters.push(thread::spawn(move || state.set(n)));
            eventually(|| state.get() == n);
        }
        barrier.open();
        for setter in setters {
            assert!(setter.join().unwrap());
        }
        assert_eq!(taken(&calls), [1, 2, 3, 4, 5]);
        drop(callback);
    });
}

// Guards

#[test]
fn a_guard_dropped_while_others_set_is_not_called_any_more_once_its_drop_has_returned() {
    in_time(|| {
        let state = leaked(0_u64);
        let stop = Arc::new(AtomicBool::new(false));
        let setters: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || {
                    while !stop.load(SeqCst) {
                        state.update(|n| n + 1);
                    }
                })
            })
            .collect();
        for _ in 0..300 {
            let called = Arc::new(AtomicU64::new(0));
            let last = called.clone();
            let callback = state.on_change(move |change| {
                assert!(change.seq > last.swap(change.seq, SeqCst));
            });
            eventually(|| called.load(SeqCst) > 0);
            drop(callback);
            // What runs at this moment finishes, and is the last.
            let dropped = state.version();
            eventually(|| state.version() > dropped + 4);
            eventually(|| Arc::strong_count(&called) == 1);
            let last = called.load(SeqCst);
            assert!(last <= dropped, "called for {last}, dropped at {dropped}");
        }
        stop.store(true, SeqCst);
        for setter in setters {
            setter.join().unwrap();
        }
    });
}

#[test]
fn one_callback_never_runs_on_two_threads_at_once() {
    in_time(|| {
        let state = leaked(0_u64);
        let inside: Arc<Mutex<Option<ThreadId>>> = Arc::default();
        let who = inside.clone();
        let callback = state.on_change(move |_| {
            let mut inside = who.try_lock().expect("two calls at once");
            *inside = Some(thread::current().id());
            thread::yield_now();
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        state.update(|n| n + 1);
                    }
                });
            }
        });
        assert!(inside.lock().unwrap().is_some(), "and no call panicked");
        let calls = state.inspect().observers;
        assert!(format!("{calls:?}").contains("panics: 0"));
        drop(callback);
    });
}
