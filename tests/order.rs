//! One order: all see the transitions as they were committed, whoever sets, and wherever from.

mod common;

use common::leaked;
use onlooker::{Overflow, Watched, Watcher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

type Log = Arc<Mutex<Vec<u32>>>;

/// Every kind of observer of one state, each with a log.
struct Everybody {
    watchers: Vec<Watcher<u32>>,
    predicate: Log,
    callbacks: [Log; 2],
}

impl Everybody {
    fn watch(state: &'static Watched<u32>) -> Self {
        let [predicate, first, second]: [Log; 3] = Default::default();
        let sink = predicate.clone();
        let wait = state.wait_until_next(move |value| {
            sink.lock().unwrap().push(*value);
            false
        });
        std::mem::forget(wait); // stays registered
        for log in [&first, &second] {
            let sink = log.clone();
            state
                .on_change(move |change| sink.lock().unwrap().push(change.new))
                .detach();
        }
        Self {
            watchers: (0..5).map(|_| state.watch()).collect(),
            predicate,
            callbacks: [first, second],
        }
    }

    /// Checks that they all saw the same, and says what.
    fn agree(mut self, state: &Watched<u32>) -> Vec<u32> {
        let mut logs: Vec<Vec<u32>> = self.watchers.iter_mut().map(received).collect();
        logs.push(self.predicate.lock().unwrap().clone());
        logs.extend(self.callbacks.iter().map(|log| log.lock().unwrap().clone()));
        for log in &logs {
            assert_eq!(*log, logs[0]);
        }
        assert_eq!(logs[0].len() as u64, state.version());
        assert_eq!(logs[0].last(), Some(&state.get()));
        logs.swap_remove(0)
    }
}

fn received(watcher: &mut Watcher<u32>) -> Vec<u32> {
    let mut log = Vec::new();
    let mut before = *watcher.seen();
    while let Ok(change) = watcher.try_recv() {
        assert_eq!((change.old, change.missed), (before, 0));
        before = change.new;
        log.push(change.new);
    }
    log
}

#[test]
fn four_setters_make_one_sequence() {
    let state = leaked(0);
    let all = Everybody::watch(state);
    thread::scope(|scope| {
        for setter in 1..=4 {
            scope.spawn(move || {
                for n in 0..5_000 {
                    state.set(setter * 10_000 + n);
                }
            });
        }
    });
    let order = all.agree(state);
    assert_eq!(order.len(), 20_000);
    for setter in 1..=4 {
        let own = order.iter().filter(|value| **value / 10_000 == setter);
        assert!(own.is_sorted(), "each setter's own order is kept");
    }
}

#[test]
fn sets_from_callbacks_and_wakers_keep_it() {
    struct Setter(&'static Watched<u32>, AtomicU32);

    impl Wake for Setter {
        fn wake(self: Arc<Self>) {
            self.0.set(self.1.fetch_add(1, SeqCst));
        }
    }

    let state = leaked(0);
    let all = Everybody::watch(state);
    let callback = state.on_change(move |change| {
        if change.new == 1 {
            state.set(10);
            state.set(11);
        }
    });
    let waker = Waker::from(Arc::new(Setter(state, AtomicU32::new(30))));
    let mut waits: Vec<_> = (0..3).map(|_| state.wait_for(1)).collect();
    for wait in &mut waits {
        let pending = std::pin::Pin::new(wait);
        assert!(Future::poll(pending, &mut Context::from_waker(&waker)).is_pending());
    }
    state.set(1);
    let order = all.agree(state);
    assert_eq!(order[0], 1);
    let mut rest = order[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, [10, 11, 30, 31, 32]);
    drop((callback, waits));
}

#[test]
fn sets_from_drops_keep_it() {
    static LOG: Mutex<Vec<u32>> = Mutex::new(Vec::new());

    struct Noisy(u32, Option<&'static Watched<Noisy>>);

    impl Clone for Noisy {
        fn clone(&self) -> Self {
            Noisy(self.0, None)
        }
    }

    impl PartialEq for Noisy {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Drop for Noisy {
        fn drop(&mut self) {
            if let Some(state) = self.1 {
                state.set(Noisy(self.0 + 100, None));
            }
        }
    }

    let state = leaked(Noisy(0, None));
    let mut watcher = state.watch();
    let callback = state.on_change(|change| LOG.lock().unwrap().push(change.new.0));
    state.set(Noisy(1, Some(state)));
    state.set(Noisy(2, None)); // drops 1, which sets 101
    let mut order = Vec::new();
    while let Ok(change) = watcher.try_recv() {
        order.push(change.new.0);
    }
    assert_eq!(order, [1, 2, 101]);
    assert_eq!(*LOG.lock().unwrap(), order);
    drop(callback);
}

#[test]
fn two_states_whose_callbacks_set_each_other_never_deadlock() {
    let (here, there) = (leaked(0_u32), leaked(0_u32));
    let calls = Arc::new(AtomicU64::new(0));
    let bounce = |from: &'static Watched<u32>, to: &'static Watched<u32>| {
        let calls = calls.clone();
        from.on_change(move |_| {
            calls.fetch_add(1, SeqCst);
            to.update(|n| (*n + 1).min(5_000));
        })
    };
    let callbacks = [bounce(here, there), bounce(there, here)];
    thread::scope(|scope| {
        for state in [here, there] {
            scope.spawn(move || {
                for _ in 0..2_000 {
                    state.update(|n| n + 1);
                }
            });
        }
    });
    assert_eq!(calls.load(SeqCst), here.version() + there.version());
    drop(callbacks);
}

#[test]
fn a_wait_made_during_a_delivery_is_not_offered_that_transition() {
    let state = leaked(0);
    let made = Arc::new(Mutex::new(Vec::new()));
    let sink = made.clone();
    let callback = state.on_change(move |change| {
        if change.new == 1 {
            let mut made = sink.lock().unwrap();
            made.push(state.wait_for_next(1));
            made.push(state.wait_until_next(|value| *value == 1));
        }
    });
    state.set(1);
    for wait in made.lock().unwrap().iter_mut() {
        assert!(common::pending(wait));
    }
    state.set(2);
    state.set(1);
    let waits: Vec<_> = made.lock().unwrap().drain(..).take(2).collect();
    for wait in waits {
        assert_eq!(common::ready(wait), 1);
    }
    drop(callback);
}

#[test]
fn a_thousand_waits_made_anew_from_their_wakers_leave_one_set_linear() {
    struct Again(&'static Watched<u32>, AtomicU32);

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, SeqCst);
            let mut wait = Box::new(self.0.wait_for_change());
            let waker = Waker::from(self.clone());
            let poll = std::pin::Pin::new(&mut *wait);
            assert!(Future::poll(poll, &mut Context::from_waker(&waker)).is_pending());
            Box::leak(wait);
        }
    }

    let state = leaked(0);
    let again = Arc::new(Again(state, AtomicU32::new(0)));
    for _ in 0..1_000 {
        again.clone().wake();
    }
    state.set(1);
    assert_eq!(
        again.1.load(SeqCst),
        2_000,
        "each was woken once for one set"
    );
    state.set(2);
    assert_eq!(again.1.load(SeqCst), 3_000);
}

#[test]
fn a_bounded_watcher_sees_a_part_of_the_same_order() {
    let state = leaked(0);
    let mut all = state.watch();
    let mut some = state.watch_bounded(3, Overflow::DropOldest);
    let reader = thread::spawn(move || {
        let mut log = Vec::new();
        while log
            .last()
            .is_none_or(|last: &(u64, u32)| last.1 != u32::MAX)
        {
            let change = some.recv_blocking().unwrap();
            log.push((change.seq, change.new));
        }
        log
    });
    (1..=5_000).for_each(|n| {
        state.set(n);
    });
    state.set(u32::MAX);
    let order = received(&mut all);
    for (seq, value) in reader.join().unwrap() {
        assert_eq!(order[seq as usize - 1], value);
    }
    assert!(matches!(common::poll(&mut all.recv()), Poll::Pending));
}

/// Sets the next value when it is woken.
struct SetNext {
    state: &'static Watched<u32>,
    next: u32,
}

impl Wake for SetNext {
    fn wake(self: Arc<Self>) {
        self.state.set(self.next);
    }
}

#[test]
fn a_long_chain_of_wakers_that_set_does_not_pile_up_on_the_stack() {
    const LONG: u32 = 20_000;
    let state = leaked(0);
    let mut waits: Vec<_> = (1..=LONG).map(|value| state.wait_for(value)).collect();
    for (wait, next) in waits.iter_mut().zip(2..) {
        let waker = Waker::from(Arc::new(SetNext { state, next }));
        let poll = std::pin::Pin::new(wait).poll(&mut Context::from_waker(&waker));
        assert_eq!(poll, Poll::Pending);
    }
    state.set(1);
    assert_eq!(state.get(), LONG + 1);
    for (wait, value) in waits.into_iter().zip(1..) {
        assert_eq!(common::ready(wait), value);
    }
}
