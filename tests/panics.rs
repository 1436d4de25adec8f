//! Panics in every piece of the user's code: nobody gets what belongs to another, nothing is lost silently, and no second
//! panic ends the process.

mod common;

use common::{Task, in_time, leaked, observers, panics, pending, poll, poll_with, ready, waker};
use onlooker::{Callback, Overflow, TryRecvError, Watched};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::thread;

thread_local! {
    /// Whose drop panics next on this thread.
    static FRAGILE: Cell<Option<&'static str>> = const { Cell::new(None) };
    static FRAGILE_CLONE: Cell<bool> = const { Cell::new(false) };
}

/// A value with a name; its drop panics if it is that one's turn.
#[derive(Debug)]
struct Named(&'static str, u32);

impl Drop for Named {
    fn drop(&mut self) {
        if FRAGILE.get() == Some(self.0) {
            FRAGILE.set(None);
            panic!("drop of {}", self.0);
        }
    }
}

impl Clone for Named {
    fn clone(&self) -> Self {
        assert!(!FRAGILE_CLONE.take(), "clone of {}", self.0);
        Named("clone", self.1)
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

fn fragile<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    FRAGILE.set(Some(name));
    let result = f();
    FRAGILE.set(None);
    result
}

// While a wait gives its output

// PITFALLS: a target's `Drop` that panics while a wait gives its output: the wait left twice, another wait got a foreign
// value, counts underflowed.
#[test]
fn a_target_that_panics_in_its_drop_costs_no_other_wait_its_value_and_no_count() {
    for owned in [false, true] {
        let state = leaked(Named("state", 0));
        let view = state.view();
        let mut target: Box<dyn Future<Output = u32> + Unpin> = if owned {
            let wait = view.wait_for(Named("target", 1));
            Box::new(Box::pin(async { wait.await.unwrap().1 }))
        } else {
            let wait = state.wait_for(Named("target", 1));
            Box::new(Box::pin(async { wait.await.1 }))
        };
        let others: Vec<_> = (1..=3).map(|n| state.wait_for(Named("other", n))).collect();
        let caught = fragile("target", || {
            let set = catch_unwind(AssertUnwindSafe(|| _ = state.replace(Named("new", 1))));
            let polled = catch_unwind(AssertUnwindSafe(|| poll(&mut target)));
            (set.is_err(), polled.is_err())
        });
        // Whoever dropped it learned of it; and the future is over, or has its value yet to give.
        if !caught.0 && !caught.1 {
            drop(target);
        } else {
            let again = catch_unwind(AssertUnwindSafe(|| poll(&mut target)));
            if let Ok(polled) = again {
                assert_eq!(polled, Poll::Ready(1));
            }
            drop(catch_unwind(AssertUnwindSafe(|| drop(target))));
        }
        // New waits take the places that became free.
        let more: Vec<_> = (2..=4).map(|n| state.wait_for(Named("more", n))).collect();
        for n in 2..=4 {
            state.replace(Named("new", n));
        }
        for (wait, n) in others.into_iter().chain(more).zip([1, 2, 3, 2, 3, 4]) {
            assert_eq!(ready(wait).1, n, "a foreign value");
        }
        assert_eq!(observers(state), 0, "{}", state.inspect());
        assert_eq!(state.view_count(), 1);
        drop(view);
        assert_eq!(state.view_count(), 0);
    }
}

/// A waker whose drop panics, on its last clone.
struct FragileWaker(Mutex<bool>);

impl Wake for FragileWaker {
    fn wake(self: Arc<Self>) {}
}

impl Drop for FragileWaker {
    fn drop(&mut self) {
        let fragile = std::mem::take(self.0.get_mut().unwrap());
        assert!(!fragile || thread::panicking(), "drop of a waker");
    }
}

fn fragile_waker() -> Waker {
    Waker::from(Arc::new(FragileWaker(Mutex::new(true))))
}

// PITFALLS: the same with a waker.
#[test]
fn a_waker_that_panics_in_its_drop_costs_no_other_wait_its_value_and_no_count() {
    for many in [0, 1, 40] {
        let state = leaked(0);
        let mut fragile = state.wait_for(1);
        let waker = fragile_waker();
        assert!(poll_with(&mut fragile, &waker).is_pending());
        drop(waker); // the state has the last one
        let mut others: Vec<_> = (0..many).map(|_| state.wait_for(1)).collect();
        let task = Task::new();
        assert!(others.iter_mut().all(|wait| task.poll(wait).is_pending()));
        let mut watcher = state.watch();
        let set = catch_unwind(AssertUnwindSafe(|| state.set(1)));
        assert_eq!((state.get(), state.version()), (1, 1), "{set:?}");
        assert_eq!(task.wakes(), many);
        let more = state.wait_for(2);
        assert!(state.set(2));
        // It was woken, so its waker was dropped by the setter: the wait itself is sound.
        assert_eq!(ready(fragile), 1);
        assert!(others.into_iter().all(|wait| ready(wait) == 1));
        assert_eq!(ready(more), 2);
        assert!(watcher.try_iter().map(|change| change.new).eq([1, 2]));
        drop(watcher);
        assert_eq!(observers(state), 0);
    }
}

#[test]
fn a_waker_replaced_or_left_that_panics_in_its_drop_spoils_that_call_alone() {
    let state = leaked(0);
    let mut full = state.watch_bounded(1, Overflow::DropNewest);
    let mut watcher = state.watch();
    state.set(1);
    assert!(watcher.try_recv().is_ok());
    let task = Task::new();

    let mut wait = state.wait_for(2);
    assert!(poll_with(&mut wait, &fragile_waker()).is_pending());
    assert_eq!(
        panics(|| task.poll(&mut wait)),
        "drop of a waker",
        "replaced"
    );
    let _ = task.poll(&mut wait);

    let mut recv = watcher.recv();
    assert!(poll_with(&mut recv, &fragile_waker()).is_pending());
    assert_eq!(
        panics(|| task.poll(&mut recv).map(drop)),
        "drop of a waker",
        "replaced"
    );
    let _ = task.poll(&mut recv).is_pending();

    let mut paced = state.set_paced(2);
    assert!(poll_with(&mut paced, &fragile_waker()).is_pending());
    assert_eq!(
        panics(|| task.poll(&mut paced)),
        "drop of a waker",
        "replaced"
    );
    let _ = task.poll(&mut paced);

    let mut left = state.wait_for(9);
    assert!(poll_with(&mut left, &fragile_waker()).is_pending());
    assert_eq!(panics(|| drop(left)), "drop of a waker", "left");

    assert!(full.try_recv().is_ok());
    assert!(ready(paced));
    assert_eq!((ready(wait), ready(recv).unwrap().new), (2, 2));
    drop((full, watcher));
    assert_eq!(observers(state), 0);
}

#[test]
fn a_value_that_panics_in_its_drop_when_it_is_evicted_or_replaced_costs_no_delivery() {
    for who in ["old", "evicted"] {
        let state = leaked(Named("old", 0));
        let mut ring = state.watch_bounded(1, Overflow::DropOldest);
        let mut all = state.watch();
        state.replace(Named("evicted", 1));
        let called = Arc::new(AtomicU32::new(0));
        let sink = called.clone();
        let callback = state.on_change(move |change| sink.store(change.new.1, SeqCst));
        let (task, mut wait) = (Task::new(), state.wait_for(Named("target", 2)));
        assert!(task.poll(&mut wait).is_pending());
        // The clones in the ring are called so; what is replaced has its own name.
        let name = if who == "old" { "evicted" } else { "clone" };
        let said = panics(|| fragile(name, || state.set(Named("new", 2))));
        assert_eq!(said, format!("drop of {name}"), "the setter learns of it");
        assert_eq!((task.wakes(), called.load(SeqCst)), (1, 2), "{who}");
        assert_eq!(ready(wait).1, 2);
        assert!(state.set(Named("new", 3)));
        assert_eq!(called.load(SeqCst), 3);
        assert!(all.try_iter().map(|change| change.new.1).eq([1, 2, 3]));
        assert_eq!(
            ring.try_recv().map(|change| (change.new.1, change.missed)),
            Ok((3, 2))
        );
        drop((callback, ring, all));
        assert_eq!(observers(state), 0);
    }
}

#[test]
fn a_clone_that_panics_for_a_wait_or_a_callback_is_heard_there_and_nowhere_else() {
    let state = leaked(Named("state", 0));
    let broken = state.wait_for(Named("target", 1));
    let sound = state.wait_map(|value| (value.1 == 1).then_some(value.1));
    FRAGILE_CLONE.set(true);
    let set = catch_unwind(AssertUnwindSafe(|| state.set(Named("new", 1))));
    FRAGILE_CLONE.set(false);
    assert!(set.is_ok(), "the setter is not the one who waits");
    assert_eq!(panics(|| ready(broken)), "clone of new");
    assert_eq!(ready(sound), 1);

    // For a callback it is the setter who learns of it: there is nobody else.
    let called = Arc::new(AtomicU32::new(0));
    let sink = called.clone();
    let callback = state.on_change(move |change| sink.store(change.new.1, SeqCst));
    FRAGILE_CLONE.set(true);
    let set = catch_unwind(AssertUnwindSafe(|| state.set(Named("new", 2))));
    FRAGILE_CLONE.set(false);
    assert_eq!((state.version(), state.read(|value| value.1)), (2, 2));
    assert!(
        set.is_err() || called.load(SeqCst) == 2,
        "not lost silently"
    );
    state.set(Named("new", 3));
    assert_eq!(called.load(SeqCst), 3);
    drop(callback);
}

// Payloads

/// A panic's payload that panics when it is dropped, a few times in a row.
struct Payload(u32);

impl Drop for Payload {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Payload(self.0 - 1));
        }
    }
}

