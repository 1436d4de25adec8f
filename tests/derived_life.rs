//! How long derived views live, and how deep and wide they go.

mod common;

use common::{in_time, leaked, observers, on_stack, pending, ready};
use onlooker::{Closed, TryRecvError, View, Watched};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

fn received<T: Clone>(watcher: &mut onlooker::Watcher<T>) -> Vec<T> {
    watcher.try_iter().map(|change| change.new).collect()
}

// How long it lives

#[test]
fn it_ends_when_its_sources_have_and_a_pair_when_both_have() {
    let (left, right) = (Watched::new(1), Watched::new(2));
    let mapped = left.view().map(|n| n * 10);
    let both = mapped.zip(&right.view());
    let all = View::all([left.view(), right.view()]);
    let mut watcher = both.watch();
    let (wait, last) = (both.wait_for((10, 4)), all.wait_for(vec![0, 0]));
    drop(left);
    assert!(mapped.is_closed() && !both.is_closed() && !all.is_closed());
    right.set(3);
    assert_eq!((both.get(), all.get()), ((10, 3), vec![1, 3]));
    right.set(4);
    drop(right);
    assert!(both.is_closed() && all.is_closed());
    assert_eq!((ready(wait), ready(last)), (Ok((10, 4)), Err(Closed)));
    assert_eq!(received(&mut watcher), [(10, 3), (10, 4)]);
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(
        (both.get(), all.get()),
        ((10, 4), vec![1, 4]),
        "the last value stays"
    );
}

#[test]
fn an_ended_view_zipped_with_a_live_one_is_live_and_one_of_ended_ones_is_ended() {
    let (gone, live) = (Watched::new(1), Watched::new(2));
    let ended = gone.view();
    drop(gone);
    let mapped = ended.map(|n| n * 10);
    assert!(mapped.is_closed());
    let both = mapped.zip(&live.view());
    assert!(!both.is_closed());
    live.set(3);
    assert_eq!(both.get(), (10, 3));
    let twice = ended.zip(&ended);
    assert!(twice.is_closed());
    assert_eq!(
        (twice.get(), ready(twice.wait_for_next((1, 1)))),
        ((1, 1), Err(Closed))
    );
}

#[test]
fn a_pair_whose_half_a_panic_ended_ends_with_the_other() {
    let (state, other) = (Watched::new(0), Watched::new(0));
    let broken = state.view().map(|n| {
        assert!(*n != 1, "broken");
        *n
    });
    let both = broken.zip(&other.view());
    state.set(1);
    assert!(broken.is_closed() && !both.is_closed());
    other.set(5);
    assert_eq!(both.get(), (0, 5));
    drop(other);
    assert!(both.is_closed());
}

#[test]
fn all_of_nothing_is_an_empty_vector_ended_from_the_start() {
    let all: View<Vec<u32>> = View::all([]);
    assert!(all.is_closed());
    assert_eq!((all.get(), all.version()), (Vec::new(), 0));
    assert_eq!(ready(all.wait_for(Vec::new())), Ok(Vec::new()));
    assert_eq!(ready(all.wait_for_change()).map(drop), Err(Closed));
    assert_eq!(all.watch().try_recv(), Err(TryRecvError::Closed));
}

