//! Whoever breaks a rule is shown his own line, not one of the crate's (`#[track_caller]`).

#![allow(unused_must_use, reason = "each of these calls panics")]

mod common;

use common::leaked;
use onlooker::{Overflow, Watched};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::time::{Duration, Instant};

thread_local! {
    /// The file of this thread's last panic.
    static FILE: RefCell<String> = const { RefCell::new(String::new()) };
}

fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if let Some(place) = info.location() {
                FILE.set(place.file().to_owned());
            }
            before(info);
        }));
    });
}

/// Each of these breaks a rule, here.
macro_rules! shown_here {
    ($($call:expr),* $(,)?) => {
        note_places();
        $({
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                std::hint::black_box($call);
            })).is_err();
            assert!(panicked, "this breaks no rule: {}", stringify!($call));
            assert_eq!(FILE.take(), file!(), "{}", stringify!($call));
        })*
    };
}

#[test]
fn calls_of_a_state_inside_its_own_closure() {
    let (state, other) = (leaked(0), leaked(0));
    let view = state.view();
    shown_here!(
        state.read(|_| state.get()),
        state.read(|_| state.read(|_| ())),
        state.read(|_| state.set(1)),
        state.read(|_| other.set(1)),
        state.read(|_| state.replace(1)),
        state.read(|_| state.set_if(1, |_| true)),
        state.read(|_| state.update(|n| n + 1)),
        state.read(|_| state.modify(|n| *n += 1)),
        state.read(|_| state.try_set_paced(1)),
        state.read(|_| state.watch()),
        state.read(|_| state.watch_bounded(1, Overflow::DropOldest)),
        state.read(|_| state.view()),
        state.read(|_| state.wait_for(1)),
        state.read(|_| state.wait_until(|_| true)),
        state.read(|_| state.on_change(|_| ())),
        state.read(|_| state.on_value(1, |_| ())),
        state.read(|_| state.inspect()),
        state.read(|_| state.watcher_count()),
        state.read(|_| view.get()),
        state.read(|_| view.clone()),
        state.read(|_| view.wait_for(1)),
        state.read(|_| view.map(|n| *n)),
        state.read(|_| view.zip(&view)),
    );
}

#[test]
fn blocking_inside_a_closure_of_the_same_state() {
    let state = leaked(0);
    let view = state.view();
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    let (brief, now) = (Duration::ZERO, Instant::now());
    let wait = || Some(state.wait_for(7));
    let mut made: [_; 3] = [wait(), wait(), wait()];
    let mut owned = [(); 3].map(|()| Some(view.wait_for(7)));
    let mut paced = [(); 3].map(|()| Some(state.set_paced(7)));
    shown_here!(
        state.read(|_| made[0].take().unwrap().wait()),
        state.read(|_| made[1].take().unwrap().wait_timeout(brief)),
        state.read(|_| made[2].take().unwrap().wait_deadline(now)),
        state.read(|_| owned[0].take().unwrap().wait()),
        state.read(|_| owned[1].take().unwrap().wait_timeout(brief)),
        state.read(|_| owned[2].take().unwrap().wait_deadline(now)),
        state.read(|_| paced[0].take().unwrap().wait()),
        state.read(|_| paced[1].take().unwrap().wait_timeout(brief)),
        state.read(|_| paced[2].take().unwrap().wait_deadline(now)),
        state.read(|_| watcher.recv().wait()),
        state.read(|_| watcher.recv_timeout(brief)),
        state.read(|_| watcher.recv_blocking()),
        state.read(|_| watcher.wait_for(7).wait_timeout(brief)),
        state.read(|_| watcher.iter().next()),
    );
}

#[test]
fn calls_inside_a_predicate() {
    let (state, other) = (leaked(0), leaked(0));
    let view = other.view();
    shown_here!(
        state
            .wait_until(|_| {
                other.get();
                true
            })
            .wait(),
        state.view().map(move |_| view.get()),
    );
}

#[test]
fn capacities_that_cannot_be_had() {
    let state = Watched::new(0);
    shown_here!(
        state.watch_bounded(0, Overflow::DropOldest),
        state.watch_bounded(usize::MAX, Overflow::DropOldest),
        state.view().watch_bounded(0, Overflow::DropNewest),
    );
}

#[cfg(feature = "tokio")]
#[test]
fn the_timer_of_tokio_outside_of_it() {
    let state = Watched::new(0);
    shown_here!(
        state
            .wait_for(1)
            .timeout(onlooker::Tokio, Duration::from_secs(1))
    );
}
