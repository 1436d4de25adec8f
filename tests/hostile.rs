//! User code that panics, calls back, or both: the state stays usable, and nothing is lost silently.

mod common;

use common::{leaked, message, panics, pending, ready};
use onlooker::{Callback, Overflow, SetPaced, Transition, Wait, Watched, Watcher};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

type Hook = RefCell<Option<Box<dyn Fn()>>>;

thread_local! {
    static ON_DROP: Hook = const { RefCell::new(None) };
    static ON_CLONE: Hook = const { RefCell::new(None) };
    static ON_EQ: Hook = const { RefCell::new(None) };
}

type Key = &'static std::thread::LocalKey<Hook>;

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

/// A waker that does what the test says.
struct Does<F>(F);

impl<F: Fn() + Send + Sync> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        (self.0)();
    }
}

fn waker(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Does(f)))
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
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

// Closures

#[test]
fn a_closure_that_panics_changes_nothing() {
    let state = leaked(1);
    let mut watcher = state.watch();
    let calls: [fn(&Watched<i32>); 5] = [
        |state| state.read(|_| panic!("closure")),
        |state| assert!(state.set_if(2, |_| panic!("closure")).is_ok()),
        |state| assert!(state.try_update(|_| panic!("closure")).is_ok()),
        |state| {
            state.update(|_| panic!("closure"));
        },
        |state| {
            state.modify(|value| {
                *value = 2;
                panic!("closure");
            });
        },
    ];
    for call in calls {
        assert_eq!(panics(|| call(state)), "closure");
        assert_eq!((state.get(), state.version()), (1, 0));
    }
    assert!(state.set(2));
    assert_eq!(watcher.try_recv().unwrap().new, 2);
}

