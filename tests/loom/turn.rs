//! Callbacks take turns: in order, one at a time, each transition's before its setter returns, and no turn is lost.

use super::*;
use loom::thread::ThreadId;

/// Sets each value and looks that it has been called back when `set` returns.
fn called_setter(
    state: &Arc<Watched<u32>>,
    values: &'static [u32],
    called: &Log<u32>,
) -> JoinHandle<()> {
    let (state, called) = (state.clone(), called.clone());
    thread::spawn(move || {
        for value in values {
            state.set(*value);
            assert!(called.lock().unwrap().contains(value));
        }
    })
}

#[test]
fn turn_two_setters_are_called_back_in_one_order() {
    explore("turn_two", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let (called, sink) = log();
        let callback = state.on_change(move |change| {
            let heard = (change.seq, change.old, change.new);
            sink.lock().unwrap().push(heard);
        });
        let (judged, sink) = log();
        let wait = state.wait_until_next(move |value| {
            sink.lock().unwrap().push(*value);
            false
        });
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        for setter in setters {
            setter.join().unwrap();
        }
        let called = entries(&called);
        assert_eq!(called.len(), 2);
        let (first, second) = (called[0], called[1]);
        assert_eq!((first.0, second.0), (1, 2));
        assert_eq!((first.1, first.2), (0, second.1));
        assert_eq!(entries(&judged), [first.2, second.2]);
        assert_eq!(watcher.try_recv().unwrap().new, first.2);
        assert_eq!(watcher.try_recv().unwrap().new, second.2);
        drop((wait, callback));
    });
}

#[test]
fn turn_is_over_before_set_returns() {
    explore("turn_returns", 4, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let callback = state.on_change(move |change| sink.lock().unwrap().push(change.new));
        let setters = [
            called_setter(&state, &[1, 2], &called),
            called_setter(&state, &[3], &called),
        ];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 3);
        drop(callback);
    });
}

#[test]
fn turn_is_one_threads_at_a_time() {
    explore("turn_alone", None, || {
        let state = Arc::new(Watched::new(0));
        let inside = std::sync::Arc::new(AtomicUsize::new(0));
        // Somewhere to be interrupted.
        let elsewhere = Arc::new(Watched::new(0));
        let callback = {
            let (inside, elsewhere) = (inside.clone(), elsewhere.clone());
            state.on_change(move |_| {
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                elsewhere.get();
                inside.fetch_sub(1, Ordering::Relaxed);
            })
        };
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        for setter in setters {
            setter.join().unwrap();
        }
        let who = state.inspect();
        // A panic in a callback is counted.
        let panics = format!("{who}");
        assert!(panics.contains("2 runs, 0 panics"), "{panics}");
        drop(callback);
    });
}

#[test]
fn turn_of_three_setters() {
    explore("turn_three", 3, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let callback = state.on_change(move |change| sink.lock().unwrap().push(change.new));
        let setters: [_; 3] = [&[1], &[2], &[3]].map(|value| called_setter(&state, value, &called));
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 3);
        drop(callback);
    });
}

/// Sets `value`, then looks that this has been called back, and all that was set inside.
fn outermost_setter(
    state: &Arc<Watched<u32>>,
    value: u32,
    called: &Log<u32>,
    nested: &Log<(ThreadId, u32)>,
) -> JoinHandle<()> {
    let (state, called, nested) = (state.clone(), called.clone(), nested.clone());
    thread::spawn(move || {
        state.set(value);
        let here = thread::current().id();
        let called = entries(&called);
        assert!(called.contains(&value));
        for (by, value) in entries(&nested) {
            assert!(by != here || called.contains(&value));
        }
    })
}

/// A callback of one state that sets another, or the same, 10 higher.
fn sets_higher(
    from: &Arc<Watched<u32>>,
    to: &Arc<Watched<u32>>,
    called: &Log<u32>,
    nested: &Log<(ThreadId, u32)>,
) -> onlooker::Callback {
    let (to, called, nested) = (to.clone(), called.clone(), nested.clone());
    from.on_change(move |change| {
        called.lock().unwrap().push(change.new);
        if change.new < 10 {
            let higher = change.new + 10;
            let here = thread::current().id();
            nested.lock().unwrap().push((here, higher));
            to.set(higher);
        }
    })
}

