//! Callbacks: on setting threads, in order, one at a time, harming nobody.

mod common;

use common::{Barrier, eventually, in_time, leaked, observers};
use onlooker::{Callback, Overflow, Watched};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

type Log<T> = Arc<Mutex<Vec<T>>>;

fn log<T>() -> (Log<T>, Log<T>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    (log.clone(), log)
}

#[test]
fn every_transition_is_called_back_in_order() {
    let state = Watched::new(0);
    let (calls, sink) = log();
    let callback = state.on_change(move |change| {
        sink.lock()
            .unwrap()
            .push((change.old, change.new, change.seq, change.missed));
    });
    state.set(1);
    state.set(1);
    state.replace(1);
    assert_eq!(*calls.lock().unwrap(), [(0, 1, 1, 0), (1, 1, 2, 0)]);
    drop(callback);
}

#[test]
fn callbacks_are_called_in_the_order_of_their_registration() {
    let state = Watched::new(0);
    let (calls, sink) = log();
    let mut callbacks: Vec<Callback> = (0..5)
        .map(|name| {
            let sink = sink.clone();
            state.on_change(move |_| sink.lock().unwrap().push(name))
        })
        .collect();
    drop(callbacks.remove(1));
    let sink = sink.clone();
    callbacks.push(state.on_change(move |_| sink.lock().unwrap().push(5)));
    state.set(1);
    assert_eq!(*calls.lock().unwrap(), [0, 2, 3, 4, 5]);
}

#[test]
fn a_set_inside_a_callback_keeps_the_order_for_the_callbacks_after_it() {
    let state = leaked(0);
    let (calls, sink) = log();
    let setting = state.on_change(move |change| {
        if change.new < 3 {
            state.set(change.new + 1);
        }
    });
    let seeing = state.on_change(move |change| sink.lock().unwrap().push((change.old, change.new)));
    state.set(1);
    assert_eq!(*calls.lock().unwrap(), [(0, 1), (1, 2), (2, 3)]);
    drop((setting, seeing));
}

#[test]
fn on_value_is_called_once() {
    let state = Watched::new(0);
    let (calls, sink) = log();
    let callback = state.on_value(2, move |value| sink.lock().unwrap().push(*value));
    for value in [1, 2, 3, 2] {
        state.set(value);
    }
    assert_eq!(*calls.lock().unwrap(), [2]);
    drop(callback);
}

#[test]
fn on_value_is_called_at_once_if_the_state_is_that_already() {
    let state = Watched::new(7);
    let (calls, sink) = log();
    let callback = state.on_value(7, move |value| sink.lock().unwrap().push(*value));
    assert_eq!(*calls.lock().unwrap(), [7]);
    state.replace(7);
    assert_eq!(calls.lock().unwrap().len(), 1);
    drop(callback);
}

#[test]
fn on_value_drops_its_closure_when_it_was_called() {
    let state = Watched::new(0);
    let kept = Arc::new(());
    let inside = kept.clone();
    let callback = state.on_value(1, move |_| drop(inside));
    assert_eq!(Arc::strong_count(&kept), 2);
    state.set(1);
    assert_eq!(Arc::strong_count(&kept), 1);
    drop(callback);
}

#[test]
fn the_drop_deregisters_and_drops_the_closure() {
    let state = Watched::new(0);
    let kept = Arc::new(AtomicUsize::new(0));
    let inside = kept.clone();
    let callback = state.on_change(move |_| {
        inside.fetch_add(1, SeqCst);
    });
    state.set(1);
    drop(callback);
    assert_eq!(Arc::strong_count(&kept), 1);
    state.set(2);
    assert_eq!(kept.load(SeqCst), 1);
}