/// Everything that can be registered, in the hands of one owner.
type Guards = (
    Watcher<i32>,
    [Wait<'static, i32>; 2],
    Wait<'static, Transition<i32>>,
    Callback,
    SetPaced<'static, i32>,
);

/// Registers one of each, with a full bounded buffer so that the paced setter stands in line.
fn guards(state: &'static Watched<i32>) -> Guards {
    let watcher = state.watch_bounded(1, Overflow::DropNewest);
    let waits = [state.wait_for(9), state.wait_until(|value| *value == 9)];
    let callback = state.on_change(|_| ());
    state.set(state.get() + 1);
    let mut paced = state.set_paced(7);
    let change = state.wait_for_change();
    assert!(pending(&mut paced));
    (watcher, waits, change, callback, paced)
}

fn registered(state: &Watched<i32>) -> String {
    let said = format!("{state:?}");
    said[said.find("watchers").unwrap()..].to_owned()
}

#[test]
fn guards_dropped_inside_a_closure_leave_once_it_has_returned() {
    let state = leaked(1);
    let nobody = registered(state);
    let closures: [fn(&Watched<i32>, Guards); 5] = [
        |state, guards| state.read(move |_| drop(guards)),
        |state, guards| {
            state.update(move |value| {
                drop(guards);
                value + 1
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
        assert_ne!(registered(state), nobody);
        within(state, guards);
        assert_eq!(registered(state), nobody);
        assert_eq!(state.watcher_count(), 0);
        let mut paced = state.set_paced(state.get() + 1);
        assert!(!pending(&mut paced), "nobody is left in line");
    }
}

#[test]
fn guards_inside_a_closure_that_panics_end_no_process_and_leave_with_the_next_call() {
    let state = leaked(1);
    let nobody = registered(state);
    let guards = guards(state);
    let text = panics(|| {
        state.update(move |_| {
            let _guards = &guards;
            panic!("closure")
        })
    });
    assert_eq!(text, "closure");
    assert!(state.set(9));
    assert_eq!(state.get(), 9);
    assert_eq!(registered(state), nobody);
}

#[test]
fn a_predicate_that_panics_ends_its_own_wait_alone() {
    let state = leaked(0);
    let doomed = state.wait_until(|value| {
        assert!(*value != 2, "predicate");
        false
    });
    let other = state.wait_until(|value| *value == 2);
    assert!(state.set(1));
    assert!(state.set(2));
    assert!(state.set(3));
    assert!(panics(|| doomed.wait()).contains("predicate"));
    assert_eq!(other.wait(), 2);
}

#[test]
fn re_entry_from_eq_and_clone_is_a_clear_panic() {
    let state = leaked(Hostile(0));
    let text = hooked(
        &ON_EQ,
        move || assert!(state.get().0 == 0),
        || panics(|| state.set(Hostile(1))),
    );
    assert!(text.contains("under its lock"), "{text}");
    let text = hooked(
        &ON_CLONE,
        move || assert!(state.watcher_count() == 0),
        || panics(|| state.get()),
    );
    assert!(text.contains("under its lock"), "{text}");
    assert!(state.set(Hostile(2)));
}

// Wakers

#[test]
fn a_waker_may_call_every_method() {
    let state = leaked(0_u32);
    let (_, count) = counter();
    let everything = waker(move || {
        let n = count.fetch_add(1, SeqCst);
        if n < 50 {
            state.set(100 + n);
            state.update(|value| value + 1_000);
            state.replace(7);
            let _ = state.set_if(8, |value| *value == 7);
            state.modify(|value| *value += 1);
            let mut watcher = state.watch();
            state.get();
            state.set(10);
            assert!(!watcher.is_empty());
            assert!(watcher.try_recv().is_ok());
            drop(state.wait_for(5));
            drop(state.wait_until(|value| *value == 5));
            drop(state.on_change(|_| ()));
            state.watcher_count();
            drop(format!("{state:?}"));
        }
    });
    let mut all = state.watch();
    let mut changes: Vec<_> = (0..20).map(|_| state.wait_for_change()).collect();
    let mut judged: Vec<_> = (0..20).map(|_| state.wait_until_next(|_| true)).collect();
    for wait in &mut changes {
        assert!(poll_with(wait, &everything).is_pending());
    }
    for wait in &mut judged {
        assert!(poll_with(wait, &everything).is_pending());
    }
    let mut watcher = state.watch();
    let mut recv = watcher.recv();
    assert!(poll_with(&mut recv, &everything).is_pending());
    state.set(1);
    assert!(
        matches!(poll_with(&mut recv, &everything), Poll::Ready(Ok(change)) if change.new == 1)
    );
    for mut wait in changes {
        assert!(
            matches!(poll_with(&mut wait, &everything), Poll::Ready(change) if change.seq == 1)
        );
    }
    for mut wait in judged {
        assert_eq!(poll_with(&mut wait, &everything), Poll::Ready(1));
    }
    let (mut seen, mut seq) = (0, 0);
    while let Ok(change) = all.try_recv() {
        seq += 1;
        assert_eq!((change.old, change.seq), (seen, seq));
        seen = change.new;
    }
    assert_eq!(seq, state.version());
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    let state = leaked(0);
    let (woken, count) = counter();
    let good = waker(move || {
        count.fetch_add(1, SeqCst);
    });
    let bad = waker(|| panic!("waker"));
    let mut waits: Vec<_> = (0..30).map(|_| state.wait_for(1)).collect();
    for (index, wait) in waits.iter_mut().enumerate() {
        let waker = if index % 3 == 0 { &bad } else { &good };
        assert!(poll_with(wait, waker).is_pending());
    }
    assert_eq!(panics(|| state.set(1)), "waker");
    assert_eq!(woken.load(SeqCst), 20);
    for wait in waits {
        assert_eq!(wait.wait(), 1);
    }
    // One alone, then another: the role of waking was put down.
    let mut alone = state.wait_for(2);
    assert!(poll_with(&mut alone, &bad).is_pending());
    assert_eq!(panics(|| state.set(2)), "waker");
    let mut next = state.wait_for(3);
    assert!(poll_with(&mut next, &good).is_pending());
    state.set(3);
    assert_eq!(woken.load(SeqCst), 21);
}

#[test]
fn a_waker_that_panics_at_the_end_is_heard_and_the_others_are_woken() {
    for unwinding in [false, true] {
        let state = Watched::new(0);
        let (woken, count) = counter();
        let good = waker(move || {
            count.fetch_add(1, SeqCst);
        });
        let bad = waker(|| panic!("waker"));
        let mut watchers = [state.watch(), state.watch(), state.watch()];
        let mut receives: Vec<_> = watchers.iter_mut().map(|watcher| watcher.recv()).collect();
        for (receive, waker) in receives.iter_mut().zip([&bad, &good, &good]) {
            assert!(poll_with(receive, waker).is_pending());
        }
        let said = panics(|| {
            let _ends_here = state;
            assert!(!unwinding, "another");
        });
        assert_eq!(said, if unwinding { "another" } else { "waker" });
        assert_eq!(woken.load(SeqCst), 2);
        assert!(receives.into_iter().all(|receive| ready(receive).is_err()));
    }
}

#[test]
fn a_watcher_whose_waker_panicked_is_woken_the_next_time() {
    let state = leaked(0);
    let bad = waker(|| panic!("waker"));
    let mut watcher = state.watch();
    for round in 0..3 {
        let mut receive = watcher.recv();
        assert!(poll_with(&mut receive, &bad).is_pending());
        assert_eq!(panics(|| state.set(10 * round + 1)), "waker");
        assert_eq!(ready(receive).unwrap().new, 10 * round + 1);

        let (woken, count) = counter();
        let good = waker(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut receive = watcher.recv();
        assert!(poll_with(&mut receive, &good).is_pending());
        state.set(10 * round + 2);
        assert_eq!(woken.load(SeqCst), 1);
        assert_eq!(ready(receive).unwrap().new, 10 * round + 2);
    }
}

#[test]
fn what_a_paced_setters_waker_costs_its_receiver_is_counted() {
    let state = leaked(0);
    let bad = waker(|| panic!("waker"));
    let mut watcher = state.watch_bounded(2, Overflow::DropNewest);
    state.set(1);
    state.set(2);
    let mut paced = state.set_paced(3);
    assert!(poll_with(&mut paced, &bad).is_pending());
    // The first is popped, and the room it leaves announced to a waker that panics.
    assert_eq!(panics(|| watcher.try_recv()), "waker");
    assert_eq!(watcher.missed(), 1);
    let next = watcher.try_recv().unwrap();
    assert_eq!((next.old, next.new, next.missed), (0, 2, 1));
    assert!(ready(paced));
    assert_eq!(watcher.try_recv().unwrap().new, 3);
}

#[test]
fn a_waker_whose_clone_panics_spoils_that_poll_alone() {
    use std::task::{RawWaker, RawWakerVTable};
    fn clone(_: *const ()) -> RawWaker {
        panic!("clone of a waker")
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| (), |_| (), |_| ());
    // SAFETY: the functions of the table use no data and are thread safe.
    let bad = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };

    fn try_it<F: Future + Unpin>(
        mut future: F,
        bad: &Waker,
        go_on: impl FnOnce() -> bool,
    ) -> F::Output {
        assert_eq!(
            panics(|| poll_with(&mut future, bad).is_ready()),
            "clone of a waker"
        );
        let (woken, count) = counter();
        let good = waker(move || {
            count.fetch_add(1, SeqCst);
        });
        assert!(poll_with(&mut future, &good).is_pending());
        assert_eq!(
            panics(|| poll_with(&mut future, bad).is_ready()),
            "clone of a waker"
        );
        assert!(go_on());
        assert_eq!(woken.load(SeqCst), 1);
        ready(future)
    }

    let state = leaked(0);
    let mut watcher = state.watch();
    assert_eq!(
        try_it(watcher.recv(), &bad, || state.set(1)).unwrap().new,
        1
    );
    assert_eq!(try_it(watcher.wait_for(2), &bad, || state.set(2)), Ok(2));
    assert_eq!(try_it(state.wait_for(3), &bad, || state.set(3)), 3);
    assert_eq!(
        try_it(state.wait_until(|n| *n == 4), &bad, || state.set(4)),
        4
    );
    assert_eq!(
        try_it(state.wait_for_change(), &bad, || state.set(5)).new,
        5
    );
    let mut full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(6);
    assert!(try_it(state.set_paced(7), &bad, || full.try_recv().is_ok()));
    assert_eq!(full.try_recv().unwrap().new, 7);
}

#[test]
fn the_drop_and_the_clone_of_a_waker_may_set() {
    struct Sets(&'static Watched<u32>, u32);

    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }

    impl Wake for Sets {
        fn wake(self: Arc<Self>) {}
    }

    let state = leaked(0);
    let mut wait = state.wait_for(1);
    let first = Waker::from(Arc::new(Sets(state, 10)));
    assert!(poll_with(&mut wait, &first).is_pending());
    drop(first);
    // Replaces the waker, whose drop sets.
    assert!(pending(&mut wait));
    assert_eq!(state.get(), 10);
    let second = Waker::from(Arc::new(Sets(state, 1)));
    assert!(poll_with(&mut wait, &second).is_pending());
    drop(second);
    drop(wait);
    assert_eq!(state.get(), 1);

    // The same of a watcher's future, which receives what the drop set; and when the future goes.
    let mut watcher = state.watch();
    let mut receive = watcher.recv();
    let third = Waker::from(Arc::new(Sets(state, 2)));
    assert!(poll_with(&mut receive, &third).is_pending());
    drop(third);
    assert_eq!(ready(&mut receive).unwrap().new, 2);
    drop(receive);
    let mut receive = watcher.recv();
    let fourth = Waker::from(Arc::new(Sets(state, 3)));
    assert!(poll_with(&mut receive, &fourth).is_pending());
    drop(fourth);
    drop(receive);
    assert_eq!(watcher.try_recv().unwrap().new, 3);

    // A waker that sets when it is cloned.
    use std::task::{RawWaker, RawWakerVTable};
    static CLONES: Watched<u32> = Watched::new(0);
    fn clone(_: *const ()) -> RawWaker {
        CLONES.update(|n| n + 1);
        RawWaker::new(std::ptr::null(), &TABLE)
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| (), |_| (), |_| ());
    // SAFETY: the functions of the table use no data and are thread safe.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let mut wait = CLONES.wait_for(100);
    let mut judged = CLONES.wait_until(|n| *n == 100);
    let mut paced = CLONES.set_paced(100);
    let full = CLONES.watch_bounded(1, Overflow::DropNewest);
    assert!(poll_with(&mut wait, &waker).is_pending());
    assert!(poll_with(&mut judged, &waker).is_pending());
    assert!(poll_with(&mut paced, &waker).is_pending());
    let mut watcher = CLONES.watch();
    let before = CLONES.get();
    let received = poll_with(&mut watcher.recv(), &waker);
    assert!(matches!(received, Poll::Ready(Ok(change)) if change.old == before));
    assert!(CLONES.get() >= 4);
    drop(full);
    assert_eq!(poll_with(&mut paced, &waker), Poll::Ready(true));
    assert_eq!((wait.wait(), judged.wait()), (100, 100));
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
