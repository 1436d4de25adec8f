//! The protocols between two and three threads, in every order that loom can think of.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --features loom --test loom`
//!
//! Nothing rescues a waiter here: a model that ends has woken everybody by the transition it waited for, not by a close
//! or a time-out. Models without a bound explore all there is. `MODELS_BOUND=2` bounds every model, for a quick look;
//! `MODELS_MORE=1` allows each one preemption more, `MODELS_UNBOUNDED=1` bounds none, which for some takes hours.

#![cfg(loom)]

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use onlooker::{Closed, Overflow, TryRecvError, Watched};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Explores `model`, with at most `bound` preemptions if given, and reports how many executions that took.
fn explore(name: &str, bound: impl Into<Option<usize>>, model: impl Fn() + Send + Sync + 'static) {
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound.into();
    if std::env::var_os("MODELS_MORE").is_some() {
        builder.preemption_bound = builder.preemption_bound.map(|bound| bound + 1);
    }
    if std::env::var_os("MODELS_UNBOUNDED").is_some() {
        builder.preemption_bound = None;
    }
    if let Ok(most) = std::env::var("MODELS_BOUND") {
        let most = most.parse().expect("a number");
        builder.preemption_bound = Some(
            builder
                .preemption_bound
                .map_or(most, |bound| bound.min(most)),
        );
    }
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{name}: {} executions", executions.load(Ordering::Relaxed));
}

/// A list that threads of a model and its callbacks write to.
type Log<T> = std::sync::Arc<Mutex<Vec<T>>>;

fn log<T>() -> (Log<T>, Log<T>) {
    let log = std::sync::Arc::new(Mutex::new(Vec::new()));
    (log.clone(), log)
}

fn setter(state: &Arc<Watched<u32>>, values: &'static [u32]) -> thread::JoinHandle<()> {
    let state = state.clone();
    thread::spawn(move || {
        for value in values {
            state.set(*value);
        }
    })
}

/// Polls with the waker of nobody. Whether that was enough.
fn polled_early(future: &mut (impl Future + Unpin)) -> bool {
    let mut idle = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut idle).is_ready()
}

// Parking and waking

#[test]
fn park_a_watcher_sleeps_while_two_sets_come() {
    explore("park", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1, 2]);
        for new in [1, 2] {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new, change.missed), (new - 1, new, 0));
        }
        setter.join().unwrap();
    });
}

#[test]
fn park_a_bounded_watcher_ends_on_the_present_value() {
    explore("park_bounded", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
        let setter = setter(&state, &[1, 2]);
        assert_eq!(block_on(watcher.wait_for(2)), Ok(2));
        setter.join().unwrap();
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn park_two_watchers_are_both_woken() {
    explore("park_two", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut here = state.watch();
        let mut there = state.watch();
        let setter = setter(&state, &[1]);
        let other = thread::spawn(move || block_on(there.recv()).unwrap().new);
        assert_eq!(block_on(here.recv()).unwrap().new, 1);
        assert_eq!(other.join().unwrap(), 1);
        setter.join().unwrap();
    });
}

#[test]
fn park_again_after_a_future_was_given_up() {
    explore("park_again", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1]);
        if !polled_early(&mut watcher.recv()) {
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn park_repolled_with_another_waker() {
    explore("park_repolled", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1]);
        let mut receive = watcher.recv();
        if !polled_early(&mut receive) {
            assert_eq!(block_on(receive).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

// Registration

#[test]
fn join_a_value_wait_races_two_sets() {
    explore("join_value", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let value = block_on(state.wait_for_not(0));
        assert!(value == 1 || value == 2);
        setter.join().unwrap();
    });
}

#[test]
fn join_a_judge_races_two_sets() {
    explore("join_judge", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        assert_eq!(block_on(state.wait_until(|value| *value == 2)), 2);
        setter.join().unwrap();
    });
}

#[test]
fn join_a_watcher_has_neither_gap_nor_duplicate() {
    explore("join_watcher", 3, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let mut watcher = state.watch();
        let mut last = *watcher.seen();
        while last != 2 {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new), (last, last + 1));
            last = change.new;
        }
        setter.join().unwrap();
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn join_the_first_observer_moves_the_state_under_a_setter() {
    explore("join_first", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1]);
        let watcher = state.watch();
        let seen = *watcher.seen() as usize;
        setter.join().unwrap();
        assert_eq!(seen + watcher.len(), 1);
        assert_eq!((state.get(), state.version()), (1, 1));
    });
}