#[test]
fn a_detached_callback_lives_as_long_as_the_state() {
    let state = Watched::new(0);
    let kept = Arc::new(AtomicUsize::new(0));
    let inside = kept.clone();
    state
        .on_change(move |_| {
            inside.fetch_add(1, SeqCst);
        })
        .detach();
    state.set(1);
    state.set(2);
    assert_eq!((kept.load(SeqCst), Arc::strong_count(&kept)), (2, 2));
    drop(state);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn a_guard_may_outlive_its_state() {
    let state = Watched::new(0);
    let callback = state.on_change(|_| ());
    drop(state);
    drop(callback);
}

#[test]
fn a_callback_may_drop_itself() {
    let state = leaked(0);
    let kept = Arc::new(AtomicUsize::new(0));
    let slot: Arc<Mutex<Option<Callback>>> = Arc::default();
    let (inside, own) = (kept.clone(), slot.clone());
    let callback = state.on_change(move |_| {
        inside.fetch_add(1, SeqCst);
        let itself = own.lock().unwrap().take();
        drop(itself);
    });
    *slot.lock().unwrap() = Some(callback);
    state.set(1);
    state.set(2);
    assert_eq!((kept.load(SeqCst), Arc::strong_count(&kept)), (1, 1));
}

#[test]
fn a_callback_dropped_by_an_earlier_one_is_not_called() {
    let state = leaked(0);
    let (calls, sink) = log();
    let slot: Arc<Mutex<Option<Callback>>> = Arc::default();
    let other = slot.clone();
    let first = state.on_change(move |_| {
        let victim = other.lock().unwrap().take();
        drop(victim);
    });
    *slot.lock().unwrap() =
        Some(state.on_change(move |change| sink.lock().unwrap().push(change.new)));
    state.set(1);
    assert!(calls.lock().unwrap().is_empty());
    drop(first);
}

#[test]
fn one_registered_inside_another_sees_what_comes_after() {
    let state = leaked(0);
    let (calls, sink) = log();
    let outer = state.on_change(move |change| {
        if change.new == 1 {
            let sink = sink.clone();
            state
                .on_change(move |change| sink.lock().unwrap().push(change.new))
                .detach();
        }
    });
    state.set(1);
    assert!(calls.lock().unwrap().is_empty());
    state.set(2);
    assert_eq!(*calls.lock().unwrap(), [2]);
    drop(outer);
}

#[test]
fn one_registered_inside_another_is_not_called_for_what_was_set_before() {
    let state = leaked(0);
    let (calls, sink) = log();
    let mut inside = Some(sink);
    let callback = state.on_change(move |_| {
        if let Some(sink) = inside.take() {
            state.set(2);
            let inner = state.on_change(move |change| sink.lock().unwrap().push(change.new));
            inner.detach();
        }
    });
    state.set(1);
    assert_eq!(*calls.lock().unwrap(), []);
    state.set(3);
    assert_eq!(*calls.lock().unwrap(), [3]);
    drop(callback);
}

/// Equal when it is asked under the lock; the next time that is asked it panics, and so on in turn.
#[derive(Clone)]
struct Fickle(Arc<AtomicUsize>);

impl PartialEq for Fickle {
    fn eq(&self, _: &Self) -> bool {
        assert!(self.0.fetch_add(1, SeqCst) % 2 == 0, "asked twice");
        true
    }
}

#[test]
fn a_comparison_that_panics_for_the_present_value_costs_on_value_that_call_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let state = Watched::new(Fickle(asked.clone()));
    let (calls, sink) = log();
    let callback = state.on_value(Fickle(asked.clone()), move |_| {
        sink.lock().unwrap().push(());
    });
    assert_eq!((asked.load(SeqCst), calls.lock().unwrap().len()), (2, 0));
    state.replace(Fickle(asked.clone()));
    assert_eq!((asked.load(SeqCst), calls.lock().unwrap().len()), (3, 1));
    drop(callback);
}

#[test]
fn a_panicking_callback_stays_and_harms_nobody() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let wait = state.wait_for(1);
    let calls = Arc::new(AtomicUsize::new(0));
    let (mine, theirs) = (calls.clone(), calls.clone());
    let bad = state.on_change(move |_| {
        mine.fetch_add(1, SeqCst);
        panic!("on purpose");
    });
    let good = state.on_change(move |_| {
        theirs.fetch_add(100, SeqCst);
    });
    assert!(state.set(1), "the setter notices nothing");
    assert!(state.set(2));
    assert_eq!(calls.load(SeqCst), 202);
    assert_eq!(wait.wait(), 1);
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    drop((bad, good));
}