// PITFALLS: a panic payload whose `Drop` panics, in a callback or a waker: role lost. (The callback is in `turns.rs`.)
#[test]
fn a_waker_or_a_predicate_whose_panics_payload_panics_in_its_drop_harms_nobody_else() {
    for depth in [1, 3, 100] {
        in_time(move || {
            let state = leaked(0);
            let bad = waker(move || panic_any(Payload(depth)));
            let mut wakers: Vec<_> = (0..3).map(|_| state.wait_for(1)).collect();
            assert!(
                wakers
                    .iter_mut()
                    .all(|wait| poll_with(wait, &bad).is_pending())
            );
            let (task, mut good) = (Task::new(), state.wait_for(1));
            assert!(task.poll(&mut good).is_pending());
            let broken = state.wait_until_next(move |_| panic_any(Payload(depth)));
            let called = Arc::new(AtomicU32::new(0));
            let sink = called.clone();
            let callback = state.on_change(move |change| sink.store(change.new, SeqCst));
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| state.set(1))) {
                std::mem::forget(payload); // ours to deal with
            }
            assert_eq!((task.wakes(), called.load(SeqCst)), (1, 1));
            drop(broken); // with the panic that nobody asked for
            assert!(thread::spawn(move || state.set(2)).join().unwrap());
            assert_eq!(called.load(SeqCst), 2);
            assert!(
                wakers
                    .into_iter()
                    .chain([good])
                    .all(|wait| ready(wait) == 1)
            );
            drop(callback);
            assert_eq!(observers(state), 0);
        });
    }
}

