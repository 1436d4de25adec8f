//! What came before: a state that keeps its last transitions, and those who come back to where they stopped.

mod common;

use common::{Task, in_time, observers, ready};
use onlooker::{Forgotten, Transition, TryRecvError, Watched, Watcher};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

static LOG: Watched<u64> = Watched::with_history(0, 4);

fn received(watcher: &mut Watcher<u64>) -> Vec<u64> {
    let mut seen = (*watcher.seen(), watcher.seen_version());
    let mut all = Vec::new();
    while let Ok(change) = watcher.try_recv() {
        // The chain, from the very first on.
        assert_eq!(
            (change.old, change.seq, change.missed),
            (seen.0, seen.1 + 1, 0)
        );
        seen = (change.new, change.seq);
        all.push(change.new);
    }
    assert_eq!((*watcher.seen(), watcher.seen_version()), seen);
    all
}

#[test]
fn a_static_keeps_a_history() {
    (1..=9).for_each(|n| _ = LOG.set(n));
    let mut watcher = LOG.watch_since(5).unwrap();
    assert_eq!((*watcher.seen(), watcher.seen_version()), (5, 5));
    assert_eq!(received(&mut watcher), [6, 7, 8, 9]);
    assert_eq!(
        LOG.watch_since(4).unwrap_err(),
        Forgotten { oldest: Some(5) }
    );
}

#[test]
fn whoever_resumes_sees_the_value_at_that_version_and_every_transition_after_it() {
    for kept in [0, 1, 2, 7, usize::MAX] {
        let state = Watched::with_history(0, kept);
        for now in 0..=20_u64 {
            let oldest = now - now.min(kept as u64);
            for version in 0..=now + 2 {
                let resumed = state.watch_since(version);
                if (oldest..=now).contains(&version) {
                    let mut watcher = resumed.unwrap();
                    assert_eq!(
                        (*watcher.seen(), watcher.seen_version()),
                        (version, version)
                    );
                    assert_eq!((watcher.capacity(), watcher.missed()), (None, 0));
                    assert_eq!(watcher.len() as u64, now - version);
                    let behind: Vec<_> = (version + 1..=now).collect();
                    assert_eq!(
                        received(&mut watcher),
                        behind,
                        "{kept} kept, {version} of {now}"
                    );
                } else {
                    assert_eq!(
                        resumed.unwrap_err(),
                        Forgotten {
                            oldest: Some(oldest)
                        }
                    );
                }
            }
            state.set(now + 1);
        }
    }
}

#[test]
fn without_a_history_only_the_present_version_works() {
    let state = Watched::new(0_u64);
    assert!(state.watch_since(0).is_ok());
    (1..=3).for_each(|n| _ = state.set(n));
    for wrong in [0, 1, 2, 4, u64::MAX] {
        let error = state.watch_since(wrong).unwrap_err();
        assert_eq!(error, Forgotten { oldest: Some(3) }, "{wrong}");
    }
    let mut watcher = state.watch_since(3).unwrap();
    state.set(4);
    assert_eq!(received(&mut watcher), [4]);
}

#[test]
fn what_comes_after_it_resumed_is_received_too_asleep_or_not() {
    let (state, task) = (Watched::with_history(0_u64, 8), Task::new());
    (1..=3).for_each(|n| _ = state.set(n));
    let mut watcher = state.watch_since(1).unwrap();
    state.set(4);
    assert_eq!(received(&mut watcher), [2, 3, 4]);
    let mut recv = watcher.recv();
    assert!(task.poll(&mut recv).is_pending());
    state.set(5);
    assert_eq!(task.wakes(), 1);
    assert_eq!(
        task.poll(&mut recv).map(|change| change.unwrap().new),
        Poll::Ready(5)
    );
}

