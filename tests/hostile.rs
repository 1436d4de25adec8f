//! User code that panics, calls back, or both: the state stays usable, and nothing is lost silently.

mod common;

use common::{in_time, leaked, message, panics};
use onlooker::{Overflow, Watched};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

type Hook = RefCell<Option<Box<dyn Fn()>>>;

thread_local! {
    static ON_DROP: Hook = const { RefCell::new(None) };
    static ON_CLONE: Hook = const { RefCell::new(None) };
    static ON_EQ: Hook = const { RefCell::new(None) };
}

type Key = &'static thread::LocalKey<Hook>;

/// Runs the hook, but not inside itself.
fn run(hook: Key) {
    struct Back(Key, Option<Box<dyn Fn()>>);

    impl Drop for Back {
        fn drop(&mut self) {
            self.0.with_borrow_mut(|hook| *hook = self.1.take());
        }
    }

    let taken = Back(hook, hook.with_borrow_mut(Option::take));
    if let Some(hook) = &taken.1 {
        hook();
    }
}

/// Runs `f` while `hook` does `what`.
fn hooked<R>(hook: Key, what: impl Fn() + 'static, f: impl FnOnce() -> R) -> R {
    struct Off(Key);

    impl Drop for Off {
        fn drop(&mut self) {
            let hook = self.0.with_borrow_mut(Option::take);
            drop(hook);
        }
    }

    let _off = Off(hook);
    hook.with_borrow_mut(|hook| *hook = Some(Box::new(what)));
    f()
}

/// A value whose `Drop`, `Clone` and `PartialEq` do what the test says.
struct Hostile(u32);

impl Drop for Hostile {
    fn drop(&mut self) {
        run(&ON_DROP);
    }
}

impl Clone for Hostile {
    fn clone(&self) -> Self {
        run(&ON_CLONE);
        Hostile(self.0)
    }
}

impl PartialEq for Hostile {
    fn eq(&self, other: &Self) -> bool {
        run(&ON_EQ);
        self.0 == other.0
    }
}

fn counter() -> (Arc<AtomicU32>, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    (count.clone(), count)
}

// Drop

#[test]
fn a_drop_may_read_the_state_wherever_a_value_is_dropped() {
    let state = leaked(Hostile(0));
    let mut unbounded = state.watch();
    let mut newest = state.watch_bounded(2, Overflow::DropNewest);
    let oldest = state.watch_bounded(2, Overflow::DropOldest);
    let matched = state.wait_for(Hostile(3));
    let lost = state.wait_for(Hostile(999));
    let unasked = state.wait_for(Hostile(4));
    let change = state.wait_for_change();
    let judged = state.wait_until(|value| value.0 == 5);
    let captured = Hostile(77);
    let callback = state.on_change(move |_| assert!(captured.0 == 77));
    let once = state.on_value(Hostile(4), |_| ());
    let (drops, count) = counter();
    let read = move || {
        count.fetch_add(1, SeqCst);
        assert!(state.read(|value| value.0) < 1_000);
        state.watcher_count();
        assert_eq!(state.watch_bounded(1, Overflow::DropOldest).len(), 0);
    };
    hooked(&ON_DROP, read, || {
        (1..10).for_each(|n| {
            state.set(Hostile(n));
        });
        state.set(Hostile(9)); // refused
        state.replace(Hostile(9));
        assert!(state.set_if(Hostile(1), |_| false).is_err());
        assert!(state.set_if(Hostile(10), |_| true).is_ok());
        state.update(|value| Hostile(value.0 + 1));
        assert!(state.try_update(|_| None).is_err());
        state.modify(|value| value.0 += 1);
        state.modify(|_| ());
        assert_eq!(matched.wait().0, 3);
        assert_eq!(judged.wait().0, 5);
        assert_eq!(change.wait().new.0, 1);
        drop((lost, unasked, callback, once));
        while unbounded.try_recv().is_ok() {}
        assert!(newest.try_recv().is_ok());
        drop((unbounded, newest, oldest));
    });
    assert!(drops.load(SeqCst) > 30);
}