// While unwinding

/// Sets when it is dropped.
struct SetsOnDrop(&'static Watched<u32>, u32);

impl Drop for SetsOnDrop {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

// PITFALLS: `set` in a `Drop` while unwinding, a waker panics: abort.
#[test]
fn a_setter_called_while_unwinding_lets_no_second_panic_out() {
    let state = leaked(0);
    let bad = waker(|| panic!("waker"));
    let mut broken = state.wait_for(1);
    assert!(poll_with(&mut broken, &bad).is_pending());
    let (task, mut good) = (Task::new(), state.wait_for(1));
    assert!(task.poll(&mut good).is_pending());
    let callback = state.on_change(|_| panic!("callback"));
    let mut watcher = state.watch();
    let said = panics(|| {
        let _sets = SetsOnDrop(state, 1);
        panic!("the first");
    });
    assert_eq!(said, "the first");
    assert_eq!((state.get(), task.wakes()), (1, 1));
    assert_eq!((ready(broken), ready(good)), (1, 1));
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    drop(callback);
}

#[test]
fn guards_dropped_while_unwinding_let_no_second_panic_out() {
    let state = leaked(0);
    let full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let said = panics(|| {
        // Each of them has something that panics when it goes.
        let mut wait = state.wait_for(9);
        assert!(poll_with(&mut wait, &unwinding_waker()).is_pending());
        let mut paced = state.set_paced(9);
        assert!(poll_with(&mut paced, &unwinding_waker()).is_pending());
        let mut watcher = state.watch();
        let mut recv = watcher.recv();
        assert!(poll_with(&mut recv, &unwinding_waker()).is_pending());
        let fragile = Unwinding;
        let _callback: Callback = state.on_change(move |_| _ = &fragile);
        panic!("the first");
    });
    assert_eq!(said, "the first");
    drop(full);
    assert_eq!(observers(state), 0);
    assert!(state.set(2));
}

/// Panics when it is dropped, above all while unwinding: the crate has to catch it.
struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        // Not without anybody who could catch it: the test itself must not end the process.
        panic!("while unwinding");
    }
}

