//! Derived views follow in the commit of their source.

use super::*;
use onlooker::View;
use std::sync::Arc as Token;

#[test]
fn derived_map_follows_in_the_commit() {
    explore("derived_map", None, || {
        let state = Arc::new(Watched::new(0));
        let tens = state.view().map(|value| value * 10);
        let mut wait = tens.wait_for(10);
        let setter = setter(&state, &[1, 2]);
        let seen = state.get();
        assert!(tens.get() >= seen * 10);
        if seen > 0 {
            assert!(polled_early(&mut wait));
        } else {
            assert_eq!(block_on(wait), Ok(10));
        }
        setter.join().unwrap();
        assert_eq!((tens.get(), tens.version()), (20, 2));
    });
}

#[test]
fn derived_map_is_made_while_its_source_is_set() {
    explore("derived_made", 5, || {
        let state = Arc::new(Watched::new(0));
        let view = state.view();
        let setter = setter(&state, &[1, 2]);
        let tens = view.map(|value| value * 10);
        let mut watcher = tens.watch();
        let mut last = *watcher.seen();
        while last != 20 {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new), (last, last + 10));
            last = change.new;
        }
        setter.join().unwrap();
    });
}

#[test]
fn derived_map_goes_with_the_last_who_looks() {
    explore("derived_drop", None, || {
        let state = Arc::new(Watched::new(0));
        let token = Token::new(());
        let held = token.clone();
        let view = state.view();
        let tens = view.map(move |value| {
            let _ = &held;
            value * 10
        });
        drop(view);
        let setter = setter(&state, &[1]);
        drop(tens);
        assert_eq!((state.view_count(), Token::strong_count(&token)), (0, 1));
        setter.join().unwrap();
    });
}

#[test]
fn derived_chain_goes_with_the_last_who_looks() {
    explore("derived_chain", None, || {
        let state = Arc::new(Watched::new(0));
        let token = Token::new(());
        let held = token.clone();
        let tens = state.view().map(|value| value * 10);
        let callback = tens.on_value(10, move |_| drop(held));
        let other = tens.map(|value| value + 1);
        drop(tens);
        let setter = setter(&state, &[1]);
        // With it goes the last who looks, or the callback's only call.
        drop(other);
        setter.join().unwrap();
        assert_eq!((state.view_count(), Token::strong_count(&token)), (0, 1));
        drop(callback);
    });
}

#[test]
fn derived_map_ends_with_its_source() {
    explore("derived_end", None, || {
        let state = Watched::new(0);
        let token = Token::new(());
        let held = token.clone();
        let tens = state.view().map(move |value| {
            let _ = &held;
            value * 10
        });
        let ending = thread::spawn(move || {
            state.set(1);
            drop(state);
        });
        let wait = tens.wait_for(10);
        let never = tens.wait_for(30);
        assert_eq!(block_on(wait), Ok(10));
        assert_eq!(block_on(never), Err(Closed));
        ending.join().unwrap();
        assert_eq!(Token::strong_count(&token), 1);
        drop(tens);
    });
}

#[test]
fn derived_map_is_made_while_its_source_ends() {
    explore("derived_made_ending", None, || {
        let state = Watched::new(0);
        let view = state.view();
        let ending = thread::spawn(move || drop(state));
        let tens = view.map(|value| value * 10);
        let pair = tens.zip(&view);
        assert_eq!(block_on(pair.wait_for_next((1, 1))), Err(Closed));
        assert_eq!(pair.get(), (0, 0));
        ending.join().unwrap();
        assert!(tens.is_closed() && pair.is_closed());
    });
}

#[test]
fn derived_map_goes_while_its_source_ends() {
    explore("derived_drop_ending", None, || {
        let state = Watched::new(0);
        let token = Token::new(());
        let held = token.clone();
        let tens = state.view().map(move |value| {
            let _ = &held;
            value * 10
        });
        let ending = thread::spawn(move || drop(state));
        drop(tens);
        ending.join().unwrap();
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn derived_zip_of_two_roots() {
    explore("derived_zip", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let pair = left.view().zip(&right.view());
        let mut watcher = pair.watch();
        let other = {
            let (right, pair) = (right.clone(), pair.clone());
            thread::spawn(move || {
                right.set(2);
                assert_eq!(pair.get().1, 2);
            })
        };
        left.set(1);
        assert_eq!(pair.get().0, 1);
        other.join().unwrap();
        let seen = watcher.try_iter().map(|change| change.new);
        let seen = seen.collect::<Vec<_>>();
        assert!(seen == [(1, 0), (1, 2)] || seen == [(0, 2), (1, 2)]);
    });
}

#[test]
fn derived_zip_wakes_who_waits_for_both() {
    explore("derived_zip_wait", 3, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let pair = left.view().zip(&right.view());
        let setters = [setter(&left, &[1]), setter(&right, &[2])];
        assert_eq!(block_on(pair.wait_for((1, 2))), Ok((1, 2)));
        for setter in setters {
            setter.join().unwrap();
        }
    });
}

#[test]
fn derived_zip_is_made_while_a_source_is_set() {
    explore("derived_zip_made", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Watched::new(0));
        let view = left.view();
        let setter = setter(&left, &[1, 2]);
        let pair = view.zip(&right.view());
        let mut watcher = pair.watch();
        let mut last = watcher.seen().0;
        setter.join().unwrap();
        for change in watcher.try_iter() {
            assert_eq!((change.old.0, change.new.0), (last, last + 1));
            last = change.new.0;
        }
        assert_eq!(last, 2);
    });
}

