//! Reading: the present value, its version, the cached view, and what the types say about themselves.

mod common;

use common::{leaked, panics, ready};
use onlooker::{Overflow, Watched};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn get_clones_and_read_does_not() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    struct Counted(i32);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            CLONES.fetch_add(1, SeqCst);
            Counted(self.0)
        }
    }
    let state = Watched::new(Counted(3));
    assert_eq!(state.read(|value| value.0), 3);
    assert_eq!(CLONES.load(SeqCst), 0);
    assert_eq!(state.get().0, 3);
    assert_eq!(CLONES.load(SeqCst), 1);
}

#[test]
fn version_counts_transitions_as_their_seq_does() {
    let state = Watched::new(0);
    assert_eq!(state.version(), 0);
    let mut watcher = state.watch();
    for n in 1..=5 {
        state.set(n);
        state.set(n);
        assert_eq!(state.version(), n);
        assert_eq!(watcher.try_recv().unwrap().seq, n);
    }
    let change = state.wait_for_change();
    state.replace(5);
    assert_eq!(ready(change).seq, 6);
    assert_eq!(state.version(), 6);
}

#[test]
fn a_value_is_never_seen_half_written() {
    let state = Watched::new([0_u64; 8]);
    thread::scope(|scope| {
        let setter = scope.spawn(|| {
            for n in 1..5_000 {
                state.set([n; 8]);
            }
        });
        let mut last = 0;
        while !setter.is_finished() {
            let value = state.get();
            assert!(value.iter().all(|part| *part == value[0]));
            assert!(value[0] >= last, "a read went back in time");
            last = value[0];
        }
    });
}

#[test]
fn a_reader_shows_the_present_value_and_clones_only_when_it_changed() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    #[derive(PartialEq)]
    struct Counted(i32);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            CLONES.fetch_add(1, SeqCst);
            Counted(self.0)
        }
    }
    let state = Watched::new(Counted(1));
    let mut reader = state.reader();
    let first = CLONES.load(SeqCst);
    for _ in 0..100 {
        assert_eq!(reader.get().0, 1);
    }
    assert_eq!(CLONES.load(SeqCst), first);
    state.set(Counted(2));
    state.set(Counted(3));
    for _ in 0..100 {
        assert_eq!(reader.get().0, 3);
    }
    assert_eq!(CLONES.load(SeqCst), first + 1);
    state.replace(Counted(3));
    assert_eq!(reader.get().0, 3);
    assert_eq!(CLONES.load(SeqCst), first + 2);
}

#[test]
fn a_reader_made_before_the_first_observer_follows_the_state_afterwards() {
    let state = Watched::new(0);
    let mut reader = state.reader();
    let _watcher = state.watch();
    state.set(1);
    assert_eq!(*reader.get(), 1);
}

#[test]
fn a_reader_in_another_thread_sees_every_value_that_stays() {
    let state = Watched::new(0_u64);
    thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut reader = state.reader();
            let mut last = *reader.get();
            while last < 2_000 {
                let now = *reader.get();
                assert!(now >= last, "a reader went back in time");
                last = now;
                thread::yield_now();
            }
        });
        for n in 1..=2_000 {
            state.set(n);
        }
        follower.join().unwrap();
    });
}

#[test]
fn a_reader_takes_no_lock_while_nothing_changed() {
    let state = leaked(7);
    let mut reader = state.reader();
    let (entered, inside) = mpsc::channel();
    let (release, blocked) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        state.read(|_| {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        });
    });
    inside.recv().unwrap();
    let (done, read) = mpsc::channel();
    thread::spawn(move || done.send(*reader.get()));
    let unlocked = read.recv_timeout(Duration::from_secs(10));
    drop(release);
    holder.join().unwrap();
    assert_eq!(unlocked, Ok(7));
}

#[test]
fn what_a_reader_shows_is_never_older_than_its_version() {
    let state = Watched::new(0_u64);
    thread::scope(|scope| {
        let setter = scope.spawn(|| {
            for n in 1..5_000 {
                state.set(n);
            }
        });
        let mut reader = state.reader();
        while !setter.is_finished() {
            let before = state.version();
            assert!(*reader.get() >= before);
        }
    });
}

#[test]
fn watcher_count_is_exact_whatever_the_order_of_watch_and_drop() {
    let state = Watched::new(0);
    let mut watchers = Vec::new();
    let mut random = 0x9e37_79b9_u32;
    for step in 0..10_000 {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        if random % 2 == 0 || watchers.is_empty() {
            watchers.push(match random % 3 {
                0 => state.watch(),
                1 => state.watch_bounded(1, Overflow::DropOldest),
                _ => state.watch_bounded(3, Overflow::DropNewest),
            });
        } else {
            let at = random as usize / 4 % watchers.len();
            drop(watchers.swap_remove(at));
        }
        if random % 7 == 0 {
            state.set(step);
        }
        assert_eq!(state.watcher_count(), watchers.len());
    }
    watchers.clear();
    assert_eq!(state.watcher_count(), 0);
}

#[test]
fn waits_and_callbacks_are_no_watchers() {
    let state = Watched::new(0);
    let _wait = state.wait_for(1);
    let _until = state.wait_until(|n| *n == 1);
    let _callback = state.on_change(|_| {});
    assert_eq!(state.watcher_count(), 0);
    let watcher = state.watch();
    std::mem::forget(state.watch());
    assert_eq!(state.watcher_count(), 2);
    drop(watcher);
    assert_eq!(state.watcher_count(), 1); // a forgotten one is alive
}

#[test]
fn default_and_from_make_a_state_that_has_not_changed_yet() {
    let state: Watched<Vec<u8>> = Watched::default();
    assert_eq!((state.get(), state.version()), (Vec::new(), 0));
    let state = Watched::from("here");
    assert_eq!((state.get(), state.version()), ("here", 0));
}

#[test]
fn a_bounded_watcher_without_room_is_refused_and_nothing_is_registered() {
    let state = Watched::new(0);
    let said = panics(|| state.watch_bounded(0, Overflow::DropOldest));
    assert!(said.contains("capacity"), "{said}");
    assert_eq!(state.watcher_count(), 0);
    assert!(state.set(1));
}
