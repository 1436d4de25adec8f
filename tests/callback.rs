//! Callbacks: on setting threads, in order, one at a time, harming nobody.

mod common;

use common::{leaked, pending};
use onlooker::{Callback, Watched};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

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
fn a_slow_callback_holds_up_neither_watchers_nor_waits() {
    let state = leaked(0);
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let (calls, sink) = log();
    let callback = state.on_change(move |change| {
        if change.new == 1 {
            entered.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
        sink.lock().unwrap().push(change.new);
    });
    let mut watcher = state.watch();
    let value = state.wait_for(50);
    let judged = state.wait_until(|value| *value == 60);
    let setter = thread::spawn(move || state.set(1));
    inside.recv().unwrap();
    for value in 2..=100 {
        state.set(value);
    }
    // The callback is still in its first call.
    assert!(calls.lock().unwrap().is_empty());
    assert_eq!((value.wait(), judged.wait(), watcher.len()), (50, 60, 100));
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    release.send(()).unwrap();
    assert!(setter.join().unwrap());
    assert_eq!(*calls.lock().unwrap(), (1..=100).collect::<Vec<_>>());
    drop(callback);
}

#[test]
fn a_drop_does_not_wait_for_a_running_call() {
    let state = leaked(0);
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let kept = Arc::new(());
    let closure = kept.clone();
    let callback = state.on_change(move |_| {
        let _kept = &closure;
        entered.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
    });
    let setter = thread::spawn(move || state.set(1));
    inside.recv().unwrap();
    drop(callback); // returns while the call runs
    state.set(2);
    release.send(()).unwrap();
    setter.join().unwrap();
    assert!(inside.try_recv().is_err(), "no call started after the drop");
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn a_hundred_thousand_nested_sets_need_no_stack() {
    let run = || {
        let state = leaked(0);
        let callback = state.on_change(move |change| {
            if change.new < 100_000 {
                state.set(change.new + 1);
            }
        });
        state.set(1);
        assert_eq!(state.get(), 100_000);
        drop(callback);
        let judged = state.wait_until_next(move |value| {
            if *value < 200_000 {
                state.set(value + 1);
            }
            *value == 200_000
        });
        state.set(100_001);
        assert_eq!(judged.wait(), 200_000);
    };
    let small = thread::Builder::new().stack_size(64 * 1024);
    small.spawn(run).unwrap().join().unwrap();
}

/// A set of 1 that a callback holds up, so that what is set meanwhile piles up.
struct Stuck {
    _slow: Callback,
    setter: thread::JoinHandle<bool>,
    release: mpsc::Sender<()>,
}

impl Stuck {
    fn new(state: &Arc<Watched<i32>>) -> Self {
        let (release, blocked) = mpsc::channel();
        let (entered, inside) = mpsc::channel();
        let slow = state.on_change(move |_| {
            let _ = entered.send(());
            let _ = blocked.recv();
        });
        let state = state.clone();
        let setter = thread::spawn(move || state.set(1));
        inside.recv().unwrap();
        Self {
            _slow: slow,
            setter,
            release,
        }
    }
}

#[test]
fn registering_for_the_present_value_waits_while_the_backlog_is_long() {
    let state = Arc::new(Watched::new(0));
    let stuck = Stuck::new(&state);
    let made = Arc::new(AtomicUsize::new(0));
    let registrar = thread::spawn({
        let (state, made) = (state.clone(), made.clone());
        move || {
            for _ in 0..5_000 {
                drop(state.on_value(1, |_| {}));
                made.fetch_add(1, SeqCst);
            }
        }
    });
    // It has long been time enough for all of them.
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        thread::yield_now();
    }
    let held_up = made.load(SeqCst);
    drop(stuck.release);
    registrar.join().unwrap();
    assert!(stuck.setter.join().unwrap());
    assert_eq!(made.load(SeqCst), 5_000);
    assert!(held_up < 2_000, "{held_up} registered meanwhile");
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

#[test]
fn a_paced_setter_waits_while_the_backlog_is_long() {
    let state = Arc::new(Watched::new(0));
    let stuck = Stuck::new(&state);
    let mut held_up = None;
    for value in 2..5_000 {
        let mut set = state.set_paced(value);
        if pending(&mut set) {
            held_up = Some(set);
            break;
        }
    }
    let set = held_up.expect("thousands of transitions wait for one callback");
    drop(stuck.release);
    assert!(futures_lite::future::block_on(set));
    assert!(stuck.setter.join().unwrap());
}
