//! Wakers that panic, call back, or both, when they are woken, cloned or dropped: nobody else is left asleep.

mod common;

use common::{leaked, panics, pending, poll_with, ready, waker};
use onlooker::{Overflow, Watched};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Poll, Wake, Waker};

fn counter() -> (Arc<AtomicU32>, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    (count.clone(), count)
}

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