#[test]
fn a_client_that_comes_back_with_the_version_it_saw_last_goes_on_where_it_stopped() {
    let state = Watched::with_history(0_u64, 100);
    let mut client = state.watch();
    let mut all = Vec::new();
    for round in 0..30 {
        (0..round % 5).for_each(|_| _ = state.update(|n| n + 1));
        all.extend(client.try_recv().map(|change| change.new));
        if round % 3 == 0 {
            // The connection is lost, with what was on its way.
            let last = client.seen_version();
            drop(client);
            state.update(|n| n + 1);
            client = state.watch_since(last).unwrap();
        }
    }
    all.extend(received(&mut client));
    assert!(all.into_iter().eq(1..=state.version()));
}

#[test]
fn equal_values_that_were_replaced_are_a_part_of_it() {
    let state = Watched::with_history('a', 3);
    state.replace('a');
    state.set('a');
    state.replace_with(|_| 'b');
    let mut watcher = state.watch_since(0).unwrap();
    let all: Vec<Transition<char>> = watcher.try_iter().collect();
    assert!(
        all.iter()
            .map(|change| (change.old, change.new))
            .eq([('a', 'a'), ('a', 'b')])
    );
}

#[test]
fn waits_of_a_resumed_watcher_find_what_passed_before_it_came() {
    let state = Watched::with_history("open", 8);
    state.set("closing");
    state.set("closed");
    let mut watcher = state.watch_since(0).unwrap();
    assert_eq!(ready(watcher.wait_for("closing")), Ok("closing"));
    assert_eq!(ready(watcher.wait_for_next("closed")), Ok("closed"));
    let all = state.watch_since(0).unwrap().values();
    drop(state);
    let values: Vec<_> = futures_lite::future::block_on(futures_lite::StreamExt::collect(all));
    assert_eq!(values, ["open", "closing", "closed"]);
}

#[test]
fn resuming_while_others_set_has_no_gap() {
    in_time(|| {
        const LAST: u64 = 4_000;
        static STATE: Watched<u64> = Watched::with_history(0, 64);
        let state = &STATE;
        let setter = thread::spawn(move || {
            for n in 1..=LAST {
                state.set(n);
            }
        });
        let mut resumed = 0;
        let mut from = 0;
        while from < LAST {
            match state.watch_since(from) {
                Ok(mut watcher) => {
                    resumed += 1;
                    assert_eq!(*watcher.seen(), from);
                    from = received(&mut watcher).last().copied().unwrap_or(from);
                }
                Err(Forgotten { oldest }) => from = oldest.unwrap(),
            }
        }
        setter.join().unwrap();
        assert!(resumed > 0);
    });
}

// The end

#[test]
fn the_history_lasts_while_a_view_does() {
    let state = Watched::with_history(0_u64, 4);
    let view = state.view();
    (1..=9).for_each(|n| _ = state.set(n));
    drop(state);
    let mut watcher = view.watch_since(6).unwrap();
    assert_eq!(*watcher.seen(), 6);
    assert_eq!(received(&mut watcher), [7, 8, 9]);
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(
        view.watch_since(4).unwrap_err(),
        Forgotten { oldest: Some(5) }
    );
    let later = view.watch_since(10).unwrap_err();
    assert_eq!(later, Forgotten { oldest: Some(5) });
}

#[test]
fn a_derived_view_keeps_none() {
    let state = Watched::with_history(0_u64, 4);
    let derived = state.view().map(|n| n * 2);
    (1..=3).for_each(|n| _ = state.set(n));
    for version in [0, 2, 4, 99] {
        assert_eq!(
            derived.watch_since(version).unwrap_err(),
            Forgotten { oldest: None }
        );
    }
    assert_eq!(derived.watcher_count(), 0);
}

#[test]
fn forgotten_says_in_a_log_what_happened() {
    let error: Box<dyn std::error::Error> = Box::new(Forgotten { oldest: Some(42) });
    let said = error.to_string();
    assert!(said.contains("watched") && said.contains("42"), "{said}");
    let said = Forgotten { oldest: None }.to_string();
    assert!(
        said.contains("watched") && said.contains("history"),
        "{said}"
    );
}

// What it keeps

/// Counts how many of them are alive.
struct Counted(Arc<AtomicIsize>, Arc<AtomicIsize>);