#[test]
fn derived_zip_ends_with_both() {
    explore("derived_zip_end", None, || {
        let (left, right) = (Watched::new(0), Watched::new(0));
        let pair = left.view().zip(&right.view());
        let ending = thread::spawn(move || {
            left.set(1);
            drop(left);
        });
        right.set(2);
        drop(right);
        assert_eq!(block_on(pair.wait_for((1, 2))), Ok((1, 2)));
        assert_eq!(block_on(pair.wait_for((3, 3))), Err(Closed));
        ending.join().unwrap();
    });
}

#[test]
fn derived_zip_goes_while_a_source_is_set() {
    explore("derived_zip_drop", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let pair = left.view().zip(&right.view());
        let setter = setter(&left, &[1]);
        drop(pair);
        assert_eq!((left.view_count(), right.view_count()), (0, 0));
        setter.join().unwrap();
    });
}

#[test]
fn derived_callback_is_part_of_the_sources_set() {
    explore("derived_callback", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let pair = left.view().zip(&right.view());
        let (called, sink) = log();
        let callback = pair.on_change(move |change| sink.lock().unwrap().push(change.new));
        let other = {
            let (right, called) = (right.clone(), called.clone());
            thread::spawn(move || {
                right.set(2);
                assert!(called.lock().unwrap().iter().any(|pair| pair.1 == 2));
            })
        };
        left.set(1);
        assert!(called.lock().unwrap().iter().any(|pair| pair.0 == 1));
        other.join().unwrap();
        assert_eq!(called.lock().unwrap()[1], (1, 2));
        drop((callback, pair));
    });
}

/// All that a watcher of a diamond over `left`, with `right` beside it, may be shown: both halves of `left` move at once.
fn whole(history: &[(u32, u32, u32)]) -> bool {
    history.iter().all(|(one, _, other)| one == other)
}

#[test]
fn derived_diamond_beside_a_second_root_is_never_torn() {
    explore("derived_diamond", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let view = left.view();
        let (one, other) = (view.map(|value| *value), view.map(u32::clone));
        drop(view);
        let all = View::all([one, right.view(), other]);
        let mut watcher = all.watch();
        let other = setter(&right, &[2]);
        left.set(1);
        let now = all.get();
        assert_eq!((now[0], now[2]), (1, 1));
        other.join().unwrap();
        let seen = watcher.try_iter().map(|change| change.new);
        let seen = seen.map(|all| (all[0], all[1], all[2])).collect::<Vec<_>>();
        assert!(whole(&seen), "{seen:?}");
        assert_eq!(seen.last(), Some(&(1, 2, 1)));
    });
}

#[test]
fn derived_two_pairs_of_two_roots_agree_in_the_end() {
    // Each commit moves both pairs. On the way into the pair of pairs they may overtake one another: then half of one is
    // shown; never a value older than the one before.
    explore("derived_crossed", 3, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let (a, b) = (left.view(), right.view());
        let both = a.zip(&b).zip(&b.zip(&a));
        drop((a, b));
        let mut watcher = both.watch();
        let other = setter(&right, &[1]);
        left.set(1);
        let ((here, _), (_, there)) = both.get();
        assert_eq!((here, there), (1, 1));
        other.join().unwrap();
        assert_eq!(both.get(), ((1, 1), (1, 1)));
        // No transition is made of two commits.
        assert!(both.version() >= 2);
        let mut last = ((0, 0), (0, 0));
        for ((a, b), (c, d)) in watcher.try_iter().map(|change| change.new) {
            let ((e, f), (g, h)) = last;
            assert!(a >= e && b >= f && c >= g && d >= h, "{last:?}");
            last = ((a, b), (c, d));
        }
    });
}

#[test]
fn derived_panic_ends_it_while_another_root_sets() {
    explore("derived_panic", None, || {
        let (left, right) = (Arc::new(Watched::new(0)), Arc::new(Watched::new(0)));
        let broken = left.view().map(|value| match value {
            0 => 0,
            _ => std::panic::resume_unwind(Box::new("the function's own")),
        });
        let pair = broken.zip(&right.view());
        let other = setter(&right, &[2]);
        left.set(1);
        assert!(broken.is_closed());
        assert_eq!(block_on(broken.wait_for(1)), Err(Closed));
        assert_eq!(block_on(pair.wait_for((0, 2))), Ok((0, 2)));
        other.join().unwrap();
        assert!(!pair.is_closed());
    });
}