fn unwinding_waker() -> Waker {
    struct Holds(Unwinding);

    impl Wake for Holds {
        fn wake(self: Arc<Self>) {
            std::mem::forget(self);
        }
    }

    Waker::from(Arc::new(Holds(Unwinding)))
}

// Paced setters

// PITFALLS: a paced set polled again after a panic set the old value once more.
#[test]
fn a_paced_set_whose_delivery_panicked_is_done() {
    let state = leaked(0);
    let mut watcher = state.watch();
    let bad = waker(|| panic!("waker"));
    let mut wait = state.wait_for(1);
    assert!(poll_with(&mut wait, &bad).is_pending());
    let mut paced = state.set_paced(1);
    assert_eq!(panics(|| poll(&mut paced)), "waker");
    assert_eq!((state.get(), state.version()), (1, 1));
    state.set(2);
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut paced)));
    assert!(again.is_err(), "it has set already: {again:?}");
    drop(paced);
    assert_eq!((state.get(), state.version()), (2, 2));
    assert!(watcher.try_iter().map(|change| change.new).eq([1, 2]));
}

#[test]
fn a_try_set_paced_whose_comparison_panics_has_set_nothing() {
    #[derive(Clone, Debug)]
    struct Touchy(u32);

    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            assert!(self.0 + other.0 != 7, "touchy");
            self.0 == other.0
        }
    }

    let state = Watched::new(Touchy(0));
    assert_eq!(panics(|| state.try_set_paced(Touchy(7))), "touchy");
    assert_eq!((state.get().0, state.version()), (0, 0));
    assert_eq!(state.try_set_paced(Touchy(1)), Ok(true));
}

// Watchers

// PITFALLS: `recv()` made and dropped unpolled took the stream's waker.
#[test]
fn a_future_of_a_watcher_that_was_never_polled_takes_nobodys_waker() {
    use futures_lite::{Stream, StreamExt};
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch();
    let waker = task.waker();
    let mut context = std::task::Context::from_waker(&waker);
    let stream = std::pin::Pin::new(&mut watcher);
    assert!(stream.poll_next(&mut context).is_pending());
    drop(watcher.recv());
    drop(watcher.wait_for(9));
    drop(watcher.recv().unless(std::future::pending::<()>()));
    assert_eq!(task.kept(), 2, "ours, and the sleeper's");
    state.set(1);
    assert_eq!(task.wakes(), 1);
    assert_eq!(ready(watcher.next()).unwrap().new, 1);
}