#[test]
fn a_drop_may_set_the_state() {
    let state = leaked(Hostile(0));
    let mut all = state.watch();
    let mut one = state.watch_bounded(1, Overflow::DropOldest);
    let (_, count) = counter();
    let set = move || {
        let n = count.fetch_add(1, SeqCst);
        if n < 3 {
            state.set(Hostile(1_000 + n));
        }
    };
    hooked(&ON_DROP, set, || {
        state.set(Hostile(50));
        state.set(Hostile(51));
    });
    let mut seq = 0;
    while let Ok(change) = all.try_recv() {
        seq += 1;
        assert_eq!((change.seq, change.missed), (seq, 0));
    }
    assert_eq!(seq, state.version());
    while one.try_recv().is_ok() {}
    assert_eq!(one.seen().0, state.read(|value| value.0));
    assert!(seq > 2, "the drops did set");
}

#[test]
fn whoever_could_see_the_value_last_drops_it_outside_every_lock() {
    type Keep = fn(&Watched<Hostile>) -> Box<dyn Any>;
    let lasts: [(&str, Keep); 8] = [
        ("the state itself", |_| Box::new(())),
        ("a view", |state| Box::new(state.view())),
        ("a pending wait", |state| {
            Box::new(state.view().wait_for(Hostile(9)))
        }),
        ("a decided wait", |state| {
            Box::new(state.view().wait_until(|value| value.0 == 1))
        }),
        ("a watcher", |state| Box::new(state.watch())),
        ("a watcher's view", |state| Box::new(state.watch().view())),
        ("a derived view", |state| {
            Box::new(state.view().map(|value| Hostile(value.0)))
        }),
        ("a pair", |state| Box::new(state.view().zip(&state.view()))),
    ];
    in_time(move || {
        for (name, keep) in lasts {
            let state = Watched::new(Hostile(0));
            let kept = keep(&state);
            let guards = RefCell::new(Vec::from([(); 8].map(|()| state.on_change(|_| ()))));
            state.replace(Hostile(1));
            let (drops, count) = counter();
            let calls = move || {
                // Its own state, by what is left of it; from another thread, which would wait for a lock that is held here.
                if let Some(guard) = guards.borrow_mut().pop() {
                    thread::spawn(move || drop(guard)).join().unwrap();
                }
                assert!(leaked(0).set(1));
                count.fetch_add(1, SeqCst);
            };
            hooked(&ON_DROP, calls, || {
                drop(state);
                drop(kept);
            });
            assert!(drops.load(SeqCst) > 0, "{name}");
        }
    });
}

#[test]
fn a_drop_that_panics_leaves_the_state_usable() {
    let state = leaked(Hostile(0));
    let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
    let (_, count) = counter();
    let once = move || assert!(count.fetch_add(1, SeqCst) != 0, "drop");
    let result = catch_unwind(AssertUnwindSafe(|| {
        hooked(&ON_DROP, once, || state.set(Hostile(1)))
    }));
    assert!(result.is_err());
    let (_, count) = counter();
    let evicted = move || assert!(count.fetch_add(1, SeqCst) != 0, "drop");
    drop(catch_unwind(AssertUnwindSafe(|| {
        hooked(&ON_DROP, evicted, || state.set(Hostile(2)))
    })));
    assert!(state.set(Hostile(3)));
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.new.0, change.missed), (3, 2));
}

// PartialEq

#[test]
fn an_eq_that_panics_in_a_set_changes_nothing() {
    let state = leaked(Hostile(0));
    let mut watcher = state.watch();
    let result = hooked(
        &ON_EQ,
        || panic!("eq"),
        || catch_unwind(AssertUnwindSafe(|| state.set(Hostile(1)))),
    );
    assert!(result.is_err());
    assert_eq!((state.version(), watcher.len()), (0, 0));
    assert!(state.set(Hostile(2)));
    assert_eq!(watcher.try_recv().unwrap().new.0, 2);
}