/// What keeps a derived view alive, made of it.
type Keep = (&'static str, fn(View<u32>) -> Box<dyn std::any::Any>);

const KEEPERS: [Keep; 6] = [
    ("a view", |v| Box::new(v)),
    ("a watcher", |v| Box::new(v.watch())),
    ("an owned wait", |v| Box::new(v.wait_for(999))),
    ("a callback", |v| Box::new(v.on_change(|_| ()))),
    ("an on_value to come", |v| Box::new(v.on_value(999, |_| ()))),
    ("another derived view", |v| Box::new(v.map(|n| n + 1))),
];

#[test]
fn it_lives_while_somebody_looks_and_counts_as_one_view_of_its_source_until_then() {
    for (name, keep) in KEEPERS {
        let (state, calls) = (leaked(0), Arc::new(AtomicU32::new(0)));
        let count = calls.clone();
        let view = state.view();
        let kept = keep(view.map(move |n| {
            count.fetch_add(1, SeqCst);
            *n
        }));
        drop(view);
        assert_eq!((state.view_count(), observers(state)), (1, 1), "{name}");
        let mut alone = state.wait_unwatched();
        assert!(pending(&mut alone), "{name}");
        state.set(1);
        assert_eq!(calls.load(SeqCst), 2, "{name}: it is computed");
        drop(kept);
        assert_eq!(state.view_count(), 0, "{name}");
        assert_eq!(Arc::strong_count(&calls), 1, "{name}: its function is gone");
        ready(alone);
        state.set(2);
        assert_eq!((calls.load(SeqCst), observers(state)), (2, 0), "{name}");
    }
}

#[test]
fn a_detached_callback_keeps_it_until_its_sources_end_and_an_on_value_that_has_run_keeps_nothing() {
    let (state, calls) = (Watched::new(0), Arc::new(AtomicU32::new(0)));
    let count = calls.clone();
    let sink = count.clone();
    state
        .view()
        .map(|n| n * 10)
        .on_change(move |change| sink.store(change.new, SeqCst))
        .detach();
    let once = state
        .view()
        .map(|n| n + 1)
        .on_value(2, move |_| _ = count.fetch_add(1, SeqCst));
    assert_eq!(state.view_count(), 2);
    state.set(1);
    assert_eq!(calls.load(SeqCst) % 10, 1, "{calls:?}");
    assert_eq!(state.view_count(), 1, "the one that has run keeps nothing");
    state.set(5);
    assert_eq!(calls.load(SeqCst), 50);
    drop(state);
    assert_eq!(Arc::strong_count(&calls), 1);
    drop(once);
}

#[test]
fn a_derived_view_may_go_wherever_guards_may() {
    in_time(|| {
        let (state, other) = (leaked(0), leaked(0));
        let mapped = state.view().map(|n| n + 1);
        let above = mapped.map(|n| n + 1).zip(&other.view());
        state.update(|n| {
            drop(above);
            n + 1
        });
        assert_eq!(
            (mapped.get(), state.view_count(), other.view_count()),
            (2, 1, 0)
        );
        let slot = Arc::new(Mutex::new(Some(mapped)));
        let taken = slot.clone();
        let callback = state.on_change(move |_| drop(taken.lock().unwrap().take()));
        state.set(7);
        assert_eq!((state.view_count(), observers(state)), (0, 1));
        drop(callback);
    });
}

// Depth and width

#[test]
fn two_thousand_maps_in_a_chain_are_set_ended_and_dropped_on_a_small_stack() {
    for ended_first in [false, true] {
        on_stack(256 * 1024, move || {
            let state = Watched::new(0_u32);
            let mut last = state.view();
            for _ in 0..2_000 {
                last = last.map(|n| n + 1);
            }
            let mut watcher = last.watch();
            let wait = last.wait_for(2_007);
            state.set(7);
            assert_eq!(
                (last.get(), watcher.try_recv().unwrap().new),
                (2_007, 2_007)
            );
            assert_eq!(ready(wait), Ok(2_007));
            if ended_first {
                drop(state);
                assert!(last.is_closed());
                drop((last, watcher));
            } else {
                drop((last, watcher));
                assert_eq!((observers(&state), state.view_count()), (0, 0));
            }
        });
    }
}

#[test]
fn two_thousand_maps_that_only_a_callback_keeps_end_on_a_small_stack() {
    on_stack(256 * 1024, || {
        let make = |panics_at: Option<u32>| {
            let state = Watched::new(0_u32);
            let mut last = state.view().map(move |n| {
                assert_ne!(Some(*n), panics_at);
                *n
            });
            for _ in 0..2_000 {
                last = last.map(|n| *n);
            }
            last.on_change(|_| ()).detach();
            state
        };
        drop(make(None));
        let state = make(Some(3));
        // The panic ends the derived views, and nobody else.
        assert!(state.set(3));
        assert_eq!((observers(&state), state.view_count()), (0, 0));
    });
}

#[test]
fn two_thousand_pairs_in_a_chain_need_no_stack_either_and_one_setter_moves_each_once() {
    on_stack(256 * 1024, || {
        let (state, other) = (leaked(0_u64), leaked(0_u64));
        let view = other.view();
        let mut last = state.view();
        for _ in 0..1_000 {
            last = last.zip(&view).map(|(sum, one)| sum + one);
        }
        let mut watcher = last.watch();
        state.set(5);
        assert_eq!((last.get(), received(&mut watcher)), (5, vec![5]));
        // A thousand halves of one transition.
        other.set(1);
        assert_eq!(last.get(), 1_005);
        assert!(received(&mut watcher).ends_with(&[1_005]));
        drop((last, watcher, view));
        assert_eq!((observers(state), observers(other)), (0, 0));
    });
}

#[test]
fn a_thousand_maps_side_by_side_follow_as_one() {
    let state = Watched::new(0_u64);
    let view = state.view();
    let maps: Vec<_> = (0..1_000)
        .map(|at| view.map(move |n| n * 1_000 + at))
        .collect();
    let all = View::all(maps.iter().cloned());
    let mut watcher = all.watch();
    state.set(3);
    assert!(all.get().into_iter().eq(3_000..4_000));
    let steps = received(&mut watcher);
    assert!(
        !steps.is_empty() && steps.len() <= 2,
        "{} steps",
        steps.len()
    );
    drop((maps, all));
    assert_eq!(state.view_count(), 1_001, "the watcher keeps them all");
    drop(watcher);
    assert_eq!(state.view_count(), 1);
}