#[test]
fn a_slow_callback_holds_up_neither_watchers_nor_waits_nor_views_also_of_later_transitions() {
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
        let view = state.view();
        let mapped = view.map(|n| n * 10);
        let mut watcher = state.watch();
        let (value, judged) = (state.wait_for(5), state.wait_until(|value| *value == 6));
        let owned = view.wait_for_next(7);
        let mut setters = vec![thread::spawn(move || state.set(1))];
        barrier.arrived();
        assert_eq!(watcher.recv_blocking().unwrap().new, 1);
        for n in 2..=8 {
            // Each of them is held up until the callback has had the first, as it is part of their `set`.
            setters.push(thread::spawn(move || state.set(n)));
            assert_eq!(watcher.recv_blocking().unwrap().new, n);
        }
        assert_eq!((value.wait(), judged.wait(), owned.wait()), (5, 6, Ok(7)));
        assert_eq!(mapped.wait_for(80).wait(), Ok(80));
        assert_eq!(view.get(), 8);
        assert!(
            calls.lock().unwrap().is_empty(),
            "it is still in its first call"
        );
        barrier.open();
        assert!(setters.into_iter().all(|setter| setter.join().unwrap()));
        assert!(calls.lock().unwrap().iter().copied().eq(1..=8));
        drop(callback);
    });
}

#[test]
fn a_drop_does_not_wait_for_a_running_call() {
    in_time(|| {
        let (state, barrier) = (leaked(0), Barrier::new());
        let (kept, held) = (Arc::new(()), barrier.clone());
        let closure = kept.clone();
        let callback = state.on_change(move |_| {
            let _kept = &closure;
            held.pass();
        });
        let setter = thread::spawn(move || state.set(1));
        barrier.arrived();
        drop(callback); // returns while the call runs
        let later = thread::spawn(move || state.set(2));
        eventually(|| state.get() == 2);
        barrier.open();
        assert!(setter.join().unwrap() && later.join().unwrap());
        assert!(!barrier.somebody(), "no call started after the drop");
        assert_eq!(Arc::strong_count(&kept), 1, "the closure went where it ran");
    });
}

#[test]
fn a_callback_may_call_every_method_of_any_state() {
    in_time(|| {
        let (state, other) = (leaked(0_u32), leaked(0_u32));
        let callback = state.on_change(move |change| {
            for target in [state, other] {
                if change.new < 3 {
                    target.set(change.new + 1);
                    target.update(|n| n + 100);
                    target.replace_with(|n| n - 100);
                }
                assert_eq!(target.try_set_paced(target.get()), Ok(false));
                let mut watcher = target.watch_bounded(1, Overflow::DropOldest);
                let wait = target.wait_for_change();
                let view = target.view();
                let owned = view.wait_until(|n| *n == u32::MAX);
                assert!(target.view_count() >= 2 && !target.inspect().observers.is_empty());
                drop((watcher.try_recv(), wait, owned, target.on_change(|_| ())));
                drop(target.on_value(change.new, |_| ()));
            }
        });
        state.set(1);
        let who = state.inspect();
        assert!(format!("{who:?}").contains("panics: 0"), "{who}");
        drop(callback);
        assert_eq!((observers(state), observers(other)), (0, 0));
    });
}

#[test]
fn a_callback_that_drops_anothers_guard_costs_no_third_its_call() {
    for (dropping, dropped) in (0..16).map(|pair| (pair / 4, pair % 4)) {
        let state = Watched::new(0);
        let (calls, sink) = log();
        let guards: Arc<Mutex<Vec<Option<Callback>>>> = Arc::default();
        for name in 0..4 {
            let (sink, own) = (sink.clone(), guards.clone());
            let guard = state.on_change(move |_| {
                sink.lock().unwrap().push(name);
                if name == dropping {
                    let guard = own.lock().unwrap()[dropped].take();
                    drop(guard);
                }
            });
            guards.lock().unwrap().push(Some(guard));
        }
        state.set(1);
        let called: Vec<_> = (0..4)
            .filter(|name| *name != dropped || *name <= dropping)
            .collect();
        assert_eq!(*calls.lock().unwrap(), called, "{dropping} drops {dropped}");
        state.set(2);
        let called = called
            .into_iter()
            .chain((0..4).filter(|name| *name != dropped));
        assert!(calls.lock().unwrap().iter().copied().eq(called));
        guards.lock().unwrap().clear();
    }
}