#[test]
fn an_eq_that_panics_over_a_target_ends_that_wait_alone() {
    let state = leaked(Hostile(0));
    let mut watcher = state.watch();
    let waits: Vec<_> = (0..4).map(|_| state.wait_for(Hostile(1))).collect();
    let (_, count) = counter();
    let second = move || assert!(count.fetch_add(1, SeqCst) != 1, "eq");
    hooked(&ON_EQ, second, || {
        state.replace(Hostile(1)); // compares with the targets only
    });
    let ended: Vec<_> = waits
        .into_iter()
        .map(|wait| catch_unwind(AssertUnwindSafe(|| wait.wait().0)))
        .collect();
    assert_eq!(ended.iter().filter(|end| end.is_err()).count(), 1);
    for end in ended {
        match end {
            Ok(value) => assert_eq!(value, 1),
            Err(payload) => assert!(message(&*payload).contains("eq")),
        }
    }
    assert_eq!(watcher.try_recv().unwrap().new.0, 1);
}

// Clone

#[test]
fn a_clone_that_panics_for_one_watcher_is_counted_there() {
    for victim in 0..4 {
        let state = leaked(Hostile(0));
        let mut watchers: Vec<_> = (0..4).map(|_| state.watch()).collect();
        let (_, count) = counter();
        let nth = move || assert!(count.fetch_add(1, SeqCst) != victim, "clone");
        let result = hooked(&ON_CLONE, nth, || {
            catch_unwind(AssertUnwindSafe(|| state.set(Hostile(1))))
        });
        assert!(result.is_err(), "the setter learns of it");
        assert_eq!(state.version(), 1, "and yet it is set");
        state.set(Hostile(2));
        for (index, watcher) in watchers.iter_mut().enumerate() {
            let missed = u64::from(index as u32 == victim);
            assert_eq!(watcher.missed(), missed);
            let mut changes = Vec::new();
            while let Ok(change) = watcher.try_recv() {
                changes.push((change.old.0, change.new.0, change.missed));
            }
            match missed {
                0 => assert_eq!(changes, [(0, 1, 0), (1, 2, 0)]),
                _ => assert_eq!(changes, [(0, 2, 1)]),
            }
        }
    }
}

#[test]
fn a_clone_that_panics_in_a_receive_is_counted_too() {
    let state = leaked(Hostile(0));
    let mut watcher = state.watch();
    state.set(Hostile(1));
    state.set(Hostile(2));
    let result = hooked(
        &ON_CLONE,
        || panic!("clone"),
        || catch_unwind(AssertUnwindSafe(|| watcher.try_recv().is_ok())),
    );
    assert!(result.is_err());
    assert_eq!(watcher.missed(), 1);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old.0, change.new.0, change.missed), (0, 2, 1));
}

#[test]
fn a_clone_that_panics_for_a_wait_ends_that_wait_with_it() {
    let state = leaked(Hostile(0));
    let wait = state.wait_for(Hostile(1));
    let later = state.wait_for(Hostile(2));
    let set = hooked(
        &ON_CLONE,
        || panic!("clone"),
        || catch_unwind(AssertUnwindSafe(|| state.set(Hostile(1)))),
    );
    assert!(set.is_ok(), "the setter is not the one who waits");
    assert!(panics(|| wait.wait()).contains("clone"));
    state.set(Hostile(2));
    assert_eq!(later.wait().0, 2);
}

// Results

#[test]
fn an_answer_nobody_asks_for_is_dropped_outside() {
    let state = leaked(0);
    struct Reads(&'static Watched<i32>, Arc<Mutex<Vec<i32>>>);

    impl Drop for Reads {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0.get());
        }
    }

    let read = Arc::new(Mutex::new(Vec::new()));
    let sink = read.clone();
    let wait = state.wait_map(move |value| (*value == 1).then(|| Reads(state, sink.clone())));
    state.set(1);
    drop(wait);
    assert_eq!(*read.lock().unwrap(), [1]);
    assert_eq!(Arc::strong_count(&read), 1, "the predicate is gone too");
}