#[test]
fn repoll_with_another_waker_still_wakes() {
    explore("repoll", None, || {
        let state = Arc::new(Watched::new(0));
        let mut wait = state.wait_for(1);
        let setter = setter(&state, &[1]);
        if !polled_early(&mut wait) {
            assert_eq!(block_on(wait), 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn join_a_callback_is_not_called_for_what_was_before() {
    explore("join_callback", None, || {
        let state = Arc::new(Watched::new(0));
        let first = state.on_change(|_| {});
        let setter = setter(&state, &[1, 2]);
        let before = state.version();
        let (called, sink) = log();
        let second = state.on_change(move |change| sink.lock().unwrap().push(change.seq));
        setter.join().unwrap();
        let called = called.lock().unwrap().clone();
        assert!(called.iter().all(|seq| *seq > before));
        // Whatever came after the registration is there, up to the last one.
        assert!(called.is_empty() || called == [1, 2] || called == [2]);
        drop((first, second));
    });
}

// Hand-over of the delivery

#[test]
fn handover_two_setters_are_judged_and_called_back_in_one_order() {
    explore("handover", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let (called, sink) = log();
        let callback = state.on_change(move |change| {
            sink.lock()
                .unwrap()
                .push((change.seq, change.old, change.new));
        });
        let (judged, sink) = log();
        let judge = state.wait_until_next(move |value| {
            sink.lock().unwrap().push(*value);
            false
        });
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        for setter in setters {
            setter.join().unwrap();
        }
        // Delivered by the time both have returned, with nobody left to do it.
        let called = called.lock().unwrap();
        assert_eq!(called.len(), 2);
        let (first, second) = (called[0], called[1]);
        assert_eq!((first.0, second.0), (1, 2));
        assert_eq!((first.1, first.2), (0, second.1));
        assert_eq!(*judged.lock().unwrap(), [first.2, second.2]);
        assert_eq!(watcher.try_recv().unwrap().new, first.2);
        assert_eq!(watcher.try_recv().unwrap().new, second.2);
        drop((judge, callback));
    });
}

#[test]
fn handover_a_callback_that_sets_is_called_back_for_it() {
    explore("handover_nested", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let weak = state.clone();
        let callback = state.on_change(move |change| {
            sink.lock().unwrap().push(change.new);
            if change.new < 10 {
                weak.set(change.new + 10);
            }
        });
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        for setter in setters {
            setter.join().unwrap();
        }
        let mut called = called.lock().unwrap().clone();
        assert_eq!(called.len() as u64, state.version());
        called.sort_unstable();
        called.dedup();
        assert_eq!(called, [1, 2, 11, 12]);
        drop(callback);
    });
}

#[test]
fn handover_a_setter_waits_while_the_backlog_is_long() {
    // Two transitions on their way are a crowd here: the third waits until one of them was called back.
    explore("handover_crowd", 3, || {
        let state = Arc::new(Watched::new(0));
        let (calls, inside) = log();
        let callback = state.on_change(move |change| inside.lock().unwrap().push(change.new));
        let setters = [setter(&state, &[1, 2]), setter(&state, &[3, 4])];
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(calls.lock().unwrap().len(), 4);
        drop(callback);
    });
}

#[test]
fn handover_wakes_the_judged_waiter_of_another_thread() {
    explore("handover_judge", 3, || {
        let state = Arc::new(Watched::new(0));
        let wait = state.wait_until(|value| *value == 2);
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        assert_eq!(block_on(wait), 2);
        for setter in setters {
            setter.join().unwrap();
        }
    });
}

#[test]
fn handover_on_value_is_called_once() {
    explore("handover_on_value", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let setter = setter(&state, &[1]);
        let callback = state.on_value(1, move |value| sink.lock().unwrap().push(*value));
        setter.join().unwrap();
        assert_eq!(*called.lock().unwrap(), [1]);
        drop(callback);
    });
}

// Leaving

#[test]
fn leave_a_judge_while_two_watchers_and_a_wait_stay() {
    explore("leave_judge", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watchers = [state.watch(), state.watch()];
        let going = state.wait_until(|value| *value == 1);
        let staying = state.wait_until(|value| *value == 1);
        let setter = setter(&state, &[1]);
        drop(going);
        assert_eq!(block_on(staying), 1);
        for watcher in &mut watchers {
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn leave_a_value_wait_while_another_stays() {
    explore("leave_value", None, || {
        let state = Arc::new(Watched::new(0));
        let going = state.wait_for(1);
        let staying = state.wait_for(1);
        let setter = setter(&state, &[1]);
        drop(going);
        assert_eq!(block_on(staying), 1);
        setter.join().unwrap();
    });
}

#[test]
fn leave_a_watcher_while_it_is_pushed_to() {
    explore("leave_watcher", None, || {
        let state = Arc::new(Watched::new(0));
        let going = state.watch();
        let setter = setter(&state, &[1, 2]);
        drop(going);
        assert_eq!(state.watcher_count(), 0);
        setter.join().unwrap();
        assert_eq!(state.get(), 2);
    });
}

#[test]
fn leave_from_under_the_lock_while_another_sets() {
    explore("leave_late", None, || {
        let state = Arc::new(Watched::new(0));
        let watcher = state.watch();
        let setter = setter(&state, &[1]);
        state.update(move |value| {
            drop(watcher);
            value + 2
        });
        setter.join().unwrap();
        assert_eq!(state.watcher_count(), 0);
    });
}

#[test]
fn leave_a_callback_starts_no_call_afterwards() {
    explore("leave_callback", None, || {
        let state = Arc::new(Watched::new(0));
        let (calls, sink) = log();
        let callback = state.on_change(move |change| sink.lock().unwrap().push(change.new));
        let first = setter(&state, &[1]);
        drop(callback);
        // Whatever is called now was running when the drop returned.
        first.join().unwrap();
        let before = calls.lock().unwrap().len();
        state.set(2);
        assert!(before <= 1);
        assert_eq!(calls.lock().unwrap().len(), before);
    });
}

// The end

#[test]
fn close_comes_after_the_last_value() {
    explore("close", 3, || {
        let state = Watched::new(0);
        let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
        let setter = thread::spawn(move || {
            state.set(1);
            drop(state);
        });
        assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        assert_eq!(block_on(watcher.recv()), Err(Closed));
        setter.join().unwrap();
    });
}

// Paced setters

#[test]
fn paced_a_receive_makes_room() {
    explore("paced", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = {
            let state = state.clone();
            thread::spawn(move || assert!(block_on(state.set_paced(2))))
        };
        for new in [1, 2] {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.new, change.missed), (new, 0));
        }
        paced.join().unwrap();
    });
}

#[test]
fn paced_a_larger_ring_loses_nothing() {
    explore("paced_ring", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
        state.set(1);
        state.set(2);
        let paced = {
            let state = state.clone();
            thread::spawn(move || assert!(block_on(state.set_paced(3))))
        };
        for new in 1..=3 {
            assert_eq!(block_on(watcher.recv()).unwrap().new, new);
        }
        paced.join().unwrap();
    });
}

#[test]
fn paced_a_dropped_watcher_frees_its_room() {
    explore("paced_drop", None, || {
        let state = Arc::new(Watched::new(0));
        let watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = {
            let state = state.clone();
            thread::spawn(move || assert!(block_on(state.set_paced(2))))
        };
        drop(watcher);
        paced.join().unwrap();
    });
}

#[test]
fn paced_two_setters_share_the_room_that_two_pops_make() {
    explore("paced_line", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(2, Overflow::DropNewest);
        state.set(1);
        state.set(2);
        let paced = [3, 4].map(|value| {
            let state = state.clone();
            thread::spawn(move || assert!(block_on(state.set_paced(value))))
        });
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        assert_eq!(watcher.try_recv().unwrap().new, 2);
        for setter in paced {
            setter.join().unwrap();
        }
        assert_eq!(watcher.try_recv().unwrap().missed, 0);
        assert_eq!(watcher.try_recv().unwrap().missed, 0);
    });
}

#[test]
fn paced_two_setters_hand_the_line_on() {
    explore("paced_two", 2, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = [2, 3].map(|value| {
            let state = state.clone();
            thread::spawn(move || assert!(block_on(state.set_paced(value))))
        });
        let received = [(); 3].map(|()| block_on(watcher.recv()).unwrap());
        assert!(received.iter().all(|change| change.missed == 0));
        assert_eq!(received[1].new + received[2].new, 5);
        for setter in paced {
            setter.join().unwrap();
        }
    });
}

// Reading

#[test]
fn read_versions_and_values_go_together() {
    explore("read", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let before = state.version();
        let mut reader = state.reader();
        assert!(u64::from(*reader.get()) >= before);
        setter.join().unwrap();
        assert_eq!(*reader.get(), 2);
    });
}