#[test]
fn turn_of_a_set_inside_a_callback() {
    explore("turn_nested", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let ((called, _), (nested, _)) = (log(), log());
        let callback = sets_higher(&state, &state, &called, &nested);
        let setters = [1, 2].map(|value| outermost_setter(&state, value, &called, &nested));
        for setter in setters {
            setter.join().unwrap();
        }
        let order = watcher.try_iter().map(|change| change.new);
        assert_eq!(entries(&called), order.collect::<Vec<_>>());
        assert_eq!(state.version(), 4);
        drop(callback);
    });
}

#[test]
fn turn_of_a_ticket_left_with_another_state() {
    explore("turn_errand", None, || {
        let (first, second) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let (called, sink) = log();
        let ends = second.on_change(move |change| sink.lock().unwrap().push(change.new));
        let chained = {
            let second = second.clone();
            first.on_change(move |change| {
                second.set(change.new);
            })
        };
        let setters = [
            called_setter(&first, &[1], &called),
            called_setter(&second, &[2], &called),
        ];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 2);
        drop((chained, ends));
    });
}

#[test]
fn turn_of_two_states_that_set_each_other() {
    explore("turn_mutual", 4, || {
        let (here, there) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let ((called, _), (nested, _)) = (log(), log());
        let callbacks = [(&here, &there), (&there, &here)]
            .map(|(from, to)| sets_higher(from, to, &called, &nested));
        let setters = [(&here, 1), (&there, 2)]
            .map(|(state, value)| outermost_setter(state, value, &called, &nested));
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 4);
        drop(callbacks);
    });
}

#[test]
fn turn_of_a_callback_that_panics() {
    explore("turn_panics", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let callback = state.on_change(move |change| {
            sink.lock().unwrap().push(change.new);
            if change.seq == 1 {
                std::panic::resume_unwind(Box::new("the callback's own"));
            }
        });
        let setters = [
            called_setter(&state, &[1], &called),
            called_setter(&state, &[2], &called),
        ];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 2);
        drop(callback);
    });
}

#[test]
fn turn_of_a_callback_that_leaves_in_its_call() {
    explore("turn_leaves", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let own = std::sync::Arc::new(Mutex::new(None::<onlooker::Callback>));
        let inside = own.clone();
        let callback = state.on_change(move |change| {
            sink.lock().unwrap().push(change.new);
            let own = inside.lock().unwrap().take();
            drop(own);
        });
        *own.lock().unwrap() = Some(callback);
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(called.lock().unwrap().len(), 1);
    });
}

#[test]
fn turn_of_on_value_comes_once() {
    explore("turn_on_value", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let callback = state.on_value(1, move |value| sink.lock().unwrap().push(*value));
        let setters = [setter(&state, &[1, 0]), setter(&state, &[1])];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(entries(&called), [1]);
        drop(callback);
    });
}

#[test]
fn turn_comes_though_the_state_is_gone() {
    explore("turn_ended", None, || {
        let first = Watched::new(0);
        let second = Arc::new(Watched::new(0));
        // loom does not see the counts of the crate's own `Arc`s: what all threads share is freed where they are joined.
        let view = second.view();
        let (called, sink) = log();
        second
            .on_change(move |change| sink.lock().unwrap().push(change.new))
            .detach();
        let chained = std::sync::Arc::new(Mutex::new(Some(second.clone())));
        let callback = first.on_change(move |change| {
            let second = chained.lock().unwrap().take();
            if let Some(second) = second {
                second.set(change.new);
            }
        });
        let other = {
            let called = called.clone();
            thread::spawn(move || {
                second.set(2);
                drop(second);
                assert!(called.lock().unwrap().contains(&2));
            })
        };
        first.set(1);
        assert!(called.lock().unwrap().contains(&1));
        other.join().unwrap();
        assert!(view.is_closed());
        drop((callback, view));
        assert_eq!(std::sync::Arc::strong_count(&called), 1);
    });
}