impl Counted {
    fn new(alive: &Arc<AtomicIsize>, most: &Arc<AtomicIsize>) -> Self {
        let now = alive.fetch_add(1, SeqCst) + 1;
        most.fetch_max(now, SeqCst);
        Counted(alive.clone(), most.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0, &self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn at_most_twice_what_is_kept_and_one_is_alive_between_two_sets() {
    for kept in [0, 1, 5, 100] {
        let (alive, most): (Arc<AtomicIsize>, Arc<AtomicIsize>) = Default::default();
        let state = Watched::with_history(Counted::new(&alive, &most), kept);
        for _ in 0..500 {
            drop(state.replace(Counted::new(&alive, &most)));
            let now = alive.load(SeqCst);
            assert!(now <= 2 * kept as isize + 1, "{now} alive, {kept} kept");
        }
        // While one is set there is a new one, an old one, and what is on its way out.
        let most = most.load(SeqCst);
        assert!(
            most <= 2 * kept as isize + 1 + 3,
            "{most} alive, {kept} kept"
        );
        drop(state);
        assert_eq!(alive.load(SeqCst), 0);
    }
}

#[test]
fn values_that_it_gives_up_are_dropped_outside_the_lock() {
    #[derive(Clone)]
    struct Reads(&'static AtomicUsize, Option<&'static Watched<Reads>>);

    impl Drop for Reads {
        fn drop(&mut self) {
            if let Some(state) = self.1 {
                state.read(|_| ());
                state.watcher_count();
                self.0.fetch_add(1, SeqCst);
            }
        }
    }

    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static STATE: Watched<Reads> = Watched::with_history(Reads(&DROPS, None), 3);
    for _ in 0..10 {
        drop(STATE.replace(Reads(&DROPS, Some(&STATE))));
    }
    assert!(DROPS.load(SeqCst) >= 7);
    let watcher = STATE.watch_since(8).unwrap();
    assert_eq!(watcher.len(), 2);
    drop(watcher);
    STATE.replace(Reads(&DROPS, None));
}

#[test]
fn a_clone_that_panics_leaves_no_gap_in_what_can_be_resumed() {
    thread_local!(static FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    struct Fragile(u64);

    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(!FAILS.take(), "clone");
            Fragile(self.0)
        }
    }

    let state = Watched::with_history(Fragile(0), 8);
    let mut failed = 0;
    for n in 1..=12 {
        FAILS.set(n % 5 == 0);
        let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            state.replace(Fragile(n));
        }));
        failed += u32::from(set.is_err());
        FAILS.set(false);
        assert_eq!((state.version(), state.read(|value| value.0)), (n, n));
        // Whatever can still be resumed is whole.
        for version in 0..=n {
            match state.watch_since(version) {
                Ok(mut watcher) => {
                    assert_eq!(watcher.seen().0, version);
                    let rest: Vec<_> = watcher.try_iter().map(|change| change.new.0).collect();
                    assert!(
                        rest.into_iter().eq(version + 1..=n),
                        "from {version} at {n}"
                    );
                }
                Err(Forgotten { oldest }) => assert!(oldest.unwrap() > version),
            }
        }
    }
    assert_eq!(failed, 2, "a history that is lost is not lost silently");
    assert_eq!(state.watcher_count(), 0);
}

#[test]
fn a_resumed_watcher_is_one_like_any_other() {
    let state = Watched::with_history(0_u64, 8);
    (1..=3).for_each(|n| _ = state.set(n));
    let mut somebody = state.wait_watched();
    let watcher = state.watch_since(2).unwrap();
    assert_eq!((state.watcher_count(), observers(&state)), (1, 2));
    assert!(common::poll(&mut somebody).is_ready());
    drop(somebody);
    assert_eq!(watcher.view().get(), 3);
    drop(watcher);
    assert_eq!((state.watcher_count(), observers(&state)), (0, 0));
    assert!(state.watch_since(9).is_err());
    assert_eq!(observers(&state), 0, "who is refused has not joined");
}