#[test]
fn a_clone_that_panics_in_a_receive_is_counted_and_the_next_one_received() {
    let state = leaked(Named("state", 0));
    for bounded in [false, true] {
        let mut watcher = match bounded {
            false => state.watch(),
            true => state.watch_bounded(4, Overflow::DropNewest),
        };
        let before = watcher.seen().1;
        state.set(Named("new", before + 1));
        state.set(Named("new", before + 2));
        FRAGILE_CLONE.set(true);
        let said = panics(|| watcher.try_recv().is_ok());
        assert_eq!((said.as_str(), watcher.missed()), ("clone of clone", 1));
        let change = watcher.try_recv().unwrap();
        assert_eq!(
            (change.old.1, change.new.1, change.missed),
            (before, before + 2, 1)
        );
        assert_eq!(watcher.try_recv().unwrap_err(), TryRecvError::Empty);
    }
}

#[test]
fn a_registration_whose_clone_panics_leaves_nothing_behind() {
    let state = leaked(Named("state", 0));
    type Register = fn(&'static Watched<Named>);
    let acts: [(&str, Register); 4] = [
        ("watch", |s| drop(s.watch())),
        ("watch_bounded", |s| {
            drop(s.watch_bounded(1, Overflow::DropOldest));
        }),
        ("a view's watch", |s| drop(s.view().watch())),
        ("reader", |s| drop(s.reader())),
    ];
    for (name, act) in acts {
        FRAGILE_CLONE.set(true);
        let said = panics(|| act(state));
        assert_eq!(said, "clone of state", "{name}");
        assert_eq!((observers(state), state.view_count()), (0, 0), "{name}");
    }
    // A wait whose present value cannot be cloned ends with that.
    FRAGILE_CLONE.set(true);
    let mut wait = state.wait_for(Named("target", 0));
    assert_eq!(panics(|| poll(&mut wait)), "clone of state");
    drop(wait);
    assert_eq!(observers(state), 0);
    assert!(!pending(&mut state.wait_for(Named("target", 0))));
}

/// A value whose every drop panics.
#[derive(Debug, Clone)]
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("drop");
    }
}

/// Sets twice; what is replaced panics, and is not ours.
fn replaced(state: &Watched<Brittle>) {
    for _ in 0..2 {
        let replaced = catch_unwind(AssertUnwindSafe(|| {
            std::mem::forget(state.replace(Brittle));
        }));
        drop(replaced);
    }
}

#[test]
fn two_values_whose_drops_panic_end_no_process_whoever_held_them() {
    let state = leaked(Brittle);
    // What it has seen, and what it has not.
    let watchers = [
        state.watch(),
        state.watch_bounded(4, Overflow::DropOldest),
        state.watch_bounded(1, Overflow::DropNewest),
    ];
    // Both halves of a transition.
    let change = state.wait_for_change();
    // What was found, and what found it.
    let (mut looks, held) = (0, Brittle);
    let until = state.wait_until(move |_| {
        let _held = &held;
        looks += 1;
        looks > 1
    });
    let mut skips = state.watch();
    replaced(state);
    for watcher in watchers {
        assert_eq!(panics(|| drop(watcher)), "drop");
    }
    assert_eq!(panics(|| drop(change)), "drop");
    assert_eq!(panics(|| drop(until)), "drop");
    // Both halves of a transition that does not match.
    let wait = skips.wait_until(|_| false);
    let waited = panics(|| wait.wait_timeout(std::time::Duration::ZERO).is_ok());
    assert_eq!(waited, "drop");
    std::mem::forget(skips);
}
